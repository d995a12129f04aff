//! A stand-in for NVIDIA's GStreamer plugin on machines without CSI cameras: elements of the names
//! `nvarguscamerasrc` and `nvvidconv`.
//!
//! It proves that the pipeline of a `csi:` source parses, negotiates its `memory:NVMM` caps and
//! runs as it is written, and that Squint comes through a camera service that hangs, fails or falls
//! silent, with the real GStreamer in between. It proves nothing about NVIDIA's elements or its
//! Argus service: which of these ways to misbehave they have, where they hang and what they say is
//! taken from reports of users, the memory is ordinary memory, and `nvvidconv` neither converts nor
//! scales (so tests ask for no `size`).
//!
//! `cargo test` builds it as an example; a test puts it where GStreamer finds it. How the sensors
//! misbehave is in the environment: `STANDIN_ARGUS` is a list of `SENSOR:WHAT@FRAMES`, with the
//! words of [`What`], each after so many frames (0 without `@`). A hang ends once the file named by
//! `STANDIN_ARGUS_RELEASE` exists, as if somebody had restarted the camera service; without it,
//! never.
#![allow(unsafe_code, missing_docs, reason = "what GStreamer's macro for plugins writes out")]

use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use gstreamer as gst;
use gstreamer_base as gst_base;

/// What a sensor may do instead of delivering.
#[derive(Clone, Copy, PartialEq)]
enum What {
    /// `make`: hangs while it is made, when it is told which sensor it is.
    Make,
    /// `open`: hangs in the change of state that opens it.
    Open,
    /// `close`: hangs in the change of state that closes it.
    Close,
    /// `create`: its thread hangs while it waits for a frame from the driver.
    Create,
    /// `push`: its thread hangs while it hands a frame on.
    Push,
    /// `silent`: delivers nothing more and says nothing.
    Silent,
    /// `error`: fails as the camera service does when it has lost its sensor.
    Error,
}

impl What {
    const ALL: [(&str, Self); 7] = [
        ("make", Self::Make),
        ("open", Self::Open),
        ("close", Self::Close),
        ("create", Self::Create),
        ("push", Self::Push),
        ("silent", Self::Silent),
        ("error", Self::Error),
    ];
}

/// What sensor number `sensor` does, and after how many frames.
fn misdeeds(sensor: u32) -> Vec<(What, u64)> {
    let told = std::env::var("STANDIN_ARGUS").unwrap_or_default();
    let of = |word: &str| {
        let (number, what) = word.split_once(':')?;
        let (what, after) = what.split_once('@').unwrap_or((what, "0"));
        let what = What::ALL.iter().find(|(name, _)| *name == what)?.1;
        Some((number.parse::<u32>().ok()?, what, after.parse().ok()?))
    };
    let all = told
        .split_whitespace()
        .map(|word| of(word).unwrap_or_else(|| panic!("STANDIN_ARGUS: {word}?")));
    all.filter(|(number, ..)| *number == sensor).map(|(_, what, after)| (what, after)).collect()
}

/// Hangs.
fn hang() {
    let release = std::env::var_os("STANDIN_ARGUS_RELEASE");
    while !release.as_ref().is_some_and(|file| Path::new(file).exists()) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How the camera is; shared by the threads that open, deliver and close.
struct State {
    sensor: u32,
    timeout: u32,
    /// Of the luma plane, in pixels.
    size: (usize, usize),
    every: Duration,
    next: Option<Instant>,
    frames: u64,
    /// True while nobody may wait.
    flushing: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            sensor: 0,
            timeout: 0,
            size: (1280, 720),
            every: Duration::from_millis(33),
            next: None,
            frames: 0,
            flushing: false,
        }
    }
}

/// `nvarguscamerasrc`.
#[derive(Default)]
pub struct Camera {
    state: Mutex<State>,
    woken: Condvar,
}

impl Camera {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, what: What) -> bool {
        let (sensor, frames) = {
            let state = self.state();
            (state.sensor, state.frames)
        };
        misdeeds(sensor).iter().any(|(due, after)| *due == what && *after <= frames)
    }
}

#[glib::object_subclass]
impl ObjectSubclass for Camera {
    const NAME: &'static str = "StandinArgusCamera";
    type Type = CameraElement;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for Camera {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: OnceLock<Vec<glib::ParamSpec>> = OnceLock::new();
        PROPERTIES.get_or_init(|| {
            vec![
                glib::ParamSpecUInt::builder("sensor-id").build(),
                glib::ParamSpecUInt::builder("timeout").build(),
            ]
        })
    }

    fn set_property(&self, _: usize, value: &glib::Value, property: &glib::ParamSpec) {
        let number = value.get().expect("GObject has looked at its type");
        match property.name() {
            "sensor-id" => {
                self.state().sensor = number;
                if self.is_due(What::Make) {
                    hang();
                }
            }
            _ => self.state().timeout = number,
        }
    }

    fn property(&self, _: usize, property: &glib::ParamSpec) -> glib::Value {
        match property.name() {
            "sensor-id" => self.state().sensor.to_value(),
            _ => self.state().timeout.to_value(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.set_live(true);
        element.set_format(gst::Format::Time);
        element.set_do_timestamp(true);
        let camera = self.downgrade();
        let pad = element.static_pad("src").expect("every source has one");
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            if camera.upgrade().is_some_and(|camera| camera.is_due(What::Push)) {
                hang();
            }
            gst::PadProbeReturn::Ok
        });
    }
}

impl GstObjectImpl for Camera {}

