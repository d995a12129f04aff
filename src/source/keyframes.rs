//! Which coded pictures may go into a decoder, and which decoded ones are frames.
//!
//! Pure: moments are handed in. A decoder that begins between two key frames, or has lost data,
//! makes pictures that the camera never sent, and few decoders say so. So a [`Gate`] before the
//! decoder lets nothing pass until a key frame comes, and [`Shown`] behind it leaves out what the
//! decoder marks as corrupt. Both let go after a limit: some streams never send a key frame (intra
//! refresh), and must not be starved.
//!
//! Every picture left out is counted by the caller; each episode is told once, as a [`Notice`].

use std::fmt;
use std::time::{Duration, Instant};

/// A picture that waits this long for its decoder is behind, if that lasts for [`BEHIND_FOR`]: a
/// burst after a hole in the network is decoded in less.
pub(super) const BEHIND: Duration = Duration::from_secs(2);
/// See [`BEHIND`].
pub(super) const BEHIND_FOR: Duration = Duration::from_secs(3);
/// Pictures without a key frame after which a film's are taken as they are; a film has no clock of
/// its own.
pub(super) const MOST_PICTURES: u64 = 1000;

/// A coded picture, or what comes in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    /// It can be decoded without any other.
    pub(super) key: bool,
    /// Something before it, or a part of it, was lost.
    pub(super) gap: bool,
    /// Known to be damaged.
    pub(super) damaged: bool,
    /// What the decoder must know of the stream, and no picture.
    pub(super) header: bool,
    /// How long it has waited for the decoder; `None` where that is not known.
    pub(super) lag: Option<Duration>,
}

/// What becomes of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// It goes on.
    On,
    /// It is no frame.
    Unreadable,
    /// It is whole, but others have to come first, or newer ones: the decoder is too slow for it.
    Skipped,
}

/// Why pictures are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The stream was joined between two key frames.
    Joined,
    /// Data were lost on the way.
    Lost,
    /// The decoder is slower than the camera.
    Behind,
    /// The decoder, or the driver, marks them as corrupt.
    Marked,
}

/// What a user should know about what a source sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Pictures were left out, for a while or until further notice.
    LeftOut(Episode),
    /// The film's pictures end long before the film should.
    Cut {
        /// Where they end.
        at: Duration,
        /// Where the film should.
        of: Duration,
    },
    /// The stream says how it has to be turned, and nothing turns it.
    Lying {
        /// As GStreamer writes it: `rotate-90`, `flip-rotate-0`.
        note: String,
    },
}

/// A run of pictures that were left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    pub(super) why: Why,
    pub(super) pictures: u64,
    pub(super) lasted: Duration,
    /// It has not ended: the limit is over, and pictures are taken as they are.
    pub(super) given_up: bool,
}

impl Notice {
    /// False for what belongs to the usual course of things: a camera is nearly always joined
    /// between two key frames.
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::LeftOut(Episode { why: Why::Joined, given_up: false, .. }))
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut(episode) => write!(f, "{episode}"),
            Self::Cut { at, of } => write!(
                f,
                "the pictures of this film end at {:.1} s, the film at {:.1} s; if that is not meant, the file is cut off",
                at.as_secs_f64(),
                of.as_secs_f64()
            ),
            Self::Lying { note } => write!(
                f,
                "the stream asks to be turned for display ({note}), which is not done here; set camera.rotation, or for clips and RTSP install \
                 videoflip: apt-get install gstreamer1.0-plugins-good"
            ),
        }
    }
}

