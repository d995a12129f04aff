//! What GStreamer complains about, as one line that says what to do next and holds no password.
//!
//! Pure: errors in, text out.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

use super::names::Parts;
use super::secret::Scrub;
use super::{SourceSpec, launch};

/// Statuses of RTSP and HTTP that mean: not you, or not with this password.
const REFUSALS: [u32; 3] = [401, 403, 407];

/// `text` without the secrets of `source`.
pub(super) fn scrub(source: &SourceSpec, text: &str) -> String {
    Scrub::of(source).clean(text)
}

/// An ERROR of the bus, and what is known beside it.
pub(super) struct Complaint<'a> {
    pub(super) error: &'a glib::Error,
    pub(super) debug: Option<&'a str>,
    /// Status of the answer of an RTSP or HTTP server.
    pub(super) status: Option<u32>,
    /// Instructions gathered from missing-plugin messages.
    pub(super) lacking: &'a [String],
    /// What the camera offers, in words, if it was asked.
    pub(super) offered: Option<&'a str>,
    /// True if a size or a rate was asked for.
    pub(super) asked: bool,
    /// True if a server over HTTP has answered.
    pub(super) answered: bool,
}

impl<'a> Complaint<'a> {
    #[cfg(test)]
    fn of(error: &'a glib::Error, debug: Option<&'a str>) -> Self {
        Self {
            error,
            debug,
            status: None,
            lacking: &[],
            offered: None,
            asked: false,
            answered: true,
        }
    }

    /// True if the camera does not let this user in, so that another try may cost the account.
    pub(super) fn refuses_login(&self, source: &SourceSpec) -> bool {
        let network = matches!(
            source,
            SourceSpec::Rtsp { .. } | SourceSpec::Http { .. } | SourceSpec::Pipeline { .. }
        );
        let refused = self.status.is_some_and(|status| REFUSALS.contains(&status));
        network && (refused || self.error.matches(gst::ResourceError::NotAuthorized))
    }

    /// True if the elements could not agree on a format.
    pub(super) fn is_refused_format(&self) -> bool {
        self.debug.is_some_and(|debug| debug.contains("not-negotiated"))
    }

    /// Its message, the telling part of its debug text, and advice.
    pub(super) fn explain(&self, source: &SourceSpec) -> String {
        let mut text = one_line(self.error.message());
        if let Some(detail) =
            self.debug.and_then(detail).filter(|detail| !text.contains(detail.as_str()))
        {
            text = format!("{} ({detail})", text.trim_end_matches('.'));
        }
        let text = scrub(source, &text);
        let advice = match self.lacking {
            [] => self.advice(source),
            _ => Some(self.lacking.join("; ")),
        };
        advice.map_or_else(
            || text.clone(),
            |advice| format!("{}; {advice}", text.trim_end_matches('.')),
        )
    }

    fn advice(&self, source: &SourceSpec) -> Option<String> {
        if self.refuses_login(source) {
            return Some(login_advice(source));
        }
        if self.is_refused_format()
            && let SourceSpec::V4l2 { .. } = source
        {
            return Some(self.format_advice());
        }
        // Of streams, none was one that anybody wanted.
        if self.debug.is_some_and(|debug| debug.contains("not-linked"))
            && !matches!(source, SourceSpec::Pipeline { .. })
        {
            return Some("it holds no video, only sound or something else".into());
        }
        match (source, self.status) {
            (SourceSpec::Rtsp { .. } | SourceSpec::Http { .. }, Some(404)) => {
                Some("the server knows no stream of this path: is the address right?".into())
            }
            // souphttpsrc has no words of its own for a server that is not there.
            (SourceSpec::Http { url, .. }, None) if !self.answered => {
                Some(no_server(url.scheme()).to_owned())
            }
            _ => advice(source, self.error, self.is_refused_format()).map(str::to_owned),
        }
    }

    fn format_advice(&self) -> String {
        let offered = self.offered.filter(|offered| !offered.is_empty());
        let offers =
            offered.map(|offered| format!("the camera offers {offered}; ")).unwrap_or_default();
        if self.asked {
            return format!(
                "{offers}it cannot deliver the size or rate asked for: leave both out, or ask for what it has"
            );
        }
        format!(
            "{offers}none of it can be read directly: source = \"pipeline:v4l2src device=... ! ... ! videoconvert\" can put a converter \
             in between (8-bit Bayer: bayer2rgb), and `v4l2-ctl --list-formats-ext` tells more"
        )
    }
}

