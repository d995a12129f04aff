//! The address of a network source, `scheme://user:password@host:port/path`, taken apart as its
//! author meant it.
//!
//! Pure. A password may hold any character: where the login ends is found by what follows it, and
//! an address that can be read in two ways is refused together with the escape to write. Outside
//! the program only scheme, host and port are shown.

use std::fmt;
use std::net::IpAddr;

/// What ends host and port.
const AFTER_HOST: [char; 3] = ['/', '?', '#'];

/// A network address. `Display` and `Debug` show scheme, host and port, nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    scheme: &'static str,
    /// User and password, decoded.
    login: Option<(String, Option<String>)>,
    /// Host, and port if one is given, as typed.
    host: String,
    /// Path, query and fragment, as typed.
    rest: String,
}

impl Address {
    /// Takes apart `typed`, what follows `scheme://`. The error is a sentence without any part of
    /// the login.
    pub(super) fn parse(scheme: &'static str, typed: &str) -> Result<Self, String> {
        let (login, host, rest) = split(typed)?;
        if let Some(login) = login.filter(|login| login.chars().any(char::is_control)) {
            return Err(format!(
                "the login holds a control character at place {}",
                place_of_control(login)
            ));
        }
        if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("behind the host of an address, a blank is written %20".into());
        }
        let login =
            login.filter(|login| !login.is_empty()).map(|login| match login.split_once(':') {
                Some((user, password)) => (decode(user), Some(decode(password))),
                None => (decode(login), None),
            });
        Ok(Self { scheme, login, host: host.to_owned(), rest: rest.to_owned() })
    }

    /// `rtsp`, `rtsps`, `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Path, query and fragment.
    pub(super) fn rest(&self) -> &str {
        &self.rest
    }

    /// Host, and port if one is given.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The path without query and fragment.
    pub(super) fn path(&self) -> &str {
        self.rest.split(['?', '#']).next().unwrap_or_default()
    }

    /// The user, if the address names one.
    pub fn user(&self) -> Option<&str> {
        self.login.as_ref().map(|(user, _)| user.as_str())
    }

    /// The password, if the address holds one.
    pub(crate) fn password(&self) -> Option<&str> {
        self.login.as_ref().and_then(|(_, password)| password.as_deref())
    }

    /// True if the address holds a password.
    pub fn has_password(&self) -> bool {
        self.password().is_some()
    }

    /// The same place with this login.
    pub(super) fn with_login(&self, user: &str, password: &str) -> Self {
        Self { login: Some((user.to_owned(), Some(password.to_owned()))), ..self.clone() }
    }

    /// The same place without a login.
    pub(super) fn without_login(&self) -> Self {
        Self { login: None, ..self.clone() }
    }

    /// The whole address with its login percent-encoded; reading it gives the same address. For
    /// GStreamer and for files.
    pub(crate) fn reveal(&self) -> String {
        self.reveal_as(self.scheme)
    }

    /// The same under another scheme.
    pub(super) fn reveal_as(&self, scheme: &str) -> String {
        let login = match &self.login {
            Some((user, Some(password))) => format!("{}:{}@", encode(user), encode(password)),
            Some((user, None)) => format!("{}@", encode(user)),
            None => String::new(),
        };
        format!("{scheme}://{login}{}{}", self.host, self.rest)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// How surely a text is the host of an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    /// It could be.
    Possible,
    /// An address in numbers, or `localhost`.
    Certain,
}

/// Login, host and rest.
fn split(typed: &str) -> Result<(Option<&str>, &str, &str), String> {
    let end = typed.find(AFTER_HOST).unwrap_or(typed.len());
    let mut readings = Vec::new();
    if !typed[..end].contains('@') {
        readings.extend(judged(&typed[..end]).map(|sure| (sure, None, 0, end)));
    }
    for (at, _) in typed.match_indices('@') {
        // A user name without password does not hold a `/`: that `@` belongs to the path.
        if at > end && !typed[..at].contains(':') {
            continue;
        }
        let host = &typed[at + 1..];
        let end = at + 1 + host.find(AFTER_HOST).unwrap_or(host.len());
        readings.extend(judged(&typed[at + 1..end]).map(|sure| (sure, Some(at), at + 1, end)));
    }
    let best = readings.iter().map(|(sure, ..)| *sure).max();
    let mut of_best = readings.iter().filter(|(sure, ..)| Some(*sure) == best);
    match (of_best.next(), of_best.next()) {
        (Some((sure, at, start, end)), None) if *sure == Host::Certain || readings.len() == 1 => {
            Ok((at.map(|at| &typed[..at]), &typed[*start..*end], &typed[*end..]))
        }
        (Some(_), _) => {
            Err("it can be read in two ways: in a password write / as %2F, ? as %3F and # as %23, \
                             and behind the host write @ as %40"
                .into())
        }
        (None, _) => Err(no_host(typed).into()),
    }
}

