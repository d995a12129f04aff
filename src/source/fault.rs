//! What GStreamer complains about, as one line that says what to do next and holds no password.
//!
//! Pure: errors in, text out.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

use super::launch;
use super::{SourceSpec, secret};

/// `text` without the passwords of `source`.
pub(super) fn scrub(source: &SourceSpec, text: &str) -> String {
    match source {
        SourceSpec::Rtsp { url: secret } | SourceSpec::Pipeline { text: secret } => secret.scrub(text),
        _ => secret::redact(text),
    }
}

/// An ERROR of the bus: its message, the telling part of its debug text, and advice. `lacking` are instructions gathered
/// from missing-plugin messages.
pub(super) fn explain(source: &SourceSpec, error: &glib::Error, debug: Option<&str>, lacking: &[String]) -> String {
    let mut text = one_line(error.message());
    if let Some(detail) = debug.and_then(detail).filter(|detail| !text.contains(detail.as_str())) {
        text = format!("{} ({detail})", text.trim_end_matches('.'));
    }
    let refused_format = debug.is_some_and(|debug| debug.contains("not-negotiated"));
    let advice = match lacking {
        [] => advice(source, error, refused_format).map(str::to_owned),
        _ => Some(lacking.join("; ")),
    };
    let text = advice.map_or_else(|| text.clone(), |advice| format!("{}; {advice}", text.trim_end_matches('.')));
    scrub(source, &text)
}

/// An error of the parser of gst-launch text.
pub(super) fn explain_parse(source: &SourceSpec, error: &glib::Error, missing_elements: &[String]) -> String {
    if missing_elements.is_empty() || !error.matches(gst::ParseError::NoSuchElement) {
        return scrub(source, &format!("the pipeline does not parse: {}", one_line(error.message())));
    }
    missing_elements.iter().map(|element| launch::install(element)).collect::<Vec<_>>().join("; ")
}

/// The instruction in a `missing-plugin` message of decodebin, if this structure is one.
pub(super) fn lacking(structure: &gst::StructureRef) -> Option<String> {
    if structure.name() != "missing-plugin" {
        return None;
    }
    let kind = structure.get::<&str>("type").unwrap_or_default();
    let name = structure.get::<&str>("name").unwrap_or("an unknown element");
    let codec = structure.get::<gst::Caps>("detail").ok().and_then(|caps| Some(caps.structure(0)?.name().to_string()));
    Some(match (kind, codec.as_deref()) {
        ("element", _) => launch::install(structure.get::<&str>("detail").unwrap_or(name)),
        ("decoder", Some("video/x-h264")) => launch::install("avdec_h264"),
        ("decoder", Some("video/x-h265")) => launch::install("avdec_h265"),
        ("decoder", Some("image/jpeg")) => launch::install("jpegdec"),
        ("decoder", Some("application/x-rtp")) => launch::install("rtph264depay"),
        ("decoder", _) => format!("needs {name}: apt-get install gstreamer1.0-libav gstreamer1.0-plugins-bad"),
        _ => format!("needs {name}: apt-get install gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"),
    })
}

/// What a source without a picture to link says: `offered` as [`offered`] gives it, `lacking` as in [`explain`].
pub(super) fn no_video(offered: &[String], lacking: &[String]) -> String {
    match (offered, lacking) {
        (_, [_, ..]) => format!("its video cannot be decoded; {}", lacking.join("; ")),
        ([], _) => "there is no video in it".into(),
        _ => format!("there is no video in it, only {}", offered.join(" and ")),
    }
}

/// What an element has on its pads, each kind once: `audio`, `text`, `application/x-rtp (audio, PCMU)`.
pub(super) fn offered(element: &gst::Element) -> Vec<String> {
    let caps = element.src_pads().into_iter().filter_map(|pad| pad.current_caps().or_else(|| Some(pad.query_caps(None))));
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
        _ => name.split_once('/').filter(|(kind, _)| *kind != "application").map_or(name, |(kind, _)| kind).to_owned(),
    }
}

/// A film that has come to its end without a frame; `left_out`: pictures that are none.
pub(super) fn no_picture(left_out: u64) -> String {
    match left_out {
        0 => "it ends without a picture; is this a whole video file? `gst-discoverer-1.0` tells".into(),
        _ => format!("it ends without a whole picture: {left_out} cannot be decoded, as the key frame that they need is missing"),
    }
}

/// A film in which nothing has moved for so long.
pub(super) fn nothing_moves(waited: std::time::Duration, delivered: bool) -> String {
    let what = if delivered { "nothing more comes of it" } else { "no picture" };
    format!("{what} for {} ms (open-timeout-ms); is this a whole video file? `gst-discoverer-1.0` tells", waited.as_millis())
}