impl ElementImpl for Camera {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: OnceLock<gst::subclass::ElementMetadata> = OnceLock::new();
        Some(METADATA.get_or_init(|| described("Stand-in for a CSI camera", "Source/Video")))
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static PADS: OnceLock<Vec<gst::PadTemplate>> = OnceLock::new();
        PADS.get_or_init(|| vec![pad(gst::PadDirection::Src, "src", &caps(true))])
    }
}

impl BaseSrcImpl for Camera {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        if self.is_due(What::Open) {
            hang();
        }
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        if self.is_due(What::Close) {
            hang();
        }
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let told =
            caps.structure(0).ok_or_else(|| gst::loggable_error!(gst::CAT_RUST, "no caps"))?;
        let number = |name| {
            told.get::<i32>(name).ok().and_then(|number| usize::try_from(number).ok()).unwrap_or(2)
        };
        let rate = told.get::<gst::Fraction>("framerate").unwrap_or(gst::Fraction::new(30, 1));
        let mut state = self.state();
        state.size = (number("width"), number("height"));
        state.every =
            Duration::from_secs_f64(f64::from(rate.denom()) / f64::from(rate.numer().max(1)));
        Ok(())
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.state().flushing = true;
        self.woken.notify_all();
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.state().flushing = false;
        Ok(())
    }
}

impl PushSrcImpl for Camera {
    fn create(&self, _: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        if self.is_due(What::Error) {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Failed,
                ("TIMEOUT"),
                ["Argus Error Status"]
            );
            return Err(gst::FlowError::Error);
        }
        if self.is_due(What::Create) {
            hang();
        }
        let silent = self.is_due(What::Silent);
        let mut state = self.state();
        let now = Instant::now();
        let due = state.next.unwrap_or(now).max(now);
        while !state.flushing && (silent || Instant::now() < due) {
            let pause = if silent {
                Duration::from_secs(60)
            } else {
                due.saturating_duration_since(Instant::now())
            };
            state = self.woken.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.flushing {
            return Err(gst::FlowError::Flushing);
        }
        state.next = Some(due + state.every);
        state.frames += 1;
        let (width, height) = state.size;
        let mut picture = vec![128; width * height * 3 / 2];
        picture[..width * height].fill((state.frames % 256) as u8);
        Ok(CreateSuccess::NewBuffer(gst::Buffer::from_mut_slice(picture)))
    }
}

glib::wrapper! {
    /// The element `nvarguscamerasrc`.
    pub struct CameraElement(ObjectSubclass<Camera>) @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

/// `nvvidconv`: ordinary memory under another name.
#[derive(Default)]
pub struct Converter;

#[glib::object_subclass]
impl ObjectSubclass for Converter {
    const NAME: &'static str = "StandinConverter";
    type Type = ConverterElement;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for Converter {}
impl GstObjectImpl for Converter {}

impl ElementImpl for Converter {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: OnceLock<gst::subclass::ElementMetadata> = OnceLock::new();
        Some(
            METADATA.get_or_init(|| {
                described("Stand-in for NVIDIA's converter", "Filter/Converter/Video")
            }),
        )
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static PADS: OnceLock<Vec<gst::PadTemplate>> = OnceLock::new();
        PADS.get_or_init(|| {
            let mut both = caps(true);
            both.merge(caps(false));
            vec![
                pad(gst::PadDirection::Sink, "sink", &both),
                pad(gst::PadDirection::Src, "src", &both),
            ]
        })
    }
}

impl BaseTransformImpl for Converter {
    const MODE: gst_base::subclass::BaseTransformMode =
        gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn transform_caps(
        &self,
        _: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let with = |features: &str| {
            caps.iter()
                .map(|structure| (structure.to_owned(), gst::CapsFeatures::new([features])))
                .collect::<gst::Caps>()
        };
        let mut either = with(gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY.as_str());
        either.merge(with(NVMM));
        Some(filter.map_or(either.clone(), |filter| {
            filter.intersect_with_mode(&either, gst::CapsIntersectMode::First)
        }))
    }

    fn transform_ip(&self, _: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        Ok(gst::FlowSuccess::Ok)
    }
}

glib::wrapper! {
    /// The element `nvvidconv`.
    pub struct ConverterElement(ObjectSubclass<Converter>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

const NVMM: &str = "memory:NVMM";

fn caps(nvmm: bool) -> gst::Caps {
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "NV12")
        .field("width", gst::IntRange::new(2, 8192))
        .field("height", gst::IntRange::new(2, 8192))
        .field(
            "framerate",
            gst::FractionRange::new(gst::Fraction::new(0, 1), gst::Fraction::new(240, 1)),
        );
    if nvmm { caps.features([NVMM]).build() } else { caps.build() }
}

fn pad(direction: gst::PadDirection, name: &str, caps: &gst::Caps) -> gst::PadTemplate {
    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).expect("a template")
}

fn described(name: &str, class: &str) -> gst::subclass::ElementMetadata {
    gst::subclass::ElementMetadata::new(
        name,
        class,
        "Behaves, or misbehaves as told, in tests",
        "Squint's tests",
    )
}

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "nvarguscamerasrc",
        gst::Rank::NONE,
        CameraElement::static_type(),
    )?;
    gst::Element::register(
        Some(plugin),
        "nvvidconv",
        gst::Rank::NONE,
        ConverterElement::static_type(),
    )
}

gst::plugin_define!(
    nvarguscamerasrc,
    "Stand-in for NVIDIA's camera elements",
    plugin_init,
    "0.1.0",
    "MIT/X11",
    "squint",
    "squint",
    "https://example.org/squint"
);