impl fmt::Display for Episode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { why, pictures, lasted, given_up } = self;
        let pictures =
            if *pictures == 1 { "1 picture".to_owned() } else { format!("{pictures} pictures") };
        let seconds = lasted.as_secs_f64();
        match (why, given_up) {
            (Why::Joined, false) => {
                write!(f, "{pictures} before the first key frame left out ({seconds:.1} s)")
            }
            (Why::Lost, false) => {
                write!(
                    f,
                    "data were lost on the way: {pictures} left out up to a whole key frame ({seconds:.1} s)"
                )
            }
            (Why::Marked, false) => {
                write!(f, "{pictures} left out that the decoder calls corrupt ({seconds:.1} s)")
            }
            (Why::Behind, false) => write!(
                f,
                "decoding is slower than the camera: {pictures} skipped up to a key frame ({seconds:.1} s); ask the camera for a smaller \
                 picture or a lower rate"
            ),
            (Why::Marked, true) => write!(
                f,
                "the decoder calls {pictures} of {seconds:.1} s corrupt; they are taken as they are from now on, smeared or not"
            ),
            (_, true) => write!(
                f,
                "no whole key frame in {pictures} of {seconds:.1} s; they are taken as they are until one comes, smeared or not. If the \
                 key frames of the camera are further apart, raise camera.open-timeout-ms"
            ),
        }
    }
}

/// How far an episode has come.
#[derive(Clone, Copy, Debug)]
struct Run {
    why: Why,
    since: Instant,
    pictures: u64,
}

impl Run {
    fn new(why: Why, since: Instant) -> Self {
        Self { why, since, pictures: 0 }
    }

    fn told(&self, now: Instant, given_up: bool) -> Option<Notice> {
        let &Self { why, pictures, since } = self;
        let lasted = now.saturating_duration_since(since);
        (pictures > 0).then_some(Notice::LeftOut(Episode { why, pictures, lasted, given_up }))
    }
}

#[derive(Debug)]
enum State {
    /// Nothing has come yet.
    New,
    /// Until a key frame comes.
    Closed(Run),
    Open,
    /// Open without a key frame.
    GivenUp,
}

/// Before a decoder.
#[derive(Debug)]
pub(super) struct Gate {
    live: bool,
    patience: Duration,
    state: State,
    /// True once a picture came that needs others: what is lost before it matters.
    inter: bool,
    /// Since when the decoder is behind.
    behind: Option<Instant>,
}

impl Gate {
    /// `patience`: how long a live source may be without a key frame.
    pub(super) fn new(live: bool, patience: Duration) -> Self {
        Self { live, patience, state: State::New, inter: false, behind: None }
    }

    /// True while pictures pass although no key frame has come for too long.
    pub(super) fn has_given_up(&self) -> bool {
        matches!(self.state, State::GivenUp)
    }

    /// What becomes of this one.
    pub(super) fn unit(&mut self, now: Instant, unit: Unit) -> (Pass, Option<Notice>) {
        if unit.header {
            return (Pass::On, None);
        }
        self.inter |= !unit.key;
        let late = self.is_behind(now, unit.lag);
        if matches!(self.state, State::New) {
            self.state = State::Closed(Run::new(Why::Joined, now));
        } else if matches!(self.state, State::Open | State::GivenUp) && unit.damaged
            || matches!(self.state, State::Open) && unit.gap && self.inter && !self.is_whole(unit)
        {
            self.state = State::Closed(Run::new(Why::Lost, now));
        } else if matches!(self.state, State::Open) && late {
            self.state = State::Closed(Run::new(Why::Behind, now));
        }
        let State::Closed(run) = self.state else {
            if unit.key {
                self.state = State::Open;
            }
            return (Pass::On, None);
        };
        let first = run.why == Why::Joined && run.pictures == 0;
        let fresh = run.why != Why::Behind || unit.lag.is_none_or(|lag| lag < BEHIND);
        if unit.key && !unit.damaged && fresh && (first || self.is_whole(unit)) {
            self.state = State::Open;
            return (Pass::On, run.told(now, false));
        }
        let waited = now.saturating_duration_since(run.since);
        if !unit.damaged
            && if self.live { waited >= self.patience } else { run.pictures >= MOST_PICTURES }
        {
            self.state = State::GivenUp;
            return (Pass::On, run.told(now, true));
        }
        self.state = State::Closed(Run { pictures: run.pictures + 1, ..run });
        (if run.why == Why::Behind { Pass::Skipped } else { Pass::Unreadable }, None)
    }

