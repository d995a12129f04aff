//! The elements of a gst-launch text by name: all of a `pipeline:` source that is shown outside the
//! program.
//!
//! Pure. A property's value may hold a password and GStreamer's quoting has corners, so only what
//! stands where an element must stand and looks like the name of one is told; from the first
//! doubtful quote on, nothing is.

/// Longest name of an element.
const LONGEST: usize = 48;
/// Most names that are told.
const MOST: usize = 16;

/// A gst-launch text taken apart as far as it is certain.
pub(super) struct Parts<'a> {
    /// Names of elements, in order.
    pub(super) names: Vec<&'a str>,
    /// Caps and other plain tokens between the elements.
    pub(super) plain: Vec<&'a str>,
    /// Values of properties, and all that is doubtful.
    pub(super) values: Vec<&'a str>,
    /// False if the text goes on where nothing is certain.
    whole: bool,
}

impl<'a> Parts<'a> {
    /// Takes `text` apart.
    pub(super) fn of(text: &'a str) -> Self {
        let mut parts =
            Self { names: Vec::new(), plain: Vec::new(), values: Vec::new(), whole: true };
        let (mut left, mut element_is_due) = (text, true);
        loop {
            left = left.trim_start();
            if left.is_empty() {
                return parts;
            }
            let Some(length) = token(left) else {
                parts.values.push(left);
                parts.whole = false;
                return parts;
            };
            let (token, after) = left.split_at(length);
            left = after;
            match token {
                "!" => element_is_due = true,
                _ if element_is_due && is_name(token) => {
                    parts.names.push(token);
                    element_is_due = false;
                }
                // Caps: `video/x-raw,width=640`.
                _ if element_is_due
                    && token
                        .split(',')
                        .next()
                        .is_some_and(|kind| kind.contains('/') && !kind.contains('=')) =>
                {
                    parts.plain.push(token);
                    element_is_due = false;
                }
                _ => {
                    element_is_due = false;
                    parts.values.push(token.split_once('=').map_or(token, |(_, value)| value));
                }
            }
        }
    }

    /// `rtspsrc ! decodebin`; `...` stands for what is not told.
    pub(super) fn told(&self) -> String {
        let mut told = self.names.iter().take(MOST).copied().collect::<Vec<_>>();
        if !self.whole || self.names.len() > MOST || told.is_empty() {
            told.push("...");
        }
        told.join(" ! ")
    }
}

fn is_name(token: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    token.len() <= LONGEST
        && token.starts_with(|c: char| c.is_ascii_lowercase())
        && token.chars().all(good)
}

/// Length of the token at the start of `text`, which begins with no blank. A quote opens only at
/// its start or behind its first `=`; anywhere else GStreamer may read it otherwise than its
/// author: `None`, as for a quote without an end.
fn token(text: &str) -> Option<usize> {
    if text.starts_with('!') {
        return Some(1);
    }
    let mut has_equals = false;
    let mut may_quote = true;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match c {
            _ if c.is_whitespace() => break,
            '!' if !has_equals => break,
            '\\' => {
                at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8);
                may_quote = false;
                continue;
            }
            '"' | '\'' if may_quote => {
                at += 1 + quoted(&text[at + 1..], c)?;
                // Something glued to a closing quote is no longer certain.
                return text[at..].chars().next().is_none_or(char::is_whitespace).then_some(at);
            }
            '"' | '\'' => return None,
            _ => {}
        }
        // GStreamer allows blanks around `=`: `user-pw = x`. What comes next is a value, whatever
        // it looks like.
        may_quote = c == '=' && !has_equals;
        has_equals |= c == '=';
        at += c.len_utf8();
    }
    Some(at)
}

/// Length up to and with the closing quote.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return Some(at + 1);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_elements_are_told_and_no_value_is() {
        for (text, told) in [
            ("rtspsrc location=rtsp://c user-pw=hunter2 ! decodebin", "rtspsrc ! decodebin"),
            (
                "rtspsrc user-pw=abc&hunter2 protocols=tcp!rtph264depay ! avdec_h264",
                "rtspsrc ! avdec_h264",
            ),
            ("v4l2src ! video/x-raw,width=640 ! videoconvert", "v4l2src ! videoconvert"),
            ("fakesrc!x", "fakesrc ! x"),
            ("a user-pw=\"b ! hunter2 ! c\" ! d", "a ! d"),
            ("a user-pw='b ! hunter2' ! d", "a ! d"),
            ("a user-pw=b\\ !\\ hunter2 ! d", "a ! d"),
            ("a user-pw = hunter2 ! d", "a ! d"),
            ("a user-pw=(string)\"b ! hunter2 ! c\" ! d", "a ! ..."),
            ("a user-pw=\"b\"hunter2 ! d", "a ! ..."),
            ("a location=\"rtsp://a:hunter2@c ! d", "a ! ..."),
            ("a user-pw=it's hunter2 ! d", "a ! ..."),
            ("video/x-raw ! HUNTER2", "..."),
            ("videotestsrc ! c. audiotestsrc ! concat name=c", "videotestsrc ! concat"),
            ("", "..."),
        ] {
            assert_eq!(Parts::of(text).told(), told, "{text}");
        }
        let many = vec!["queue"; 40].join(" ! ");
        assert_eq!(Parts::of(&many).told().matches("queue").count(), MOST);
    }

    proptest::proptest! {
        #[test]
        fn taking_a_text_apart_never_panics_and_shows_no_quoted_value(word in "[a-z !\\\\é=]{0,16}", noise in ".{0,24}") {
            let _ = Parts::of(&noise).told();
            let word = word.replace('\\', "");
            let text = format!("fakesrc secret=\"{word} q7q\" ! queue");
            proptest::prop_assert_eq!(Parts::of(&text).told(), "fakesrc ! queue");
        }
    }
}
