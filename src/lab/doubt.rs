//! Do the labels of a set belong to its photos? Labels counted from 1, with a background class or
//! in another order make every engine wrong on nearly every photo, and what is learned from that is
//! nonsense.
//!
//! Pure. A set is doubted if its best engine is no better than chance, if every engine is far below
//! what its manifest promises, or if the answers follow another order of the classes clearly better
//! than the labels do. The limits are a choice of ours: a set may be hard, so whoever knows better
//! can say so.

use std::collections::BTreeMap;
use std::fmt;

use crate::lab::profile::Profile;
use crate::stats::wilson95;

/// Fewest photos that say anything by their share of right answers.
const LEAST: u64 = 10;
/// Fewest answers that follow another order.
const LEAST_SHIFTED: u64 = 5;
/// An engine is far below its promise if it is surely right less often than this share of it.
const FAR: f64 = 1.0 / 3.0;
/// Most pairs of label and answer that are remembered of an engine.
const MAX_PAIRS: usize = 50_000;

/// Answers held against labels, engine by engine.
#[derive(Clone, Debug)]
pub struct Tally {
    classes: usize,
    engines: Vec<Count>,
}

/// One engine's answers.
#[derive(Clone, Debug)]
struct Count {
    name: String,
    /// Top-1 accuracy that its manifest has, 0..=1.
    promised: Option<f64>,
    n: u64,
    right: u64,
    /// The label minus 1, the label plus 1.
    shifted: [u64; 2],
    /// How often which answer was given to which label.
    pairs: BTreeMap<(u32, u32), u64>,
}

/// Why labels look wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubt {
    /// Engines that were asked.
    pub engines: usize,
    /// The best of them.
    pub best: String,
    /// How often it is right.
    pub right: u64,
    /// Of so many answers.
    pub n: u64,
    /// What its manifest promises, 0..=1.
    pub promised: Option<f64>,
    /// What is likely the matter.
    pub reason: Reason,
}

/// What is likely the matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// So many answers are the label and this: 1 or -1.
    Shifted(i8, u64),
    /// So many answers are another class, for each label the same; the first label and its answer.
    Reordered(u64, (u32, u32)),
    /// So many answers are this class, whatever the label.
    Constant(u32, u64),
    /// Nothing that is seen.
    Unknown,
}

impl Tally {
    /// For engines called so, with the top-1 accuracy that may be expected of each, if known,
    /// 0..=1.
    pub fn new<S: Into<String>>(
        classes: usize,
        engines: impl IntoIterator<Item = (S, Option<f64>)>,
    ) -> Self {
        let count = |(name, promised): (S, Option<f64>)| Count {
            name: name.into(),
            promised,
            n: 0,
            right: 0,
            shifted: [0; 2],
            pairs: BTreeMap::new(),
        };
        Self { classes, engines: engines.into_iter().map(count).collect() }
    }

    /// All answers of a profile.
    pub fn of(profile: &Profile) -> Self {
        let engines = profile.engines.iter().map(|column| (column.id.clone(), column.promised));
        let mut tally = Self::new(profile.classes as usize, engines);
        for (engine, column) in profile.engines.iter().enumerate() {
            for (case, look) in profile.cases.iter().zip(&column.looks) {
                tally.add(engine, case.label, look.and_then(|seen| seen.class()));
            }
        }
        tally
    }

    /// Adds an engine's answer to a photo with this label; none says nothing of the label.
    pub fn add(&mut self, engine: usize, label: u32, answer: Option<u32>) {
        let (Some(count), Some(answer)) = (self.engines.get_mut(engine), answer) else { return };
        count.n += 1;
        count.right += u64::from(answer == label);
        count.shifted[0] += u64::from(label.checked_sub(1) == Some(answer));
        count.shifted[1] += u64::from(label.checked_add(1) == Some(answer));
        let is_known = count.pairs.contains_key(&(label, answer));
        if is_known || count.pairs.len() < MAX_PAIRS {
            *count.pairs.entry((label, answer)).or_default() += 1;
        }
    }

