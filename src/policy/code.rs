//! The words for the reasons of decisions, in one table: records, metrics and
//! docs/reference/records.md use these and no others.

use super::Code;

impl Code {
    /// Every code, in the order of docs/reference/records.md.
    pub const ALL: [Self; 19] = [
        Self::Fixed,
        Self::Entry,
        Self::Premodel,
        Self::Fallback,
        Self::Unfamiliar,
        Self::Drawn,
        Self::Cheaper,
        Self::Unchanged,
        Self::Sure,
        Self::Worthwhile,
        Self::NotWorthwhile,
        Self::Unsure,
        Self::Last,
        Self::OutOfTime,
        Self::NotAllowed,
        Self::Abstained,
        Self::EngineFailed,
        Self::Paused,
        Self::Budget,
    ];

    /// The word used in records and metrics; kebab-case. A new variant belongs in [`Code::ALL`]
    /// too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Entry => "entry",
            Self::Premodel => "premodel",
            Self::Fallback => "fallback",
            Self::Unfamiliar => "unfamiliar",
            Self::Drawn => "drawn",
            Self::Cheaper => "cheaper",
            Self::Unchanged => "unchanged",
            Self::Sure => "sure",
            Self::Worthwhile => "worthwhile",
            Self::NotWorthwhile => "not-worthwhile",
            Self::Unsure => "unsure",
            Self::Last => "last",
            Self::OutOfTime => "out-of-time",
            Self::NotAllowed => "not-allowed",
            Self::Abstained => "abstained",
            Self::EngineFailed => "engine-failed",
            Self::Paused => "paused",
            Self::Budget => "budget",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_and_has_its_own_word() {
        let names: std::collections::BTreeSet<_> =
            Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(
            Code::ALL.iter().enumerate().all(|(at, code)| *code as usize == at),
            "declaration order, none skipped"
        );
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }
}
