//! A running GStreamer pipeline: cameras, network streams, clips and whatever `pipeline:`
//! describes.
//!
//! GStreamer's streaming thread puts each sample into a one-slot mailbox and goes on; the owner of
//! the source maps it. Errors and the end arrive in the bus's handler, in the thread that posts
//! them, and close the mailbox, so a waiting `next` wakes at once and no main loop is needed.
//! Making, starting and stopping a pipeline can hang in a driver, so all of that happens on a
//! thread of GStreamer's own pool and is waited for with a limit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_video as video;

use super::heard::Heard;
use super::keyframes::{Notice, Pass, Shown};
use super::layout::Layouts;
use super::probes::{self, Account};
use super::stuck::Owner;
use super::{
    FrameSource, OpenRequest, Pace, SourceError, SourceSpec, Stopper, fault, http, launch, login,
};
use crate::events;
use crate::frame::{CameraId, Frame, Mapped, Memory};
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
/// How often a waiting reader looks what became of the pictures that it does not get.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A film whose pictures end earlier than it does by more than this, a twentieth of it, and twice
/// the widest pause in it, may be cut off.
const CUT: Duration = Duration::from_secs(2);

/// Marks of what is no picture: damaged, or only there so that others can be decoded.
const NO_PICTURE: gst::BufferFlags =
    gst::BufferFlags::CORRUPTED.union(gst::BufferFlags::DECODE_ONLY);

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
struct Shared {
    mailbox: Mailbox<Offer>,
    account: Arc<Account>,
    end: Mutex<Option<End>>,
    lacking: Mutex<Vec<String>>,
    heard: Arc<Heard>,
    stopped: AtomicBool,
}

impl Shared {
    fn new(account: Arc<Account>) -> Self {
        Self {
            mailbox: Mailbox::new(),
            account,
            end: Mutex::default(),
            lacking: Mutex::default(),
            heard: Arc::default(),
            stopped: AtomicBool::new(false),
        }
    }

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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open pipeline. Dropping it stops it, within [`STOP_LIMIT`].
pub(super) struct Stream {
    origin: String,
    camera: CameraId,
    owner: Owner,
    live: bool,
    /// True once a picture came.
    delivered: bool,
    /// True once a film's end has been reached.
    ended_well: bool,
    /// Pictures left out that the reader knows of.
    known: u64,
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
        let owner = Owner::of(request);
        owner.refusal().map_or(Ok(()), |reason| Err(failed(reason)))?;
        let promise = limits::open_camera(super::need(source))
            .map_err(|shortage| SourceError::OutOfResources { origin: origin.clone(), shortage })?;
        let until = Instant::now() + START_LIMIT;
        let asked = request.clone();
        // There is no pipeline yet: an empty one lends its thread.
        let built = owner.within(START_LIMIT, &gst::Pipeline::new(), move |_| build(&asked));
        let (pipeline, farewell) = built
            .ok_or_else(|| failed(owner.silent(START_LIMIT)))
            .and_then(|built| built.map_err(failed))?;
        let sink =
            pipeline.by_name(launch::SINK).and_then(|sink| sink.downcast::<app::AppSink>().ok());
        let sink = sink.ok_or_else(|| {
            failed(format!(
                "`{}` names another element of the pipeline: rename that one",
                launch::SINK
            ))
        })?;

        let (live, account) = (source.is_live(), Arc::new(Account::new(request.open_timeout)));
        let shared = Arc::new(Shared::new(account.clone()));
        watch_bus(&pipeline, request, shared.clone());
        shared.heard.await_packets(&pipeline);
        http::attend(&pipeline, &sink, request, &shared.heard);
        let ended = Some(collect_samples(&sink, request, shared.clone()));
        accept_padded_buffers(&sink);
        probes::guard_decoders(&pipeline, &account, live, is_stamped(source));
        probes::watch_orientation(&pipeline, sink.upcast_ref(), &account);
        if !live || matches!(source, SourceSpec::Http { .. }) {
            probes::watch_film(&pipeline, sink.upcast_ref(), &account);
        }
        let layouts = Layouts::default();
        let (origin, camera) = (origin.clone(), request.camera);
        let (delivered, ended_well, known, hangs) = (false, false, 0, false);
        let mut stream = Self {
            origin,
            camera,
            owner,
            live,
            delivered,
            ended_well,
            known,
            farewell,
            pipeline,
            shared,
            ended,
            hangs,
            layouts,
            promise,
        };
        stream.start(until.saturating_duration_since(Instant::now()))?;
        Ok(stream)
    }

