//! Takes a TOML table apart, strictly: unknown keys are refused at the door, and each value is
//! checked as it is taken out.

use toml::{Table, Value};

use super::error::{PolicyError, hint, listed};

/// Longest text of any key.
const MAX_TEXT: usize = 4_000;
/// Longest part of a value that an error repeats.
const SHOWN: usize = 60;

/// One table of a policy file.
pub(super) struct Fields<'f> {
    file: &'f str,
    /// Of the table, with a full stop at its end; empty at the top.
    prefix: String,
    table: Table,
}

impl<'f> Fields<'f> {
    /// Refuses keys that are not `known`.
    pub(super) fn new(
        file: &'f str,
        prefix: &str,
        table: Table,
        known: &[&str],
    ) -> Result<Self, PolicyError> {
        if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(PolicyError::UnknownKey {
                file: file.to_owned(),
                key: format!("{prefix}{key}"),
                hint: hint(key, known.iter().copied()),
                allowed: listed(known.iter().copied()),
            });
        }
        Ok(Self { file, prefix: prefix.to_owned(), table })
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    /// The error for a value of `key` that will not do.
    pub(super) fn refuse(
        &self,
        key: &str,
        value: &Value,
        allowed: impl Into<String>,
    ) -> PolicyError {
        refused(self.file, format!("{}{key}", self.prefix), value, allowed.into())
    }

    /// As [`Self::refuse`], for one word out of `known`.
    pub(super) fn refuse_word<'k>(
        &self,
        key: &str,
        typed: &str,
        known: impl IntoIterator<Item = &'k str> + Clone,
    ) -> PolicyError {
        PolicyError::Value {
            file: self.file.to_owned(),
            key: format!("{}{key}", self.prefix),
            value: shown(&Value::from(typed)),
            allowed: listed(known.clone()),
            hint: hint(typed, known),
        }
    }

    pub(super) fn missing(&self, key: &str, allowed: impl Into<String>) -> PolicyError {
        PolicyError::MissingKey {
            file: self.file.to_owned(),
            key: format!("{}{key}", self.prefix),
            allowed: allowed.into(),
        }
    }

    pub(super) fn text(&mut self, key: &str, allowed: &str) -> Result<String, PolicyError> {
        self.text_if_any(key, allowed)?.ok_or_else(|| self.missing(key, allowed))
    }

    pub(super) fn text_if_any(
        &mut self,
        key: &str,
        allowed: &str,
    ) -> Result<Option<String>, PolicyError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.trim().is_empty() && text.len() <= MAX_TEXT => {
                Ok(Some(text))
            }
            Some(value) => Err(self.refuse(
                key,
                &value,
                format!("{allowed} (text, not empty, up to {MAX_TEXT} bytes)"),
            )),
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, PolicyError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(flag)) => Ok(Some(flag)),
            Some(value) => Err(self.refuse(key, &value, "true or false")),
        }
    }

    pub(super) fn count(
        &mut self,
        key: &str,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, PolicyError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let count = value
            .as_integer()
            .and_then(|count| u64::try_from(count).ok())
            .filter(|count| (least..=most).contains(count));
        count
            .map(Some)
            .ok_or_else(|| self.refuse(key, &value, format!("a whole number, {least} to {most}")))
    }

    pub(super) fn number(
        &mut self,
        key: &str,
        least: f64,
        most: f64,
    ) -> Result<Option<f64>, PolicyError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let found = number(&value).filter(|found| (least..=most).contains(found));
        found
            .map(Some)
            .ok_or_else(|| self.refuse(key, &value, format!("a number, {least} to {most}")))
    }

    pub(super) fn table(
        &mut self,
        key: &str,
        known: &[&str],
    ) -> Result<Option<Fields<'f>>, PolicyError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => {
                Fields::new(self.file, &format!("{}{key}.", self.prefix), table, known).map(Some)
            }
            Some(value) => Err(self.refuse(key, &value, "a table")),
        }
    }

    /// An array of `least..=most` items; missing counts as an error.
    pub(super) fn array(
        &mut self,
        key: &str,
        what: &str,
        least: usize,
        most: usize,
    ) -> Result<Vec<Value>, PolicyError> {
        let allowed = if least == most {
            format!("an array of {least} {what}")
        } else {
            format!("an array of {least} to {most} {what}")
        };
        match self.take(key) {
            None => Err(self.missing(key, allowed)),
            Some(Value::Array(items)) if (least..=most).contains(&items.len()) => Ok(items),
            Some(Value::Array(items)) => {
                Err(self.refuse(key, &Value::from(format!("({} items)", items.len())), allowed))
            }
            Some(value) => Err(self.refuse(key, &value, allowed)),
        }
    }

    /// As [`Self::array`], of tables.
    pub(super) fn tables(
        &mut self,
        key: &str,
        known: &[&str],
        least: usize,
        most: usize,
    ) -> Result<Vec<Fields<'f>>, PolicyError> {
        let items = self.array(key, "tables", least, most)?;
        let read = |(place, item)| match item {
            Value::Table(table) => {
                Fields::new(self.file, &format!("{}{key}[{place}].", self.prefix), table, known)
            }
            value => Err(self.refuse(&format!("{key}[{place}]"), &value, "a table")),
        };
        items.into_iter().enumerate().map(read).collect()
    }

    /// As [`Self::array`], of finite numbers that fit f32.
    pub(super) fn numbers(
        &mut self,
        key: &str,
        least: usize,
        most: usize,
    ) -> Result<Vec<f32>, PolicyError> {
        let items = self.array(key, "numbers", least, most)?;
        let read = |(place, item): (usize, &Value)| {
            let found = number(item).map(|found| found as f32).filter(|found| found.is_finite());
            found.ok_or_else(|| self.refuse(&format!("{key}[{place}]"), item, "a finite number"))
        };
        items.iter().enumerate().map(read).collect()
    }
}

/// A finite number, whole or not.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(found) => Some(*found).filter(|found| found.is_finite()),
        Value::Integer(found) => Some(*found as f64),
        _ => None,
    }
}

/// The error for a value that will not do; `key` with its tables.
pub(super) fn refused(file: &str, key: String, value: &Value, allowed: String) -> PolicyError {
    PolicyError::Value {
        file: file.to_owned(),
        key,
        value: shown(value),
        allowed,
        hint: String::new(),
    }
}

/// The value as an error repeats it: one line, not too long.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Array(items) => format!("(an array of {})", items.len()),
        Value::Table(table) => format!("(a table of {})", table.len()),
        plain => plain.to_string().replace('\n', " "),
    };
    if text.chars().count() <= SHOWN {
        text
    } else {
        text.chars().take(SHOWN).chain("...".chars()).collect()
    }
}