/// Why no reading has a host.
fn no_host(typed: &str) -> &'static str {
    let authority = typed.split(AFTER_HOST).next().unwrap_or_default();
    let host = typed
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host.split(AFTER_HOST).next().unwrap_or_default());
    if host.is_empty() || host.starts_with(':') {
        "the address has no host"
    } else if host.contains(':') && !host.contains('[') {
        "what follows the colon behind the host is no port (1 to 65535); a login ends in @, and an IPv6 host stands in [ ]"
    } else {
        "its host is no name and no number; a login ends in @"
    }
}

/// Whether `host`, which may have a port, is one.
fn judged(host: &str) -> Option<Host> {
    let is_port = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if let Some(rest) = host.strip_prefix('[') {
        let (inner, port) = rest.split_once(']')?;
        let plain = inner.split('%').next().unwrap_or_default();
        let known = plain.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6())
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
        return known.then_some(Host::Certain);
    }
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let named = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-._~".contains(c));
    if !named || port.is_some_and(|port| !is_port(port)) {
        return None;
    }
    let certain = name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost");
    Some(if certain { Host::Certain } else { Host::Possible })
}

fn place_of_control(text: &str) -> usize {
    text.chars().position(char::is_control).map_or(0, |at| at + 1)
}

/// Percent-encodes all that RFC 3986 does not leave free everywhere.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Undoes percent-encoding. A `%` stays one unless two hex digits follow it and the run of escapes
/// it belongs to stands for printable UTF-8: `50%abc` is what it looks like, `50%41` is `50A`.
pub(super) fn decode(text: &str) -> String {
    let (mut out, mut left) = (String::with_capacity(text.len()), text);
    while let Some(at) = left.find('%') {
        out.push_str(&left[..at]);
        left = &left[at..];
        let mut bytes = Vec::new();
        while let Some(byte) = escaped(&left[bytes.len() * 3..]) {
            bytes.push(byte);
        }
        let length = bytes.len() * 3;
        match String::from_utf8(bytes)
            .ok()
            .filter(|plain| !plain.is_empty() && !plain.chars().any(char::is_control))
        {
            Some(plain) => {
                out.push_str(&plain);
                left = &left[length..];
            }
            None => {
                out.push('%');
                left = &left[1..];
            }
        }
    }
    out + left
}

