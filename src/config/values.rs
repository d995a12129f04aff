//! One value: of the kind its key wants, or not; and how it is shown.
//!
//! Pure.

use config::{Value, ValueKind};

use super::keys::{Key, Kind};
use super::problem::shown;

/// What the `config` crate writes as the origin of a value from the environment.
pub(super) const ENVIRONMENT: &str = "the environment";

/// The value as the key wants it, or nothing. Texts from the environment are parsed, texts in a
/// file are not.
pub(super) fn typed(key: &Key, value: &Value) -> Option<toml::Value> {
    let text = value.origin() == Some(ENVIRONMENT);
    let text = match &value.kind {
        ValueKind::String(typed) if text => Some(typed.trim()),
        _ => None,
    };
    let integer = || match (&value.kind, text) {
        (_, Some(text)) => text.parse().ok(),
        (ValueKind::I64(number), _) => Some(*number),
        (ValueKind::U64(number), _) => i64::try_from(*number).ok(),
        _ => None,
    };
    let number = |kind: &ValueKind| match kind {
        ValueKind::Float(number) => Some(*number),
        ValueKind::I64(number) => Some(*number as f64),
        _ => None,
    };
    match key.kind {
        Kind::Text | Kind::Path => match &value.kind {
            ValueKind::String(text) if !text.trim().is_empty() => {
                Some(toml::Value::String(text.clone()))
            }
            _ => None,
        },
        Kind::Word(words) => match &value.kind {
            ValueKind::String(word) if words.contains(&word.as_str()) => {
                Some(toml::Value::String(word.clone()))
            }
            _ => None,
        },
        Kind::Flag => match (&value.kind, text) {
            (_, Some(text)) => text.parse().ok().map(toml::Value::Boolean),
            (ValueKind::Boolean(flag), _) => Some(toml::Value::Boolean(*flag)),
            _ => None,
        },
        Kind::Integer(low, high) => {
            integer().filter(|n| (low..=high).contains(n)).map(toml::Value::Integer)
        }
        Kind::OneOf(numbers) => integer().filter(|n| numbers.contains(n)).map(toml::Value::Integer),
        Kind::Number(low, high) => {
            let number = text.map_or_else(|| number(&value.kind), |text| text.parse().ok());
            number.filter(|n| (low..=high).contains(n)).map(toml::Value::Float)
        }
        Kind::Shares => match &value.kind {
            ValueKind::Array(items) if items.len() == 4 => items
                .iter()
                .map(|item| {
                    number(&item.kind).filter(|n| (0.0..=1.0).contains(n)).map(toml::Value::Float)
                })
                .collect::<Option<Vec<_>>>()
                .map(toml::Value::Array),
            _ => None,
        },
    }
}

/// A value as it may be printed.
pub(super) fn printed(kind: &ValueKind) -> String {
    match kind {
        ValueKind::String(text) => format!("\"{}\"", shown(text)),
        ValueKind::Boolean(flag) => flag.to_string(),
        ValueKind::I64(number) => number.to_string(),
        ValueKind::U64(number) => number.to_string(),
        ValueKind::Float(number) => number.to_string(),
        ValueKind::Array(items) => {
            let items: Vec<_> = items.iter().take(8).map(|item| printed(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Table(_) => "{...}".into(),
        _ => "?".into(),
    }
}
