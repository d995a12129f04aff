//! Keeps the passwords that cameras need out of logs, metrics and error texts.
//!
//! Pure. [`redact`] knows what a password looks like; [`Secret::scrub`] also knows this one and finds it wherever GStreamer
//! repeats it, percent-encoded or not. When in doubt whether something is a password, it is hidden.

use std::fmt;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Keys whose values are hidden, as properties (`user-pw=x`) and as parts of an URL (`?password=x&...`). `user-id` is the
/// other half of rtspsrc's login.
const KEYS: [&str; 11] =
    ["user-pw", "user-id", "proxy-pw", "proxy-id", "password", "passwd", "passphrase", "pwd", "pass", "token", "secret"];

/// A text that may hold a password. `Display` and `Debug` print it redacted; [`Secret::reveal`] is for GStreamer alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as typed, password included.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` with every password of an URL replaced by `***`, and the secret parts of this text too: as typed, decoded, and
    /// percent-encoded. Secrets of one or two letters are hidden only where they stand in an URL or after their key.
    pub fn scrub(&self, text: &str) -> String {
        let mut out = if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, &redact(&self.0)) };
        for form in self.forms() {
            out = out.replace(&form, HIDDEN);
        }
        redact(&out)
    }

    /// Every way the secrets of this text may be written, longest first so that none leaves a rest.
    fn forms(&self) -> Vec<String> {
        let mut forms = Vec::new();
        for secret in secrets(&self.0).into_iter().map(|span| &self.0[span.0..span.1]) {
            let plain = decode(secret);
            for form in [secret.to_owned(), encode(secret, false), encode(&plain, false), encode(&plain, true), plain] {
                // An '@' inside: whoever splits the URL at the first one takes the rest for the host.
                let rest = form.split_once('@').map(|(_, rest)| format!("{rest}@"));
                forms.extend(rest.into_iter().chain([form]).filter(|form| form.len() > 2));
            }
        }
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        forms
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", redact(&self.0))
    }
}

/// `text` with the password of every URL, and the value of every key that names a secret, replaced by `***`.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end) in secrets(text) {
        out.push_str(&text[done..start]);
        out.push_str(HIDDEN);
        done = end;
    }
    out.push_str(&text[done..]);
    out
}

/// Like [`redact`], for a text that is one URL as a whole: blanks and quotes in its password do not end it.
pub(super) fn redact_url(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    match login_password(&text[start..]).filter(|_| start > 0) {
        Some((from, to)) => redact(&format!("{}{HIDDEN}{}", &text[..start + from], &text[start + to..])),
        None => redact(text),
    }
}

/// An URL with user and password percent-encoded, so that GStreamer splits it where the user meant it to: an '@' or ':' in a
/// password may be typed as it is. What is encoded already stays; an URL without a login is not touched.
pub(super) fn with_encoded_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Some((login, host)) = authority.rsplit_once('@') else { return url.to_owned() };
    let login = match login.split_once(':') {
        Some((user, password)) => format!("{}:{}", encode(user, false), encode(password, false)),
        None => encode(login, false),
    };
    format!("{scheme}://{login}@{host}{path}")
}

/// Byte ranges of the secrets in `text`, in order, not overlapping, none empty.
fn secrets(text: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<_> = text.match_indices("://").filter_map(|(at, sep)| password_after(text, at + sep.len())).collect();
    let lower = text.to_ascii_lowercase(); // the same length, so the same indices
    for key in KEYS {
        found.extend(lower.match_indices(key).filter_map(|(at, key)| value_after(text, at, at + key.len())));
    }
    found.retain(|(start, end)| start < end && &text[*start..*end] != HIDDEN);
    found.sort_unstable();
    let mut apart: Vec<(usize, usize)> = Vec::with_capacity(found.len());
    for (start, end) in found {
        match apart.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => apart.push((start, end)),
        }
    }
    apart
}

/// The password of the URL whose authority starts at `start`: from the first ':' to the last '@'. A '/' in between does not
/// end it, since a password typed raw may hold one; for the same reason nothing between them is shown. The URL ends at a
/// blank, or at the quote it began with.
fn password_after(text: &str, start: usize) -> Option<(usize, usize)> {
    let scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let before = text[..start].trim_end_matches("://").trim_end_matches(scheme);
    let quote = before.chars().next_back().filter(|c| matches!(c, '"' | '\'' | '`' | '<'));
    let quote = quote.map(|c| if c == '<' { '>' } else { c });
    let url = &text[start..];
    let url = &url[..url.find(|c: char| c.is_whitespace() || Some(c) == quote).unwrap_or(url.len())];
    login_password(url).map(|(from, to)| (start + from, start + to))
}

/// In what follows "://", the password: from the first ':' to the last '@'.
fn login_password(url: &str) -> Option<(usize, usize)> {
    let (login, _) = url.rsplit_once('@')?;
    Some((login.find(':')? + 1, login.len()))
}

/// The value of `key=value`, quoted or up to a blank, '&', ';' or ','. `None` if the key is only the end of a longer word or
/// no '=' follows.
fn value_after(text: &str, key_start: usize, key_end: usize) -> Option<(usize, usize)> {
    if text[..key_start].ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let rest = &text[key_end..];
    let value = rest.trim_start().strip_prefix('=')?.trim_start();
    let value = value.strip_prefix("(string)").unwrap_or(value);
    let start = text.len() - value.len();
    match value.chars().next()? {
        quote @ ('"' | '\'') => {
            let inner = &value[1..];
            Some((start + 1, start + 1 + closing(inner, quote).unwrap_or(inner.len())))
        }
        _ => {
            let stops = |c: char| c.is_whitespace() || matches!(c, '&' | ';' | ',' | '"' | '\'');
            Some((start, start + value.find(stops).unwrap_or(value.len())))
        }
    }
}

