//! What a run of the program may end with: kinds, and the exit code that each maps to.
//!
//! | code | kind | what the caller may do |
//! |---|---|---|
//! | 0 | | it worked |
//! | 1 | [`Kind::Differs`] | see what turned out otherwise |
//! | 64 | [`Kind::Usage`] | type another command line |
//! | 69 | [`Kind::Missing`] | install or connect what is named |
//! | 70 | [`Kind::Bug`] | tell us |
//! | 74 | [`Kind::Io`] | look at the disk, the pipe or the rights |
//! | 75 | [`Kind::Unanswered`] | give the engines more time, or see what they could not read |
//! | 78 | [`Kind::Configuration`] | mend the configuration; starting again will not help |
//!
//! Pure. The numbers are those of sysexits.h, so that a unit file can say
//! `RestartPreventExitStatus=64 78`.

use std::fmt;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::control::ControlError;
use crate::engine::EngineError;
use crate::escape::Escaped;
use crate::lab::LabError;
use crate::pipeline::PipelineError;
use crate::policy::file::PolicyError;
use crate::sink::SinkError;
use crate::source::SourceError;

/// What errors about standard output name.
pub(crate) const STDOUT: &str = "standard output";

/// What sort of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What was compared is not the same.
    Differs,
    /// The command line is wrong.
    Usage,
    /// A camera, a library, a device or a service is not there.
    Missing,
    /// Something that cannot happen did.
    Bug,
    /// Reading or writing failed, or records were lost.
    Io,
    /// Most frames of a finite source got no answer.
    Unanswered,
    /// A configuration, policy or engine file is wrong.
    Configuration,
}

impl Kind {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Differs => 1,
            Self::Usage => 64,
            Self::Missing => 69,
            Self::Bug => 70,
            Self::Io => 74,
            Self::Unanswered => 75,
            Self::Configuration => 78,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Differs => "differs",
            Self::Usage => "usage",
            Self::Missing => "missing",
            Self::Bug => "bug",
            Self::Io => "io",
            Self::Unanswered => "unanswered",
            Self::Configuration => "configuration",
        })
    }
}

/// Why the program ends early. Each text says what happened, to whom, and where it can what to do
/// next; none holds a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that does not exist or does not fit together.
    #[error("{0}")]
    Usage(String),
    /// The configuration cannot be used; a line for each mistake.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A policy, profile, engine or labels file cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A policy file cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The lab cannot learn from what it was given.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A sink cannot be opened.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Nobody can listen for control requests.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The pipeline could not start or did not end.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// Something is wrong with what is installed or configured; the details were printed.
    #[error("{0}")]
    Unfit(String),
    /// An engine cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A source cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Something that must be there for this is not.
    #[error("{0}")]
    Missing(String),
    /// Reading or writing failed.
    #[error("{what}: {reason}")]
    Io {
        /// What was read or written, a path or `standard output`.
        what: String,
        /// What the system said.
        #[source]
        reason: std::io::Error,
    },
    /// Records of a finite source were lost: a file or a pipe took less than it was given.
    #[error("{0}")]
    Lost(String),
    /// Most frames of a finite source got no answer.
    #[error("{0}")]
    Unanswered(String),
    /// The log or standard error has it already; nothing more is to be said.
    #[error("see above")]
    Told(Kind),
    /// An invariant does not hold.
    #[error("{0}; this is a bug in squint, please report it")]
    Bug(String),
}

impl Error {
    /// An [`Error::Io`] about `what`, for `map_err`.
    pub fn io(what: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_string();
        move |reason| Self::Io { what, reason }
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Usage(_) => Kind::Usage,
            Self::Lab(LabError::Unwritten { .. }) => Kind::Io,
            Self::Config(_)
            | Self::File { .. }
            | Self::Policy(_)
            | Self::Lab(_)
            | Self::Unfit(_) => Kind::Configuration,
            Self::Engine(EngineError::RuntimeMissing { .. })
            | Self::Source(_)
            | Self::Missing(_) => Kind::Missing,
            Self::Engine(EngineError::Model { .. }) => Kind::Configuration,
            Self::Pipeline(PipelineError::Engine(EngineError::RuntimeMissing { .. })) => {
                Kind::Missing
            }
            Self::Pipeline(PipelineError::Engine(EngineError::Model { .. })) => Kind::Configuration,
            Self::Engine(_) | Self::Pipeline(_) | Self::Bug(_) => Kind::Bug,
            Self::Io { .. } | Self::Lost(_) | Self::Sink(_) | Self::Control(_) => Kind::Io,
            Self::Unanswered(_) => Kind::Unanswered,
            Self::Told(kind) => *kind,
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        self.kind().code()
    }

    /// True if there is nothing more to say.
    pub fn is_told(&self) -> bool {
        matches!(self, Self::Told(_))
    }

    /// True for a reader of standard output that went away (`squint run | head`): no mistake of
    /// anybody, end quietly.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { what, reason } if what == STDOUT && reason.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// As people see it: fit for a terminal, whatever names and files put into it. A line for each
    /// mistake in a configuration, else one.
    pub fn shown(&self) -> String {
        match self {
            Self::Config(error) if !error.problems().is_empty() => error
                .problems()
                .iter()
                .map(|problem| Escaped(problem).to_string())
                .collect::<Vec<_>>()
                .join("\n"),
            other => Escaped(other).to_string(),
        }
    }

    /// As [`Error::shown`], in one line, for logs and answers.
    pub fn in_one_line(&self) -> String {
        self.shown().replace('\n', "; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let library = "libonnxruntime.so";
        let absent =
            EngineError::RuntimeMissing { id: "lite0".into(), library, reason: "not found".into() };
        let cases = [
            (Error::Usage("no such command".into()), 64),
            (Error::Engine(absent), 69),
            (Error::Source(SourceError::Ended { origin: "csi:0".into() }), 69),
            (Error::Bug("two first frames".into()), 70),
            (Error::io("standard output")(std::io::ErrorKind::BrokenPipe.into()), 74),
            (Error::Lost("12 by stdout".into()), 74),
            (Error::Unanswered("none of 20".into()), 75),
            (Error::Config(ConfigError::Wrong { problems: Vec::new() }), 78),
            (Error::File { path: "default.policy.toml".into(), reason: "is empty".into() }, 78),
        ];
        for (error, code) in cases {
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }

    #[test]
    fn a_reader_that_left_is_told_apart() {
        assert!(
            Error::io("standard output")(std::io::ErrorKind::BrokenPipe.into()).is_broken_pipe()
        );
        assert!(
            !Error::io("standard output")(std::io::ErrorKind::StorageFull.into()).is_broken_pipe()
        );
    }
}
