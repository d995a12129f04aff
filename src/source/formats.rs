//! What a V4L2 camera offers, in words, and whether anything but Bayer is among it.
//!
//! Pure, but for the question to the element.

use gstreamer as gst;
use gstreamer::prelude::*;

/// Most kinds that are told.
const KINDS: usize = 8;
/// Most sizes of each.
const SIZES: usize = 4;

/// Media types that are asked for, in this order, behind raw video and JPEG. decodebin takes them.
pub(super) const COMPRESSED: [&str; 7] = [
    "video/x-h264",
    "video/x-h265",
    "video/mpegts",
    "video/x-vp8",
    "video/x-vp9",
    "video/mpeg",
    "video/x-dv",
];

/// What a camera offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offered {
    /// "YUY2 640x480, 1280x720; H.264 1920x1080".
    pub(super) words: String,
    /// True if it offers Bayer and nothing else.
    pub(super) only_bayer: bool,
}

/// What the element `from` offers now that it has opened its device.
pub(super) fn of(from: &gst::Element) -> Option<Offered> {
    Some(told(&from.static_pad("src")?.query_caps(None)))
}

fn told(caps: &gst::CapsRef) -> Offered {
    let mut kinds: Vec<(String, Vec<String>)> = Vec::new();
    for structure in caps.iter() {
        for kind in kinds_of(structure) {
            let at = kinds.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
                kinds.push((kind, Vec::new()));
                kinds.len() - 1
            });
            let sizes = &mut kinds[at].1;
            let size = size_of(structure).filter(|size| !sizes.contains(size));
            sizes.extend(size);
        }
    }
    let only_bayer = !kinds.is_empty() && kinds.iter().all(|(kind, _)| kind.starts_with("Bayer"));
    let more = if kinds.len() > KINDS { "; and more" } else { "" };
    let word = |(kind, sizes): &(String, Vec<String>)| {
        let dots = if sizes.len() > SIZES { ", ..." } else { "" };
        let sizes: Vec<_> = sizes.iter().take(SIZES).map(String::as_str).collect();
        format!("{kind} {}{dots}", sizes.join(", ")).trim_end().to_owned()
    };
    Offered {
        words: kinds.iter().take(KINDS).map(word).collect::<Vec<_>>().join("; ") + more,
        only_bayer,
    }
}

/// The formats of one structure as people call them.
fn kinds_of(structure: &gst::StructureRef) -> Vec<String> {
    let formats = || {
        let one = structure.get::<String>("format").map(|one| vec![one]);
        let many = || {
            structure
                .get::<gst::List>("format")
                .map(|many| many.iter().filter_map(|one| one.get().ok()).collect())
        };
        one.or_else(|_| many())
            .unwrap_or_else(|_: gst::structure::GetError<_>| vec!["of any format".to_owned()])
    };
    match structure.name().as_str() {
        "video/x-raw" => formats(),
        "video/x-bayer" => formats().into_iter().map(|format| format!("Bayer {format}")).collect(),
        "image/jpeg" => vec!["MJPEG".into()],
        "video/x-h264" => vec!["H.264".into()],
        "video/x-h265" => vec!["H.265".into()],
        "video/mpegts" => vec!["MPEG-TS".into()],
        other => vec![other.to_owned()],
    }
}

fn size_of(structure: &gst::StructureRef) -> Option<String> {
    let side = |name| match structure.get::<i32>(name) {
        Ok(side) => Some(side.to_string()),
        Err(_) => structure
            .get::<gst::IntRange<i32>>(name)
            .ok()
            .map(|range| format!("{}-{}", range.min(), range.max())),
    };
    Some(format!("{}x{}", side("width")?, side("height")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn words(caps: &str) -> Offered {
        gst::init().unwrap();
        told(&gst::Caps::from_str(caps).unwrap())
    }

    #[test]
    fn what_a_camera_offers_is_told_as_people_call_it() {
        for (caps, words_, only_bayer) in [
            ("video/x-h264,width=1920,height=1080,framerate=30/1", "H.264 1920x1080", false),
            (
                "video/x-bayer,format=rggb,width=640,height=480;video/x-bayer,format=rggb,width=320,height=240",
                "Bayer rggb 640x480, 320x240",
                true,
            ),
            (
                "video/x-bayer,format={rggb,bggr};video/x-raw,format=GRAY16_LE,width=[16,160],height=120",
                "Bayer rggb; Bayer bggr; GRAY16_LE 16-160x120",
                false,
            ),
            (
                "image/jpeg;video/mpegts;video/x-raw;video/x-sonix",
                "MJPEG; MPEG-TS; of any format; video/x-sonix",
                false,
            ),
            ("EMPTY", "", false),
            ("ANY", "", false),
        ] {
            assert_eq!(words(caps), Offered { words: words_.into(), only_bayer }, "{caps}");
        }
        let sizes = (1..20)
            .map(|n| format!("image/jpeg,width={n},height={n}"))
            .collect::<Vec<_>>()
            .join(";");
        assert_eq!(words(&sizes).words, "MJPEG 1x1, 2x2, 3x3, 4x4, ...");
        let kinds = (1..20).map(|n| format!("video/x-{n}")).collect::<Vec<_>>().join(";");
        assert!(words(&kinds).words.ends_with("video/x-8; and more"));
    }
}