/// Where the `quote` that ends a quoted value stands; one after a backslash belongs to the value.
fn closing(value: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    value.char_indices().find_map(|(at, c)| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

/// Percent-encodes what RFC 3986 reserves in a login. A '%' before two hex digits counts as encoded already.
fn encode(text: &str, lower: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = byte == b'%' && bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'*' => out.push(byte as char),
            _ if escape => out.push('%'),
            _ if lower => out.push_str(&format!("%{byte:02x}")),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Undoes percent-encoding; what is not UTF-8 afterwards is replaced.
fn decode(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_of_an_url_is_ever_shown() {
        for (typed, shown) in [
            ("rtsp://cam/stream", "rtsp://cam/stream"),
            ("rtsp://admin@cam/1", "rtsp://admin@cam/1"),
            ("rtsp://admin:hunter2@cam:554/1", "rtsp://admin:***@cam:554/1"),
            ("rtsp://admin:a@b:c%d@cam/1", "rtsp://admin:***@cam/1"),
            ("rtsp://admin:pa/ss?w#d@cam/1", "rtsp://admin:***@cam/1"),
            ("rtsp://admin:p%40ss@cam/1", "rtsp://admin:***@cam/1"),
            ("rtsp://:hunter2@cam", "rtsp://:***@cam"),
            ("rtsp://admin:@cam", "rtsp://admin:@cam"),
            ("rtsp://cam/user=admin&password=hunter2&channel=1", "rtsp://cam/user=admin&password=***&channel=1"),
            ("rtsp://cam/?PWD=hunter2", "rtsp://cam/?PWD=***"),
            (
                "rtspsrc location=\"rtsp://a:hunter2@cam\" user-pw=hunter2 ! x",
                "rtspsrc location=\"rtsp://a:***@cam\" user-pw=*** ! x",
            ),
            ("rtspsrc user-id=admin user-pw=\"hun \\\"ter2\" ! x", "rtspsrc user-id=*** user-pw=\"***\" ! x"),
            ("rtspsrc user-pw = 'hunter2", "rtspsrc user-pw = '***"),
            ("rtspsrc user-pw=(string)hunter2 ! x", "rtspsrc user-pw=(string)*** ! x"),
            ("two rtsp://a:hunter2@x and rtsp://b:hunter2@y", "two rtsp://a:***@x and rtsp://b:***@y"),
            ("rtsp://a:hunter2'\"x@cam", "rtsp://a:***@cam"),
            ("location='rtsp://cam' x='a:b@c'", "location='rtsp://cam' x='a:b@c'"),
            ("bypass=1 compass=2", "bypass=1 compass=2"),
        ] {
            assert_eq!(redact(typed), shown);
            assert_eq!(Secret::new(typed).to_string(), shown);
            assert!(!format!("{:?}", Secret::new(typed)).contains("hunter2"));
        }
    }

    #[test]
    fn what_gstreamer_repeats_is_scrubbed_in_every_spelling() {
        let url = Secret::new("rtsp://admin:p@ss:w%rd@cam/1");
        for told in [
            "Could not open rtsp://admin:p@ss:w%rd@cam/1.",
            "Invalid URL 'rtsp://admin:p%40ss%3Aw%25rd@cam/1'",
            "login p%40ss%3aw%25rd refused",
            "password p@ss:w%rd refused",
            "Could not resolve server name ss:w%rd@cam",
        ] {
            let clean = url.scrub(told);
            assert!(clean.contains("***") && !clean.contains("ss:w") && !clean.contains("ss%3"), "{clean}");
        }
        let encoded = Secret::new("rtsp://admin:p%40ssword@cam/1");
        assert_eq!(encoded.scrub("login p@ssword refused"), "login *** refused");
        let properties = Secret::new("rtspsrc location=rtsp://cam user-id=operator user-pw=hunter2");
        assert_eq!(properties.scrub("operator may not, with hunter2"), "*** may not, with ***");
    }

    #[test]
    fn a_login_is_encoded_once_and_the_path_left_alone() {
        for (typed, sent) in [
            ("rtsp://a:p@s:s%x@cam:554/x@y", "rtsp://a:p%40s%3As%25x@cam:554/x@y"),
            ("rtsp://a:p%40s@cam", "rtsp://a:p%40s@cam"),
            ("rtsp://cam:554/user@1", "rtsp://cam:554/user@1"),
            ("rtsp://me@x@cam", "rtsp://me%40x@cam"),
        ] {
            assert_eq!(with_encoded_login(typed), sent);
        }
    }

    proptest::proptest! {
        #[test]
        fn redacting_never_panics_and_hides_any_password(word in "[a-zA-Z0-9:%/?#@é'\"<>&;,=]{4,12}", noise in ".{0,20}") {
            let url = format!("rtsp://user:{word}@camera/1");
            proptest::prop_assert_eq!(redact(&url), "rtsp://user:***@camera/1");
            let _ = Secret::new(noise.clone()).scrub(&url);
            let clean = Secret::new(url.clone()).scrub(&format!("{noise} {url}"));
            let leak = format!(":{word}@");
            proptest::prop_assert!(!clean.contains(&leak));
        }
    }
}
