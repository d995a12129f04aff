//! Engines and cameras that behave as badly as the real ones, behind the same seams. For tests of
//! the pipeline.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use squint::engine::manifest::Scores;
use squint::engine::{Answer, EngineError, Look, LookTimes, score};
use squint::frame::{CameraId, Colorimetry, Frame, Framing, Layout, Memory, PixelFormat};
use squint::source::{FrameSource, SourceError, Stopper};

/// Classes of the fake engines.
pub const CLASSES: usize = 10;

/// What a fake engine does with a look.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Answers class `.0` with probability `.1`; the others share the rest.
    Answer(u32, f32),
    /// Finds every class equally likely.
    Unsure,
    /// Fails as a runtime does.
    Fail,
    /// Fails with a score that is not finite.
    NotFinite,
    /// Panics.
    Panic,
}

/// An engine that follows a rule: look number (0-based, warm-up not counted) -> what it does.
pub struct FakeLook {
    /// How long a look takes.
    pub takes: Duration,
    /// What it does.
    pub rule: Box<dyn FnMut(u64) -> Act + Send>,
    /// Looks so far, shared with the test.
    pub looks: Arc<AtomicU64>,
    /// Warm-up looks left to ignore.
    pub warm_up: u32,
    scores: [f32; CLASSES],
}

impl FakeLook {
    /// Takes `takes` and follows `rule` from the first look on.
    pub fn new(
        takes: Duration,
        looks: &Arc<AtomicU64>,
        rule: impl FnMut(u64) -> Act + Send + 'static,
    ) -> Self {
        Self {
            takes,
            rule: Box::new(rule),
            looks: Arc::clone(looks),
            warm_up: 0,
            scores: [0.0; CLASSES],
        }
    }

    /// The same for the pipeline, whose warm-up looks do not count.
    pub fn boxed(
        takes: Duration,
        looks: &Arc<AtomicU64>,
        rule: impl FnMut(u64) -> Act + Send + 'static,
    ) -> Box<dyn Look> {
        Box::new(Self { warm_up: 4, ..Self::new(takes, looks, rule) })
    }
}

impl Look for FakeLook {
    fn look(
        &mut self,
        _frame: &Frame,
        _framing: &Framing,
        answer: &mut Answer,
    ) -> Result<LookTimes, EngineError> {
        let until = Instant::now() + self.takes;
        let act = if self.warm_up > 0 {
            self.warm_up -= 1;
            Act::Unsure
        } else {
            (self.rule)(self.looks.fetch_add(1, Ordering::SeqCst))
        };
        while Instant::now() < until {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        self.scores = match act {
            Act::Fail => {
                return Err(EngineError::Run { id: "fake".into(), reason: "told to fail".into() });
            }
            Act::NotFinite => return Err(EngineError::NotFinite { id: "fake".into(), class: 0 }),
            Act::Panic => panic!("told to panic"),
            Act::Unsure => [1.0; CLASSES],
            Act::Answer(class, p) => {
                let rest = (1.0 - p) / (CLASSES - 1) as f32;
                std::array::from_fn(|index| if index == class as usize { p } else { rest })
            }
        };
        score::fill(answer, &self.scores, Scores::Probabilities);
        Ok(LookTimes { run: self.takes, ..LookTimes::default() })
    }
}

/// What a fake camera does next.
#[derive(Clone, Copy, Debug)]
pub enum Shot {
    /// Hands over a frame of this grey, after this pause.
    Frame(u8, Duration),
    /// A file that cannot be read.
    Unreadable,
    /// Says nothing until asked to stop or out of patience.
    Stall,
    /// Fails.
    Fail,
    /// Panics.
    Panic,
    /// Ends.
    End,
}

/// A camera that follows a script, then ends.
pub struct FakeSource {
    script: VecDeque<Shot>,
    sequence: u64,
    handed: Arc<AtomicU64>,
    stopped: Arc<(Mutex<bool>, std::sync::Condvar)>,
}

impl FakeSource {
    /// Follows `script`.
    pub fn boxed(script: impl IntoIterator<Item = Shot>) -> Box<dyn FrameSource> {
        Self::counted(script, &Arc::default())
    }

    /// The same; `handed` tells the test how many frames were handed over.
    pub fn counted(
        script: impl IntoIterator<Item = Shot>,
        handed: &Arc<AtomicU64>,
    ) -> Box<dyn FrameSource> {
        let (script, handed) = (script.into_iter().collect(), Arc::clone(handed));
        Box::new(Self { script, sequence: 0, handed, stopped: Arc::default() })
    }

    fn wait(&self, pause: Duration) -> bool {
        let stopped = self.stopped.0.lock().expect("not poisoned");
        *self
            .stopped
            .1
            .wait_timeout_while(stopped, pause, |stopped| !*stopped)
            .expect("not poisoned")
            .0
    }
}

impl FrameSource for FakeSource {
    fn next(&mut self, patience: Duration) -> Result<Option<Frame>, SourceError> {
        let origin = || "fake".to_owned();
        if *self.stopped.0.lock().expect("not poisoned") {
            return Ok(None);
        }
        match self.script.pop_front().unwrap_or(Shot::End) {
            Shot::Frame(grey, pause) => {
                if !pause.is_zero() && self.wait(pause) {
                    return Ok(None);
                }
                let layout = Layout::packed(PixelFormat::Gray8, 64, 48, Colorimetry::FULL);
                let sequence = self.sequence;
                self.sequence += 1;
                self.handed.fetch_add(1, Ordering::SeqCst);
                let memory = Memory::Heap(vec![grey; 64 * 48].into());
                let frame = Frame::new(
                    memory,
                    layout,
                    CameraId(0),
                    sequence,
                    Instant::now(),
                    SystemTime::now(),
                    None,
                );
                Ok(Some(frame.expect("64x48 grey fits")))
            }
            Shot::Unreadable => {
                self.sequence += 1;
                Err(SourceError::Unreadable {
                    origin: origin(),
                    file: "broken.jpg".into(),
                    reason: "told to be broken".into(),
                })
            }
            Shot::Stall => {
                if self.wait(patience) {
                    return Ok(None);
                }
                Err(SourceError::Stalled { origin: origin(), waited: patience })
            }
            Shot::Fail => {
                Err(SourceError::Failed { origin: origin(), reason: "told to fail".into() })
            }
            Shot::Panic => panic!("told to panic"),
            Shot::End => Ok(None),
        }
    }

    fn superseded(&self) -> u64 {
        0
    }

    fn stopper(&self) -> Stopper {
        let stopped = Arc::clone(&self.stopped);
        Stopper::new(move || {
            *stopped.0.lock().expect("not poisoned") = true;
            stopped.1.notify_all();
        })
    }
}
