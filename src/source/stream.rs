//! A running GStreamer pipeline: cameras, network streams, clips and whatever `pipeline:` describes.
//!
//! GStreamer's streaming thread puts each sample into a one-slot mailbox and goes on; the owner of the source maps it. Errors
//! and the end arrive in the bus's handler, in the thread that posts them, and close the mailbox, so a waiting `next` wakes
//! at once and no main loop is needed. Making, starting and stopping a pipeline can hang in a driver, so all of that happens on a
//! thread of GStreamer's own pool and is waited for with a limit.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_video as video;

use super::heard::Heard;
use super::layout::Layouts;
use super::{FrameSource, Mapped, OpenRequest, SourceError, SourceSpec, Stopper, fault, http, launch};
use crate::config::Pace;
use crate::events;
use crate::frame::{CameraId, Frame, Memory};
use crate::limits::{self, Promise};
use crate::mailbox::{Mailbox, Taken};

/// A pipeline that has not started by then is given up.
const START_LIMIT: Duration = Duration::from_secs(10);
/// A pipeline that has not stopped by then is left to itself.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How long a CSI camera may take to pass its farewell on.
const GOODBYE_LIMIT: Duration = Duration::from_millis(500);
/// A frame older than this on arrival has a broken time stamp.
const CREDIBLE_AGE: Duration = Duration::from_secs(10);
/// Pipelines that hang in their driver before no more are opened; see [`stuck`].
pub const MOST_STUCK: usize = 8;

/// Pipelines that were left to themselves and have not come back. One number for the process, as the driver is one.
static STUCK: AtomicUsize = AtomicUsize::new(0);

/// How many pipelines of this process hang in their driver. From [`MOST_STUCK`] on no source that needs GStreamer is opened until some
/// of them come back, which they do only if the driver does.
pub fn stuck() -> usize {
    STUCK.load(Ordering::Acquire)
}

/// A sample on its way from GStreamer's thread to ours.
struct Offer {
    sample: gst::Sample,
    sequence: u64,
    captured: Instant,
    captured_at: SystemTime,
    arrived: Instant,
}

/// Why no more frames come.
#[derive(Clone)]
enum End {
    Eos,
    Failed(String),
    /// The camera does not let this user in.
    Refused(String),
}

/// What GStreamer's threads and ours both see. Holds nothing of the pipeline, which holds this.
#[derive(Default)]
struct Shared {
    mailbox: Mailbox<Offer>,
    end: Mutex<Option<End>>,
    lacking: Mutex<Vec<String>>,
    heard: Arc<Heard>,
    stopped: AtomicBool,
}

