//! Answers of a run held against the labels of its photos.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use log::warn;

use super::{Listed, hint, lines, read};
use crate::engine::{Labels, TOP};
use crate::error::Error;
use crate::lab::doubt::Tally;
use crate::observe::Accuracy;
use crate::report::{Outcome, Report};
use crate::{events, stats};

/// True class by file name, and how many were met.
#[derive(Debug)]
pub(crate) struct GroundTruth {
    classes: HashMap<Box<str>, u32>,
    seen: u64,
    unanswered: u64,
    top1: u64,
    top5: u64,
    tally: Tally,
}

impl GroundTruth {
    /// Reads a labels file for the photos called `photos`; `promised` is the accuracy that may be
    /// expected, if known, 0..=1.
    ///
    /// Errors with [`Error::File`] as [`lines`] does, and if no label belongs to a photo. Labels
    /// without a photo and photos without a label are logged.
    pub(crate) fn open(
        csv: &Path,
        known: &Labels,
        photos: &[String],
        promised: Option<f64>,
    ) -> Result<Self, Error> {
        let listed = lines(&read(csv)?, csv, known)?;
        let (strays, blank) = match_up(&listed, photos)
            .map_err(|reason| Error::File { path: csv.to_owned(), reason })?;
        if let Some(strays) = strays {
            warn!(event = events::LABELS_DOUBTED; "{}: {strays}", csv.display());
        }
        if blank > 0 {
            let (csv, all) = (csv.display(), photos.len());
            warn!(event = events::LABELS_DOUBTED; "{csv}: {blank} of {all} photos have no label and do not count in the accuracy");
        }
        let classes = listed.into_iter().map(|Listed { file, class, .. }| (file, class)).collect();
        let tally = Tally::new(known.classes.len(), [("the policy", promised)]);
        Ok(Self { classes, seen: 0, unanswered: 0, top1: 0, top5: 0, tally })
    }

    /// Counts a report, if its file has a label. No answer is a wrong answer.
    pub(crate) fn note(&mut self, report: &Report) {
        let Some(class) = report.file.as_deref().and_then(|file| self.classes.get(file)).copied()
        else {
            return;
        };
        self.seen += 1;
        if matches!(report.outcome, Outcome::Answered | Outcome::Reused) {
            let answer = &report.attempts.answer;
            let top = &answer.top[..answer.ranked.min(TOP)];
            let place = top.iter().position(|top| top.class == class);
            self.top1 += u64::from(place == Some(0));
            self.top5 += u64::from(place.is_some());
            self.tally.add(0, class, top.first().map(|top| top.class));
        } else {
            self.unanswered += 1;
        }
    }

    /// What was counted; `None` without a labelled frame.
    pub(crate) fn accuracy(&self) -> Option<Accuracy> {
        if self.seen == 0 {
            return None;
        }
        let share = |hits: u64| hits as f64 / self.seen as f64;
        let (low, high) = stats::wilson95(self.top1, self.seen);
        Some(Accuracy {
            n: self.seen,
            unanswered: self.unanswered,
            top1: share(self.top1),
            top1_ci95: [low, high],
            top5: share(self.top5),
        })
    }

    /// Why the labels look wrong, if they do.
    pub(crate) fn doubt(&self) -> Option<String> {
        self.tally.doubt().map(|doubt| doubt.to_string())
    }
}

/// What to say of labels without a photo, and how many photos have no label. Errors if no label has
/// a photo.
fn match_up(listed: &[Listed], photos: &[String]) -> Result<(Option<String>, usize), String> {
    let there: HashSet<&str> = photos.iter().map(String::as_str).collect();
    let strays: Vec<&Listed> =
        listed.iter().filter(|label| !there.contains(&*label.file)).collect();
    let matched = listed.len() - strays.len();
    let named = |strays: &[&Listed]| {
        let one = |label: &&Listed| {
            let hint = hint(&label.file, photos.iter().map(String::as_str));
            format!("line {}: file {:?}{}", label.line, label.file, hint.replace("; ", ", and "))
        };
        strays.iter().take(3).map(one).collect::<Vec<_>>().join("; ")
    };
    match (strays.is_empty(), matched) {
        (true, _) => Ok((None, photos.len() - matched)),
        (false, 0) => {
            let first = photos
                .first()
                .map_or(String::new(), |first| format!("; its first photo is {first:?}"));
            Err(format!(
                "0 of {} labels belong to a photo of this source: {}{first}",
                listed.len(),
                named(&strays)
            ))
        }
        (false, _) => {
            let text = format!(
                "{} of {} labels belong to no photo of this source: {}",
                strays.len(),
                listed.len(),
                named(&strays)
            );
            Ok((Some(text), photos.len().saturating_sub(matched)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(files: &[&str]) -> Vec<Listed> {
        (2..)
            .zip(files)
            .map(|(line, file)| Listed { line, file: (*file).into(), class: 0 })
            .collect()
    }

    #[test]
    fn labels_without_a_photo_are_named_and_none_with_one_is_an_error() {
        let photos = ["a.png", "b.png", "c.png"].map(str::to_owned);
        assert_eq!(match_up(&listed(&["a.png", "c.png"]), &photos), Ok((None, 1)));
        let (told, blank) =
            match_up(&listed(&["a.png", "B.PNG", "other.png"]), &photos).expect("one fits");
        let told = told.expect("strays");
        assert!(
            told.starts_with("2 of 3 labels belong to no photo of this source: line 3: file \"B.PNG\", and there is \"b.png\""),
            "{told}"
        );
        assert_eq!(blank, 2);
        let refused = match_up(&listed(&["im/a.png", "x/y.png"]), &photos).expect_err("none fits");
        assert!(
            refused.starts_with(
                "0 of 2 labels belong to a photo of this source: line 2: file \"im/a.png\""
            ),
            "{refused}"
        );
        assert!(refused.contains("its first photo is \"a.png\""), "{refused}");
    }
}