    /// Why the labels look wrong; `None` if they do not.
    pub fn doubt(&self) -> Option<Doubt> {
        let asked = || self.engines.iter().filter(|count| count.n > 0);
        let best = asked().max_by(|a, b| a.share().total_cmp(&b.share()))?;
        let reason = asked().find_map(|count| count.reason(best)).unwrap_or(Reason::Unknown);
        let is_low =
            best.n >= LEAST && (best.is_chance(self.classes) || asked().all(Count::is_far));
        let is_other = matches!(reason, Reason::Shifted(..) | Reason::Reordered(..));
        (is_low || is_other).then(|| Doubt {
            engines: asked().count(),
            best: best.name.clone(),
            right: best.right,
            n: best.n,
            promised: best.promised,
            reason,
        })
    }
}

impl Count {
    fn share(&self) -> f64 {
        self.right as f64 / self.n.max(1) as f64
    }

    /// No better than chance, as far as that can be seen.
    fn is_chance(&self, classes: usize) -> bool {
        let chance = 1.0 / classes.max(1) as f64;
        self.share() <= chance + 0.02 && wilson95(self.right, self.n).0 <= chance
    }

    /// Surely far below its promise. Without one it is not.
    fn is_far(&self) -> bool {
        self.promised.is_some_and(|promised| wilson95(self.right, self.n).1 < FAR * promised)
    }

    /// What its answers follow clearly better than the labels, which `best` follows as well as any.
    fn reason(&self, best: &Self) -> Option<Reason> {
        let right = wilson95(best.right, best.n).1;
        let is_clear =
            |hits: u64, of: u64| hits >= LEAST_SHIFTED && wilson95(hits, of).0 > right.max(0.25);
        let [less, more] = self.shifted;
        let (by, hits, other) = if less >= more { (-1, less, more) } else { (1, more, less) };
        // As many in the other direction are two classes in each other's place.
        if is_clear(hits, self.n) && hits >= 2 * other {
            return Some(Reason::Shifted(by, hits));
        }
        let labels = self.by_label();
        let repeated: Vec<_> = labels.iter().filter(|(_, (_, _, all))| *all >= 2).collect();
        let (hits, of) =
            repeated.iter().fold((0, 0), |(hits, of), (_, (_, most, all))| (hits + most, of + all));
        let mut answers: Vec<u32> = repeated.iter().map(|(_, (answer, ..))| *answer).collect();
        answers.sort_unstable();
        answers.dedup();
        if let [answer] = answers.as_slice()
            && repeated.len() >= 2
            && 10 * hits >= 9 * of
        {
            return Some(Reason::Constant(*answer, hits));
        }
        let first = repeated.iter().find(|(label, (answer, ..))| *label != answer)?;
        let is_order = repeated.len() >= 2 && 5 * answers.len() >= 4 * repeated.len();
        (is_order && is_clear(hits, of)).then_some(Reason::Reordered(hits, (*first.0, first.1.0)))
    }

