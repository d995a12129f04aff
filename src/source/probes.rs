//! What flows through a running pipeline, seen by pad probes: which pictures are frames, whether anything moves, how the stream wants to be
//! turned.
//!
//! [`super::keyframes`] decides; here it is asked, in GStreamer's threads, and what it says is counted for the owner of the source.
//! Nothing here holds the pipeline, which holds this. No picture costs an allocation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::keyframes::{Gate, Notice, Pass, Unit};
use super::launch;
use super::stream::lock;

/// Notices that may wait for their reader; more are not kept.
const MOST_NOTICES: usize = 8;

/// What the probes have seen. Shared by GStreamer's threads and the owner of the source.
pub(super) struct Account {
    zero: Instant,
    /// How long a live source may be without a key frame, and without a picture after it was opened.
    pub(super) patience: Duration,
    unreadable: AtomicU64,
    skipped: AtomicU64,
    /// True once a picture came that needs others.
    inter: AtomicBool,
    /// True while pictures pass although no key frame has come for too long.
    given_up: AtomicBool,
    /// When anything moved last, nanoseconds after `zero`.
    moved: AtomicU64,
    /// True while a picture waits at the sink for its time.
    held: AtomicBool,
    /// Where the last picture ends in its stream, nanoseconds.
    reached: AtomicU64,
    notices: Mutex<Vec<Notice>>,
    /// True while there are notices.
    noted: AtomicBool,
}

impl Account {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            zero: Instant::now(),
            patience,
            unreadable: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            inter: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            moved: AtomicU64::new(0),
            held: AtomicBool::new(false),
            reached: AtomicU64::new(0),
            notices: Mutex::default(),
            noted: AtomicBool::new(false),
        }
    }

    /// Pictures that are no frames.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Acquire)
    }

    /// Pictures that newer ones were preferred to before they were decoded.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Acquire)
    }

    /// All pictures that were left out.
    pub(super) fn left_out(&self) -> u64 {
        self.unreadable() + self.skipped()
    }

    /// True if the pictures of this stream need others.
    pub(super) fn is_inter(&self) -> bool {
        self.inter.load(Ordering::Acquire)
    }

    /// True while pictures pass although no key frame has come for too long.
    pub(super) fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    /// Counts what became of a picture.
    pub(super) fn count(&self, pass: Pass) {
        match pass {
            Pass::On => {}
            Pass::Unreadable => _ = self.unreadable.fetch_add(1, Ordering::AcqRel),
            Pass::Skipped => _ = self.skipped.fetch_add(1, Ordering::AcqRel),
        }
    }

    pub(super) fn note(&self, notice: Notice) {
        let mut notices = lock(&self.notices);
        if notices.len() < MOST_NOTICES {
            notices.push(notice);
        }
        self.noted.store(true, Ordering::Release);
    }

    /// What there is to tell, the oldest first; each is told once.
    pub(super) fn take_notice(&self) -> Option<Notice> {
        if !self.noted.load(Ordering::Acquire) {
            return None;
        }
        let mut notices = lock(&self.notices);
        let notice = (!notices.is_empty()).then(|| notices.remove(0));
        self.noted.store(!notices.is_empty(), Ordering::Release);
        notice
    }

    /// A picture has left the sink; `reached`: where it ends in its stream.
    pub(super) fn shown(&self, reached: Option<gst::ClockTime>) {
        self.held.store(false, Ordering::Release);
        self.reached.fetch_max(reached.map_or(0, gst::ClockTime::nseconds), Ordering::AcqRel);
        self.moves();
    }

    /// Where the last picture ends in its stream.
    pub(super) fn reached(&self) -> Duration {
        Duration::from_nanos(self.reached.load(Ordering::Acquire))
    }

    fn moves(&self) {
        let now = u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Release);
    }

    /// For how long nothing at all has moved. Zero while a picture waits for its time: that silence is the stream's own wish.
    pub(super) fn quiet(&self) -> Duration {
        if self.held.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        self.zero.elapsed().saturating_sub(Duration::from_nanos(self.moved.load(Ordering::Acquire)))
    }
}

/// Puts a [`Gate`] before every video decoder of the pipeline, those included that are plugged later. `stamped`: the stamps of pictures are
/// times of arrival.
pub(super) fn guard_decoders(pipeline: &gst::Pipeline, account: &Arc<Account>, live: bool, stamped: bool) {
    let of_later = Arc::clone(account);
    pipeline.connect_deep_element_added(move |_, _, element| guard(element, &of_later, live, stamped));
    for element in pipeline.iterate_recurse().into_iter().flatten() {
        guard(&element, account, live, stamped);
    }
}

fn guard(element: &gst::Element, account: &Arc<Account>, live: bool, stamped: bool) {
    // A decoder inside of a decoder sees what that one was given.
    let inside = element.parent().and_downcast::<gst::Element>().is_some_and(|parent| is_decoder(&parent));
    if !is_decoder(element) || inside {
        return;
    }
    let Some(pad) = element.static_pad("sink") else { return };
    let (account, gate) = (Arc::clone(account), Mutex::new(Gate::new(live, account.patience)));
    let decoder = element.downgrade();
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
        let now = Instant::now();
        let ended = info.event().is_some_and(|event| event.type_() == gst::EventType::Eos);
        if ended {
            lock(&gate).end(now).into_iter().for_each(|notice| account.note(notice));
        }
        let Some(buffer) = info.buffer() else { return gst::PadProbeReturn::Ok };
        account.moves();
        let lag = decoder.upgrade().filter(|_| stamped).and_then(|decoder| lag(&decoder, pad, buffer));
        let unit = unit(buffer.flags(), lag, || has_headers_apart(pad));
        let (pass, notice) = {
            let mut gate = lock(&gate);
            let told = gate.unit(now, unit);
            account.given_up.store(gate.has_given_up(), Ordering::Release);
            told
        };
        if !unit.key && !unit.header {
            account.inter.store(true, Ordering::Release);
        }
        account.count(pass);
        notice.into_iter().for_each(|notice| account.note(notice));
        if pass == Pass::On { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop }
    });
}