    /// Within what is left of [`START_LIMIT`].
    fn start(&mut self, left: Duration) -> Result<(), SourceError> {
        let started = self.owner.within(left, &self.pipeline, |pipeline| {
            pipeline.set_state(gst::State::Playing).is_ok()
        });
        self.hangs = started.is_none();
        match (started, lock(&self.shared.end).clone()) {
            (Some(true), _) => Ok(()),
            (Some(false), Some(End::Failed(reason))) => Err(self.failed(reason)),
            (Some(false), Some(End::Refused(reason))) => Err(self.refused(reason)),
            (Some(false), _) => Err(self.failed(
                "the pipeline does not start and does not say why; GST_DEBUG=3 shows more".into(),
            )),
            (None, _) => Err(self.failed(self.owner.silent(START_LIMIT))),
        }
    }

    /// What its elements have told beside frames.
    pub(super) fn heard(&self) -> &Heard {
        &self.shared.heard
    }

    fn refused(&self, reason: String) -> SourceError {
        SourceError::Refused { origin: self.origin.clone(), reason }
    }

    /// True for what comes to an end and goes at its own pace until then. Of HTTP that may be known
    /// only with the first picture.
    fn is_film(&self) -> bool {
        !self.live || self.shared.heard.is_finite()
    }

    /// No more pictures come, and nobody has asked for that.
    fn over(&mut self) -> Result<Option<Frame>, SourceError> {
        match lock(&self.shared.end).clone() {
            // A decoder that was given nothing complains of that at the end.
            Some(End::Failed(reason))
                if self.live || self.delivered || self.shared.account.left_out() == 0 =>
            {
                Err(self.failed(reason))
            }
            Some(End::Refused(reason)) => Err(self.refused(reason)),
            _ if !self.is_film() => Err(SourceError::Ended { origin: self.origin.clone() }),
            _ if !self.delivered => {
                Err(self.failed(fault::no_picture(self.shared.account.left_out())))
            }
            _ => {
                if !std::mem::replace(&mut self.ended_well, true) {
                    self.note_if_cut();
                }
                Ok(None)
            }
        }
    }

    /// A file that was cut off while it was copied or recorded ends like any other.
    fn note_if_cut(&self) {
        let (at, widest) = self.shared.account.reached();
        let Some(of) = self.pipeline.query_duration::<gst::ClockTime>().map(Duration::from) else {
            return;
        };
        if of.saturating_sub(at) > CUT.max(of / 20).max(2 * widest) {
            self.shared.account.note(Notice::Cut { at, of });
        }
    }

    fn silence(&self, waited: Duration) -> SourceError {
        let origin = self.origin.clone();
        if self.delivered {
            SourceError::Stalled { origin, waited }
        } else {
            SourceError::NoPicture { origin, waited }
        }
    }

    fn failed(&self, reason: String) -> SourceError {
        SourceError::Failed { origin: self.origin.clone(), reason }
    }

    fn frame(&mut self, offer: Offer) -> Result<Frame, SourceError> {
        let Offer { sample, sequence, captured, captured_at, arrived } = offer;
        let layout = self.layouts.of(&sample).map_err(|reason| self.failed(reason))?;
        let buffer = sample
            .buffer_owned()
            .ok_or_else(|| self.failed("a sample without a buffer came".into()))?;
        drop(sample);
        let mapped = buffer
            .into_mapped_buffer_readable()
            .map_err(|_| self.failed("a buffer cannot be mapped for reading".into()))?;
        let memory = Memory::Mapped(Mapped(mapped));
        let mut frame =
            Frame::new(memory, layout, self.camera, sequence, captured, captured_at, None)
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
        let asked = Instant::now();
        loop {
            let left =
                if self.is_film() { LOOK_EVERY } else { patience.saturating_sub(asked.elapsed()) };
            match self.shared.mailbox.take(left.min(LOOK_EVERY)) {
                Taken::Item(offer) => {
                    self.delivered = true;
                    self.promise.settle();
                    return self.frame(offer).map(Some);
                }
                Taken::TimedOut => {}
                Taken::Closed if self.shared.stopped.load(Ordering::Acquire) => return Ok(None),
                Taken::Closed => return self.over(),
            }
            let left_out = self.shared.account.left_out();
            if left_out > self.known {
                let pictures = left_out - std::mem::replace(&mut self.known, left_out);
                return Err(SourceError::LeftOut { origin: self.origin.clone(), pictures });
            }
            if !self.is_film() && asked.elapsed() >= patience {
                return Err(self.silence(patience));
            }
            let account = &self.shared.account;
            // What stood still because nobody asked does not count.
            if self.is_film() && account.quiet().min(asked.elapsed()) >= account.patience {
                // decodebin loses the error of a demuxer that fails while it is being plugged: then
                // nothing moves, and that is all there is.
                let reason = fault::nothing_moves(account.patience, self.delivered);
                self.shared.finish(End::Failed(reason.clone()));
                return Err(self.failed(reason));
            }
        }
    }