fn no_server(scheme: &str) -> &'static str {
    match scheme {
        "https" => {
            "is the server on, and is its address right? TLS needs: apt-get install glib-networking, and a certificate that this machine \
             trusts (a camera's own is added to /usr/local/share/ca-certificates)"
        }
        _ => "is the server on, and is its address right?",
    }
}

fn login_advice(source: &SourceSpec) -> String {
    let has_login = match source {
        SourceSpec::Pipeline { .. } => true,
        source => source.address().is_some_and(|url| url.user().is_some()),
    };
    match has_login {
        true => "the camera refuses user name and password: mend them (in an address, a % before two hex digits is written %25); \
                 `squint reload` tries at once"
            .into(),
        false => "the camera wants user name and password: user and password-file, or rtsp://user:password@... (docs/reference/config.md); \
                  then `squint reload`"
            .into(),
    }
}

/// The status of a server's answer: in the details of an error, or, from an old GStreamer, in
/// brackets at the end of its debug text.
pub(super) fn status(details: Option<&gst::StructureRef>, debug: Option<&str>) -> Option<u32> {
    let field = |name| details.and_then(|details| details.get(name).ok());
    let told = || {
        let (_, last) = debug?.rsplit_once('(')?;
        last.split_once(')')
            .filter(|(number, _)| number.len() == 3)?
            .0
            .parse()
            .ok()
            .filter(|status| (400..600).contains(status))
    };
    field("rtsp-status-code").or_else(|| field("http-status-code")).or_else(told)
}

/// An error of the parser of gst-launch text.
pub(super) fn explain_parse(
    source: &SourceSpec,
    error: &glib::Error,
    missing_elements: &[String],
) -> String {
    if missing_elements.is_empty() || !error.matches(gst::ParseError::NoSuchElement) {
        let told =
            scrub(source, &format!("the pipeline does not parse: {}", one_line(error.message())));
        let taken = matches!(source, SourceSpec::Pipeline { text } if text.reveal().contains(&format!("name={}", launch::SINK)));
        return if taken {
            format!("{told}; no element may be called `{}`", launch::SINK)
        } else {
            told
        };
    }
    // What GStreamer takes for an element may be a piece of a password with a quote in the wrong
    // place.
    let known = match source {
        SourceSpec::Pipeline { text } => Some(Parts::of(text.reveal()).names),
        _ => None,
    };
    let told = missing_elements.iter().map(|element| match &known {
        Some(names) if !names.contains(&element.as_str()) => {
            "a word of the text is taken for an element: quotes belong around a whole value (property=\"...\")".to_owned()
        }
        _ => launch::install(element),
    });
    told.collect::<Vec<_>>().join("; ")
}

/// The instruction in a `missing-plugin` message of decodebin, if this structure is one.
pub(super) fn lacking(structure: &gst::StructureRef) -> Option<String> {
    if structure.name() != "missing-plugin" {
        return None;
    }
    let kind = structure.get::<&str>("type").unwrap_or_default();
    let name = structure.get::<&str>("name").unwrap_or("an unknown element");
    let codec = structure
        .get::<gst::Caps>("detail")
        .ok()
        .and_then(|caps| Some(caps.structure(0)?.name().to_string()));
    Some(match (kind, codec.as_deref()) {
        ("element", _) => launch::install(structure.get::<&str>("detail").unwrap_or(name)),
        ("decoder", Some("video/x-h264")) => launch::install("avdec_h264"),
        ("decoder", Some("video/x-h265")) => launch::install("avdec_h265"),
        ("decoder", Some("image/jpeg")) => launch::install("jpegdec"),
        ("decoder", Some("application/x-rtp")) => launch::install("rtph264depay"),
        ("decoder", Some("application/x-hls")) => launch::install("hlsdemux"),
        ("decoder", Some("multipart/x-mixed-replace")) => launch::install("multipartdemux"),
        ("decoder", Some("video/mpegts")) => launch::install("tsdemux"),
        ("decoder", Some("text/html")) => {
            "this is a web page (HTML), not video: is the address that of the stream?".into()
        }
        ("decoder", Some(kind))
            if kind.starts_with("text/") || kind.starts_with("application/xml") =>
        {
            "this is text, not video".into()
        }
        ("decoder", _) => {
            format!("needs {name}: apt-get install gstreamer1.0-libav gstreamer1.0-plugins-bad")
        }
        _ => format!(
            "needs {name}: apt-get install gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
        ),
    })
}

