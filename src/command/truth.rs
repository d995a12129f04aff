//! Labels of photos: which class each file shows. From CSV; for `run --labels` and `train`.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use crate::engine::TOP;
use crate::error::Error;
use crate::observe::Accuracy;
use crate::report::{Outcome, Report};
use crate::stats;

/// Largest labels file that is read, rows.
const MAX_ROWS: usize = 5_000_000;

/// True class by file name.
pub(crate) struct Truth {
    classes: HashMap<Box<str>, u32>,
    seen: u64,
    top1: u64,
    top5: u64,
}

#[derive(Deserialize)]
struct Row {
    file: Box<str>,
    class_index: u32,
}

impl Truth {
    /// Reads a CSV with the columns `file` and `class_index` (0-based, in the order of the engines' labels); others are ignored.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let refuse = |reason: String| Error::File { path: path.to_owned(), reason };
        let mut reader = csv::Reader::from_path(path).map_err(|error| refuse(error.to_string()))?;
        let mut classes = HashMap::new();
        for row in reader.deserialize::<Row>() {
            let Row { file, class_index } =
                row.map_err(|error| refuse(format!("{error}; a header with the columns file,class_index is needed")))?;
            if let Some(other) = classes.insert(file.clone(), class_index)
                && other != class_index
            {
                return Err(refuse(format!("{file} is listed twice, as class {other} and as class {class_index}")));
            }
            if classes.len() > MAX_ROWS {
                return Err(refuse(format!("more than {MAX_ROWS} rows")));
            }
        }
        if classes.is_empty() {
            return Err(refuse("no labels in it".into()));
        }
        Ok(Self { classes, seen: 0, top1: 0, top5: 0 })
    }

    /// The class of `file`.
    pub(crate) fn class_of(&self, file: &str) -> Option<u32> {
        self.classes.get(file).copied()
    }

    /// Counts a report, if its file has a label. No answer is a wrong answer.
    pub(crate) fn note(&mut self, report: &Report) {
        let Some(class) = report.file.as_deref().and_then(|file| self.class_of(file)) else { return };
        self.seen += 1;
        if matches!(report.outcome, Outcome::Answered | Outcome::Reused) {
            let answer = &report.journey.answer;
            let place = answer.top[..answer.ranked.min(TOP)].iter().position(|top| top.class == class);
            self.top1 += u64::from(place == Some(0));
            self.top5 += u64::from(place.is_some());
        }
    }

    /// What was counted; `None` without a labelled frame.
    pub(crate) fn accuracy(&self) -> Option<Accuracy> {
        if self.seen == 0 {
            return None;
        }
        let share = |hits: u64| hits as f64 / self.seen as f64;
        let (low, high) = stats::wilson95(self.top1, self.seen);
        Some(Accuracy { n: self.seen, top1: share(self.top1), top1_ci95: [low, high], top5: share(self.top5) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Truth, Error> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).expect("written");
        Truth::read(&path)
    }

    #[test]
    fn labels_are_found_by_file_name_whatever_other_columns_say() {
        let truth = read("file,class_index,name\na.jpg,7,\"a, b\"\nb.jpg,9,c\n").expect("fine");
        assert_eq!((truth.class_of("a.jpg"), truth.class_of("b.jpg"), truth.class_of("c.jpg")), (Some(7), Some(9), None));
    }

    #[test]
    fn unusable_labels_are_refused_with_the_reason() {
        for (text, reason) in [
            ("file,class_index\n", "no labels"),
            ("name,number\na,1\n", "class_index"),
            ("file,class_index\na.jpg,-1\n", "class_index"),
            ("file,class_index\na.jpg,1\na.jpg,2\n", "listed twice"),
        ] {
            let error = read(text).err().expect("refused").to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
