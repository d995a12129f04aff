//! Text from outside on its way to a terminal or a log: whatever could steer the terminal or pass
//! for a line of its own is shown escaped.
//!
//! Pure. File names, policies, cameras, classes and what another program sent are written by
//! others. Each place where such text leaves for people writes it through [`Escaped`]; JSON has its
//! own escapes and does without.

use std::fmt::{self, Display, Write};

/// `T` on one line, with control and direction characters written as Rust writes them: `\n`,
/// `\u{1b}`. All other characters stay.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper { out: f, line_feeds: false }, "{}", self.0)
    }
}

/// As [`Escaped`], but for line feeds, which stay: for text of several lines whose parts are known
/// to be escaped.
#[derive(Clone, Copy, Debug)]
pub struct EscapedLines<T>(pub T);

impl<T: Display> Display for EscapedLines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper { out: f, line_feeds: true }, "{}", self.0)
    }
}

/// True for characters that steer a terminal, or change the order or the place of those around
/// them: controls (C0, DEL, C1), line and paragraph separators, marks and overrides of direction,
/// characters without width.
pub fn needs_escape(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(char, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Escapes what passes through.
struct Escaper<'a, W> {
    out: &'a mut W,
    /// They stay.
    line_feeds: bool,
}

impl<W: Write> Write for Escaper<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, char)) = rest
            .char_indices()
            .find(|(_, char)| needs_escape(*char) && !(self.line_feeds && *char == '\n'))
        {
            self.out.write_str(&rest[..at])?;
            match char {
                '\n' => self.out.write_str("\\n")?,
                '\r' => self.out.write_str("\\r")?,
                '\t' => self.out.write_str("\\t")?,
                other => write!(self.out, "\\u{{{:x}}}", u32::from(other))?,
            }
            rest = &rest[at + char.len_utf8()..];
        }
        self.out.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_steers_a_terminal_or_passes_for_another_line() {
        let cases = [
            ("kitten.png", "kitten.png"),
            ("Gänse, 鹅, 🦢", "Gänse, 鹅, 🦢"),
            ("x\nERROR on fire", "x\\nERROR on fire"),
            ("a\r\tb", "a\\r\\tb"),
            ("\u{1b}[31mred\u{7}\u{7f}", "\\u{1b}[31mred\\u{7}\\u{7f}"),
            ("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}"),
            (
                "gnp\u{202e}.exe\u{2066}\u{2069}\u{200f}\u{61c}",
                "gnp\\u{202e}.exe\\u{2066}\\u{2069}\\u{200f}\\u{61c}",
            ),
            ("a\u{2028}b\u{2029}c\u{feff}", "a\\u{2028}b\\u{2029}c\\u{feff}"),
        ];
        for (text, shown) in cases {
            assert_eq!(Escaped(text).to_string(), shown);
        }
        assert_eq!(EscapedLines("one\ntwo\u{1b}\r").to_string(), "one\ntwo\\u{1b}\\r");
    }
}