/// The byte of an escape at the start of `text`.
fn escaped(text: &str) -> Option<u8> {
    let hex = text
        .strip_prefix('%')?
        .get(..2)
        .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(hex, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(typed: &str) -> Result<Address, String> {
        Address::parse("rtsp", typed)
    }

    #[test]
    fn a_login_may_hold_any_character_and_is_sent_encoded() {
        for (typed, user, password, host, rest) in [
            ("admin:p@ss:w@127.0.0.1:554/cam", "admin", "p@ss:w", "127.0.0.1:554", "/cam"),
            ("admin:pa/ss@cam/1", "admin", "pa/ss", "cam", "/1"),
            ("admin:pa#ss@cam", "admin", "pa#ss", "cam", ""),
            ("admin:pa?ss@cam.lan?x=1", "admin", "pa?ss", "cam.lan", "?x=1"),
            ("admin:50%abc@cam/1", "admin", "50%abc", "cam", "/1"),
            ("admin:100%@cam/1", "admin", "100%", "cam", "/1"),
            ("admin:p%40ss%2F@cam/1", "admin", "p@ss/", "cam", "/1"),
            ("admin:two words@cam/1", "admin", "two words", "cam", "/1"),
            ("admin:a@b/c?d#e%f g@[::1]:554/1", "admin", "a@b/c?d#e%f g", "[::1]:554", "/1"),
            ("admin:a@b/c?d#e%f g@192.0.2.7/live", "admin", "a@b/c?d#e%f g", "192.0.2.7", "/live"),
            ("ad/min:1/2@localhost/live", "ad/min", "1/2", "localhost", "/live"),
            ("me@x:ü@192.0.2.7/a@b", "me@x", "ü", "192.0.2.7", "/a@b"),
            (":secret@cam", "", "secret", "cam", ""),
        ] {
            let address = parsed(typed).unwrap_or_else(|why| panic!("{typed}: {why}"));
            assert_eq!(
                (address.user(), address.password()),
                (Some(user), Some(password)),
                "{typed}"
            );
            assert_eq!((address.host(), address.rest()), (host, rest), "{typed}");
            let sent = address.reveal();
            let after = sent.strip_prefix("rtsp://").unwrap();
            assert_eq!(parsed(after).as_ref(), Ok(&address), "{sent} is read as the same");
            let login = after.rsplit_once(&format!("@{host}")).unwrap().0;
            assert!(
                !login.contains(['/', '?', '#', '@', ' ']) && login.matches(':').count() == 1,
                "{sent}"
            );
            assert_eq!(
                (address.to_string(), format!("{address:?}")),
                (format!("rtsp://{host}"), format!("rtsp://{host}"))
            );
        }
    }

    #[test]
    fn an_address_without_a_login_keeps_its_path() {
        for (typed, host, rest) in [
            ("cam", "cam", ""),
            ("cam:554/user@1", "", ""),
            ("cam/user@1", "cam", "/user@1"),
            ("192.0.2.7:8554/a@b?c@d", "192.0.2.7:8554", "/a@b?c@d"),
            ("[fe80::1%eth0]/x", "[fe80::1%eth0]", "/x"),
        ] {
            match parsed(typed) {
                Ok(address) => assert_eq!(
                    (address.host(), address.rest(), address.user()),
                    (host, rest, None),
                    "{typed}"
                ),
                Err(why) => assert!(host.is_empty() && why.contains("%40"), "{typed}: {why}"),
            }
        }
        let token = parsed("TOKEN@cam/1").unwrap();
        assert_eq!(
            (token.user(), token.has_password(), token.reveal().as_str()),
            (Some("TOKEN"), false, "rtsp://TOKEN@cam/1")
        );
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused_with_the_escape_to_write() {
        for typed in [
            "admin:1234/5@door/live",
            "admin:pw@cam/x@y",
            "admin:p@ss.word/x@cam/1",
            "admin:p@1.2.3.4/x@5.6.7.8/1",
        ] {
            let why = parsed(typed).unwrap_err();
            assert!(
                why.contains("/ as %2F") && why.contains("? as %3F") && why.contains("# as %23"),
                "{typed}: {why}"
            );
        }
        for (typed, says) in [
            ("", "no host"),
            (":554/x", "no host"),
            ("a:b@/1", "no host"),
            ("a:b@", "no host"),
            ("admin:hunter2", "no port"),
            ("cam:99999/1", "no port"),
            ("admin:x\ty@cam", "control character at place 8"),
            ("cam/two words", "%20"),
            ("ca m/1", "no name"),
        ] {
            let why = parsed(typed).unwrap_err();
            assert!(why.contains(says) && !why.contains("hunter2"), "{typed}: {why}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_password_that_is_accepted_is_the_one_that_was_typed(word in "[a-zA-Z0-9:/?#@ é'\"<>&;,=$!]{0,12}") {
            if let Ok(address) = parsed(&format!("user:{word}@192.0.2.7:554/live")) {
                proptest::prop_assert_eq!(address.password(), Some(word.as_str()));
                proptest::prop_assert_eq!(address.rest(), "/live");
            }
        }

        #[test]
        fn any_text_is_decoded_without_a_panic(text in ".{0,20}", escapes in "(%[0-9a-fA-F]{0,2}|é|x){0,8}") {
            let _ = (decode(&text), decode(&escapes), parsed(&text), parsed(&escapes));
            proptest::prop_assert_eq!(decode(&encode(&text)).contains('\0'), false);
        }
    }
}
