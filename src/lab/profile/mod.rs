//! What every engine answered to every labelled frame, with the frame's features and the times: the
//! table that the whole lab works on.
//!
//! Pure data in memory, written once by `squint profile`. Nothing here knows where it came from.

pub mod file;

use crate::engine::{Answer, KEPT, MAX_ENGINES, TOP, Top};
use crate::features::{Features, Glimpse};
use crate::policy::file::EngineInfo;

use super::LabError;

/// One engine's answer to one frame: what the daemon would know of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The most likely classes, most likely first.
    pub top: [Top; KEPT],
    /// How many of `top` count.
    pub ranked: u8,
    /// As [`Answer::margin`], 0..=1.
    pub margin: f32,
    /// As [`Answer::entropy`], 0..=1.
    pub entropy: f32,
    /// Mean time of a look at this frame, preprocessing included, measured alone, ms; `None` if
    /// this frame was not timed.
    pub latency_ms: Option<f32>,
    /// Mean energy of a look at this frame above idle, mJ; `None` without a sensor.
    pub energy_mj: Option<f32>,
}

impl Seen {
    /// What of `answer` is kept; not timed yet.
    pub fn of(answer: &Answer) -> Self {
        Self {
            top: answer.top,
            ranked: answer.ranked.min(KEPT) as u8,
            margin: answer.margin,
            entropy: answer.entropy,
            latency_ms: None,
            energy_mj: None,
        }
    }

    /// Fills `answer` as the engine did, but for the probabilities of all classes.
    pub fn tell(&self, answer: &mut Answer) {
        answer.probabilities.clear();
        (answer.top, answer.ranked) = (self.top, usize::from(self.ranked).min(KEPT));
        (answer.margin, answer.entropy) = (self.margin, self.entropy);
    }

    /// The best class.
    pub fn class(&self) -> Option<u32> {
        self.top.first().filter(|_| self.ranked > 0).map(|top| top.class)
    }

    /// True if `label` is the best class.
    pub fn is_right(&self, label: u32) -> bool {
        self.class() == Some(label)
    }

    /// True if `label` is among the best five.
    pub fn is_right5(&self, label: u32) -> bool {
        self.top.iter().take(usize::from(self.ranked).min(TOP)).any(|top| top.class == label)
    }
}

/// One labelled frame: a photo, or one frame of a labelled stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// File name; of a stream's frame, the photo it shows.
    pub name: Box<str>,
    /// The right class, 0-based.
    pub label: u32,
    /// Cases of one group show the same photo: they never stand on both sides of a split.
    pub group: u32,
    /// Measured on the frame.
    pub features: Features,
    /// Time that took, ms.
    pub features_ms: f32,
    /// Measured on the frame.
    pub glimpse: Glimpse,
    /// Of a stream's frame, when it was captured, ms since the stream began; `None` for photos,
    /// which have no past.
    pub at_ms: Option<f64>,
}

/// One engine and its answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its id.
    pub id: String,
    /// sha256 of its model (of an ensemble, one made of all members'), hex.
    pub sha256: String,
    /// sha256 of its labels file, hex.
    pub labels_sha256: String,
    /// Networks run for one look: 1, or the members of an ensemble.
    pub networks: u8,
    /// Top-1 accuracy that its manifest has, 0..=1; `None` if it has none.
    pub promised: Option<f64>,
    /// Mean time of a look, preprocessing included, ms: of the timed cases.
    pub mean_ms: f64,
    /// Mean energy of a look, mJ, of the cases where it is known; `None` without a sensor.
    pub energy_mj: Option<f64>,
    /// By case; `None` where the engine failed.
    pub looks: Vec<Option<Seen>>,
}

impl Column {
    /// True if the engine is right on `case`, which shows `label`. A failure is not right.
    pub fn is_right(&self, case: usize, label: u32) -> bool {
        self.looks.get(case).copied().flatten().is_some_and(|seen| seen.is_right(label))
    }

    /// As [`Self::is_right`], among the best five.
    pub fn is_right5(&self, case: usize, label: u32) -> bool {
        self.looks.get(case).copied().flatten().is_some_and(|seen| seen.is_right5(label))
    }

    /// Time of the look at `case`, ms: its own where it was timed, otherwise the engine's mean.
    pub fn ms(&self, case: usize) -> f64 {
        let own = self.looks.get(case).copied().flatten().and_then(|seen| seen.latency_ms);
        own.map_or(self.mean_ms, f64::from)
    }
}

/// Where a profile comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// sha256 of the profile file, hex; empty for one that was never a file.
    pub sha256: String,
    /// Day it was made, `YYYY-MM-DD`.
    pub date: String,
    /// Program and version.
    pub tool: String,
    /// Processor, cores, architecture.
    pub machine: String,
    /// What the frames are, in words.
    pub data: String,
    /// [`crate::features::schema`] at the time.
    pub feature_schema: String,
    /// Mean time of the glimpse, which every policy needs, ms; `None` in older files.
    pub glimpse_ms: Option<f64>,
    /// Frames whose looks were timed; `None` in older files.
    pub timed: Option<u64>,
    /// Pictures that could not be read and are left out.
    pub unreadable: u64,
}

