//! Sources over HTTP: what a server's answer says of the stream, and what its pipeline needs beside
//! decodebin.
//!
//! Whether a stream comes to an end is known only once the server has answered: `multipart/...`
//! (MJPEG) goes on for ever, an answer of a known length or duration is a film, all else is a
//! camera. [`judge`] is pure; the rest listens to elements.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;

use super::heard::Heard;
use super::launch::FROM;
use super::{OpenRequest, SourceSpec};

/// What the headers of an answer say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Goes on for ever, and the newest picture counts.
    Live,
    /// Comes to an end.
    Film,
    /// A playlist, whose segments come in bursts and are shown at their own pace; its duration says
    /// whether it ends.
    Playlist,
    /// Its duration will say.
    Open,
    /// No video: a sentence that says what it is and what to do.
    NoVideo(&'static str),
}

/// `kind` is the content type, `length` the content length.
fn judge(kind: &str, length: Option<u64>) -> Verdict {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "text/html" | "application/xhtml+xml" => Verdict::NoVideo(
            "the server answers with a web page (HTML), not with video: the address is that of a page for people, such as a login or a \
             viewer; the manual of the camera tells the address of its stream",
        ),
        "application/json" | "application/xml" | "text/xml" => Verdict::NoVideo(
            "the server answers with data (JSON or XML), not with video; the manual of the camera tells the address of its stream",
        ),
        "application/vnd.apple.mpegurl"
        | "application/x-mpegurl"
        | "audio/mpegurl"
        | "audio/x-mpegurl"
        | "application/dash+xml" => Verdict::Playlist,
        _ if kind.starts_with("multipart/") => Verdict::Live,
        _ if kind.starts_with("image/") && length.is_some() => Verdict::NoVideo(
            "the server answers with one picture, not with a stream; the manual of the camera tells the address of its MJPEG stream",
        ),
        _ if length.is_some() => Verdict::Film,
        _ => Verdict::Open,
    }
}

/// What souphttpsrc tells of the answer, if `structure` is that of a successful one.
pub(super) fn answer(structure: &gst::StructureRef) -> Option<Verdict> {
    let status = structure.get::<u32>("http-status-code").unwrap_or(200);
    if structure.name() != "http-headers" || !(200..300).contains(&status) {
        return None;
    }
    let headers = structure.get::<gst::Structure>("response-headers").ok()?;
    let header = |wanted: &str| {
        let name = headers.fields().find(|name| name.eq_ignore_ascii_case(wanted))?.as_str();
        headers.get::<String>(name).ok()
    };
    let length = header("content-length").and_then(|length| length.trim().parse().ok());
    Some(judge(&header("content-type").unwrap_or_default(), length))
}

/// Sets up what only a running pipeline can tell; before it is started.
pub(super) fn attend(
    pipeline: &gst::Pipeline,
    sink: &app::AppSink,
    request: &OpenRequest,
    heard: &std::sync::Arc<Heard>,
) {
    let login = match &request.source {
        SourceSpec::Http { url, .. } => url.user().map(|user| {
            (url.host().to_owned(), user.to_owned(), url.password().unwrap_or_default().to_owned())
        }),
        _ => None,
    };
    pipeline.connect_deep_element_added(move |_, _, element| {
        match element.factory().map(|factory| factory.name()).as_deref() {
            // Without it, decodebin waits for further streams for ever.
            Some("multipartdemux") if element.has_property("single-stream") => {
                element.set_property("single-stream", true)
            }
            // The segments of a playlist; the login is for the server of the playlist only.
            Some("souphttpsrc") => {
                let Some((host, user, password)) = &login else { return };
                let location = element.property::<Option<String>>("location").unwrap_or_default();
                let there = location
                    .split_once("://")
                    .and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
                if there == Some(host.as_str()) {
                    element.set_property("user-id", user);
                    element.set_property("user-pw", password);
                }
            }
            _ => {}
        }
    });
    let SourceSpec::Http { url, .. } = &request.source else { return };
    // GStreamer 1.14 tells nothing of the answer; then its name has to do.
    let named = url.path().to_ascii_lowercase();
    let is_playlist = named.ends_with(".m3u8") || named.ends_with(".mpd");
    let Some(pad) = sink.static_pad("sink") else { return };
    let (heard, sink) = (heard.clone(), sink.downgrade());
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
        let verdict = match heard.verdict() {
            Verdict::Open if is_playlist => Verdict::Playlist,
            told => told,
        };
        let has_duration = || pad.peer_query_duration::<gst::ClockTime>().is_some();
        let ends = match verdict {
            Verdict::Film => true,
            Verdict::Live | Verdict::NoVideo(_) => false,
            Verdict::Open | Verdict::Playlist => has_duration(),
        };
        heard.ends(ends);
        if let Some(sink) = sink.upgrade().filter(|_| !ends && verdict != Verdict::Playlist) {
            sink.set_property("sync", false);
        }
        gst::PadProbeReturn::Remove
    });
}

/// Whether a message of the bus comes from the element that the address was given to.
pub(super) fn is_from(message: &gst::Message) -> bool {
    message.src().is_some_and(|source| source.name() == FROM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_say_whether_a_stream_ends_and_whether_it_is_one() {
        for (kind, length, verdict) in [
            ("multipart/x-mixed-replace;boundary=f", None, Verdict::Live),
            ("Multipart/X-Mixed-Replace", Some(1 << 40), Verdict::Live),
            ("video/mp4", Some(1000), Verdict::Film),
            ("application/octet-stream", Some(1000), Verdict::Film),
            ("", Some(1000), Verdict::Film),
            ("video/mp2t", None, Verdict::Open),
            ("", None, Verdict::Open),
            ("image/jpeg", None, Verdict::Open),
            ("application/vnd.apple.mpegurl", Some(300), Verdict::Playlist),
            ("application/x-mpegURL; charset=utf-8", None, Verdict::Playlist),
        ] {
            assert_eq!(judge(kind, length), verdict, "{kind} {length:?}");
        }
        for (kind, length, says) in [
            ("text/html; charset=UTF-8", None, "web page (HTML)"),
            ("image/jpeg", Some(1000), "one picture"),
            ("application/json", Some(10), "JSON"),
        ] {
            let Verdict::NoVideo(why) = judge(kind, length) else { panic!("{kind}") };
            assert!(why.contains(says) && why.contains("manual"), "{why}");
        }
    }

    #[test]
    fn only_a_successful_answer_is_judged() {
        gst::init().unwrap();
        let told = |status: u32, name: &str| {
            let headers = gst::Structure::builder("response-headers")
                .field("content-TYPE", "text/html")
                .build();
            let structure = gst::Structure::builder(name)
                .field("http-status-code", status)
                .field("response-headers", headers)
                .build();
            answer(&structure)
        };
        assert!(matches!(told(200, "http-headers"), Some(Verdict::NoVideo(_))));
        assert_eq!((told(401, "http-headers"), told(200, "other")), (None, None));
    }
}