impl Shared {
    /// The first reason stays; later ones are its echo.
    fn finish(&self, end: End) {
        lock(&self.end).get_or_insert(end);
        self.mailbox.close();
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.mailbox.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open pipeline. Dropping it stops it, within [`STOP_LIMIT`].
pub(super) struct Stream {
    origin: String,
    camera: CameraId,
    live: bool,
    /// True for cameras whose driver wants to be told before it is shut down.
    farewell: bool,
    pipeline: gst::Pipeline,
    shared: Arc<Shared>,
    /// Hears of the end; taken by the farewell.
    ended: Option<Receiver<()>>,
    /// True if it hangs in its driver since it was started: it cannot be stopped either.
    hangs: bool,
    layouts: Layouts,
    /// What it may take of the system.
    promise: Promise,
}

impl Stream {
    pub(super) fn open(request: &OpenRequest) -> Result<Self, SourceError> {
        let (source, origin) = (&request.source, request.source.to_string());
        let failed = |reason: String| SourceError::Failed { origin: origin.clone(), reason };
        gst::init().map_err(|e| failed(format!("GStreamer does not start: {}", e.message())))?;
        if stuck() >= MOST_STUCK {
            return Err(failed(format!(
                "{MOST_STUCK} earlier pipelines hang in their driver; restart it (CSI: systemctl restart nvargus-daemon), then Squint"
            )));
        }
        let promise = limits::open_camera(super::need(source))
            .map_err(|shortage| SourceError::OutOfResources { origin: origin.clone(), shortage })?;
        let until = Instant::now() + START_LIMIT;
        let asked = request.clone();
        // There is no pipeline yet: an empty one lends its thread.
        let built = within(START_LIMIT, &gst::Pipeline::new(), move |_| build(&asked));
        let (pipeline, farewell) = built.ok_or_else(|| failed(silent())).and_then(|built| built.map_err(failed))?;
        let sink = pipeline.by_name(launch::SINK).and_then(|sink| sink.downcast::<app::AppSink>().ok());
        let sink =
            sink.ok_or_else(|| failed(format!("`{}` names another element of the pipeline: rename that one", launch::SINK)))?;

        let shared = Arc::new(Shared::default());
        watch_bus(&pipeline, request, shared.clone());
        shared.heard.await_packets(&pipeline);
        http::attend(&pipeline, &sink, request, &shared.heard);
        let ended = Some(collect_samples(&sink, request, shared.clone()));
        accept_padded_buffers(&sink);
        let live = source.is_live();
        let layouts = Layouts::default();
        let (origin, camera) = (origin.clone(), request.camera);
        let mut stream = Self { origin, camera, live, farewell, pipeline, shared, ended, hangs: false, layouts, promise };
        stream.start(until.saturating_duration_since(Instant::now()))?;
        Ok(stream)
    }

    /// Within what is left of [`START_LIMIT`].
    fn start(&mut self, left: Duration) -> Result<(), SourceError> {
        let started = within(left, &self.pipeline, |pipeline| pipeline.set_state(gst::State::Playing).is_ok());
        self.hangs = started.is_none();
        match (started, lock(&self.shared.end).clone()) {
            (Some(true), _) => Ok(()),
            (Some(false), Some(End::Failed(reason))) => Err(self.failed(reason)),
            (Some(false), Some(End::Refused(reason))) => Err(self.refused(reason)),
            (Some(false), _) => Err(self.failed("the pipeline does not start and does not say why; GST_DEBUG=3 shows more".into())),
            (None, _) => Err(self.failed(silent())),
        }
    }

    /// What its elements have told beside frames.
    pub(super) fn heard(&self) -> &Heard {
        &self.shared.heard
    }

    fn refused(&self, reason: String) -> SourceError {
        SourceError::Refused { origin: self.origin.clone(), reason }
    }

    fn failed(&self, reason: String) -> SourceError {
        SourceError::Failed { origin: self.origin.clone(), reason }
    }

    fn frame(&mut self, offer: Offer) -> Result<Frame, SourceError> {
        let Offer { sample, sequence, captured, captured_at, arrived } = offer;
        let layout = self.layouts.of(&sample).map_err(|reason| self.failed(reason))?;
        let buffer = sample.buffer_owned().ok_or_else(|| self.failed("a sample without a buffer came".into()))?;
        drop(sample);
        let mapped =
            buffer.into_mapped_buffer_readable().map_err(|_| self.failed("a buffer cannot be mapped for reading".into()))?;
        let memory = Memory::Mapped(Mapped(mapped));
        let mut frame = Frame::new(memory, layout, self.camera, sequence, captured, captured_at, None)
            .map_err(|e| self.failed(e.to_string()))?;
        frame.arrived = arrived;
        Ok(frame)
    }
}

impl FrameSource for Stream {
    fn next(&mut self, patience: Duration) -> Result<Option<Frame>, SourceError> {
        if self.shared.stopped.load(Ordering::Acquire) {
            return Ok(None);
        }
        match self.shared.mailbox.take(patience) {
            Taken::Item(offer) => {
                self.promise.settle();
                self.frame(offer).map(Some)
            }
            Taken::TimedOut if !self.live && self.shared.mailbox.counts().offered == 0 => {
                // decodebin loses the error of a demuxer that fails while it is being plugged: silence is all there is then.
                let reason =
                    format!("no picture for {} ms; is this a whole video file? `gst-discoverer-1.0` tells", patience.as_millis());
                self.shared.finish(End::Failed(reason.clone()));
                Err(self.failed(reason))
            }
            Taken::TimedOut => Err(SourceError::Stalled { origin: self.origin.clone(), waited: patience }),
            Taken::Closed if self.shared.stopped.load(Ordering::Acquire) => Ok(None),
            Taken::Closed => match lock(&self.shared.end).clone() {
                Some(End::Failed(reason)) => Err(self.failed(reason)),
                Some(End::Refused(reason)) => Err(self.refused(reason)),
                _ if self.live && !self.shared.heard.is_finite() => Err(SourceError::Ended { origin: self.origin.clone() }),
                _ => Ok(None),
            },
        }
    }

    fn superseded(&self) -> u64 {
        self.shared.mailbox.counts().superseded
    }

    fn stopper(&self) -> Stopper {
        let shared = self.shared.clone();
        Stopper::new(move || shared.stop())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.stop(); // a streaming thread that waits for its frame to be taken must let go first
        if self.hangs {
            return; // who hangs there stops it, once it is back
        }
        // A CSI camera that is shut down without the end of stream can leave its daemon stuck. One whose driver hangs does not take
        // even that, so whoever waits within a limit says it.
        let ended = self.ended.take().filter(|_| self.farewell && self.pipeline.current_state() == gst::State::Playing);
        let stopped = within(STOP_LIMIT, &self.pipeline, move |pipeline| {
            if let Some(ended) = ended {
                pipeline.send_event(gst::event::Eos::new());
                let _ = ended.recv_timeout(GOODBYE_LIMIT);
            }
            pipeline.set_state(gst::State::Null)
        });
        if stopped.is_none() {
            log::warn!(event = events::SOURCE_STUCK; "{}: the driver does not let go within {STOP_LIMIT:?}; its pipeline is left to itself", self.origin);
        }
    }
}

/// What is said of a driver that is given up while it is opened.
fn silent() -> String {
    format!("the driver has not answered for {} s; CSI cameras recover by: systemctl restart nvargus-daemon", START_LIMIT.as_secs())
}

/// Makes the pipeline of `request`, not started yet; and whether its driver wants to be told before it is shut down. Elements may ask
/// their driver while they are made or their properties are set, and a file may lie on a disk that is not there: this can hang.
fn build(request: &OpenRequest) -> Result<(gst::Pipeline, bool), String> {
    let source = &request.source;
    if let SourceSpec::File { path } = source {
        crate::files::regular(path).map_err(|e| format!("cannot be opened: {e}"))?;
    }
    if let Some(instruction) = launch::missing(source, &installed) {
        return Err(instruction);
    }
    let text = launch::pipeline_text(request, &installed);
    match source {
        // What the user wrote is shown by the names of its elements only.
        SourceSpec::Pipeline { .. } => log::debug!("{source}"),
        _ => log::debug!("{source}: {}", text.reveal()),
    }
    let mut context = gst::ParseContext::new();
    let pipeline = gst::parse::launch_full(text.reveal(), Some(&mut context), gst::ParseFlags::FATAL_ERRORS)
        .map_err(|e| fault::explain_parse(source, &e, &context.missing_elements()))?
        .downcast::<gst::Pipeline>()
        .map_err(|_| "the text is not a pipeline")?;
    if let Some(element) = pipeline.by_name(launch::FROM) {
        for (property, value) in launch::from_settings(request) {
            element.set_property(property, value);
        }
    }
    Ok((pipeline, text.reveal().contains("nvarguscamerasrc")))
}

/// Runs `act` on a thread of GStreamer's pool and waits for it. `None` if it takes longer; then the pipeline is counted as stuck until
/// that thread comes back and has stopped it.
fn within<T: Send + 'static>(
    limit: Duration,
    pipeline: &gst::Pipeline,
    act: impl FnOnce(&gst::Pipeline) -> T + Send + 'static,
) -> Option<T> {
    let (done, result) = sync_channel(1);
    // Who comes second knows that the other has left.
    let parted = Arc::new(AtomicBool::new(false));
    let left = parted.clone();
    pipeline.call_async(move |pipeline| {
        let _ = done.send(act(pipeline));
        if left.swap(true, Ordering::AcqRel) {
            let _ = pipeline.set_state(gst::State::Null);
            STUCK.fetch_sub(1, Ordering::AcqRel);
        }
    });
    if let Ok(answer) = result.recv_timeout(limit) {
        return Some(answer);
    }
    STUCK.fetch_add(1, Ordering::AcqRel);
    if !parted.swap(true, Ordering::AcqRel) {
        return None;
    }
    STUCK.fetch_sub(1, Ordering::AcqRel);
    result.try_recv().ok() // it came at the last moment
}

/// An element, or a property of one (`element:property`).
fn installed(name: &str) -> bool {
    match name.split_once(':') {
        None => gst::ElementFactory::find(name).is_some(),
        Some((element, property)) => {
            gst::ElementFactory::make(element).build().is_ok_and(|element| element.find_property(property).is_some())
        }
    }
}

/// Errors and the end close the mailbox. Every message ends here: nobody reads the bus, and it would fill up.
fn watch_bus(pipeline: &gst::Pipeline, request: &OpenRequest, shared: Arc<Shared>) {
    let Some(bus) = pipeline.bus() else { return };
    let source = request.source.clone();
    let asked = request.size.is_some() || request.rate_hz.is_some();
    let camera = matches!(source, SourceSpec::V4l2 { .. }).then(|| pipeline.by_name(launch::FROM)).flatten();
    let camera = camera.map(|camera| camera.downgrade());
    bus.set_sync_handler(move |_, message| {
        if let Some(why) = shared.heard.hear(message) {
            shared.finish(End::Failed(why.into()));
        }
        match message.view() {
            gst::MessageView::Error(error) => {
                let (cause, debug, lacking) = (error.error(), error.debug(), lock(&shared.lacking).clone());
                let status = error.details().and_then(fault::status);
                let (debug, lacking) = (debug.as_deref(), lacking.as_slice());
                let mut complaint = fault::Complaint { error: &cause, debug, status, lacking, offered: None, asked };
                let offers = || shared.heard.ask(camera.as_ref().and_then(gst::glib::WeakRef::upgrade));
                let offered = complaint.is_refused_format().then(offers).flatten();
                complaint.offered = offered.as_ref().map(|offered| offered.words.as_str());
                let reason = complaint.explain(&source);
                shared.finish(if complaint.refuses_login(&source) { End::Refused(reason) } else { End::Failed(reason) });
            }
            gst::MessageView::Eos(_) => shared.finish(End::Eos),
            gst::MessageView::Warning(warning) => {
                let text = fault::scrub(&source, &warning.error().to_string());
                log::debug!("{source}: {text}");
            }
            gst::MessageView::Element(element) => {
                lock(&shared.lacking).extend(element.structure().and_then(fault::lacking));
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
}

/// Each sample goes into the mailbox; the end closes it. What is returned hears of the end too.
fn collect_samples(sink: &app::AppSink, request: &OpenRequest, shared: Arc<Shared>) -> Receiver<()> {
    let (ended, heard) = sync_channel(1);
    let live = request.source.is_live();
    let lossless = !live && request.pace == Pace::Fast;
    let stamped = live && !matches!(request.source, SourceSpec::Pipeline { .. });
    let mut sequence = 0;
    let at_end = shared.clone();
    let callbacks = app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let age = if stamped { age(sink, &sample) } else { Duration::ZERO };
            let (now, wall) = (Instant::now(), SystemTime::now());
            let captured = now.checked_sub(age).unwrap_or(now);
            let captured_at = wall.checked_sub(age).unwrap_or(wall);
            let offer = Offer { sample, sequence, captured, captured_at, arrived: now };
            sequence += 1;
            if lossless {
                return shared.mailbox.offer_waiting(offer).map(|()| gst::FlowSuccess::Ok).map_err(|_| gst::FlowError::Flushing);
            }
            // After a stop a camera runs on until it has said goodbye; its frames fall on the floor.
            let _ = shared.mailbox.offer(offer);
            Ok(gst::FlowSuccess::Ok)
        })
        .eos(move |_| {
            at_end.finish(End::Eos);
            let _ = ended.try_send(());
        });
    sink.set_callbacks(callbacks.build());
    heard
}

/// How old the sample is by its time stamp: what the driver, the network and the decoder took. Zero where that cannot be
/// known. Only for sources whose stamps are times of capture or arrival, not those of a file.
fn age(sink: &app::AppSink, sample: &gst::Sample) -> Duration {
    let stamp = || {
        let stamp = sample.buffer()?.pts()?;
        sample.segment()?.downcast_ref::<gst::ClockTime>()?.to_running_time(stamp)
    };
    match (sink.current_running_time(), stamp()) {
        (Some(now), Some(stamp)) => {
            let age = Duration::from(now.saturating_sub(stamp));
            if age <= CREDIBLE_AGE { age } else { Duration::ZERO }
        }
        _ => Duration::ZERO,
    }
}

/// Tells decoders and drivers that padded rows are welcome. appsink learnt to say so in 1.24; without it they copy each frame
/// into tight rows first.
fn accept_padded_buffers(sink: &app::AppSink) {
    let Some(pad) = sink.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH, |_, info| {
        if let Some(gst::QueryViewMut::Allocation(query)) = info.query_mut().map(|query| query.view_mut()) {
            query.add_allocation_meta::<video::VideoMeta>(None);
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_hangs_is_left_and_counted_until_it_comes_back() {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let (release, held) = sync_channel::<()>(0);
        assert_eq!(within(Duration::from_millis(20), &pipeline, move |_| held.recv().is_ok()), None);
        assert_eq!(stuck(), 1);
        release.send(()).unwrap();
        assert_eq!(within(START_LIMIT, &pipeline, |_| 7), Some(7));
        let started = Instant::now();
        while stuck() > 0 && started.elapsed() < START_LIMIT {
            std::thread::yield_now();
        }
        assert_eq!(stuck(), 0);
    }
}
