//! Engines and cameras that behave as badly as the real ones, behind the same seams. For tests of the pipeline.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use squint::engine::{Answer, EngineError, Look, LookTimes, Top};
use squint::frame::{CameraId, Colorimetry, Frame, Framing, Layout, Memory, PixelFormat};
use squint::source::{FrameSource, SourceError, Stopper};

/// What a fake engine does with a look.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Answers class `.0` with probability `.1`.
    Answer(u32, f32),
    /// Fails.
    Fail,
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
}

impl FakeLook {
    /// Takes `takes` and follows `rule`.
    pub fn boxed(takes: Duration, looks: &Arc<AtomicU64>, rule: impl FnMut(u64) -> Act + Send + 'static) -> Box<dyn Look> {
        Box::new(Self { takes, rule: Box::new(rule), looks: Arc::clone(looks), warm_up: 4 })
    }
}

impl Look for FakeLook {
    fn look(&mut self, _frame: &Frame, _framing: &Framing, answer: &mut Answer) -> Result<LookTimes, EngineError> {
        let until = Instant::now() + self.takes;
        let act = if self.warm_up > 0 {
            self.warm_up -= 1;
            Act::Answer(0, 0.5)
        } else {
            (self.rule)(self.looks.fetch_add(1, Ordering::SeqCst))
        };
        while Instant::now() < until {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        match act {
            Act::Fail => Err(EngineError::Run { id: "fake".into(), reason: "told to fail".into() }),
            Act::Panic => panic!("told to panic"),
            Act::Answer(class, p) => {
                let rest = (1.0 - p) / (CLASSES - 1) as f32;
                answer.probabilities.clear();
                answer.probabilities.extend((0..CLASSES as u32).map(|index| if index == class { p } else { rest }));
                answer.top = std::array::from_fn(|rank| Top {
                    class: if rank == 0 { class } else { (class + rank as u32) % CLASSES as u32 },
                    probability: if rank == 0 { p } else { rest },
                });
                answer.ranked = 5;
                answer.margin = p - rest;
                answer.entropy = 0.5;
                Ok(LookTimes { preprocess: Duration::ZERO, run: self.takes, rank: Duration::ZERO })
            }
        }
    }
}

/// Classes of the fake engines.
pub const CLASSES: usize = 10;

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
    /// Ends.
    End,
}

/// A camera that follows a script, then ends (or, if `live`, stalls).
pub struct FakeSource {
    script: VecDeque<Shot>,
    sequence: u64,
    stopped: Arc<(Mutex<bool>, std::sync::Condvar)>,
}

impl FakeSource {
    /// Follows `script`.
    pub fn boxed(script: impl IntoIterator<Item = Shot>) -> Box<dyn FrameSource> {
        Box::new(Self { script: script.into_iter().collect(), sequence: 0, stopped: Arc::default() })
    }

    fn wait(&self, pause: Duration) -> bool {
        let stopped = self.stopped.0.lock().expect("not poisoned");
        *self.stopped.1.wait_timeout_while(stopped, pause, |stopped| !*stopped).expect("not poisoned").0
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
                let memory = Memory::Heap(vec![grey; 64 * 48].into());
                let frame = Frame::new(memory, layout, CameraId(0), sequence, Instant::now(), SystemTime::now(), None);
                Ok(Some(frame.expect("64x48 grey fits")))
            }
            Shot::Unreadable => {
                self.sequence += 1;
                Err(SourceError::Unreadable { origin: origin(), file: "broken.jpg".into(), reason: "told to be broken".into() })
            }
            Shot::Stall => {
                if self.wait(patience) {
                    return Ok(None);
                }
                Err(SourceError::Stalled { origin: origin(), waited: patience })
            }
            Shot::Fail => Err(SourceError::Failed { origin: origin(), reason: "told to fail".into() }),
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
