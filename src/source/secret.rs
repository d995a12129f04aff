//! Keeps what cameras are told in confidence out of logs, records, metrics and error texts.
//!
//! Pure. Outside the program a source is shown by [`super::SourceSpec`]'s `Display`: scheme, host
//! and port of an address, the elements of a `pipeline:`. Which part of the rest is a password
//! nobody can know, so [`Scrub`] takes all of it out of what GStreamer says. There is no list of
//! words that mark a password.

use std::fmt;

use super::SourceSpec;
use super::address::{Address, decode, encode};
use super::names::Parts;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";
/// Shortest word that is looked for. One letter tells nothing.
const SHORTEST: usize = 2;
/// A word of this length is hidden even inside another one.
const TELLING: usize = 4;
/// Words of paths and caps that GStreamer's own sentences are made of.
const ORDINARY: [&str; 24] = [
    "application",
    "cam",
    "camera",
    "channel",
    "channels",
    "format",
    "framerate",
    "height",
    "image",
    "jpeg",
    "live",
    "main",
    "media",
    "mjpeg",
    "profile",
    "raw",
    "rtp",
    "stream",
    "streaming",
    "streams",
    "sub",
    "test",
    "video",
    "width",
];

/// A text that may hold a password. `Display` and `Debug` print `***`; [`Secret::reveal`] is for
/// whoever has to use it.
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
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// All that must not be told of one source, in every spelling.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    /// Whole texts and what is shown instead; longest first.
    texts: Vec<(String, String)>,
    /// Words; longest first.
    words: Vec<String>,
}

impl Scrub {
    /// Of this source. Sources without secrets are left as they are.
    pub(super) fn of(source: &SourceSpec) -> Self {
        let mut scrub = Self::default();
        match source {
            SourceSpec::Rtsp { url, .. } | SourceSpec::Http { url, .. } => scrub.address(url),
            SourceSpec::Pipeline { text } => scrub.pipeline(text.reveal()),
            _ => return scrub,
        }
        scrub.texts.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        scrub.words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        scrub.words.dedup();
        scrub
    }

    fn address(&mut self, url: &Address) {
        let shown = url.to_string();
        for address in [url.clone(), url.without_login()] {
            if address.rest() != "" || address.user().is_some() {
                self.texts.push((address.reveal(), shown.clone()));
            }
        }
        for secret in [url.user(), url.password()].into_iter().flatten() {
            self.text(secret, false);
        }
        let (path, query) = url.rest().split_at(url.path().len());
        self.text(path, true);
        self.text(query, false);
    }

    fn pipeline(&mut self, text: &str) {
        let parts = Parts::of(text);
        self.texts.push((text.to_owned(), parts.told()));
        for value in &parts.values {
            self.text(value, false);
        }
        for plain in &parts.plain {
            self.text(plain, true);
        }
        // An element is no secret, even if a value is called the same.
        self.words.retain(|word| !parts.names.contains(&word.as_str()));
    }

    /// A secret text: as a whole and its words, as typed, decoded and encoded. `public`: ordinary
    /// words in it may be told.
    fn text(&mut self, text: &str, public: bool) {
        let plain = decode(text);
        let encoded = encode(&plain);
        for form in [text, &plain, &encoded, &encoded.to_ascii_lowercase()] {
            // A single word is found as one.
            if form.chars().count() >= TELLING && form.contains(|c: char| !c.is_alphanumeric()) {
                self.texts.push((form.to_owned(), HIDDEN.to_owned()));
            }
            let words = form
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| word.chars().count() >= SHORTEST);
            let told = |word: &str| {
                let number = word.len() < TELLING && word.bytes().all(|b| b.is_ascii_digit());
                public && (number || ORDINARY.contains(&word.to_ascii_lowercase().as_str()))
                    || ["true", "false"].contains(&word)
            };
            self.words.extend(words.filter(|word| !told(word)).map(str::to_owned));
        }
    }

    /// `text` without any of it.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (secret, shown) in &self.texts {
            if out.contains(secret.as_str()) {
                out = out.replace(secret.as_str(), shown);
            }
        }
        for word in &self.words {
            out = without(&out, word);
        }
        out
    }
}

/// `text` with `word` hidden: where it stands alone, and anywhere if it is long enough to tell
/// something.
fn without(text: &str, word: &str) -> String {
    let anywhere = word.chars().count() >= TELLING;
    let (mut out, mut left) = (String::with_capacity(text.len()), text);
    while let Some(at) = left.find(word) {
        let (before, after) = (&left[..at], &left[at + word.len()..]);
        let glued =
            before.ends_with(char::is_alphanumeric) || after.starts_with(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if anywhere || !glued { HIDDEN } else { word });
        left = after;
    }
    out + left
}

/// `typed`, which may be a source with a mistake in it, as it may be shown: nothing of a login, of
/// what follows a host, or of a property.
pub(crate) fn shown(typed: &str) -> String {
    let typed = typed.trim();
    if let Some(text) = typed.strip_prefix("pipeline:") {
        return format!("pipeline:{}", Parts::of(text).told());
    }
    if let Some((scheme, rest)) = typed.split_once("://") {
        let good = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let scheme = if scheme.len() <= 16 && scheme.chars().all(good) { scheme } else { HIDDEN };
        let host = Address::parse("rtsp", rest)
            .map_or_else(|_| HIDDEN.to_owned(), |address| address.host().to_owned());
        return format!("{scheme}://{host}");
    }
    // A mistyped address: `rtsp:/admin:password@host`.
    let lower = typed.to_ascii_lowercase();
    let alike = ["rtsp", "rtps", "http", "htp"].iter().any(|scheme| lower.starts_with(scheme));
    if alike || looks_like_login(typed) {
        let kind = typed
            .split(|c: char| !c.is_ascii_alphabetic())
            .next()
            .filter(|_| alike)
            .unwrap_or_default();
        return format!("{kind}{HIDDEN}");
    }
    typed.to_owned()
}

