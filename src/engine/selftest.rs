//! Do the engines answer here as they did where Squint was made? Stored answers, and what makes
//! another answer a different one.
//!
//! Pure: texts and answers in, a verdict out. Whoever runs the engines is
//! `squint doctor --engines`. The limits are a choice of ours: kernels of other processors and
//! lower precisions round elsewhere, and on a photo of which a network is unsure that moves a
//! probability far; a network that was built wrong, or is fed wrong, is beyond them on most photos.

use serde::{Deserialize, Serialize};

use super::Answer;
use super::manifest::is_id;
use crate::versioned::{self, VersionedError};

/// The version that is written and read.
const VERSION: u32 = 1;
/// Longest file that is read, bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most pictures.
const MAX_PICTURES: usize = 64;
/// Most engines.
const MAX_ENGINES: usize = 1024;
/// Classes that are kept of an answer.
const KEPT: usize = 5;
/// Most that a probability may differ if the network is float32, there and here.
pub const LIMIT_FLOAT32: f32 = 0.02;
/// Most that it may differ if either is of lower precision.
pub const LIMIT: f32 = 0.2;

/// Answers to known pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    v: u32,
    /// Where they come from.
    pub made: Made,
    /// The pictures, beside the file.
    pub pictures: Vec<Picture>,
    /// What each engine said of them.
    pub engines: Vec<Answers>,
}

/// Where answers come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// Version of Squint.
    pub squint: String,
    /// Which runtime.
    pub runtime: String,
    /// On which machine.
    pub machine: String,
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// Its file, beside the answers.
    pub file: String,
    /// Of the file, hex.
    pub sha256: String,
}

/// What one engine said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Its id.
    pub engine: String,
    /// The fingerprint that the catalogue has of its models.
    pub sha256: String,
    /// By picture: the most likely classes and their probabilities, most likely first.
    pub top: Vec<Vec<(u32, f32)>>,
}

/// Why stored answers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// No JSON, too long, or of another version.
    #[error(transparent)]
    Text(#[from] VersionedError),
    /// A value that cannot be.
    #[error("{origin}: {what}")]
    Value {
        /// The file.
        origin: String,
        /// What and where.
        what: String,
    },
}

/// The first classes of an answer, as they are stored.
pub fn kept(answer: &Answer) -> Vec<(u32, f32)> {
    answer
        .top
        .iter()
        .take(answer.ranked.min(KEPT))
        .map(|top| (top.class, top.probability))
        .collect()
}

impl Stored {
    /// New ones.
    pub fn new(made: Made, pictures: Vec<Picture>, engines: Vec<Answers>) -> Self {
        Self { v: VERSION, made, pictures, engines }
    }

    /// Reads them. `origin` names the file.
    pub fn read(text: &str, origin: &str) -> Result<Self, StoredError> {
        let stored: Self = versioned::read(text, origin, MAX_BYTES, VERSION)?;
        match stored.fault() {
            Some(what) => Err(StoredError::Value { origin: origin.to_owned(), what }),
            None => Ok(stored),
        }
    }

    fn fault(&self) -> Option<String> {
        let Self { pictures, engines, .. } = self;
        if !(1..=MAX_PICTURES).contains(&pictures.len()) || engines.len() > MAX_ENGINES {
            return Some(format!(
                "{} pictures and {} engines; allowed are 1 to {MAX_PICTURES} and up to {MAX_ENGINES}",
                pictures.len(),
                engines.len()
            ));
        }
        let is_file = |name: &str| name.strip_suffix(".png").is_some_and(is_id);
        if let Some(Picture { file, .. }) = pictures.iter().find(|picture| !is_file(&picture.file))
        {
            return Some(format!(
                "pictures: {file:?}; allowed are small letters, digits and - before .png"
            ));
        }
        let is_answer = |top: &Vec<(u32, f32)>| {
            (1..=KEPT).contains(&top.len())
                && top.iter().all(|(_, probability)| (0.0..=1.0).contains(probability))
        };
        let wrong = engines.iter().find(|answers| {
            answers.top.len() != pictures.len() || !answers.top.iter().all(is_answer)
        });
        wrong.map(|Answers { engine, .. }| {
            format!("engines: {engine}: wanted is an answer for each picture, of 1 to {KEPT} classes with probabilities of 0 to 1")
        })
    }

    /// As a file: a line for each engine, so that a change can be read.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let Self { v, made, pictures, engines } = self;
        let lines: Vec<String> =
            engines.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let (made, pictures) = (serde_json::to_string(made)?, serde_json::to_string(pictures)?);
        let engines = lines.join(",\n");
        Ok(format!(
            "{{\"v\":{v},\n\"made\":{made},\n\"pictures\":{pictures},\n\"engines\":[\n{engines}\n]}}\n"
        ))
    }

    /// What is stored of the engine with this id and fingerprint.
    pub fn of(&self, engine: &str, sha256: &str) -> Option<&Answers> {
        self.engines.iter().find(|answers| answers.engine == engine && answers.sha256 == sha256)
    }
}

