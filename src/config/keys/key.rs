//! What a configuration key is: its type, its default, and how both are put into words.
//!
//! Pure.

use std::fmt;

use super::variable;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A path; relative ones count from the working directory.
    Path,
    /// A whole number within bounds, both included.
    Integer(i64, i64),
    /// A number within bounds, both included.
    Number(f64, f64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these numbers.
    OneOf(&'static [i64]),
    /// `[x, y, width, height]`, shares of the frame, 0..=1.
    Shares,
}

impl Kind {
    /// One word for the reference.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Path => "path",
            Self::Integer(..) | Self::OneOf(_) => "integer",
            Self::Number(..) => "number",
            Self::Flag => "true or false",
            Self::Word(_) => "word",
            Self::Shares => "four numbers",
        }
    }
}

impl fmt::Display for Kind {
    /// What is allowed, as the end of the sentence "must be ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a text in quotes"),
            Self::Path => f.write_str("a path in quotes"),
            Self::Integer(low, high) => write!(f, "a whole number from {low} to {high}"),
            Self::Number(low, high) => write!(f, "a number from {low} to {high}"),
            Self::Flag => f.write_str("true or false"),
            Self::Word(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                f.write_str(&quoted.join(" or "))
            }
            Self::OneOf(numbers) => {
                let printed: Vec<_> = numbers.iter().map(i64::to_string).collect();
                f.write_str(&printed.join(" or "))
            }
            Self::Shares => f.write_str("[x, y, width, height], shares of the frame from 0 to 1"),
        }
    }
}

/// What holds when a key is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unset {
    /// It must not be left out.
    Required,
    /// No value; the text says what happens then.
    Nothing(&'static str),
    /// This text.
    Text(&'static str),
    /// This whole number.
    Integer(i64),
    /// This flag.
    Flag(bool),
}

impl fmt::Display for Unset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("none, must be given"),
            Self::Nothing(what) => f.write_str(what),
            Self::Text(text) => write!(f, "`\"{text}\"`"),
            Self::Integer(number) => write!(f, "`{number}`"),
            Self::Flag(flag) => write!(f, "`{flag}`"),
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Dotted path from the top of the file; `camera` stands for each `[[camera]]`.
    pub path: &'static str,
    /// What the value may be.
    pub kind: Kind,
    /// Unit, or empty.
    pub unit: &'static str,
    /// What holds when it is left out.
    pub unset: Unset,
    /// A value as it stands in a file.
    pub example: &'static str,
    /// What it does.
    pub doc: &'static str,
}

impl Key {
    /// The table that holds it; empty for the top of the file.
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Its last part.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// What is allowed, with its unit, as the end of the sentence "must be ...".
    pub fn allowed(&self) -> String {
        match self.kind {
            Kind::Integer(..) | Kind::Number(..) | Kind::OneOf(_) if !self.unit.is_empty() => {
                format!("{} {}", self.kind, self.unit)
            }
            kind => kind.to_string(),
        }
    }

    /// The environment variable that sets it; none for cameras, of which there may be many.
    pub fn variable(&self) -> Option<String> {
        (!self.path.starts_with("camera.")).then(|| variable(self.path))
    }
}
