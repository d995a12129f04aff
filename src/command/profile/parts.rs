//! The finished blocks of a profile, each a small file in `<out>.parts/`, and the joining of them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use log::warn;
use serde::{Deserialize, Serialize};

use super::BLOCK;
use crate::cli::ProfileArgs;
use crate::engine::hash;
use crate::error::Error;
use crate::ground_truth::Photo;
use crate::lab::doubt::Tally;
use crate::lab::profile::file::{Head, Reader, Row, Writer};
use crate::{files, stats};

/// The file beside the parts that says what they are parts of.
const PLAN: &str = "plan.json";
/// Longest such file that is read, bytes; engines take a hundred each.
const MAX_PLAN: u64 = 1 << 20;

/// What must be the same for parts to fit together.
#[derive(PartialEq, Serialize, Deserialize)]
struct Plan {
    photos: String,
    labels: String,
    /// The stream's description; empty for photos.
    #[serde(default)]
    stream: String,
    engines: Vec<(String, String)>,
    features: String,
    timing: (u64, u32),
    block: usize,
}

/// The folder of parts.
pub(super) struct Parts {
    folder: PathBuf,
    ids: Vec<String>,
}

impl Parts {
    /// Makes the folder, or with `--resume` goes on with it. Errors if there is one and nobody
    /// asked to go on, or of other photos.
    pub(super) fn open(
        args: &ProfileArgs,
        head: &Head,
        photos: &[Photo],
        stream: &str,
        timed: u64,
    ) -> Result<Self, Error> {
        let folder = beside(&args.out, ".parts");
        let joined = |text: &dyn Fn(&Photo) -> String| {
            hash::of_bytes(photos.iter().map(text).collect::<String>().as_bytes())
        };
        let size = |photo: &Photo| fs::metadata(&photo.path).map_or(0, |facts| facts.len());
        let plan = Plan {
            photos: joined(&|photo| format!("{}\0{}\n", photo.name, size(photo))),
            labels: joined(&|photo| format!("{}\0{}\n", photo.name, photo.class)),
            stream: stream.to_owned(),
            engines: head
                .engines
                .iter()
                .map(|engine| (engine.id.clone(), engine.sha256.clone()))
                .collect(),
            features: head.origin.feature_schema.clone(),
            timing: (timed, args.repeats),
            block: BLOCK,
        };
        let file = folder.join(PLAN);
        let refuse = |reason: String| Err(Error::File { path: folder.clone(), reason });
        if folder.exists() && !args.resume {
            return refuse(
                "an earlier run was not finished; go on with it (--resume) or remove the folder"
                    .into(),
            );
        }
        if file.exists() {
            let text = files::text(&file, MAX_PLAN).map_err(Error::io(file.display()))?;
            let Ok(before) = serde_json::from_str::<Plan>(&text) else {
                return refuse(format!(
                    "{PLAN} is damaged; remove the folder and start again without --resume"
                ));
            };
            let other = [
                ("photos", before.photos != plan.photos),
                ("labels", before.labels != plan.labels),
                ("stream", before.stream != plan.stream),
                ("engines", before.engines != plan.engines),
                ("features", before.features != plan.features),
                ("--repeats or --time-images", before.timing != plan.timing),
                ("size of blocks", before.block != plan.block),
            ];
            if let Some((what, _)) = other.iter().find(|(_, other)| *other) {
                return refuse(format!(
                    "was begun with other {what}; use the same, or remove the folder and start again"
                ));
            }
        } else {
            fs::create_dir_all(&folder).map_err(Error::io(folder.display()))?;
            let text =
                serde_json::to_string(&plan).map_err(|error| Error::Bug(error.to_string()))?;
            files::write(&file, text.as_bytes()).map_err(Error::io(file.display()))?;
        }
        Ok(Self { folder, ids: head.engines.iter().map(|engine| engine.id.clone()).collect() })
    }

