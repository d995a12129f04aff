//! USB cameras that give something else than plain video, by a stand-in for `v4l2src` in this very
//! process.
//!
//! It proves that what such a camera offers is asked for, decoded or named in words; it proves
//! nothing about drivers.
#![allow(unsafe_code, missing_docs, reason = "what GStreamer's macro for elements writes out")]

use std::sync::{Mutex, Once};

use crate::common::sources::*;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer::subclass::prelude::*;
use squint::source::{FrameSource, OpenRequest, Opener, SourceError};

/// `v4l2src`: a bin around the pipeline that its device's name stands for.
#[derive(Default)]
pub struct Camera {
    device: Mutex<String>,
}

#[glib::object_subclass]
impl ObjectSubclass for Camera {
    const NAME: &'static str = "StandinV4l2Camera";
    type Type = CameraElement;
    type ParentType = gst::Bin;
}

glib::wrapper! {
    pub struct CameraElement(ObjectSubclass<Camera>) @extends gst::Bin, gst::Element, gst::Object, @implements gst::ChildProxy;
}

impl ObjectImpl for Camera {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: std::sync::OnceLock<Vec<glib::ParamSpec>> = std::sync::OnceLock::new();
        PROPERTIES.get_or_init(|| {
            vec![
                glib::ParamSpecString::builder("device").build(),
                glib::ParamSpecBoolean::builder("do-timestamp").build(),
            ]
        })
    }

    fn set_property(&self, _: usize, value: &glib::Value, property: &glib::ParamSpec) {
        if property.name() == "device" {
            *self.device.lock().unwrap() = value.get().unwrap();
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let template = CameraElement::static_metaclass_template();
        self.obj()
            .add_pad(&gst::GhostPad::builder_from_template(&template).name("src").build())
            .unwrap();
    }
}

impl CameraElement {
    fn static_metaclass_template() -> gst::PadTemplate {
        gst::PadTemplate::new(
            "src",
            gst::PadDirection::Src,
            gst::PadPresence::Always,
            &gst::Caps::new_any(),
        )
        .unwrap()
    }
}

impl GstObjectImpl for Camera {}

impl ElementImpl for Camera {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: std::sync::OnceLock<gst::subclass::ElementMetadata> =
            std::sync::OnceLock::new();
        Some(METADATA.get_or_init(|| {
            gst::subclass::ElementMetadata::new("Stand-in", "Source/Video", "A stand-in", "Squint")
        }))
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: std::sync::OnceLock<Vec<gst::PadTemplate>> = std::sync::OnceLock::new();
        TEMPLATES.get_or_init(|| vec![CameraElement::static_metaclass_template()])
    }

    fn change_state(
        &self,
        change: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let ghost = self.obj().static_pad("src").unwrap().downcast::<gst::GhostPad>().unwrap();
        if change == gst::StateChange::NullToReady && ghost.target().is_none() {
            let offers = offered(&self.device.lock().unwrap());
            let inner = gst::parse::bin_from_description(
                &format!("videotestsrc is-live=true ! {offers} ! identity"),
                true,
            )
            .unwrap();
            self.obj().add(&inner).unwrap();
            ghost.set_target(inner.static_pad("src").as_ref()).unwrap();
        }
        self.parent_change_state(change)
    }
}

impl BinImpl for Camera {}

/// What the camera at this device gives.
fn offered(device: &str) -> String {
    let raw =
        |format: &str| format!("video/x-raw,format={format},width=320,height=240,framerate=30/1");
    let encoded = |encoder: &str| format!("{} ! {encoder}", raw("I420"));
    match device.rsplit('/').next().unwrap_or_default() {
        "h264" => encoded(
            "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=5 ! video/x-h264,stream-format=byte-stream",
        ),
        "mpegts" => encoded(
            "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=5 ! h264parse ! mpegtsmux",
        ),
        "vp8" => encoded("vp8enc deadline=1 keyframe-max-dist=5"),
        "mjpeg" => encoded("jpegenc"),
        "bayer" => "video/x-bayer,format=rggb,width=320,height=240,framerate=30/1".into(),
        "odd" => format!(
            "{} ! capssetter join=false caps=video/x-sonix,width=320,height=240,framerate=30/1",
            raw("GRAY8")
        ),
        format => raw(format),
    }
}

/// The stand-in takes the place of the real element, in this process only.
fn stand_in() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        let registry = gst::Registry::get();
        if let Some(real) = registry.lookup_feature("v4l2src") {
            registry.remove_feature(&real);
        }
        gst::Element::register(None, "v4l2src", gst::Rank::NONE, CameraElement::static_type())
            .unwrap();
    });
}

/// As the thread of a camera opens it: in another way, if it is told to.
fn camera(
    device: &str,
    tune: impl FnOnce(&mut OpenRequest),
) -> Result<Box<dyn FrameSource>, SourceError> {
    stand_in();
    let mut request = request(&format!("v4l2:/dev/standin/{device}"));
    tune(&mut request);
    let opener = Opener::new(request);
    let mut ways = 0;
    loop {
        let mut source = opener.open()?;
        match source.next(SOON) {
            Ok(_) => return Ok(source),
            Err(other @ SourceError::OtherWay { .. }) => eprintln!("{other}"),
            Err(error) => return Err(error),
        }
        ways += 1;
        assert!(ways < 3, "and once is enough");
    }
}

#[test]
fn a_camera_that_gives_h264_mpeg_ts_vp8_mjpeg_or_bayer_only_is_read() {
    if !have(
        "USB cameras",
        &[
            "x264enc",
            "h264parse",
            "avdec_h264",
            "mpegtsmux",
            "tsdemux",
            "vp8enc",
            "vp8dec",
            "jpegenc",
            "bayer2rgb",
        ],
    ) {
        return;
    }
    for device in ["h264", "mpegts", "vp8", "mjpeg", "bayer"] {
        let mut source = camera(device, |_| {}).unwrap_or_else(|error| panic!("{device}: {error}"));
        let picture = frame(source.as_mut());
        assert_eq!((picture.layout().width, picture.layout().height), (320, 240), "{device}");
    }
    // A size that it has may be asked for.
    let asked = camera("bayer", |request| request.size = Some((320, 240)));
    assert!(asked.is_ok(), "{:?}", asked.err());
}

#[test]
fn a_camera_of_any_raw_format_is_read() {
    for format in [
        "YUY2",
        "UYVY",
        "NV12",
        "NV21",
        "I420",
        "GRAY8",
        "GRAY16_LE",
        "GRAY16_BE",
        "BGR",
        "RGB16",
        "BGRx",
        "Y42B",
    ] {
        let mut source = camera(format, |_| {}).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(frame(source.as_mut()).layout().width, 320, "{format}");
    }
}

#[test]
fn a_camera_that_has_nothing_of_use_is_told_with_what_it_has_and_what_to_do() {
    let told = camera("odd", |_| {}).err().expect("nothing reads that").to_string();
    assert!(
        told.contains("the camera offers video/x-sonix 320x240")
            && told.contains("pipeline:v4l2src"),
        "{told}"
    );
    assert!(!told.contains("leave both out"), "nothing was asked for: {told}");
    let told = camera("YUY2", |request| request.size = Some((640, 480)))
        .err()
        .expect("it has 320x240")
        .to_string();
    assert!(
        told.contains("the camera offers YUY2 320x240") && told.contains("leave both out"),
        "{told}"
    );
}
