//! The table `[made]`: where a policy file comes from and what was measured for it. For people and
//! `squint status`; decides nothing.

use toml::{Table, Value};

use super::error::PolicyError;
use super::fields::{Fields, number};

/// What belongs to a key.
#[derive(Clone, Copy)]
enum Sort {
    Text,
    Count,
    Share,
    Millis,
    Interval,
}

/// All keys, in the order in which they are written.
const KEYS: [(&str, Sort); 23] = [
    ("date", Sort::Text),
    ("tool", Sort::Text),
    ("command", Sort::Text),
    ("machine", Sort::Text),
    ("data", Sort::Text),
    ("profile-sha256", Sort::Text),
    ("objective", Sort::Text),
    ("n", Sort::Count),
    ("folds", Sort::Count),
    ("seed", Sort::Count),
    ("top1", Sort::Share),
    ("top1-ci95", Sort::Interval),
    ("top5", Sort::Share),
    ("mean-ms", Sort::Millis),
    ("p95-ms", Sort::Millis),
    ("in-sample-top1", Sort::Share),
    ("in-sample-mean-ms", Sort::Millis),
    ("reference", Sort::Text),
    ("reference-top1", Sort::Share),
    ("reference-mean-ms", Sort::Millis),
    ("top1-difference-ci95", Sort::Interval),
    ("coverage", Sort::Share),
    ("note", Sort::Text),
];

/// Origin and figures of a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    values: Table,
}

impl Made {
    /// Adds or replaces a figure. Shares are 0..=1, times ms, intervals arrays of two. Whether key
    /// and value will do shows when the file is parsed.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.values.insert(key.to_owned(), value.into());
        self
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key)?.as_str()
    }

    /// A count, share or time.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.values.get(key).and_then(number)
    }

    /// An interval.
    pub fn interval(&self, key: &str) -> Option<(f64, f64)> {
        match self.values.get(key)?.as_array()?.as_slice() {
            [low, high] => number(low).zip(number(high)),
            _ => None,
        }
    }

    /// Keys and values in their order, values as TOML.
    pub fn lines(&self) -> impl Iterator<Item = (&str, String)> {
        let place = |key: &str| KEYS.iter().position(|known| known.0 == key).unwrap_or(KEYS.len());
        let mut all: Vec<_> = self.values.iter().collect();
        all.sort_by_key(|(key, _)| place(key));
        all.into_iter().map(|(key, value)| (key.as_str(), value.to_string()))
    }

    /// Takes the table out of `top`; without one nothing is known.
    pub(super) fn parse(top: &mut Fields) -> Result<Self, PolicyError> {
        let known = KEYS.map(|key| key.0);
        let Some(mut fields) = top.table("made", &known)? else { return Ok(Self::default()) };
        let mut values = Table::new();
        for (key, sort) in KEYS {
            let value = match sort {
                Sort::Text => fields.text_if_any(key, "a word or sentence")?.map(Value::from),
                Sort::Count => fields
                    .count(key, 0, i64::MAX as u64)?
                    .and_then(|count| i64::try_from(count).ok())
                    .map(Value::from),
                Sort::Share => fields.number(key, 0.0, 1.0)?.map(Value::from),
                Sort::Millis => fields.number(key, 0.0, 1e9)?.map(Value::from),
                Sort::Interval if fields.has(key) => Some(Value::from(
                    fields.numbers(key, 2, 2)?.into_iter().map(shortest).collect::<Vec<_>>(),
                )),
                Sort::Interval => None,
            };
            if let Some(value) = value {
                values.insert(key.to_owned(), value);
            }
        }
        Ok(Self { values })
    }
}

/// The f64 that prints like this f32, so that 0.9 stays 0.9.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