/// What a source without a picture to link says: `offered` as [`offered`] gives it, `lacking` as in
/// [`explain`].
pub(super) fn no_video(offered: &[String], lacking: &[String]) -> String {
    match (offered, lacking) {
        (_, [_, ..]) => format!("its video cannot be decoded; {}", lacking.join("; ")),
        ([], _) => "there is no video in it".into(),
        _ => format!("there is no video in it, only {}", offered.join(" and ")),
    }
}

/// What an element has on its pads, each kind once: `audio`, `text`,
/// `application/x-rtp (audio, PCMU)`.
pub(super) fn offered(element: &gst::Element) -> Vec<String> {
    let caps = element
        .src_pads()
        .into_iter()
        .filter_map(|pad| pad.current_caps().or_else(|| Some(pad.query_caps(None))));
    let mut kinds: Vec<_> = caps.filter_map(|caps| Some(kind(caps.structure(0)?))).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// `audio` of `audio/x-raw` and `audio (PCMU)` of RTP; what has no kind by its whole name.
fn kind(structure: &gst::StructureRef) -> String {
    let name = structure.name().as_str();
    match (structure.get::<&str>("media"), structure.get::<&str>("encoding-name")) {
        (Ok(media), Ok(encoding)) => format!("{media} ({encoding})"),
        (Ok(media), _) => media.to_owned(),
        _ => name
            .split_once('/')
            .filter(|(kind, _)| *kind != "application")
            .map_or(name, |(kind, _)| kind)
            .to_owned(),
    }
}

/// A film that has come to its end without a frame; `left_out`: pictures that are none.
pub(super) fn no_picture(left_out: u64) -> String {
    match left_out {
        0 => "it ends without a picture; is this a whole video file? `gst-discoverer-1.0` tells"
            .into(),
        _ => format!(
            "it ends without a whole picture: {left_out} cannot be decoded, as the key frame that they need is missing"
        ),
    }
}

/// A film in which nothing has moved for so long.
pub(super) fn nothing_moves(waited: std::time::Duration, delivered: bool) -> String {
    let what = if delivered { "nothing more comes of it" } else { "no picture" };
    format!(
        "{what} for {} ms (open-timeout-ms); is this a whole video file? `gst-discoverer-1.0` tells",
        waited.as_millis()
    )
}

/// GStreamer's debug text is "file(line): function (): /path/of/the/element:\nwhat happened": the
/// last part.
fn detail(debug: &str) -> Option<String> {
    let told = match debug.split_once('\n') {
        Some((_, told)) => told,
        None => debug
            .rsplit_once(": ")
            .filter(|(place, _)| place.contains("(): "))
            .map(|(_, told)| told)?,
    };
    let told = one_line(told);
    (!told.is_empty()).then(|| told.trim_end_matches('.').to_owned())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn advice(source: &SourceSpec, error: &glib::Error, refused_format: bool) -> Option<&'static str> {
    let resource = error.kind::<gst::ResourceError>();
    Some(match (source, resource) {
        (SourceSpec::Rtsp { url, .. }, Some(_)) if url.scheme() == "rtsps" => {
            "is the camera on, and is its address right? TLS needs: apt-get install glib-networking"
        }
        (SourceSpec::Rtsp { .. }, Some(_)) => "is the camera on, and is its address right?",
        (SourceSpec::Http { url, .. }, Some(_)) => no_server(url.scheme()),
        (SourceSpec::V4l2 { .. }, Some(gst::ResourceError::NotFound)) => {
            "is it plugged in? `ls /dev/video*` lists what is"
        }
        (SourceSpec::V4l2 { .. }, Some(gst::ResourceError::Busy)) => {
            "another program holds the camera: `fuser -v /dev/video*`"
        }
        (
            SourceSpec::V4l2 { .. },
            Some(gst::ResourceError::OpenRead | gst::ResourceError::OpenReadWrite),
        ) => "may this user read it? The group is usually `video`",
        (SourceSpec::Csi { .. }, _) => {
            "only one program can have the camera; if none has, it may hang since a crash: systemctl restart nvargus-daemon"
        }
        (SourceSpec::Test, _) if refused_format => {
            "it cannot deliver the size or rate asked for: leave both out, or ask for what it has"
        }
        (SourceSpec::File { .. } | SourceSpec::Http { .. }, _)
            if error.kind::<gst::StreamError>().is_some() =>
        {
            "is this a whole video file? `gst-discoverer-1.0` tells"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> SourceSpec {
        text.parse().unwrap()
    }

    #[test]
    fn the_telling_part_of_the_debug_text_is_kept() {
        let error =
            glib::Error::new(gst::ResourceError::NotFound, "Cannot identify device '/dev/video9'.");
        let debug = "../sys/v4l2/v4l2_calls.c(600): gst_v4l2_open (): /GstPipeline:p/GstV4l2Src:from:\nsystem error: No such file";
        assert_eq!(
            Complaint::of(&error, Some(debug)).explain(&spec("/dev/video9")),
            "Cannot identify device '/dev/video9' (system error: No such file); is it plugged in? `ls /dev/video*` lists what is"
        );
        let one = "gstrtspsrc.c(1): gst_rtspsrc_open (): /GstPipeline:p/GstRTSPSrc:from: Failed to connect. (Generic error)";
        assert_eq!(detail(one).as_deref(), Some("Failed to connect. (Generic error)"));
        assert_eq!(detail("no structure at all"), None);
    }

    #[test]
    fn an_address_in_an_error_comes_without_its_secrets() {
        let error =
            glib::Error::new(gst::ResourceError::OpenRead, "Cannot open rtsp://me:p%40ss@cam/1");
        let debug = Some("x.c(1): f (): /a:\nrtsp://me:p@ss@cam/1 is p@ss of me");
        let told = Complaint::of(&error, debug).explain(&spec("rtsp://me:p@ss@cam/1"));
        assert!(
            told.starts_with(
                "Cannot open rtsp://cam (rtsp://***:***@cam/1 is *** of ***); is the camera on"
            ),
            "{told}"
        );
        let error = glib::Error::new(
            gst::ParseError::CouldNotSetProperty,
            "no user-pw \"hunter2\" in hunter2",
        );
        let told = explain_parse(&spec("pipeline:rtspsrc user-pw=hunter2"), &error, &[]);
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_missing_element_is_an_instruction_and_no_piece_of_a_password() {
        let error = glib::Error::new(gst::ParseError::NoSuchElement, "no element \"x264enc\"");
        let told = explain_parse(&spec("pipeline:x264enc"), &error, &["x264enc".into()]);
        assert_eq!(told, "needs x264enc: apt-get install gstreamer1.0-plugins-ugly");
        let broken = spec("pipeline:rtspsrc user-pw=(string)\"abc hunter2\" ! decodebin");
        let told = explain_parse(&broken, &error, &["hunter2\"".into()]);
        assert!(!told.contains("hunter2") && told.contains("quotes belong around"), "{told}");
        let error = glib::Error::new(
            gst::CoreError::MissingPlugin,
            "Your GStreamer installation is missing a plug-in.",
        );
        let lacking = [launch::install("avdec_h264")];
        let told = Complaint { lacking: &lacking, ..Complaint::of(&error, None) }
            .explain(&spec("clip.mp4"));
        assert!(
            told.ends_with("plug-in; needs avdec_h264: apt-get install gstreamer1.0-libav"),
            "{told}"
        );
    }

    #[test]
    fn what_has_no_video_says_what_it_has_instead() {
        gst::init().unwrap();
        let kind_of = |caps: &str| kind(caps.parse::<gst::Caps>().unwrap().structure(0).unwrap());
        assert_eq!(kind_of("audio/x-raw,rate=8000"), "audio");
        assert_eq!(kind_of("application/x-rtp,media=audio,encoding-name=PCMU"), "audio (PCMU)");
        assert_eq!(kind_of("application/x-rtp,media=application"), "application");
        assert_eq!(kind_of("application/x-id3"), "application/x-id3");
        assert_eq!(
            no_video(&["audio".into(), "text".into()], &[]),
            "there is no video in it, only audio and text"
        );
        let lacking = [launch::install("avdec_h264")];
        assert!(
            no_video(&["audio".into()], &lacking)
                .ends_with("needs avdec_h264: apt-get install gstreamer1.0-libav")
        );
    }

    #[test]
    fn a_format_that_cannot_be_had_is_explained_with_what_the_camera_offers() {
        let error = glib::Error::new(gst::StreamError::Failed, "Internal data stream error.");
        let debug = "basesrc.c(1): loop (): /p:\nstreaming stopped, reason not-negotiated (-4)";
        let complaint = || Complaint {
            offered: Some("Bayer rggb 640x480"),
            ..Complaint::of(&error, Some(debug))
        };
        let told = Complaint { asked: true, ..complaint() }.explain(&spec("/dev/video0"));
        assert!(
            told.contains("not-negotiated")
                && told.contains("offers Bayer rggb 640x480; it cannot"),
            "{told}"
        );
        assert!(told.contains("leave both out"), "{told}");
        let told = complaint().explain(&spec("/dev/video0"));
        assert!(
            told.contains("offers Bayer rggb 640x480; none of it") && told.contains("bayer2rgb"),
            "{told}"
        );
        assert!(!told.contains("leave both out"), "neither was asked for: {told}");
    }

    #[test]
    fn a_refused_login_is_told_from_a_lost_camera() {
        let error = |kind: gst::ResourceError| glib::Error::new(kind, "Unhandled error");
        let (refused, lost) =
            (error(gst::ResourceError::NotAuthorized), error(gst::ResourceError::Read));
        for source in
            ["rtsp://a:b@cam/1", "http://a:b@cam/1", "pipeline:rtspsrc user-pw=x ! decodebin"]
        {
            let source = spec(source);
            assert!(
                Complaint::of(&refused, None).refuses_login(&source)
                    && !Complaint::of(&lost, None).refuses_login(&source)
            );
            for (status, refuses) in
                [(401, true), (403, true), (407, true), (404, false), (461, false), (503, false)]
            {
                let complaint = Complaint { status: Some(status), ..Complaint::of(&lost, None) };
                assert_eq!(complaint.refuses_login(&source), refuses, "{status}");
            }
            let told = Complaint::of(&refused, None).explain(&source);
            assert!(
                told.contains("refuses user name and password") && told.contains("squint reload"),
                "{told}"
            );
        }
        let told = Complaint::of(&refused, None).explain(&spec("rtsp://cam/1"));
        assert!(told.contains("wants user name and password"), "{told}");
        assert!(!Complaint::of(&refused, None).refuses_login(&spec("/dev/video0")));
        let told = Complaint { status: Some(404), ..Complaint::of(&lost, None) }
            .explain(&spec("http://cam/1"));
        assert!(told.contains("no stream of this path"), "{told}");
    }

    #[test]
    fn the_status_of_an_answer_is_found_where_gstreamer_tells_it() {
        gst::init().unwrap();
        let details = gst::Structure::builder("details").field("rtsp-status-code", 403_u32).build();
        assert_eq!(status(Some(&details), None), Some(403));
        assert_eq!(
            status(None, Some("gstrtspsrc.c(6954): send (): /p:\nUnauthorized (401)")),
            Some(401)
        );
        for none in [
            None,
            Some("gstrtspsrc.c(404): send (): /p:\nlost"),
            Some("reason not-negotiated (-4)"),
            Some("x (200)"),
        ] {
            assert_eq!(status(None, none), None, "{none:?}");
        }
    }

    #[test]
    fn a_stream_without_video_says_so() {
        let error = glib::Error::new(gst::StreamError::Failed, "Internal data stream error.");
        let debug = "qtdemux.c(1): loop (): /p:\nstreaming stopped, reason not-linked (-1)";
        let told = Complaint::of(&error, Some(debug)).explain(&spec("clip.mp4"));
        assert!(told.ends_with("it holds no video, only sound or something else"), "{told}");
    }
}
