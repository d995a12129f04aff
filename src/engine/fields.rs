//! Reads a TOML table key by key and remembers everything that is wrong with it.
//!
//! Pure. Serves [`super::manifest`]; not meant for the product's configuration, which stops at its
//! own errors.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;

use toml::{Table, Value};

/// One table of a file. Keys that nobody took are refused by [`Fields::finish`].
pub(super) struct Fields<'a> {
    table: Table,
    place: String,
    known: Vec<&'static str>,
    problems: &'a RefCell<Vec<String>>,
}

impl<'a> Fields<'a> {
    /// `place` is what stands before a key in messages: empty, or `input.`.
    pub(super) fn new(table: Table, place: &str, problems: &'a RefCell<Vec<String>>) -> Self {
        Self { table, place: place.to_owned(), known: Vec::new(), problems }
    }

    /// Notes a problem with `key`.
    pub(super) fn refuse(&self, key: &str, what: impl Display) {
        self.problems.borrow_mut().push(format!("`{}{key}` {what}", self.place));
    }

    /// Takes `key` away, whatever its type.
    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn typed<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(key)?;
        let typed = read(&value);
        if typed.is_none() {
            self.refuse(key, format_args!("is {}; it must be {wanted}", brief(&value)));
        }
        typed
    }

    fn required<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        value: Option<T>,
        had: bool,
    ) -> Option<T> {
        if value.is_none() && !had {
            self.refuse(key, format_args!("is missing; it must be {wanted}"));
        }
        value
    }

    /// Text that may be left out.
    pub(super) fn optional_text(&mut self, key: &'static str) -> Option<String> {
        self.typed(key, "a text in quotes, not empty", |value| {
            value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
        })
    }

    /// Text that must be there.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let had = self.table.contains_key(key);
        let value = self.optional_text(key);
        self.required(key, "a text in quotes", value, had)
    }

    /// One word out of `words`; `default` if it is left out, a problem if there is no default.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        default: Option<T>,
    ) -> Option<T> {
        let list =
            words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let had = self.table.contains_key(key);
        if !had && default.is_some() {
            self.known.push(key);
            return default;
        }
        let value = self.typed(key, &format!("one of {list}"), |value| {
            let typed = value.as_str()?;
            words.iter().find(|(word, _)| *word == typed).map(|(_, meaning)| *meaning)
        });
        self.required(key, &format!("one of {list}"), value, had)
    }

    /// A whole number inside `range`; `default` if it is left out, a problem if there is no
    /// default.
    pub(super) fn whole(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
        default: Option<i64>,
    ) -> Option<i64> {
        let wanted = format!("a whole number, {}..={}", range.start(), range.end());
        let had = self.table.contains_key(key);
        let value = self.typed(key, &wanted, |value| {
            value.as_integer().filter(|number| range.contains(number))
        });
        if had { value } else { self.required(key, &wanted, default, false) }
    }

    /// A number inside `range`, always finite; `default` if it is left out, a problem if there is
    /// no default.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
        default: Option<f64>,
    ) -> Option<f64> {
        let wanted = format!("a number, {}..={}", range.start(), range.end());
        let had = self.table.contains_key(key);
        let value =
            self.typed(key, &wanted, |value| number(value).filter(|number| range.contains(number)));
        if had { value } else { self.required(key, &wanted, default, false) }
    }

    /// Yes or no, no if it is left out.
    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        self.typed(key, "true or false", Value::as_bool).unwrap_or(false)
    }

    /// A list of finite numbers that may be left out.
    pub(super) fn numbers(&mut self, key: &'static str) -> Option<Vec<f64>> {
        self.typed(key, "a list of numbers, like [127.0, 127.0, 127.0]", |value| {
            value.as_array()?.iter().map(number).collect()
        })
    }

    /// A list of texts that may be left out.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.typed(key, "a list of texts, like [\"one\", \"two\"]", |value| {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        })
    }

    /// The table `[key]` that may be left out.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Fields<'a>> {
        let table = self.typed(key, "a section of its own", |value| value.as_table().cloned())?;
        Some(Fields::new(table, &format!("{}{key}.", self.place), self.problems))
    }

    /// The tables `[[key]]`, possibly none.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Fields<'a>> {
        let wanted = format!("sections `[[{}{key}]]`", self.place);
        let tables = self.typed(key, &wanted, |value| {
            value
                .as_array()?
                .iter()
                .map(|item| item.as_table().cloned())
                .collect::<Option<Vec<Table>>>()
        });
        let place = |index| format!("{}{key}[{index}].", self.place);
        tables
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(index, table)| Fields::new(table, &place(index), self.problems))
            .collect()
    }

    /// True if `key` is there; does not take it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Refuses the keys that are left, each with the likeliest one meant.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let near = self
                .known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(known, key), known))
                .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
                .min();
            match near {
                Some((_, known)) => self.refuse(
                    key,
                    format_args!("is not a key that is known here; did you mean `{known}`?"),
                ),
                None => {
                    let mut known = self.known.clone();
                    known.sort_unstable();
                    self.refuse(
                        key,
                        format_args!(
                            "is not a key that is known here; known are {}",
                            known.join(", ")
                        ),
                    );
                }
            }
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Integer(whole) => *whole as f64,
        Value::Float(number) => *number,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// A value as shown in a message: never longer than a line.
fn brief(value: &Value) -> String {
    let text = value.to_string().replace('\n', " ");
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
