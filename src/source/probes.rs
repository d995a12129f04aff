//! What flows through a running pipeline, seen by pad probes: which pictures are frames, whether
//! anything moves, how the stream wants to be turned.
//!
//! [`super::keyframes`] decides; here it is asked, in GStreamer's threads, and what it says is
//! counted for the owner of the source. Nothing here holds the pipeline, which holds this. No
//! picture costs an allocation.

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

/// How much may follow the end of a JPEG, zeros aside, bytes: line ends, notes of the camera.
const MOST_TRAILER: usize = 4096;

/// What the probes have seen. Shared by GStreamer's threads and the owner of the source.
pub(super) struct Account {
    zero: Instant,
    /// How long a live source may be without a key frame, and without a picture after it was
    /// opened.
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
    /// Where the last picture ends in its stream, and the longest time from one to the next,
    /// nanoseconds.
    reached: AtomicU64,
    widest: AtomicU64,
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
            widest: AtomicU64::new(0),
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

    /// A picture has left the sink; `stamp`: where it stands in its stream, and how long.
    pub(super) fn shown(&self, stamp: Option<(gst::ClockTime, Option<gst::ClockTime>)>) {
        self.held.store(false, Ordering::Release);
        if let Some((at, lasts)) = stamp {
            let end = at.saturating_add(lasts.unwrap_or_default()).nseconds();
            let before = self.reached.fetch_max(end, Ordering::AcqRel);
            if before > 0 {
                self.widest.fetch_max(end.saturating_sub(before), Ordering::AcqRel);
            }
        }
        self.moves();
    }

    /// Where the last picture ends in its stream, and the longest time from one to the next.
    pub(super) fn reached(&self) -> (Duration, Duration) {
        let of = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Ordering::Acquire));
        (of(&self.reached), of(&self.widest))
    }

    fn moves(&self) {
        let now = u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Release);
    }

    /// For how long nothing at all has moved. Zero while a picture waits for its time: that silence
    /// is the stream's own wish.
    pub(super) fn quiet(&self) -> Duration {
        if self.held.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        self.zero.elapsed().saturating_sub(Duration::from_nanos(self.moved.load(Ordering::Acquire)))
    }
}

/// Puts a [`Gate`] before every video decoder of the pipeline, those included that are plugged
/// later. `stamped`: the stamps of pictures are times of arrival.
pub(super) fn guard_decoders(
    pipeline: &gst::Pipeline,
    account: &Arc<Account>,
    live: bool,
    stamped: bool,
) {
    let of_later = Arc::clone(account);
    pipeline
        .connect_deep_element_added(move |_, _, element| guard(element, &of_later, live, stamped));
    for element in pipeline.iterate_recurse().into_iter().flatten() {
        guard(&element, account, live, stamped);
    }
}

fn guard(element: &gst::Element, account: &Arc<Account>, live: bool, stamped: bool) {
    // A decoder inside of a decoder sees what that one was given.
    let inside =
        element.parent().and_downcast::<gst::Element>().is_some_and(|parent| is_decoder(&parent));
    if !is_decoder(element) || inside {
        return;
    }
    let Some(pad) = element.static_pad("sink") else { return };
    let account = Arc::clone(account);
    let watch = Mutex::new(Watch {
        gate: Gate::new(live, account.patience),
        codec: Codec::Other,
        ends_seen: false,
    });
    let decoder = element.downgrade();
    pad.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        move |pad, info| {
            let now = Instant::now();
            match info.event().map(|event| event.view()) {
                Some(gst::EventView::Caps(caps)) => lock(&watch).codec = Codec::of(caps.caps()),
                Some(gst::EventView::Eos(_)) => {
                    lock(&watch).gate.end(now).into_iter().for_each(|notice| account.note(notice))
                }
                _ => {}
            }
            let Some(buffer) = info.buffer() else { return gst::PadProbeReturn::Ok };
            account.moves();
            let lag = decoder
                .upgrade()
                .filter(|_| stamped)
                .and_then(|decoder| lag(&decoder, pad, buffer));
            let (pass, notice) = {
                let mut watch = lock(&watch);
                let unit = watch.unit(buffer, lag);
                if !unit.key && !unit.header {
                    account.inter.store(true, Ordering::Release);
                }
                let told = watch.gate.unit(now, unit);
                account.given_up.store(watch.gate.has_given_up(), Ordering::Release);
                told
            };
            account.count(pass);
            notice.into_iter().for_each(|notice| account.note(notice));
            // Not `Drop`: for that, these bindings leave GStreamer nothing to drop, and it
            // complains each time.
            if pass == Pass::On { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Handled }
        },
    );
}

/// What has to be known of a codec beside the flags of its pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Codec {
    Jpeg,
    /// Headers come with a picture, if at all.
    H26x,
    Other,
}

impl Codec {
    fn of(caps: &gst::CapsRef) -> Self {
        match caps.structure(0).map(|structure| structure.name().as_str()) {
            Some("image/jpeg") => Self::Jpeg,
            Some("video/x-h264" | "video/x-h265" | "video/mpeg") => Self::H26x,
            _ => Self::Other,
        }
    }
}

/// What stands before one decoder.
struct Watch {
    gate: Gate,
    codec: Codec,
    /// True once a JPEG had its mark of the end; some cameras leave it out.
    ends_seen: bool,
}

