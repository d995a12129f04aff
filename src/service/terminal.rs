//! Lines for people on standard error, as env_logger styles them: the level, then the text.
//!
//! Only writes; which lines there are is decided in [`super::logger`].

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use env_logger::{Builder, Target};
use log::{LevelFilter, Log, Record};

use super::line::Line;

/// Standard error, or what stands for it in tests.
pub struct Terminal(env_logger::Logger);

impl Terminal {
    /// Standard error; with colours on a terminal, unless `NO_COLOR` is set.
    pub fn stderr() -> Self {
        Self(builder().build())
    }

    /// Writes to `out` instead, without colours.
    pub fn on(out: Box<dyn Write + Send>) -> Self {
        Self(builder().target(Target::Pipe(out)).build())
    }

    /// Writes one line, as long as that takes.
    pub(super) fn write(&self, line: &Line) {
        // What follows the first line is set in, so that it cannot pass for a line of its own.
        let message: Cow<'_, str> = match line.message.contains('\n') {
            true => line.message.replace('\n', "\n      ").into(),
            false => line.message.as_str().into(),
        };
        self.0.log(
            &Record::builder()
                .level(line.level)
                .target(&line.target)
                .args(format_args!("{message}"))
                .build(),
        );
    }
}

/// True if somebody looks at standard error as it is written.
pub(super) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.filter_level(LevelFilter::Trace);
    // A status line may stand in the line of the terminal that is written to next.
    let erase = if is_watched() && std::env::var_os("TERM").is_some_and(|term| term != "dumb") {
        "\r\x1b[2K"
    } else {
        ""
    };
    builder.format(move |out, record| {
        let style = out.default_level_style(record.level());
        writeln!(out, "{erase}{style}{:<5}{style:#} {}", record.level(), record.args())
    });
    builder
}