    /// The stream has ended: what there still is to tell.
    pub(super) fn end(&mut self, now: Instant) -> Option<Notice> {
        match std::mem::replace(&mut self.state, State::New) {
            State::Closed(run) => run.told(now, false),
            _ => None,
        }
    }

    /// Of a live stream, a gap may lie inside the very picture that it is marked at: large
    /// pictures, that is key frames, above all. A film's pictures are either there or not.
    fn is_whole(&self, unit: Unit) -> bool {
        unit.key && !(unit.gap && self.live && self.inter)
    }

    /// True once the decoder has been behind for long enough.
    fn is_behind(&mut self, now: Instant, lag: Option<Duration>) -> bool {
        if lag.is_none_or(|lag| lag < BEHIND) {
            self.behind = None;
            return false;
        }
        let since = *self.behind.get_or_insert(now);
        now.saturating_duration_since(since) >= BEHIND_FOR
    }
}

/// Behind the decoder.
#[derive(Debug)]
pub(super) struct Shown {
    patience: Duration,
    run: Option<Run>,
    given_up: bool,
}

impl Shown {
    /// `patience`: for how long every picture of a coded stream may be marked.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, run: None, given_up: false }
    }

    /// What becomes of a picture, `marked` as corrupt or not. `coded`: it comes from a stream whose
    /// pictures need others, so that marks may go on for ever; `let_go`: no key frame has come for
    /// too long anyway.
    pub(super) fn picture(
        &mut self,
        now: Instant,
        marked: bool,
        coded: bool,
        let_go: bool,
    ) -> (Pass, Option<Notice>) {
        if !marked {
            self.given_up = false;
            return (Pass::On, self.run.take().and_then(|run| run.told(now, false)));
        }
        if coded && (let_go || self.given_up) {
            return (Pass::On, self.run.take().and_then(|run| run.told(now, false)));
        }
        let run = self.run.get_or_insert_with(|| Run::new(Why::Marked, now));
        if coded && now.saturating_duration_since(run.since) >= self.patience {
            self.given_up = true;
            return (Pass::On, self.run.take().and_then(|run| run.told(now, true)));
        }
        run.pictures += 1;
        (Pass::Unreadable, None)
    }

    /// The stream has ended: what there still is to tell.
    pub(super) fn end(&mut self, now: Instant) -> Option<Notice> {
        self.run.take().and_then(|run| run.told(now, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(15);
    const NEEDS_OTHERS: Unit =
        Unit { key: false, gap: false, damaged: false, header: false, lag: None };
    const KEY: Unit = Unit { key: true, ..NEEDS_OTHERS };
    const AFTER_A_GAP: Unit = Unit { gap: true, ..NEEDS_OTHERS };
    const KEY_AFTER_A_GAP: Unit = Unit { gap: true, ..KEY };

    /// 25 pictures a second; what became of them, `#` for those that pass, and what was told.
    fn through(gate: &mut Gate, units: &[Unit]) -> (String, Vec<String>) {
        let (start, mut told) = (Instant::now(), Vec::new());
        let passes = units.iter().zip(0..).map(|(unit, number)| {
            let (pass, notice) = gate.unit(start + Duration::from_millis(40) * number, *unit);
            told.extend(notice.map(|notice| notice.to_string()));
            match pass {
                Pass::On => '#',
                Pass::Unreadable => '.',
                Pass::Skipped => '-',
            }
        });
        (passes.collect(), told)
    }

    fn live(units: &[Unit]) -> (String, Vec<String>) {
        through(&mut Gate::new(true, PATIENCE), units)
    }

    #[test]
    fn nothing_passes_before_the_first_key_frame_and_all_from_there_on() {
        let (passes, told) =
            live(&[AFTER_A_GAP, NEEDS_OTHERS, NEEDS_OTHERS, KEY, NEEDS_OTHERS, NEEDS_OTHERS]);
        assert_eq!(passes, "...###");
        assert_eq!(told, ["3 pictures before the first key frame left out (0.1 s)"]);
        assert_eq!(
            live(&[KEY_AFTER_A_GAP, NEEDS_OTHERS]),
            ("##".into(), vec![]),
            "the first one is always marked as a gap"
        );
    }

    #[test]
    fn after_a_loss_nothing_passes_until_a_key_frame_that_the_loss_did_not_touch() {
        let (passes, told) = live(&[
            KEY,
            NEEDS_OTHERS,
            AFTER_A_GAP,
            NEEDS_OTHERS,
            KEY_AFTER_A_GAP,
            NEEDS_OTHERS,
            KEY,
            NEEDS_OTHERS,
        ]);
        assert_eq!(passes, "##....##");
        assert_eq!(
            told,
            ["data were lost on the way: 4 pictures left out up to a whole key frame (0.2 s)"]
        );
        let (passes, _) = live(&[KEY, NEEDS_OTHERS, KEY_AFTER_A_GAP, NEEDS_OTHERS, KEY]);
        assert_eq!(passes, "##..#", "the gap may lie in the key frame itself");
        let film = [KEY, NEEDS_OTHERS, KEY_AFTER_A_GAP, NEEDS_OTHERS, AFTER_A_GAP, KEY];
        assert_eq!(
            through(&mut Gate::new(false, PATIENCE), &film).0,
            "####.#",
            "a film's picture is there or not"
        );
    }

    #[test]
    fn pictures_that_need_no_others_pass_after_a_gap_and_only_damaged_ones_are_left_out() {
        assert_eq!(live(&[KEY_AFTER_A_GAP, KEY, KEY_AFTER_A_GAP, KEY]).0, "####");
        let (passes, told) =
            live(&[KEY, Unit { damaged: true, ..KEY }, KEY, Unit { damaged: true, ..KEY }]);
        assert_eq!(passes, "#.#.");
        assert_eq!(
            told,
            ["data were lost on the way: 1 picture left out up to a whole key frame (0.0 s)"]
        );
    }

    #[test]
    fn a_stream_that_never_sends_a_key_frame_passes_once_the_limit_is_over_and_says_so() {
        let units = [NEEDS_OTHERS; 600];
        let (passes, told) = live(&units);
        assert_eq!(passes, ".".repeat(375) + &"#".repeat(225));
        assert!(
            told.len() == 1 && told[0].starts_with("no whole key frame in 375 pictures of 15.0 s"),
            "{told:?}"
        );
        assert!(told[0].contains("open-timeout-ms"), "{told:?}");
        // Losses do not close it again: what passes is not whole anyway. A key frame makes all
        // well.
        let mut gate = Gate::new(true, Duration::ZERO);
        let (passes, _) = through(&mut gate, &[NEEDS_OTHERS, AFTER_A_GAP, KEY, AFTER_A_GAP]);
        assert_eq!(
            (&passes[..3], gate.has_given_up()),
            ("###", true),
            "the limit of nothing is over at once"
        );
        let film =
            through(&mut Gate::new(false, PATIENCE), &[NEEDS_OTHERS; MOST_PICTURES as usize + 5]).0;
        assert_eq!(film.matches('#').count(), 5, "of a film, pictures count");
    }

    #[test]
    fn a_decoder_that_stays_behind_begins_anew_at_a_fresh_key_frame_but_a_burst_is_decoded() {
        let late = |unit: Unit| Unit { lag: Some(BEHIND), ..unit };
        let fresh = |unit: Unit| Unit { lag: Some(Duration::ZERO), ..unit };
        let burst: Vec<_> = [fresh(KEY)]
            .into_iter()
            .chain([late(NEEDS_OTHERS); 70])
            .chain([fresh(NEEDS_OTHERS)])
            .collect();
        assert_eq!(live(&burst), ("#".repeat(72), vec![]));
        let mut slow = vec![fresh(KEY)];
        slow.extend([late(NEEDS_OTHERS); 80]);
        slow.extend([
            late(KEY),
            late(NEEDS_OTHERS),
            fresh(NEEDS_OTHERS),
            fresh(KEY),
            fresh(NEEDS_OTHERS),
        ]);
        let (passes, told) = live(&slow);
        assert_eq!(passes, "#".repeat(76) + "--------##");
        assert!(
            told[0].starts_with("decoding is slower than the camera: 8 pictures skipped"),
            "{told:?}"
        );
    }

    #[test]
    fn what_a_decoder_must_know_of_the_stream_passes_a_closed_gate() {
        let header = Unit { header: true, ..AFTER_A_GAP };
        assert_eq!(live(&[header, header, NEEDS_OTHERS, KEY]).0, "##.#");
    }

    #[test]
    fn the_end_tells_what_was_left_out_at_last() {
        let mut gate = Gate::new(false, PATIENCE);
        through(&mut gate, &[NEEDS_OTHERS, NEEDS_OTHERS]);
        assert!(!gate.end(Instant::now()).unwrap().is_fault());
        assert_eq!(gate.end(Instant::now()), None);
    }

    #[test]
    fn pictures_marked_as_corrupt_are_left_out_for_as_long_as_a_first_picture_may_take() {
        let (mut shown, start, second) =
            (Shown::new(PATIENCE), Instant::now(), Duration::from_secs(1));
        let mut at = |seconds, marked| shown.picture(start + second * seconds, marked, true, false);
        assert_eq!(at(0, true), (Pass::Unreadable, None));
        assert_eq!(at(1, true).0, Pass::Unreadable);
        let (pass, notice) = at(2, false);
        assert_eq!(
            (pass, notice.unwrap().to_string().as_str()),
            (Pass::On, "2 pictures left out that the decoder calls corrupt (2.0 s)")
        );
        assert_eq!(at(3, true).0, Pass::Unreadable);
        assert!(at(18, true).1.unwrap().to_string().contains("they are taken as they are"));
        assert_eq!(at(19, true), (Pass::On, None));
        assert_eq!((at(20, false).0, at(21, true).0), (Pass::On, Pass::Unreadable));
        let mut raw = Shown::new(PATIENCE);
        assert_eq!(raw.picture(start, true, false, false).0, Pass::Unreadable);
        assert_eq!(
            raw.picture(start + 60 * second, true, false, false).0,
            Pass::Unreadable,
            "a driver's mark is final"
        );
        assert_eq!(
            Shown::new(PATIENCE).picture(start, true, true, true).0,
            Pass::On,
            "nothing better will come"
        );
    }

    proptest::proptest! {
        /// For any stream: what passes from a gate that has not let go is a key frame, or follows
        /// one without a gap or damage between them.
        #[test]
        fn what_passes_follows_a_whole_key_frame(kinds in proptest::collection::vec((proptest::bool::ANY, 0..6_u8), 1..200)) {
            let mut gate = Gate::new(true, PATIENCE);
            let (start, mut whole, mut inter) = (Instant::now(), false, false);
            for (number, (key, odd)) in (0..).zip(kinds) {
                let unit = Unit { key, gap: odd == 0, damaged: odd == 1, ..NEEDS_OTHERS };
                inter |= !key;
                let (pass, _) = gate.unit(start + Duration::from_millis(40) * number, unit);
                whole &= !(unit.damaged || unit.gap && inter);
                whole |= key && !unit.damaged && (!(unit.gap && inter) || pass == Pass::On && number == 0);
                proptest::prop_assert_eq!(pass == Pass::On, whole, "{} {:?}", number, unit);
            }
        }
    }
}
