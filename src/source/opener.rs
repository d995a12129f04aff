//! Opens one camera, again and again, and remembers what matters for the next time: who logs in,
//! and which way its packets came.
//!
//! Never retries by itself: where another way is to be tried, [`SourceError::OtherWay`] says so to
//! whoever opens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::keyframes::Notice;
use super::login::Login;
use super::stream::Stream;
use super::transport::{Transport, Ways};
use super::{FrameSource, OpenRequest, SourceError, SourceSpec, Stopper, images};
use crate::frame::Frame;

/// Opens a source. All clones are one.
#[derive(Clone)]
pub struct Opener(Arc<Inner>);

struct Inner {
    request: OpenRequest,
    /// Source and login as the configuration says now.
    access: Mutex<(SourceSpec, Login)>,
    ways: Mutex<Ways>,
    /// The camera gives Bayer pictures only.
    bayer: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Opener {
    /// For what `request` names.
    pub fn new(request: OpenRequest) -> Self {
        let named = match request.source {
            SourceSpec::Rtsp { transport, .. } => transport,
            _ => None,
        };
        let ways = Ways::new(
            named.filter(|_| request.transport == Transport::Auto).unwrap_or(request.transport),
        );
        Self(Arc::new(Inner {
            access: Mutex::new((request.source.clone(), request.login.clone())),
            ways: Mutex::new(ways),
            bayer: AtomicBool::new(request.bayer),
            request,
        }))
    }

    /// From the next opening on this login is used; `source` is the same place, perhaps with
    /// another login in its address.
    pub fn log_in(&self, source: &SourceSpec, login: &Login) {
        *lock(&self.0.access) = (source.clone(), login.clone());
    }

    /// Opens the source and starts it. Takes up to ten seconds where a driver hangs, usually a few
    /// milliseconds; what a camera has to complain about later (wrong password, no such host) comes
    /// with the first [`FrameSource::next`].
    ///
    /// [`SourceError::Failed`] names what is missing: an element and its package, a file, a device,
    /// a password.
    pub fn open(&self) -> Result<Box<dyn FrameSource>, SourceError> {
        let (source, login) = lock(&self.0.access).clone();
        let origin = source.to_string();
        let source =
            login.fill(&source).map_err(|reason| SourceError::Failed { origin, reason })?;
        let way = lock(&self.0.ways).now();
        let bayer = self.0.bayer.load(Ordering::Relaxed);
        let request = OpenRequest {
            source,
            login: Login::default(),
            transport: way,
            bayer,
            ..self.0.request.clone()
        };
        match &request.source {
            SourceSpec::Images { pattern } => {
                Ok(Box::new(images::Images::open(&request, pattern)?))
            }
            SourceSpec::Rtsp { .. } | SourceSpec::V4l2 { .. } => {
                let stream = Stream::open(&request)?;
                Ok(Box::new(Choosy {
                    stream,
                    opener: self.clone(),
                    way,
                    delivered: false,
                    failed: None,
                }))
            }
            _ => Ok(Box::new(Stream::open(&request)?)),
        }
    }
}

/// A stream that may have to be opened in another way.
struct Choosy {
    stream: Stream,
    opener: Opener,
    way: Transport,
    delivered: bool,
    /// What has been said of the other way, for whoever asks again.
    failed: Option<SourceError>,
}

impl Choosy {
    /// What `error` means, which came before the first frame.
    fn judged(&self, error: SourceError) -> SourceError {
        let heard = self.stream.heard();
        let other = |origin: String, reason: String| SourceError::OtherWay { origin, reason };
        let (origin, reason) = match &error {
            SourceError::Failed { origin, reason } => (origin.clone(), reason.clone()),
            SourceError::Stalled { origin, .. }
            | SourceError::NoPicture { origin, .. }
            | SourceError::Ended { origin } => {
                (origin.clone(), format!("nothing came over {}", self.way))
            }
            _ => return error,
        };
        if heard.offers_only_bayer() && !self.opener.0.bayer.swap(true, Ordering::Relaxed) {
            return other(
                origin,
                "the camera gives Bayer pictures only; bayer2rgb converts them".into(),
            );
        }
        if !heard.blames_transport() {
            return error;
        }
        let mut ways = lock(&self.opener.0.ways);
        let asked = ways.asked();
        match ways.fails(self.way) {
            Some(next) => other(
                origin,
                format!("the camera sends nothing over {}; {next} is tried", self.way),
            ),
            None if asked == Transport::Auto => SourceError::Failed {
                origin,
                reason: format!("the camera sends over none of TCP, UDP and multicast: {reason}"),
            },
            None => match error {
                SourceError::Failed { .. } => SourceError::Failed {
                    origin,
                    reason: format!(
                        "the camera does not send over {asked}, which `transport` asks for: leave it out ({reason})"
                    ),
                },
                other => other,
            },
        }
    }
}

/// Passes every method on, those with a default too.
impl FrameSource for Choosy {
    fn next(&mut self, patience: Duration) -> Result<Option<Frame>, SourceError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        match self.stream.next(patience) {
            Ok(Some(frame)) => {
                if !std::mem::replace(&mut self.delivered, true) {
                    lock(&self.opener.0.ways).works(self.way);
                }
                Ok(Some(frame))
            }
            // The source is well, and goes on.
            Err(error @ (SourceError::LeftOut { .. } | SourceError::Unreadable { .. })) => {
                Err(error)
            }
            Err(error) if !self.delivered => {
                let judged = self.judged(error);
                let silent = |error: &SourceError| {
                    matches!(error, SourceError::Stalled { .. } | SourceError::NoPicture { .. })
                };
                self.failed = Some(judged.clone()).filter(|judged| !silent(judged));
                Err(judged)
            }
            other => other,
        }
    }

    fn longest_silence(&self, patience: Duration) -> Duration {
        self.stream.longest_silence(patience)
    }

    fn first_patience(&self, patience: Duration) -> Duration {
        self.stream.first_patience(patience)
    }

    fn superseded(&self) -> u64 {
        self.stream.superseded()
    }

    fn unreadable(&self) -> u64 {
        self.stream.unreadable()
    }

    fn notice(&mut self) -> Option<Notice> {
        self.stream.notice()
    }

    fn stopper(&self) -> Stopper {
        self.stream.stopper()
    }
}