    fn file(&self, block: usize) -> PathBuf {
        self.folder.join(format!("{block:06}.parquet"))
    }

    /// True if the block is there and whole.
    pub(super) fn has(&self, block: usize) -> bool {
        let file = self.file(block);
        file.exists()
            && Reader::open(&file)
                .inspect_err(|error| warn!("{error}; it is measured again"))
                .is_ok()
    }

    /// Keeps a finished block.
    pub(super) fn keep(&self, block: usize, rows: Vec<Row>, head: Head) -> Result<(), Error> {
        let mut writer = Writer::create(&self.file(block), &self.ids)?;
        for row in rows {
            writer.push(row)?;
        }
        Ok(writer.finish(&head)?)
    }

    /// Mean time of the features over the frames where it was measured, ms; a part holds 0 where it
    /// was not.
    fn features_ms(&self, blocks: usize) -> Result<f32, Error> {
        let mut measured = Vec::new();
        for block in 0..blocks {
            let reader = Reader::open(&self.file(block))?;
            for group in 0..reader.groups() {
                measured.extend(
                    reader
                        .rows(group)?
                        .iter()
                        .map(|row| f64::from(row.case.features_ms))
                        .filter(|ms| *ms > 0.0),
                );
            }
        }
        Ok(stats::mean(&measured).unwrap_or(0.0) as f32)
    }

    /// Joins all blocks into `out` and removes them. Returns the rows and the unreadable photos.
    /// Frames whose features were not timed get the mean of those that were. `tally` hears every
    /// answer.
    pub(super) fn join(
        &self,
        mut head: Head,
        blocks: usize,
        out: &Path,
        tally: &mut Tally,
    ) -> Result<(u64, usize), Error> {
        let mut writer = Writer::create(out, &self.ids)?;
        let mut rows = 0;
        let features_ms = self.features_ms(blocks)?;
        let mut sums = vec![[(0.0, 0_u64); 2]; self.ids.len()];
        for block in 0..blocks {
            let reader = Reader::open(&self.file(block))?;
            for name in &reader.head().unreadable {
                // A photo of a stream may have frames in two blocks.
                if head.unreadable.last() != Some(name) {
                    head.unreadable.push(name.clone());
                }
            }
            for group in 0..reader.groups() {
                for mut row in reader.rows(group)? {
                    if row.case.features_ms == 0.0 {
                        row.case.features_ms = features_ms;
                    }
                    for (sums, seen) in sums.iter_mut().zip(&row.looks) {
                        let values = [
                            seen.and_then(|seen| seen.latency_ms),
                            seen.and_then(|seen| seen.energy_mj),
                        ];
                        for ((sum, count), value) in sums.iter_mut().zip(values) {
                            *sum += f64::from(value.unwrap_or(0.0));
                            *count += u64::from(value.is_some());
                        }
                    }
                    for (engine, seen) in row.looks.iter().enumerate() {
                        tally.add(engine, row.case.label, seen.and_then(|seen| seen.class()));
                    }
                    writer.push(row)?;
                    rows += 1;
                }
            }
        }
        let unusable = |reason: String| Error::File { path: out.to_owned(), reason };
        if rows == 0 {
            return Err(unusable("not written, because none of the photos could be read".into()));
        }
        for (engine, [time, energy]) in head.engines.iter_mut().zip(sums) {
            let mean = |(sum, count): (f64, u64)| (count > 0).then(|| sum / count as f64);
            engine.mean_ms = mean(time).ok_or_else(|| {
                unusable(format!(
                    "not written, because `{}` failed on every timed frame",
                    engine.id
                ))
            })?;
            engine.energy_mj = mean(energy);
        }
        let unreadable = head.unreadable.len();
        writer.finish(&head)?;
        fs::remove_dir_all(&self.folder).map_err(Error::io(self.folder.display()))?;
        Ok((rows, unreadable))
    }
}

/// `path` with `ending` added to its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
