//! One mistake in the configuration, told in one line: where, which key, what was typed, what is
//! allowed, what to do.
//!
//! Pure. Nothing typed reaches a text without going through [`shown`], which takes passwords out.

use std::fmt;
use std::path::PathBuf;

use crate::escape::needs_escape;
use crate::source;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The file, the environment variable or the flag that it came from.
    pub file: String,
    /// Line in the file, from 1.
    pub line: Option<usize>,
    /// The key, cameras by their name; empty if the whole file is meant.
    pub key: String,
    /// What was typed, without passwords.
    pub value: Option<String>,
    /// What is wrong with it, or what is allowed.
    pub allowed: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.allowed)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// It was read, and these are all the mistakes in it. At least one.
    #[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Wrong {
        /// In the order of the file.
        problems: Vec<ConfigProblem>,
    },
}

impl ConfigError {
    /// The mistakes; none if the file could not be read at all.
    pub fn problems(&self) -> &[ConfigProblem] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Wrong { problems } => problems,
        }
    }
}

/// `typed` as it may be printed: one line, not too long, without passwords, even if it is not the
/// address it was meant to be.
pub(super) fn shown(typed: &str) -> String {
    const LONGEST: usize = 80;
    let text = source::shown(typed);
    let flat: String = text.chars().map(|c| if needs_escape(c) { ' ' } else { c }).collect();
    match flat.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}...", &flat[..cut]),
        None => flat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_an_address_shows_its_password() {
        for typed in [
            "rtsp://admin:hunter2@192.0.2.7/live",
            "rtsp//admin:hunter2@192.0.2.7/live",
            "admin:hunter2@192.0.2.7",
            "rtps:/admin:hunter2@192.0.2.7",
            "pipeline:rtspsrc user-id=admin user-pw=hunter2 location=rtsp://192.0.2.7/ ! decodebin",
        ] {
            assert!(!shown(typed).contains("hunter2"), "{}", shown(typed));
        }
    }

    #[test]
    fn a_long_or_broken_value_stays_on_one_line() {
        assert_eq!(shown("a\nb"), "a b");
        assert_eq!(shown("a\u{1b}[31mb"), "a [31mb");
        assert_eq!(shown(&"ö".repeat(200)).chars().count(), 83);
    }
}