/// An engine's answers held against stored ones.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Compared {
    /// Pictures.
    pub pictures: usize,
    /// With the same first class.
    pub agreed: usize,
    /// Largest difference of a probability, 0..=1; only classes that were stored count.
    pub largest: f32,
}

impl Compared {
    /// Adds a picture.
    pub fn add(&mut self, stored: &[(u32, f32)], found: &Answer) {
        let top = found.top.get(..found.ranked).unwrap_or(&found.top);
        self.pictures += 1;
        self.agreed += usize::from(
            top.first().map(|top| top.class) == stored.first().map(|(class, _)| *class),
        );
        for (class, expected) in stored {
            let known = found.probabilities.get(*class as usize).copied();
            let known = known
                .or_else(|| top.iter().find(|top| top.class == *class).map(|top| top.probability));
            // Of an average only the first classes are known; another one has at most the last
            // one's probability.
            let most = known
                .unwrap_or_else(|| top.last().map_or(0.0, |top| top.probability.min(*expected)));
            self.largest = self.largest.max((most - expected).abs());
        }
    }

    /// True if no probability is further off than `limit`.
    pub fn is_same(&self, limit: f32) -> bool {
        self.largest <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::manifest::Scores;
    use crate::engine::{Top, score};

    fn answer(probabilities: &[f32]) -> Answer {
        let mut answer = Answer::default();
        score::fill(&mut answer, probabilities, Scores::Probabilities);
        answer
    }

    fn stored() -> Stored {
        let made = Made {
            squint: "0.1.0".into(),
            runtime: "ONNX Runtime 1.32.0".into(),
            machine: "a desk".into(),
        };
        let picture = Picture { file: "cat.png".into(), sha256: "a".repeat(64) };
        let answers = Answers {
            engine: "one".into(),
            sha256: "b".repeat(64),
            top: vec![vec![(1, 0.7), (0, 0.2)]],
        };
        Stored::new(made, vec![picture], vec![answers])
    }

    #[test]
    fn what_is_written_is_read_again_and_belongs_to_one_model() {
        let text = stored().to_json().unwrap();
        let again = Stored::read(&text, "answers.json").unwrap();
        assert_eq!(again, stored());
        assert!(again.of("one", &"b".repeat(64)).is_some());
        assert!(
            again.of("one", &"c".repeat(64)).is_none()
                && again.of("two", &"b".repeat(64)).is_none()
        );
    }

    #[test]
    fn answers_that_cannot_be_are_refused_with_the_place() {
        let text = stored().to_json().unwrap();
        for (from, to, says) in [
            ("cat.png", "../cat.png", "answers.json: pictures: \"../cat.png\""),
            ("0.7", "1.7", "engines: one: wanted is an answer for each picture"),
            ("[[[1,0.7],[0,0.2]]]", "[]", "engines: one: wanted is"),
            ("\"v\":1", "\"v\":2", "v = 2, only 1 is read"),
            ("\"engine\"", "\"engin\"", "unknown field"),
        ] {
            assert!(text.contains(from), "{from} is not in {text}");
            let refused =
                Stored::read(&text.replace(from, to), "answers.json").unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn an_answer_is_the_same_within_the_limit_whatever_comes_second() {
        let mut compared = Compared::default();
        compared.add(&[(1, 0.7), (0, 0.2)], &answer(&[0.25, 0.65, 0.1]));
        assert_eq!((compared.pictures, compared.agreed), (1, 1));
        assert!(
            (compared.largest - 0.05).abs() < 1e-6
                && compared.is_same(0.06)
                && !compared.is_same(0.04)
        );
        compared.add(&[(1, 0.7)], &answer(&[0.9, 0.1]));
        assert_eq!((compared.pictures, compared.agreed), (2, 1));
        assert!((compared.largest - 0.6).abs() < 1e-6);
    }

    #[test]
    fn of_an_average_the_classes_that_are_kept_are_enough() {
        let mut average = Answer { ranked: 2, ..Answer::default() };
        (average.top[0], average.top[1]) =
            (Top { class: 7, probability: 0.6 }, Top { class: 3, probability: 0.1 });
        let mut compared = Compared::default();
        compared.add(&[(7, 0.5), (3, 0.1), (9, 0.3)], &average);
        assert_eq!(compared.agreed, 1);
        assert!((compared.largest - 0.2).abs() < 1e-6, "class 9 has at most 0.1: {compared:?}");
        let mut nothing = Compared::default();
        nothing.add(&[(7, 0.5)], &Answer::default());
        assert_eq!((nothing.agreed, nothing.largest), (0, 0.5));
    }
}