impl Watch {
    /// What the flags say: parsers, depayloaders and demuxers mark what needs other pictures, of
    /// every codec. A JPEG that breaks off is not marked by anybody, and its decoder fills it up
    /// with grey.
    fn unit(&mut self, buffer: &gst::BufferRef, lag: Option<Duration>) -> Unit {
        let flags = buffer.flags();
        let ends =
            self.codec != Codec::Jpeg || buffer.map_readable().is_ok_and(|bytes| has_end(&bytes));
        self.ends_seen |= ends;
        let key = !flags.contains(gst::BufferFlags::DELTA_UNIT);
        Unit {
            key,
            gap: flags.contains(gst::BufferFlags::DISCONT),
            damaged: flags.contains(gst::BufferFlags::CORRUPTED) || self.ends_seen && !ends,
            // Those of Theora and its like are buffers of their own.
            header: !key && self.codec == Codec::Other && flags.contains(gst::BufferFlags::HEADER),
            lag,
        }
    }
}

/// True if these bytes of a JPEG end with its mark of the end (ISO/IEC 10918-1, B.1.1.3), as far as
/// what stands there is not padding.
fn has_end(bytes: &[u8]) -> bool {
    let bytes = &bytes[..bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)];
    bytes[bytes.len().saturating_sub(MOST_TRAILER)..].windows(2).any(|pair| pair == [0xff, 0xd9])
}

/// True for what makes raw pictures of coded ones. decodebin, which plugs them, is a
/// `Generic/Bin/Decoder`.
fn is_decoder(element: &gst::Element) -> bool {
    let class = element.metadata(gst::ELEMENT_METADATA_KLASS).unwrap_or_default();
    class.contains("Decoder") && (class.contains("Video") || class.contains("Image"))
}

/// How long a coded picture has waited, by its stamp.
fn lag(decoder: &gst::Element, pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<Duration> {
    let stamp = buffer.dts_or_pts()?;
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let stamp = segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(stamp)?;
    let now = decoder.clock()?.time().checked_sub(decoder.base_time()?)?;
    Some(Duration::from(now.saturating_sub(stamp)))
}

/// Sees whether a film moves: what is read of it, and pictures that wait at the sink for their
/// time.
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
pub(super) fn watch_orientation(
    pipeline: &gst::Pipeline,
    sink: &gst::Element,
    account: &Arc<Account>,
) {
    let turns = |element: &gst::Element| {
        element.factory().is_some_and(|factory| factory.name().contains("flip"))
    };
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

    fn watch(codec: Codec) -> Watch {
        gst::init().unwrap();
        Watch { gate: Gate::new(true, Duration::ZERO), codec, ends_seen: false }
    }

    #[test]
    fn flags_become_what_the_gate_asks_for() {
        use gst::BufferFlags as Is;
        let of = |codec, flags| {
            let mut watch = watch(codec);
            let mut buffer = gst::Buffer::from_slice([1, 2, 3]);
            buffer.get_mut().unwrap().set_flags(flags);
            watch.unit(&buffer, None)
        };
        let key = of(Codec::Other, Is::HEADER | Is::DISCONT);
        assert!(key.key && key.gap && !key.header && !key.damaged);
        assert!(of(Codec::Other, Is::HEADER | Is::DELTA_UNIT).header, "a header of its own");
        assert!(!of(Codec::H26x, Is::HEADER | Is::DELTA_UNIT).header, "a picture with its headers");
        assert!(of(Codec::H26x, Is::CORRUPTED).damaged && !of(Codec::H26x, Is::DELTA_UNIT).key);
        for (caps, codec) in [
            ("image/jpeg", Codec::Jpeg),
            ("video/x-h265,width=8", Codec::H26x),
            ("video/x-vp8", Codec::Other),
        ] {
            assert_eq!(Codec::of(&caps.parse::<gst::Caps>().unwrap()), codec);
        }
    }

    #[test]
    fn a_jpeg_that_breaks_off_is_damaged_unless_the_camera_never_marks_the_end() {
        let (whole, padded) = (
            vec![0xff, 0xd8, 1, 2, 3, 0xff, 0xd9],
            vec![0xff, 0xd8, 1, 0xff, 0xd9, b'\r', b'\n', 0, 0, 0, 0],
        );
        let (cut, zeros) = (whole[..5].to_vec(), [&whole[..4], &[0; 99]].concat());
        let damaged = |codec, pictures: &[&Vec<u8>]| -> Vec<bool> {
            let mut watch = watch(codec);
            pictures
                .iter()
                .map(|bytes| watch.unit(&gst::Buffer::from_slice((*bytes).clone()), None).damaged)
                .collect()
        };
        assert_eq!(
            damaged(Codec::Jpeg, &[&cut, &whole, &cut, &padded, &zeros, &Vec::new()]),
            [false, false, true, false, true, true]
        );
        assert_eq!(damaged(Codec::Jpeg, &[&cut, &cut]), [false, false]);
        assert_eq!(damaged(Codec::H26x, &[&whole, &cut]), [false, false]);
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
        let second = gst::ClockTime::from_seconds;
        account.shown(Some((second(2), None)));
        account.shown(Some((second(4), Some(second(1)))));
        assert_eq!(account.reached(), (Duration::from_secs(5), Duration::from_secs(3)));
        assert!(account.quiet() < Duration::from_secs(60));
    }
}
