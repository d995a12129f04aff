//! Text and numbers as HTML: what is escaped, how many digits, which minus sign. Pure.

use crate::lab::evaluation::Interval;

/// Longest text that is shown, in characters; the rest is cut off.
const LONGEST: usize = 400;

/// A word from outside, safe in text and in quoted attributes. Control and direction characters
/// become U+FFFD.
pub(super) fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for character in raw.chars().take(LONGEST) {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                safe.push('\u{fffd}')
            }
            control if control.is_control() => safe.push('\u{fffd}'),
            plain => safe.push(plain),
        }
    }
    if raw.chars().nth(LONGEST).is_some() {
        safe.push('…');
    }
    safe
}

/// As [`text`], with a chance to break the line behind each hyphen and underscore.
pub(super) fn breakable(raw: &str) -> String {
    text(raw).replace('-', "-<wbr>").replace('_', "_<wbr>")
}

/// At most so many characters of a name, for places where room is short.
pub(super) fn short(raw: &str, most: usize) -> String {
    if raw.chars().count() <= most {
        raw.to_owned()
    } else {
        raw.chars().take(most.saturating_sub(1)).chain(['…']).collect()
    }
}

/// A number with so many digits behind the point, and a real minus sign; a dash for what is no
/// number.
pub(super) fn number(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let plain = format!("{value:.digits$}");
    match plain.strip_prefix('-') {
        Some(size) if size.chars().all(|c| matches!(c, '0' | '.')) => size.to_owned(),
        Some(size) => format!("−{size}"),
        None => plain,
    }
}

/// With its sign.
pub(super) fn signed(value: f64, digits: usize) -> String {
    let plain = number(value, digits);
    if value > 0.0 && plain.chars().any(|c| c.is_ascii_digit() && c != '0') {
        format!("+{plain}")
    } else {
        plain
    }
}

/// A share as per cent, one digit, without the sign.
pub(super) fn percent(share: f64) -> String {
    number(share * 100.0, 1)
}

/// Milliseconds, without the unit.
pub(super) fn ms(value: f64) -> String {
    number(value, if value.abs() < 1.0 { 3 } else { 2 })
}

/// A 95 % interval of points.
pub(super) fn points_ci(interval: Interval) -> String {
    format!("[{}, {}]", signed(interval.low, 1), signed(interval.high, 1))
}

/// A 95 % interval of shares, in per cent.
pub(super) fn percent_ci(interval: Interval) -> String {
    format!("[{}, {}]", percent(interval.low), percent(interval.high))
}

/// A coordinate: short, and never anything but a number.
pub(super) fn px(value: f64) -> String {
    if value.is_finite() { format!("{value:.1}") } else { "0".into() }
}

/// A section with its heading. `body` is HTML.
pub(super) fn section(id: &str, heading: &str, body: &str) -> String {
    format!("<section id=\"{id}\">\n<h2>{}</h2>\n{body}</section>\n", text(heading))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_stays_markup() {
        assert_eq!(text("<b a=\"'&\">"), "&lt;b a=&quot;&#39;&amp;&quot;&gt;");
        assert_eq!(text("a\u{202e}b\nc\0"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(text(&"x".repeat(1000)).chars().count(), LONGEST + 1);
        assert_eq!((short("abcd", 4).as_str(), short("abcde", 4).as_str()), ("abcd", "abc…"));
        assert_eq!(breakable("a-b<"), "a-<wbr>b&lt;");
    }

    #[test]
    fn numbers_have_one_zero_a_real_minus_and_never_nan() {
        assert_eq!(
            (number(-0.04, 1).as_str(), number(-1.25, 1).as_str(), number(f64::NAN, 1).as_str()),
            ("0.0", "−1.2", "–")
        );
        assert_eq!(
            (signed(0.04, 1).as_str(), signed(2.0, 1).as_str(), signed(-2.0, 1).as_str()),
            ("0.0", "+2.0", "−2.0")
        );
        assert_eq!(
            (percent(0.8412).as_str(), ms(0.0036).as_str(), ms(15.812).as_str()),
            ("84.1", "0.004", "15.81")
        );
        assert_eq!(px(f64::INFINITY), "0");
    }
}
