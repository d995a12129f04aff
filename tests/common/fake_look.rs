//! An engine that behaves as badly as real ones: slow, unsure, wrong, failing. Behind the seam [`Look`], as the pipeline sees it.

use std::thread;
use std::time::Duration;

use squint::engine::manifest::Scores;
use squint::engine::{Answer, EngineError, Look, LookTimes, score};
use squint::frame::{Frame, Framing};

/// How the fake takes the next frame.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// Answers this class with this probability; the rest is shared by the others.
    Says(usize, f32),
    /// Finds every class equally likely.
    Unsure,
    /// Fails as a runtime does.
    Fails,
    /// Fails with a score that is not finite.
    NotFinite,
}

/// A fake engine.
#[derive(Clone, Debug)]
pub(crate) struct FakeLook {
    /// Its name in errors.
    pub(crate) id: String,
    /// How many classes it tells apart.
    pub(crate) classes: usize,
    /// Time that a look takes, slept.
    pub(crate) delay: Duration,
    /// Moods, one a look; the last one stays.
    pub(crate) moods: Vec<Mood>,
    /// Looks so far.
    pub(crate) looks: usize,
}

impl FakeLook {
    /// Quick, and always of the same mood.
    pub(crate) fn new(id: &str, classes: usize, mood: Mood) -> Self {
        Self { id: id.to_owned(), classes, delay: Duration::ZERO, moods: vec![mood], looks: 0 }
    }
}

impl Look for FakeLook {
    fn look(&mut self, _frame: &Frame, _framing: &Framing, answer: &mut Answer) -> Result<LookTimes, EngineError> {
        if !self.delay.is_zero() {
            thread::sleep(self.delay);
        }
        let mood = self.moods.get(self.looks).or(self.moods.last()).cloned().unwrap_or(Mood::Unsure);
        self.looks += 1;
        let even = 1.0 / self.classes as f32;
        let scores: Vec<f32> = match mood {
            Mood::Fails => return Err(EngineError::Run { id: self.id.clone(), reason: "the fake was told to fail".to_owned() }),
            Mood::NotFinite => return Err(EngineError::NotFinite { id: self.id.clone(), class: 0 }),
            Mood::Unsure => vec![even; self.classes],
            Mood::Says(class, probability) => {
                let other = (1.0 - probability) / (self.classes.max(2) - 1) as f32;
                (0..self.classes).map(|index| if index == class { probability } else { other }).collect()
            }
        };
        score::fill(answer, &scores, Scores::Probabilities);
        Ok(LookTimes { run: self.delay, ..LookTimes::default() })
    }
}
