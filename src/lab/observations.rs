//! What every engine answered to every labelled photo: the table from which thresholds are learned.

use super::LabError;
use crate::engine::{Answer, KEPT, MAX_ENGINES, Top};

/// One engine's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineColumn {
    /// Its id.
    pub id: String,
    /// sha256 of its model, hex; goes into the policy file as a pin.
    pub sha256: String,
    /// Mean time of a look, preprocessing included, ms.
    pub mean_ms: f64,
    /// Row-major `[photos][classes]`, each 0..=1.
    pub probabilities: Vec<f32>,
}

/// Answers of several engines to the same photos. All tell the same classes apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Observations {
    /// At least one, at most [`MAX_ENGINES`], ids all different.
    pub engines: Vec<EngineColumn>,
    /// Classes.
    pub classes: usize,
    /// The right class of each photo.
    pub labels: Vec<u32>,
}

impl Observations {
    /// Number of photos.
    pub fn photos(&self) -> usize {
        self.labels.len()
    }

    /// Refuses a table that does not fit together; the other functions of the lab call this first.
    pub fn check(&self) -> Result<(), LabError> {
        let wrong = |what: String, got: String, needed: String| Err(LabError::Table { what, got, needed });
        if self.engines.is_empty() || self.engines.len() > MAX_ENGINES {
            return wrong("number of engines".into(), self.engines.len().to_string(), format!("1 to {MAX_ENGINES}"));
        }
        if let Some(label) = self.labels.iter().find(|label| **label as usize >= self.classes) {
            return wrong("a label".into(), label.to_string(), format!("below the {} classes", self.classes));
        }
        let cells = self.photos() * self.classes;
        for (place, engine) in self.engines.iter().enumerate() {
            let id = &engine.id;
            if self.engines.iter().take(place).any(|other| other.id == *id) {
                return wrong("engine ids".into(), format!("`{id}` twice"), "each once".into());
            }
            if !(engine.mean_ms.is_finite() && engine.mean_ms > 0.0) {
                return wrong(format!("mean time of `{id}`"), engine.mean_ms.to_string(), "ms, above 0".into());
            }
            if engine.probabilities.len() != cells {
                return wrong(
                    format!("values of `{id}`"),
                    engine.probabilities.len().to_string(),
                    format!("{cells}, photos by classes"),
                );
            }
            if let Some(value) = engine.probabilities.iter().find(|value| !(0.0..=1.0).contains(*value)) {
                return wrong(format!("a probability of `{id}`"), value.to_string(), "0 to 1".into());
            }
        }
        Ok(())
    }

    /// The answer to `photo` after `asked` were shown it: their average in that order, or the last one's. Only what policies look at is
    /// filled in: the best class, its probability and the margin. `sums` is room to work in.
    pub fn answer(&self, asked: &[usize], average: bool, photo: usize, sums: &mut Vec<f32>) -> Answer {
        let counted = if average { asked } else { asked.get(asked.len().saturating_sub(1)..).unwrap_or(asked) };
        sums.clear();
        sums.resize(self.classes, 0.0);
        for engine in counted.iter().filter_map(|engine| self.engines.get(*engine)) {
            let row = engine.probabilities.chunks_exact(self.classes).nth(photo).unwrap_or(&[]);
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        let (mut best, mut second, mut class) = (-1.0f32, 0.0f32, 0);
        for (index, sum) in sums.iter().enumerate() {
            if *sum > best {
                (second, best, class) = (best.max(0.0), *sum, index);
            } else if *sum > second {
                second = *sum;
            }
        }
        let share = 1.0 / counted.len().max(1) as f32;
        let mut top = [Top::default(); KEPT];
        top[0] = Top { class: class as u32, probability: best.max(0.0) * share };
        let margin = if self.classes > 1 { (best - second).max(0.0) * share } else { best.max(0.0) * share };
        Answer { probabilities: Vec::new(), top, ranked: 1, margin, entropy: 0.0 }
    }
}
