//! Pipelines that hang where no thread can be ended from outside: in the driver of a camera, or in
//! an answer of a network camera that does not end. They are left to themselves and counted, so
//! that they stay few.
//!
//! Two counts, since two things hang. A driver is one for the whole process: from [`MOST_STUCK`]
//! pipelines on nothing is opened that may need it. A network camera hangs alone: from
//! [`MOST_AT_ONE`] on that camera waits, and no other one notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::OpenRequest;
use super::stream::lock;
use crate::frame::CameraId;

/// Pipelines that hang in their driver before no more are opened.
pub const MOST_STUCK: usize = 8;
/// Connections of one network camera that hang before no more are opened to it.
const MOST_AT_ONE: usize = 2;

/// Whose pipeline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    camera: CameraId,
    network: bool,
}

/// One entry for each pipeline that was left to itself and has not come back.
static STUCK: Mutex<Vec<Owner>> = Mutex::new(Vec::new());

/// How many pipelines of this process hang in their driver. From [`MOST_STUCK`] on no source that
/// needs GStreamer is opened, those of network cameras aside, until some of them come back, which
/// they do only if the driver does.
pub fn stuck() -> usize {
    lock(&STUCK).iter().filter(|owner| !owner.network).count()
}

impl Owner {
    pub(super) fn of(request: &OpenRequest) -> Self {
        Self { camera: request.camera, network: request.source.is_network() }
    }

    /// Why nothing may be opened for this camera now.
    pub(super) fn refusal(self) -> Option<String> {
        let mine = lock(&STUCK).iter().filter(|owner| **owner == self).count();
        if self.network {
            return (mine >= MOST_AT_ONE).then(|| {
                format!(
                    "{mine} earlier connections to this camera hang in an answer that does not end; none is opened beside them until one ends: \
                     restart the camera, or see what answers at its address"
                )
            });
        }
        (stuck() >= MOST_STUCK).then(|| {
            format!("{MOST_STUCK} earlier pipelines hang in their driver; restart it (CSI: systemctl restart nvargus-daemon), then Squint")
        })
    }

    /// What is said if it does not open within `limit`.
    pub(super) fn silent(self, limit: Duration) -> String {
        let seconds = limit.as_secs();
        match self.network {
            true => format!(
                "nothing has come of opening it for {seconds} s; is the camera on, and is its address right?"
            ),
            false => {
                format!(
                    "the driver has not answered for {seconds} s; CSI cameras recover by: systemctl restart nvargus-daemon"
                )
            }
        }
    }

    /// What is said if it does not close within `limit`.
    pub(super) fn holds_on(self, limit: Duration) -> String {
        match self.network {
            true => format!(
                "the camera does not end its answer, so that its connection cannot be closed within {limit:?}; it is left to itself until the \
                 camera ends it"
            ),
            false => format!(
                "the driver does not let go within {limit:?}; its pipeline is left to itself"
            ),
        }
    }

    /// Runs `act` on a thread of GStreamer's pool and waits for it. `None` if it takes longer; then
    /// the pipeline is counted as stuck until that thread comes back and has stopped it.
    pub(super) fn within<T: Send + 'static>(
        self,
        limit: Duration,
        pipeline: &gst::Pipeline,
        act: impl FnOnce(&gst::Pipeline) -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = sync_channel(1);
        // Who comes second knows that the other has left.
        let parted = Arc::new(AtomicBool::new(false));
        let left = parted.clone();
        pipeline.call_async(move |pipeline| {
            let _ = done.send(act(pipeline));
            if left.swap(true, Ordering::AcqRel) {
                let _ = pipeline.set_state(gst::State::Null);
                self.comes_back();
            }
        });
        if let Ok(answer) = result.recv_timeout(limit) {
            return Some(answer);
        }
        lock(&STUCK).push(self);
        if !parted.swap(true, Ordering::AcqRel) {
            return None;
        }
        self.comes_back();
        result.try_recv().ok() // it came at the last moment
    }

    fn comes_back(self) {
        let mut all = lock(&STUCK);
        if let Some(at) = all.iter().position(|owner| *owner == self) {
            all.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::SyncSender;
    use std::time::Instant;

    use super::*;
    use crate::source::SourceSpec;

    const LONG: Duration = Duration::from_secs(20);

    fn hang(owner: Owner, pipeline: &gst::Pipeline) -> SyncSender<()> {
        let (release, held) = sync_channel::<()>(0);
        assert_eq!(
            owner.within(Duration::from_millis(20), pipeline, move |_| held.recv().is_ok()),
            None
        );
        release
    }

    fn eventually(done: impl Fn() -> bool) {
        let started = Instant::now();
        while !done() {
            assert!(started.elapsed() < LONG);
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_driver_that_hangs_is_left_and_counted_until_it_comes_back() {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let owner = Owner { camera: CameraId(900), network: false };
        let release = hang(owner, &pipeline);
        assert_eq!(stuck(), 1);
        release.send(()).unwrap();
        assert_eq!(owner.within(LONG, &pipeline, |_| 7), Some(7));
        eventually(|| stuck() == 0);
    }

    #[test]
    fn a_network_camera_whose_connections_hang_waits_alone() {
        gst::init().unwrap();
        let (pipeline, evil) =
            (gst::Pipeline::new(), Owner { camera: CameraId(901), network: true });
        let (other, csi) = (
            Owner { camera: CameraId(902), network: true },
            Owner { camera: CameraId(903), network: false },
        );
        let mut held: Vec<_> = (1..MOST_AT_ONE).map(|_| hang(evil, &pipeline)).collect();
        assert_eq!(evil.refusal(), None);
        held.push(hang(evil, &pipeline));
        let refusal = evil.refusal().unwrap();
        assert!(
            refusal.contains("connections to this camera hang") && !refusal.contains("nvargus"),
            "{refusal}"
        );
        assert_eq!((other.refusal(), csi.refusal()), (None, None));
        held.pop().unwrap().send(()).unwrap();
        eventually(|| evil.refusal().is_none());
        held.iter().for_each(|release| release.send(()).unwrap());
    }

    #[test]
    fn only_network_cameras_have_a_count_of_their_own() {
        let of = |source: &str| {
            Owner::of(&OpenRequest::new(CameraId(1), source.parse::<SourceSpec>().unwrap()))
        };
        for (source, network) in
            [("rtsp://cam/1", true), ("csi:0", false), ("/dev/video0", false), ("clip.mp4", false)]
        {
            assert_eq!(of(source).network, network, "{source}");
        }
        assert!(
            of("rtsp://cam/1").silent(LONG).contains("is the camera on")
                && of("csi:0").silent(LONG).contains("nvargus-daemon")
        );
    }
}
