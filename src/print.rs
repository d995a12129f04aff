//! What commands print, and what becomes of it when nobody can take it.
//!
//! Standard output is part of the result: what it does not take is an error ([`Error::Io`], exit
//! code 74), but for a reader that went away. Standard error only tells: what it does not take is
//! lost, and changes nothing. `println!` and its like would panic on either. Texts pass through
//! [`Page`], which escapes what could steer a terminal; JSON has its own escapes and goes out as it
//! is.

use std::fmt::{Arguments, Display};
use std::io::{self, StdoutLock, Write};
use std::time::Duration;

use clap::Parser;

use crate::cli::Cli;
pub(crate) use crate::error::STDOUT;
use crate::error::{Error, Kind};
use crate::escape::{Escaped, EscapedLines, needs_escape};

/// Standard output for JSON and other texts that are no page for people.
pub(crate) fn raw() -> StdoutLock<'static> {
    io::stdout().lock()
}

/// Standard output for people: several lines, without colours. Line feeds pass: names go into it as
/// [`Escaped`].
pub(crate) fn page() -> Page<StdoutLock<'static>> {
    Page(raw())
}

/// One line for people on standard output.
pub(crate) fn line(text: impl Display) -> Result<(), Error> {
    writeln!(raw(), "{}", Escaped(text)).map_err(Error::io(STDOUT))
}

/// Hands on what standard output still holds back.
pub(crate) fn flush() -> Result<(), Error> {
    io::stdout().flush().map_err(Error::io(STDOUT))
}

/// One line on standard error, if it takes it.
pub(crate) fn tell(text: impl Display) {
    say(format_args!("{}\n", Escaped(text)));
}

/// Text that is escaped already on standard error, if it takes it: all at once, so that no line of
/// the log comes between.
pub(crate) fn say(text: Arguments<'_>) {
    let _ = io::stderr().write_all(text.to_string().as_bytes());
}

/// As [`say`], but whoever does not read it is waited for no longer than `limit`.
pub(crate) fn say_within(limit: Duration, text: Arguments<'_>) {
    let text = text.to_string();
    let (done, is_done) = std::sync::mpsc::channel();
    let write = move || {
        let _ = io::stderr().write_all(text.as_bytes());
        let _ = done.send(());
    };
    // Without a thread nobody can be waited for within a limit.
    if std::thread::Builder::new().name("stderr".into()).spawn(write).is_ok() {
        let _ = is_done.recv_timeout(limit);
    }
}

/// A page beside work that goes on whether or not anybody can read it; what went wrong is kept for
/// the end.
pub(crate) struct Report {
    page: Page<StdoutLock<'static>>,
    failed: Option<io::Error>,
}

impl Report {
    /// Nothing is printed yet.
    pub(crate) fn begin() -> Self {
        Self { page: page(), failed: None }
    }

    /// Prints a line, unless printing has failed before.
    pub(crate) fn say(&mut self, line: impl Display) {
        if self.failed.is_none() {
            self.failed = writeln!(self.page, "{}", Escaped(line)).err();
        }
    }

    /// The work is done; an error if not all could be printed.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.failed.map_or(Ok(()), |error| Err(Error::io(STDOUT)(error)))
    }
}

/// Lets text through, with whatever could steer a terminal escaped; line feeds stay.
pub(crate) struct Page<W>(W);

impl<W: Write> Write for Page<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(text) {
            Ok(text) => write!(self.0, "{}", EscapedLines(text))?,
            Err(_) => write!(self.0, "{}", EscapedLines(String::from_utf8_lossy(text)))?,
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Prints why the command failed, if that is not told yet, and gives the exit code. `outcome` is
/// that of the whole program.
pub(crate) fn end(outcome: Result<(), Error>) -> u8 {
    // What is still held back belongs to the result, too.
    let outcome = match (outcome, flush()) {
        (Ok(()), flushed) => flushed,
        (failed, _) => failed,
    };
    match outcome {
        Ok(()) => 0,
        Err(error) if error.is_broken_pipe() => 0,
        Err(error) => {
            if !error.is_told() {
                say(format_args!("squint: {}\n", error.shown()));
            }
            error.exit_code()
        }
    }
}

/// Prints help, version or a usage error as clap has it, and gives the exit code.
pub(crate) fn usage(usage: &clap::Error) -> u8 {
    if !usage.use_stderr() {
        return end(usage.print().map_err(Error::io(STDOUT)));
    }
    // What was typed is told in the error, and names of files are typed by scripts, too: it is made
    // anew of escaped words.
    let typed: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    match typed.iter().any(|word| word.chars().any(needs_escape)) {
        true => {
            let escaped = typed.iter().map(|word| Escaped(word).to_string());
            match Cli::try_parse_from(escaped) {
                Err(usage) if usage.use_stderr() => drop(usage.print()),
                _ => say(format_args!("{}", EscapedLines(usage.render()))),
            }
        }
        false => drop(usage.print()),
    }
    Kind::Usage.code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_its_lines_and_escapes_what_steers_a_terminal() {
        let mut page = Page(Vec::new());
        writeln!(page, "ok   {:<8} Gänse\u{202e}", "a\x1b[31m").unwrap();
        page.write_all(b"\xff\x07\n").unwrap();
        assert_eq!(
            String::from_utf8(page.0).unwrap(),
            "ok   a\\u{1b}[31m   Gänse\\u{202e}\n\u{fffd}\\u{7}\n"
        );
    }
}