    fn first_patience(&self, patience: Duration) -> Duration {
        patience.max(self.shared.account.patience)
    }

    fn longest_silence(&self, patience: Duration) -> Duration {
        // A film's pictures may be hours apart; what hangs is found out by `next` itself.
        if self.is_film() { Duration::MAX } else { patience }
    }

    fn superseded(&self) -> u64 {
        self.shared.mailbox.counts().superseded + self.shared.account.skipped()
    }

    fn unreadable(&self) -> u64 {
        self.shared.account.unreadable()
    }

    fn notice(&mut self) -> Option<Notice> {
        self.shared.account.take_notice()
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
        // A CSI camera that is shut down without the end of stream can leave its daemon stuck. One
        // whose driver hangs does not take even that, so whoever waits within a limit says it.
        let ended = self
            .ended
            .take()
            .filter(|_| self.farewell && self.pipeline.current_state() == gst::State::Playing);
        let stopped = self.owner.within(STOP_LIMIT, &self.pipeline, move |pipeline| {
            if let Some(ended) = ended {
                pipeline.send_event(gst::event::Eos::new());
                let _ = ended.recv_timeout(GOODBYE_LIMIT);
            }
            pipeline.set_state(gst::State::Null)
        });
        if stopped.is_none() {
            log::warn!(event = events::SOURCE_STUCK; "{}: {}", self.origin, self.owner.holds_on(STOP_LIMIT));
        }
    }
}

/// Makes the pipeline of `request`, not started yet; and whether its driver wants to be told before
/// it is shut down. Elements may ask their driver while they are made or their properties are set,
/// and a file may lie on a disk that is not there: this can hang.
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
    let pipeline =
        gst::parse::launch_full(text.reveal(), Some(&mut context), gst::ParseFlags::FATAL_ERRORS)
            .map_err(|e| fault::explain_parse(source, &e, &context.missing_elements()))?
            .downcast::<gst::Pipeline>()
            .map_err(|_| "the text is not a pipeline")?;
    if let Some(element) = pipeline.by_name(launch::FROM) {
        for (property, value) in launch::from_settings(request) {
            element.set_property(property, value);
        }
    }
    login::send_once(&pipeline);
    Ok((pipeline, text.reveal().contains("nvarguscamerasrc")))
}

/// An element, or a property of one (`element:property`).
fn installed(name: &str) -> bool {
    match name.split_once(':') {
        None => gst::ElementFactory::find(name).is_some(),
        Some((element, property)) => gst::ElementFactory::make(element)
            .build()
            .is_ok_and(|element| element.find_property(property).is_some()),
    }
}