    /// By label: the most frequent answer, how often that was given, and how many answers there
    /// are.
    fn by_label(&self) -> BTreeMap<u32, (u32, u64, u64)> {
        let mut labels = BTreeMap::new();
        for ((label, answer), count) in &self.pairs {
            let (most, hits, all) = labels.entry(*label).or_insert((*answer, 0, 0));
            *all += count;
            if *count > *hits {
                (*most, *hits) = (*answer, *count);
            }
        }
        labels
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engines, best, right, n, promised, reason } = self;
        let who = if *engines > 1 {
            format!("the best of {engines} engines, `{best}`,")
        } else {
            format!("`{best}`")
        };
        let who = who.replace("`the policy`", "the policy");
        write!(f, "the labels look wrong: {who} is right on {right} of {n} photos")?;
        if let Some(promised) = promised {
            write!(f, " (its manifest says {:.0} %)", promised * 100.0)?;
        }
        match reason {
            Reason::Shifted(by, hits) => write!(
                f,
                ", and {hits} of {n} answers are the label {} 1; are the labels counted from {}? class_index is the line in the engines' \
                 labels file, the first line is 0",
                if *by < 0 { "minus" } else { "plus" },
                if *by < 0 {
                    "1, or with a background class before the first"
                } else {
                    "-1, or is the first class left out"
                },
            ),
            Reason::Reordered(hits, (label, answer)) => write!(
                f,
                ", and {hits} of {n} answers are another class that is the same for each label (such as {answer} for {label}); are the \
                 labels in another order than the lines of the engines' labels file?"
            ),
            Reason::Constant(class, hits) => write!(
                f,
                ", and {hits} of {n} answers are class {class}, whatever the label; are `input.mean` and `input.std` of the engines right?"
            ),
            Reason::Unknown => write!(
                f,
                "; do the labels belong to these photos, and are they counted from 0 in the order of the engines' labels file?"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{splitmix64, unit};

    /// One engine's doubt of `n` photos of `classes` classes: what it answers is made of the label
    /// that the photo should have had.
    fn doubt(
        classes: u32,
        n: u32,
        promised: Option<f64>,
        label: impl Fn(u32, u32) -> u32,
    ) -> Option<Doubt> {
        let mut tally = Tally::new(classes as usize, [("one", promised)]);
        for photo in 0..n {
            let shown = photo * 7919 % classes;
            // Right on four of five, and on the others a class that has nothing to do with it.
            let answer = if unit(splitmix64(u64::from(photo))) < 0.8 {
                shown
            } else {
                (shown * 31 + photo * 17 + 5) % classes
            };
            tally.add(0, label(photo, shown), Some(answer));
        }
        tally.doubt()
    }

    #[test]
    fn right_labels_are_not_doubted_however_hard_the_photos_are() {
        assert_eq!(doubt(1000, 200, Some(0.83), |_, shown| shown), None);
        assert_eq!(doubt(2, 40, None, |_, shown| shown), None);
        let mut hard = Tally::new(1000, [("one", Some(0.83)), ("two", Some(0.7))]);
        for photo in 0..300 {
            hard.add(0, photo, Some(if photo % 3 == 0 { photo } else { 999 - photo }));
            hard.add(1, photo, Some(if photo % 9 == 0 { photo } else { 998 - photo }));
        }
        assert_eq!(
            hard.doubt(),
            None,
            "a third right is not far below four fifths, since that is a hard set"
        );
        let mut few = Tally::new(1000, [("one", Some(0.83))]);
        (0..4).for_each(|photo| few.add(0, photo, Some(photo + 1)));
        assert_eq!(few.doubt(), None, "four photos say nothing");
    }

    #[test]
    fn labels_counted_from_1_are_recognised_in_sets_of_one_class_and_of_many() {
        for (by, label) in [(-1, 1), (1, -1)] {
            let told =
                doubt(1000, 100, Some(0.83), |_, shown| shown.wrapping_add_signed(label).min(1000))
                    .expect("doubted");
            assert!(
                matches!(told.reason, Reason::Shifted(found, hits) if found == by && hits > 60),
                "{told:?}"
            );
        }
        let mut one = Tally::new(1000, [("small", None), ("large", None)]);
        (0..12).for_each(|_| (0..2).for_each(|engine| one.add(engine, 968, Some(967))));
        let told = one.doubt().expect("doubted").to_string();
        assert!(
            told.contains("the best of 2 engines") && told.contains("is right on 0 of 12 photos"),
            "{told}"
        );
        assert!(
            told.contains("12 of 12 answers are the label minus 1; are the labels counted from 1"),
            "{told}"
        );
    }

    #[test]
    fn another_order_of_the_classes_is_recognised() {
        let told = doubt(10, 200, None, |_, shown| 9 - shown).expect("doubted");
        assert!(matches!(told.reason, Reason::Reordered(hits, (0, 9)) if hits > 120), "{told:?}");
        let swapped = doubt(2, 60, None, |_, shown| 1 - shown).expect("doubted");
        assert!(matches!(swapped.reason, Reason::Reordered(..)), "{swapped:?}");
    }

    #[test]
    fn labels_that_have_nothing_to_do_with_the_photos_are_doubted_without_a_guess() {
        for promised in [None, Some(0.83)] {
            let told = doubt(1000, 300, promised, |photo, _| photo * 13 % 1000).expect("doubted");
            assert_eq!((told.reason, told.promised), (Reason::Unknown, promised));
        }
    }

    #[test]
    fn an_engine_that_always_says_the_same_is_not_blamed_on_the_labels() {
        let mut tally = Tally::new(1000, [("dead", Some(0.8))]);
        (0..60).for_each(|photo| tally.add(0, photo % 20, Some(111)));
        let told = tally.doubt().expect("doubted");
        assert_eq!(told.reason, Reason::Constant(111, 60));
        assert!(told.to_string().contains("`input.mean`"), "{told}");
    }
}