/// True for what makes raw pictures of coded ones. decodebin, which plugs them, is a `Generic/Bin/Decoder`.
fn is_decoder(element: &gst::Element) -> bool {
    let class = element.metadata(gst::ELEMENT_METADATA_KLASS).unwrap_or_default();
    class.contains("Decoder") && (class.contains("Video") || class.contains("Image"))
}

/// What the flags say. Parsers, depayloaders and demuxers mark what needs other pictures, of every codec.
fn unit(flags: gst::BufferFlags, lag: Option<Duration>, has_headers_apart: impl FnOnce() -> bool) -> Unit {
    let key = !flags.contains(gst::BufferFlags::DELTA_UNIT);
    Unit {
        key,
        gap: flags.contains(gst::BufferFlags::DISCONT),
        damaged: flags.contains(gst::BufferFlags::CORRUPTED),
        header: !key && flags.contains(gst::BufferFlags::HEADER) && has_headers_apart(),
        lag,
    }
}

/// True for codecs whose headers are buffers of their own (Theora, Dirac, ...). Those of H.264 and H.265 come with a picture.
fn has_headers_apart(pad: &gst::Pad) -> bool {
    let caps = pad.current_caps();
    let name = caps.as_ref().and_then(|caps| caps.structure(0)).map_or("", |structure| structure.name().as_str());
    !["video/x-h264", "video/x-h265", "video/mpeg"].contains(&name)
}

/// How long a coded picture has waited, by its stamp.
fn lag(decoder: &gst::Element, pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<Duration> {
    let stamp = buffer.dts_or_pts()?;
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let stamp = segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(stamp)?;
    let now = decoder.clock()?.time().checked_sub(decoder.base_time()?)?;
    Some(Duration::from(now.saturating_sub(stamp)))
}

/// Sees whether a film moves: what is read of it, and pictures that wait at the sink for their time.
pub(super) fn watch_film(pipeline: &gst::Pipeline, sink: &gst::Element, account: &Arc<Account>) {
    let any = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    if let Some(pad) = pipeline.by_name(launch::FROM).and_then(|from| from.static_pad("src")) {
        let account = Arc::clone(account);
        pad.add_probe(any, move |_, _| {
            account.moves();
            gst::PadProbeReturn::Ok
        });
    }
    if let Some(pad) = sink.static_pad("sink") {
        let account = Arc::clone(account);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            account.held.store(true, Ordering::Release);
            gst::PadProbeReturn::Ok
        });
    }
}

/// Notes how the stream asks to be turned, in a pipeline where nothing does that.
pub(super) fn watch_orientation(pipeline: &gst::Pipeline, sink: &gst::Element, account: &Arc<Account>) {
    let turns = |element: &gst::Element| element.factory().is_some_and(|factory| factory.name().contains("flip"));
    if pipeline.iterate_recurse().into_iter().flatten().any(|element| turns(&element)) {
        return;
    }
    let Some(pad) = sink.static_pad("sink") else { return };
    let (account, told) = (Arc::clone(account), AtomicBool::new(false));
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::EventView::Tag(tag)) = info.event().map(|event| event.view())
            && let Some(note) = tag.tag().get::<gst::tags::ImageOrientation>()
            && note.get() != "rotate-0"
            && !told.swap(true, Ordering::AcqRel)
        {
            account.note(Notice::Lying { note: note.get().to_owned() });
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_what_the_gate_asks_for() {
        use gst::BufferFlags as Is;
        let of = |flags| unit(flags, None, || true);
        assert!(of(Is::HEADER | Is::DISCONT).key && of(Is::HEADER | Is::DISCONT).gap && !of(Is::HEADER).header);
        assert!(of(Is::HEADER | Is::DELTA_UNIT).header, "a header of its own");
        assert!(!unit(Is::HEADER | Is::DELTA_UNIT, None, || false).header, "a picture with its headers");
        assert!(of(Is::CORRUPTED).damaged && !of(Is::DELTA_UNIT).key);
    }

    #[test]
    fn notices_are_bounded_and_each_is_told_once() {
        let account = Account::new(Duration::ZERO);
        assert_eq!(account.take_notice(), None);
        for _ in 0..MOST_NOTICES + 5 {
            account.note(Notice::Lying { note: "rotate-90".into() });
        }
        assert_eq!(std::iter::from_fn(|| account.take_notice()).count(), MOST_NOTICES);
    }

    #[test]
    fn a_picture_that_waits_for_its_time_is_no_silence() {
        let account = Account::new(Duration::ZERO);
        account.held.store(true, Ordering::Release);
        assert_eq!(account.quiet(), Duration::ZERO);
        account.shown(gst::ClockTime::from_seconds(2).into());
        assert_eq!(account.reached(), Duration::from_secs(2));
        assert!(account.quiet() < Duration::from_secs(60));
    }
}