/// True for what may be `user:password@host` without a scheme, or with a mistyped one.
pub(super) fn looks_like_login(typed: &str) -> bool {
    typed.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrub(source: &str) -> Scrub {
        Scrub::of(&source.parse().unwrap_or_else(|why| panic!("{why}")))
    }

    #[test]
    fn a_secret_prints_as_nothing() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            (secret.to_string(), format!("{secret:?}"), secret.reveal()),
            ("***".into(), "***".into(), "hunter2")
        );
    }

    #[test]
    fn what_gstreamer_repeats_of_an_address_is_scrubbed_in_every_spelling() {
        let url = scrub("rtsp://admin:p@ss:w%rd@cam.lan:554/live/KEY7?token=Zq9");
        for (told, clean) in [
            (
                "Could not open rtsp://admin:p%40ss%3Aw%25rd@cam.lan:554/live/KEY7?token=Zq9.",
                "Could not open rtsp://cam.lan:554.",
            ),
            (
                "URL: rtsp://cam.lan:554/live/KEY7?token=Zq9, Redirect",
                "URL: rtsp://cam.lan:554, Redirect",
            ),
            ("login p%40ss%3aw%25rd refused", "login *** refused"),
            ("password p@ss:w%rd refused", "password *** refused"),
            (
                "Could not resolve server name ss:w%rd@cam.lan",
                "Could not resolve server name ***:w%***@cam.lan",
            ),
            ("GET /live/KEY7?token=Zq9", "GET ******"),
            ("Could not open the stream (KEY7, Zq9)", "Could not open the stream (***, ***)"),
            ("administrator", "***istrator"),
        ] {
            assert_eq!(url.clean(told), clean);
        }
        assert_eq!(
            scrub("rtsp://cam/stream").clean("Could not open the stream of cam"),
            "Could not open the stream of cam"
        );
        assert_eq!(scrub("rtsp://a:Zq@cam").clean("Zq (Zqx) aZq Zq@"), "*** (Zqx) aZq ***@");
    }

    #[test]
    fn no_value_of_a_pipeline_is_told_again() {
        for (source, told) in [
            (
                "pipeline:rtspsrc user-id=adm user-pw=abc&hunter2 ! decodebin",
                "no hunter2 in abc&hunter2, abc, adm",
            ),
            (
                "pipeline:souphttpsrc extra-headers=\"h,X-Api-Key=hunter2\" ! decodebin",
                "h,X-Api-Key=hunter2; Key: hunter2",
            ),
            (
                "pipeline:rtspsrc user-pw=(string)\"abc hunter2\" ! decodebin",
                "no element \"hunter2\"",
            ),
            (
                "pipeline:srtsrc uri=srt://c?passphrase=hunter%202 ! decodebin",
                "bad passphrase hunter 2, hunter%202",
            ),
            (
                "pipeline:appsrc caps=\"application/x-srtp,srtp-key=(buffer)hunter2\" ! fakesink",
                "caps hunter2",
            ),
            (
                "pipeline:appsrc ! application/x-srtp,srtp-key=(buffer)hunter2 ! fakesink",
                "caps hunter2",
            ),
        ] {
            let clean = scrub(source).clean(told);
            assert!(!clean.contains("hunter") && clean.contains("***"), "{source}: {clean}");
        }
        let clean = scrub(
            "pipeline:videotestsrc is-live=true ! video/x-raw,width=64 ! identity error-after=15",
        );
        assert_eq!(
            clean.clean("Failed after iterations as requested: true, video 64"),
            "Failed after iterations as requested: true, video 64"
        );
    }

    #[test]
    fn a_mistyped_source_shows_no_secret() {
        for (typed, text) in [
            ("rtsp://admin:hunter2@cam.lan:554/hunter2", "rtsp://cam.lan:554"),
            ("rtsp://admin:hunter2", "rtsp://***"),
            ("rtsp://admin:hunter2@", "rtsp://***"),
            ("ftp://admin:hunter2@cam/1", "ftp://cam"),
            ("rtsp//admin:hunter2@cam/1", "rtsp***"),
            ("rtsp:/cam/user=a&pw=hunter2", "rtsp***"),
            ("admin:hunter2@cam/1", "***"),
            ("v4l2:rtsp:/admin:hunter2@cam", "***"),
            ("pipeline:rtspsrc user-pw=hunter2 ! decodebin", "pipeline:rtspsrc ! decodebin"),
            ("csi:-1", "csi:-1"),
            ("tset", "tset"),
            ("/srv/cam@2/clip.mp4", "/srv/cam@2/clip.mp4"),
        ] {
            assert_eq!(shown(typed), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn scrubbing_never_panics_and_hides_any_password(word in "[a-zA-Z0-9:?#@é'\"<>&;,=]{4,12}", noise in ".{0,20}") {
            let url = format!("rtsp://user:{word}@192.0.2.1/1");
            if let Ok(source) = url.parse::<SourceSpec>() {
                proptest::prop_assert_eq!(source.to_string(), "rtsp://192.0.2.1");
                let clean = Scrub::of(&source).clean(&format!("{noise} {url} {word}"));
                let leak = format!(":{word}@");
                proptest::prop_assert!(!clean.contains(&leak));
                let _ = Scrub::of(&source).clean(&noise);
            }
        }
    }
}
