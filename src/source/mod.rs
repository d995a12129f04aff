//! Cameras, clips and photos: whatever hands over frames. The only module that speaks GStreamer.
//!
//! A source never retries; the feature thread of its camera does, with [`Backoff`] in between.
//! GStreamer's own thread only offers to a one-slot mailbox.
//!
//! `spec` reads what the user typed (`address`: a network source, `expand`: variables in it),
//! `login` finds the password, `secret` and `names` keep it out of every text, `launch` turns a
//! source into a pipeline's text and knows the packages, `opener` opens it and remembers which way
//! its packets came (`transport`), `stream` runs it, `probes` sees what flows through it and
//! `keyframes` says which of that are frames, `stuck` counts what hangs, `layout` and `fault`
//! translate what it hands over and what it complains about, `heard`, `http` and `formats` what it
//! tells beside. `images` reads photos and needs no GStreamer at all.

mod address;
mod backoff;
mod expand;
mod fault;
mod formats;
mod heard;
mod http;
mod images;
mod keyframes;
mod launch;
mod layout;
mod login;
mod names;
mod opener;
mod probes;
mod secret;
mod spec;
mod stream;
mod stuck;
mod transport;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::frame::{CameraId, Frame};
use crate::limits::{Need, Shortage};

pub use address::Address;
pub use backoff::{Backoff, FIRST_PAUSE, FIRST_REFUSAL, LONGEST_REFUSAL};
pub(crate) use expand::{expand, unexpanded};
pub(crate) use images::Foreign;
pub use images::{DEFAULT_IMAGE_RATE_HZ, decode_image};
pub use keyframes::{Episode, Notice};
pub use launch::{ElementCheck, elements, pipeline_text};
pub use login::{Login, PasswordAt};
pub use opener::Opener;
pub use secret::Secret;
pub(crate) use secret::shown;
pub(crate) use spec::is_image;
pub use spec::{Pace, SourceSpec};
pub use stuck::{MOST_STUCK, stuck};
pub use transport::Transport;

/// How long the first picture of a live source may take, if nobody says otherwise: cameras that
/// sleep answer after seconds, and key frames may be ten seconds apart.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Hands over frames, newest first. One per camera, owned by that camera's feature thread.
pub trait FrameSource: Send {
    /// The newest frame, or [`SourceError::Stalled`] after `patience`. `Ok(None)` only from a
    /// finite source that has ended, or after [`Stopper::stop`]; a live camera that ends is an
    /// error. Never retries. After [`SourceError::Unreadable`] the next call goes on with the next
    /// picture; after the other errors, except `Stalled`, `NoPicture` and `LeftOut`, every call
    /// says the same. Films and folders of images at their own pace wait for the next picture's
    /// turn even beyond `patience`: that silence is their own wish.
    fn next(&mut self, patience: Duration) -> Result<Option<Frame>, SourceError>;

    /// How long the first picture may take, given the patience with the others.
    fn first_patience(&self, patience: Duration) -> Duration {
        patience
    }

    /// How long [`FrameSource::next`] may keep silent by its own wish, for whoever watches over the
    /// thread that calls it.
    fn longest_silence(&self, patience: Duration) -> Duration {
        patience
    }

    /// Frames that a newer one replaced before anyone took them, since the source was opened.
    fn superseded(&self) -> u64;

    /// Pictures that came since the source was opened and are no frames: damaged on the way, or
    /// without the key frame that they need. Each has a number of its own among the frames.
    fn unreadable(&self) -> u64 {
        0
    }

    /// What there is to tell about what the source sends; each is told once.
    fn notice(&mut self) -> Option<Notice> {
        None
    }

    /// Something that wakes a waiting [`FrameSource::next`] from another thread.
    fn stopper(&self) -> Stopper;
}

/// Wakes a source that waits. Clonable, callable from any thread, any number of times.
#[derive(Clone)]
pub struct Stopper(Arc<dyn Fn() + Send + Sync>);

impl Stopper {
    /// Wraps the action.
    pub fn new(action: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(action))
    }

    /// Makes the waiting and every later `next` return `Ok(None)`.
    pub fn stop(&self) {
        (self.0)();
    }
}