/// Errors and the end close the mailbox. Every message ends here: nobody reads the bus, and it
/// would fill up.
fn watch_bus(pipeline: &gst::Pipeline, request: &OpenRequest, shared: Arc<Shared>) {
    let Some(bus) = pipeline.bus() else { return };
    let source = request.source.clone();
    let asked = request.size.is_some() || request.rate_hz.is_some();
    let camera =
        matches!(source, SourceSpec::V4l2 { .. }).then(|| pipeline.by_name(launch::FROM)).flatten();
    let camera = camera.map(|camera| camera.downgrade());
    bus.set_sync_handler(move |_, message| {
        if let Some(why) = shared.heard.hear(message) {
            shared.finish(End::Failed(why.into()));
        }
        match message.view() {
            gst::MessageView::Error(error) => {
                let (cause, debug, lacking) =
                    (error.error(), error.debug(), lock(&shared.lacking).clone());
                let status = fault::status(error.details(), debug.as_deref());
                let (debug, lacking) = (debug.as_deref(), lacking.as_slice());
                let mut complaint = fault::Complaint {
                    error: &cause,
                    debug,
                    status,
                    lacking,
                    offered: None,
                    asked,
                    answered: shared.heard.has_answer(),
                };
                let offers =
                    || shared.heard.ask(camera.as_ref().and_then(gst::glib::WeakRef::upgrade));
                let offered = complaint.is_refused_format().then(offers).flatten();
                complaint.offered = offered.as_ref().map(|offered| offered.words.as_str());
                let reason = complaint.explain(&source);
                shared.finish(if complaint.refuses_login(&source) {
                    End::Refused(reason)
                } else {
                    End::Failed(reason)
                });
            }
            gst::MessageView::Eos(_) => shared.finish(End::Eos),
            // In a text of the user's own, another branch may lack its pad.
            gst::MessageView::Warning(warning)
                if warning.error().matches(gst::ParseError::DelayedLink)
                    && !matches!(source, SourceSpec::Pipeline { .. }) =>
            {
                let lacking = lock(&shared.lacking).clone();
                let offered = message
                    .src()
                    .and_then(|from| from.downcast_ref::<gst::Element>())
                    .map(fault::offered);
                shared.finish(End::Failed(fault::no_video(&offered.unwrap_or_default(), &lacking)));
            }
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
fn collect_samples(
    sink: &app::AppSink,
    request: &OpenRequest,
    shared: Arc<Shared>,
) -> Receiver<()> {
    let (ended, heard) = sync_channel(1);
    let live = request.source.is_live();
    let lossless = !live && request.pace == Pace::Fast;
    let stamped = is_stamped(&request.source);
    let (mut sequence, shown) = (0, Arc::new(Mutex::new(Shown::new(request.open_timeout))));
    let (at_end, last) = (shared.clone(), shown.clone());
    let callbacks = app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let (account, buffer) = (&shared.account, sample.buffer());
            account.shown(buffer.and_then(|buffer| Some((buffer.pts()?, buffer.duration()))));
            let marked = buffer.is_some_and(|buffer| buffer.flags().intersects(NO_PICTURE));
            let (pass, notice) = lock(&shown).picture(
                Instant::now(),
                marked,
                account.is_inter(),
                account.has_given_up(),
            );
            notice.into_iter().for_each(|notice| account.note(notice));
            if pass != Pass::On {
                account.count(pass);
                return Ok(gst::FlowSuccess::Ok);
            }
            let age = if stamped { age(sink, &sample) } else { Duration::ZERO };
            let (now, wall) = (Instant::now(), SystemTime::now());
            let captured = now.checked_sub(age).unwrap_or(now);
            let captured_at = wall.checked_sub(age).unwrap_or(wall);
            // Pictures that were left out have their numbers too.
            let offer = Offer {
                sample,
                sequence: sequence + account.left_out(),
                captured,
                captured_at,
                arrived: now,
            };
            sequence += 1;
            if lossless {
                return shared
                    .mailbox
                    .offer_waiting(offer)
                    .map(|()| gst::FlowSuccess::Ok)
                    .map_err(|_| gst::FlowError::Flushing);
            }
            // After a stop a camera runs on until it has said goodbye; its frames fall on the
            // floor.
            let _ = shared.mailbox.offer(offer);
            Ok(gst::FlowSuccess::Ok)
        })
        .eos(move |_| {
            lock(&last)
                .end(Instant::now())
                .into_iter()
                .for_each(|notice| at_end.account.note(notice));
            at_end.finish(End::Eos);
            let _ = ended.try_send(());
        });
    sink.set_callbacks(callbacks.build());
    heard
}

/// True if stamps are times of capture or arrival: not those of a file, and nobody knows about
/// those of `pipeline:`.
fn is_stamped(source: &SourceSpec) -> bool {
    source.is_live() && !matches!(source, SourceSpec::Pipeline { .. })
}

/// How old the sample is by its time stamp: what the driver, the network and the decoder took. Zero
/// where that cannot be known. Only for sources whose stamps are times of capture or arrival, not
/// those of a file.
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

/// Tells decoders and drivers that padded rows are welcome. appsink learnt to say so in 1.24;
/// without it they copy each frame into tight rows first.
fn accept_padded_buffers(sink: &app::AppSink) {
    let Some(pad) = sink.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH, |_, info| {
        if let Some(gst::QueryViewMut::Allocation(query)) =
            info.query_mut().map(|query| query.view_mut())
        {
            query.add_allocation_meta::<video::VideoMeta>(None);
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}