/// GStreamer's debug text is "file(line): function (): /path/of/the/element:\nwhat happened": the last part.
fn detail(debug: &str) -> Option<String> {
    let told = match debug.split_once('\n') {
        Some((_, told)) => told,
        None => debug.rsplit_once(": ").filter(|(place, _)| place.contains("(): ")).map(|(_, told)| told)?,
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
        (SourceSpec::Rtsp { .. }, Some(gst::ResourceError::NotAuthorized)) => "check user name and password in the address",
        (SourceSpec::Rtsp { url }, Some(_)) if url.reveal().starts_with("rtsps:") => {
            "is the camera on, and is its address right? TLS needs: apt-get install glib-networking"
        }
        (SourceSpec::Rtsp { .. }, Some(_)) => "is the camera on, and is its address right?",
        (SourceSpec::V4l2 { .. }, Some(gst::ResourceError::NotFound)) => "is it plugged in? `ls /dev/video*` lists what is",
        (SourceSpec::V4l2 { .. }, Some(gst::ResourceError::Busy)) => "another program holds the camera: `fuser -v /dev/video*`",
        (SourceSpec::V4l2 { .. }, Some(gst::ResourceError::OpenRead | gst::ResourceError::OpenReadWrite)) => {
            "may this user read it? The group is usually `video`"
        }
        (SourceSpec::Csi { .. }, _) => {
            "only one program can have the camera; if none has, it may hang since a crash: systemctl restart nvargus-daemon"
        }
        (SourceSpec::V4l2 { .. } | SourceSpec::Test, _) if refused_format => {
            "it cannot deliver the size or rate asked for: leave both out, or ask for what it has"
        }
        (SourceSpec::File { .. }, _) if error.kind::<gst::StreamError>().is_some() => {
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
        let error = glib::Error::new(gst::ResourceError::NotFound, "Cannot identify device '/dev/video9'.");
        let debug = "../sys/v4l2/v4l2_calls.c(600): gst_v4l2_open (): /GstPipeline:p/GstV4l2Src:from:\nsystem error: No such file";
        assert_eq!(
            explain(&spec("/dev/video9"), &error, Some(debug), &[]),
            "Cannot identify device '/dev/video9' (system error: No such file); is it plugged in? `ls /dev/video*` lists what is"
        );
        let one = "gstrtspsrc.c(1): gst_rtspsrc_open (): /GstPipeline:p/GstRTSPSrc:from: Failed to connect. (Generic error)";
        assert_eq!(detail(one).as_deref(), Some("Failed to connect. (Generic error)"));
        assert_eq!(detail("no structure at all"), None);
    }

    #[test]
    fn an_address_in_an_error_comes_without_its_password() {
        let error = glib::Error::new(gst::ResourceError::OpenRead, "Cannot open rtsp://me:p%40ss@cam/1");
        let told = explain(&spec("rtsp://me:p@ss@cam/1"), &error, Some("x.c(1): f (): /a:\nrtsp://me:p@ss@cam/1 is p@ss"), &[]);
        assert!(told.starts_with("Cannot open rtsp://me:***@cam/1 (rtsp://me:***@cam/1 is ***); is the camera on"), "{told}");
        let error = glib::Error::new(gst::ParseError::CouldNotSetProperty, "no user-pw \"hunter2\" in hunter2");
        let told = explain_parse(&spec("pipeline:rtspsrc user-pw=hunter2"), &error, &[]);
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_missing_element_is_an_instruction() {
        let error = glib::Error::new(gst::ParseError::NoSuchElement, "no element \"x264enc\"");
        let told = explain_parse(&spec("pipeline:x264enc"), &error, &["x264enc".into()]);
        assert_eq!(told, "needs x264enc: apt-get install gstreamer1.0-plugins-ugly");
        let error = glib::Error::new(gst::CoreError::MissingPlugin, "Your GStreamer installation is missing a plug-in.");
        let told = explain(&spec("clip.mp4"), &error, None, &[launch::install("avdec_h264")]);
        assert!(told.ends_with("plug-in; needs avdec_h264: apt-get install gstreamer1.0-libav"), "{told}");
    }

    #[test]
    fn what_has_no_video_says_what_it_has_instead() {
        gst::init().unwrap();
        let kind_of = |caps: &str| kind(caps.parse::<gst::Caps>().unwrap().structure(0).unwrap());
        assert_eq!(kind_of("audio/x-raw,rate=8000"), "audio");
        assert_eq!(kind_of("application/x-rtp,media=audio,encoding-name=PCMU"), "audio (PCMU)");
        assert_eq!(kind_of("application/x-rtp,media=application"), "application");
        assert_eq!(kind_of("application/x-id3"), "application/x-id3");
        assert_eq!(no_video(&["audio".into(), "text".into()], &[]), "there is no video in it, only audio and text");
        let lacking = [launch::install("avdec_h264")];
        assert!(no_video(&["audio".into()], &lacking).ends_with("needs avdec_h264: apt-get install gstreamer1.0-libav"));
    }

    #[test]
    fn a_size_that_cannot_be_had_is_explained() {
        let error = glib::Error::new(gst::StreamError::Failed, "Internal data stream error.");
        let debug = "basesrc.c(1): loop (): /p:\nstreaming stopped, reason not-negotiated (-4)";
        let told = explain(&spec("/dev/video0"), &error, Some(debug), &[]);
        assert!(told.contains("not-negotiated") && told.contains("leave both out"), "{told}");
    }
}