/// What went wrong at a source. Texts never hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No frame within the patience.
    #[error("{origin}: no frame for {} ms (stall-after-ms)", waited.as_millis())]
    Stalled {
        /// The source, without secrets.
        origin: String,
        /// How long it was waited.
        waited: Duration,
    },
    /// No frame since it was opened, within the patience for the first one.
    #[error("{origin}: no picture within {} ms of opening it (open-timeout-ms, or stall-after-ms if that is longer)", waited.as_millis())]
    NoPicture {
        /// The source, without secrets.
        origin: String,
        /// How long it was waited.
        waited: Duration,
    },
    /// Pictures came that are no frames, see [`FrameSource::unreadable`] and
    /// [`FrameSource::superseded`]. The source is well: ask for the next.
    #[error("{origin}: {pictures} pictures were left out")]
    LeftOut {
        /// The source, without secrets.
        origin: String,
        /// How many since the last time.
        pictures: u64,
    },
    /// A live source came to its end.
    #[error("{origin}: the stream ended, which a live source must not do")]
    Ended {
        /// The source, without secrets.
        origin: String,
    },
    /// It cannot be opened, or failed while running.
    #[error("{origin}: {reason}")]
    Failed {
        /// The source, without secrets.
        origin: String,
        /// What it said, without secrets, and what to do about it.
        reason: String,
    },
    /// It was not opened, since the system has too little left for it: descriptors or threads.
    #[error("{origin}: {shortage}")]
    OutOfResources {
        /// The source, without secrets.
        origin: String,
        /// Of what, how much, and how the limit is raised.
        shortage: Shortage,
    },
    /// The camera does not let this user in. The next try may cost the account, so it should come
    /// late.
    #[error("{origin}: {reason}")]
    Refused {
        /// The source, without secrets.
        origin: String,
        /// What it said, without secrets, and what to do about it.
        reason: String,
    },
    /// It has to be opened in another way, which the next opening does: no loss, and no pause is
    /// due.
    #[error("{origin}: {reason}")]
    OtherWay {
        /// The source, without secrets.
        origin: String,
        /// Why, and what is tried.
        reason: String,
    },
    /// One picture cannot be read. The source is well: ask for the next one.
    #[error("{origin}: {file} is left out: {reason}")]
    Unreadable {
        /// The source, without secrets.
        origin: String,
        /// The picture's file name.
        file: Arc<str>,
        /// Why.
        reason: String,
    },
}

impl SourceError {
    /// One word for what kind of loss it is, for the journal: `stalled`, `ended`, `failed`,
    /// `refused`, `other-way`, `out-of-resources` or `unreadable`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Stalled { .. } | Self::NoPicture { .. } => "stalled",
            Self::Ended { .. } => "ended",
            Self::Failed { .. } => "failed",
            Self::OutOfResources { .. } => "out-of-resources",
            Self::Refused { .. } => "refused",
            Self::OtherWay { .. } => "other-way",
            Self::Unreadable { .. } | Self::LeftOut { .. } => "unreadable",
        }
    }
}

/// How many frames `source` holds, where that can be said beforehand: photos.
pub fn count(source: &SourceSpec) -> Option<u64> {
    match source {
        SourceSpec::Images { pattern } => images::count(pattern),
        _ => None,
    }
}

/// What the opening of `source` may take of the system; nothing for photos, which need no
/// GStreamer.
pub fn need(source: &SourceSpec) -> Need {
    match source {
        SourceSpec::Images { .. } => Need::default(),
        _ => Need::of_an_opening(),
    }
}

/// The names that the frames of `source` will have; `None` if it is none of photos, or none are
/// there.
pub fn names(source: &SourceSpec) -> Option<Vec<String>> {
    match source {
        SourceSpec::Images { pattern } => images::names(pattern),
        _ => None,
    }
}

/// What is to be opened, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenRequest {
    /// Written into each frame.
    pub camera: CameraId,
    /// Where frames come from.
    pub source: SourceSpec,
    /// [`Pace::Fast`] makes a finite source hand over every frame, as fast as it is asked; live
    /// sources know no `Fast`.
    pub pace: Pace,
    /// Frames a second: asked of `csi`, `v4l2` and `test`; the pace of images
    /// ([`DEFAULT_IMAGE_RATE_HZ`] if `None`). RTSP cameras, clips and `pipeline:` come as they are.
    pub rate_hz: Option<f32>,
    /// Width and height in pixels, asked of `csi`, `v4l2` and `test`.
    pub size: Option<(u32, u32)>,
    /// User and password that are not in the address.
    pub login: Login,
    /// How the packets of an RTSP camera are to travel.
    pub transport: Transport,
    /// True for a V4L2 camera that is known to give Bayer pictures only.
    pub bayer: bool,
    /// How long the first picture of a live source may take, how long such a source may be without
    /// a key frame, and for how long nothing may move in a film.
    pub open_timeout: Duration,
}

impl OpenRequest {
    /// `source` as it comes: [`Pace::Realtime`], no rate or size asked for, the default time for
    /// its first picture.
    pub fn new(camera: CameraId, source: SourceSpec) -> Self {
        let (login, transport, open_timeout) = (Login::default(), Transport::Auto, OPEN_TIMEOUT);
        Self {
            camera,
            source,
            pace: Pace::Realtime,
            rate_hz: None,
            size: None,
            login,
            transport,
            bayer: false,
            open_timeout,
        }
    }
}

/// These picture files, in this order, as fast as asked. None is looked at before its turn.
pub fn open_images(camera: CameraId, files: Vec<PathBuf>) -> Box<dyn FrameSource> {
    Box::new(images::Images::of(camera, "pictures".into(), PathBuf::new(), files))
}

/// As [`open_images`]; each frame is named after its path inside `folder`.
pub fn open_images_of(
    camera: CameraId,
    folder: PathBuf,
    files: Vec<PathBuf>,
) -> Box<dyn FrameSource> {
    Box::new(images::Images::of(camera, folder.display().to_string(), folder, files))
}

/// Opens a source once, see [`Opener::open`].
pub fn open(request: &OpenRequest) -> Result<Box<dyn FrameSource>, SourceError> {
    Opener::new(request.clone()).open()
}