/// The whole table.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Where it comes from.
    pub origin: Origin,
    /// Classes that the engines tell apart; the same for all.
    pub classes: u32,
    /// Names of the classes, where known (thumbnails' captions); may be empty.
    pub class_names: Vec<String>,
    /// 1 to [`MAX_ENGINES`], ids all different.
    pub engines: Vec<Column>,
    /// Photos in the order of the profile; frames of streams in order of time.
    pub cases: Vec<Case>,
}

impl Profile {
    /// What measuring `case` costs a policy, ms: all features if it reads any, otherwise the
    /// glimpse alone.
    pub fn measuring_ms(&self, case: usize, reads_features: bool) -> f64 {
        let all = self.cases.get(case).map_or(0.0, |case| f64::from(case.features_ms));
        self.origin.glimpse_ms.filter(|_| !reads_features).map_or(all, |glimpse| glimpse.min(all))
    }

    /// Refuses a table that does not fit together. Everything else in the lab relies on this; call
    /// it after reading or making one.
    pub fn check(&self) -> Result<(), LabError> {
        let wrong =
            |what: String, got: String, needed: String| Err(LabError::Table { what, got, needed });
        if self.engines.is_empty() || self.engines.len() > MAX_ENGINES {
            return wrong(
                "number of engines".into(),
                self.engines.len().to_string(),
                format!("1 to {MAX_ENGINES}"),
            );
        }
        if self.cases.is_empty() {
            return wrong("number of labelled frames".into(), "0".into(), "at least 1".into());
        }
        if let Some(case) = self.cases.iter().find(|case| case.label >= self.classes) {
            return wrong(
                format!("label of {}", case.name),
                case.label.to_string(),
                format!("below the {} classes", self.classes),
            );
        }
        for (place, engine) in self.engines.iter().enumerate() {
            let id = &engine.id;
            if self.engines.iter().take(place).any(|other| other.id == *id) {
                return wrong("engine ids".into(), format!("`{id}` twice"), "each once".into());
            }
            if !(engine.mean_ms.is_finite() && engine.mean_ms > 0.0) {
                return wrong(
                    format!("mean time of `{id}`"),
                    engine.mean_ms.to_string(),
                    "ms, above 0".into(),
                );
            }
            if engine.looks.len() != self.cases.len() {
                return wrong(
                    format!("answers of `{id}`"),
                    engine.looks.len().to_string(),
                    format!("{}, one a frame", self.cases.len()),
                );
            }
        }
        Ok(())
    }

    /// True if the cases are frames of a stream, in order.
    pub fn is_stream(&self) -> bool {
        self.cases.iter().all(|case| case.at_ms.is_some())
    }

    /// The engine called `id`.
    pub fn engine(&self, id: &str) -> Result<usize, LabError> {
        self.engines.iter().position(|engine| engine.id == id).ok_or_else(|| {
            LabError::UnknownEngine {
                id: id.to_owned(),
                known: self
                    .engines
                    .iter()
                    .map(|engine| engine.id.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            }
        })
    }

    /// What a policy file may know of the engines, for [`crate::policy::file::PolicyFile::bind`].
    pub fn engine_infos(&self) -> Vec<EngineInfo> {
        let info = |column: &Column| EngineInfo {
            id: column.id.clone(),
            sha256: column.sha256.clone(),
            labels_sha256: column.labels_sha256.clone(),
        };
        self.engines.iter().map(info).collect()
    }

    /// How many of `cases` engine `engine` alone gets right.
    pub fn right_alone(&self, engine: usize, cases: &[usize]) -> u64 {
        let Some(column) = self.engines.get(engine) else { return 0 };
        cases
            .iter()
            .filter(|case| {
                self.cases.get(**case).is_some_and(|shown| column.is_right(**case, shown.label))
            })
            .count() as u64
    }

    /// The most capable single engine (not an ensemble, unless there is nothing else): most right
    /// answers on all cases, ties to the cheaper one.
    pub fn most_capable(&self) -> usize {
        let all: Vec<usize> = (0..self.cases.len()).collect();
        let single = self.engines.iter().any(|engine| engine.networks == 1);
        let better = |a: &usize, b: &usize| {
            let time = |engine: &usize| self.engines[*engine].mean_ms;
            self.right_alone(*a, &all)
                .cmp(&self.right_alone(*b, &all))
                .then(time(b).total_cmp(&time(a)))
        };
        (0..self.engines.len())
            .filter(|engine| !single || self.engines[*engine].networks == 1)
            .max_by(better)
            .unwrap_or(0)
    }

    /// The same cases with only these engines, in this order.
    pub fn with_engines(&self, engines: &[usize]) -> Self {
        Self {
            origin: self.origin.clone(),
            classes: self.classes,
            class_names: self.class_names.clone(),
            engines: engines
                .iter()
                .filter_map(|engine| self.engines.get(*engine).cloned())
                .collect(),
            cases: self.cases.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod samples;
