//! Whether Squint makes progress: the one place that decides if systemd's watchdog is pinged.
//!
//! Pure: time, threads and cameras are arguments. Pings stop in four cases: a thread is overdue;
//! frames of a camera are in progress but none comes to its end; and, while no camera delivers, too
//! many pipelines hang in their driver, or too few descriptors or threads are left to open one.
//! Only a new process mends those. While one camera delivers, hanging drivers are reported but
//! pings go on, since a restart would cost the cameras that work. A camera that is silent within
//! its patience, is being opened, or pauses before the next try, is no lack of progress. Hanging
//! connections to network cameras are not either, see [`crate::source::stuck`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pipeline::CameraState;
use crate::pipeline::heartbeat::Beat;
use crate::report::DropReason;
use crate::source::MOST_STUCK;
use crate::vocabulary::CameraPhase;

/// What keeps Squint from being alive.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Trouble {
    /// This thread is at one thing for too long.
    Hung(Beat),
    /// Frames of this camera are under way but come to no end.
    Still { camera: Arc<str>, since: Duration, under_way: u64 },
    /// This many pipelines hang in their driver: a camera that is lost stays lost. `delivering`:
    /// cameras that are not.
    Stuck { pipelines: usize, since: Duration, delivering: usize },
    /// No camera delivers, and this one at least cannot be opened for want of descriptors or
    /// threads.
    Short { camera: Arc<str>, since: Duration },
}

/// Remembers when each camera last came forward.
pub(super) struct HealthCheck {
    patience: Duration,
    /// Frames that a report was given of or that were found to be late, and when that number last
    /// changed. Other dropped frames are no progress: whoever hangs has its frames superseded, or
    /// its reports pushed out, as long as the camera goes on.
    told: HashMap<Arc<str>, (u64, Instant)>,
    /// Since when no pipeline can be opened any more.
    stuck: Option<Instant>,
    /// Since when no camera delivers while descriptors or threads are wanting.
    short: Option<Instant>,
}

impl HealthCheck {
    /// `patience`: how long frames may be under way without one coming to its end, and how long the
    /// drivers of cameras have to come back once too many pipelines hang in them.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, told: HashMap::new(), stuck: None, short: None }
    }

    /// All that is wrong; the watchdog may be fed if none of it [starves](Trouble::starves) it.
    /// `stuck`: how many pipelines hang in their driver.
    pub(super) fn troubles(
        &mut self,
        now: Instant,
        beats: &[Beat],
        cameras: &[CameraState],
        stuck: usize,
    ) -> Vec<Trouble> {
        let mut troubles: Vec<_> =
            beats.iter().filter(|beat| beat.is_overdue()).cloned().map(Trouble::Hung).collect();
        for camera in cameras {
            let ended = camera.told + camera.drops.get(DropReason::Late);
            let (was, at) = self.told.entry(Arc::clone(&camera.name)).or_insert((ended, now));
            if *was != ended || camera.under_way() == 0 {
                (*was, *at) = (ended, now);
            }
            let since = now.saturating_duration_since(*at);
            if since > self.patience {
                troubles.push(Trouble::Still {
                    camera: Arc::clone(&camera.name),
                    since,
                    under_way: camera.under_way(),
                });
            }
        }
        let at_work = |camera: &CameraState| camera.phase == CameraPhase::Delivering;
        let short =
            cameras.iter().find(|camera| camera.short).filter(|_| !cameras.iter().any(at_work));
        match short {
            None => self.short = None,
            Some(camera) => {
                let since = now.saturating_duration_since(*self.short.get_or_insert(now));
                if since > self.patience {
                    troubles.push(Trouble::Short { camera: Arc::clone(&camera.name), since });
                }
            }
        }
        if stuck < MOST_STUCK {
            self.stuck = None;
            return troubles;
        }
        let since = now.saturating_duration_since(*self.stuck.get_or_insert(now));
        if since > self.patience {
            let delivering =
                cameras.iter().filter(|camera| camera.phase == CameraPhase::Delivering).count();
            troubles.push(Trouble::Stuck { pipelines: stuck, since, delivering });
        }
        troubles
    }
}

impl Trouble {
    /// Who: the same as long as it is the same trouble.
    pub(super) fn who(&self) -> &str {
        match self {
            Self::Hung(beat) => &beat.thread,
            Self::Still { camera, .. } => camera,
            Self::Stuck { delivering: 0, .. } => "the drivers of all cameras",
            Self::Stuck { .. } => "the drivers of the cameras",
            Self::Short { .. } => "the limits of the process",
        }
    }

    /// True if only a new process helps, so that the watchdog must not be fed.
    pub(super) fn starves(&self) -> bool {
        match self {
            Self::Hung(_) | Self::Still { .. } | Self::Short { .. } => true,
            Self::Stuck { delivering, .. } => *delivering == 0,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hung(beat) => {
                write!(f, "thread {} hangs: {}", beat.thread, beat.activity.name())?;
                if let Some(engine) = &beat.engine {
                    write!(f, " with {engine}")?;
                }
                write!(f, " for {:.1} s", beat.since.as_secs_f64())?;
                beat.limit.map_or(Ok(()), |limit| {
                    write!(f, ", more than the {:.1} s that it may", limit.as_secs_f64())
                })
            }
            Self::Still { camera, since, under_way } => {
                write!(
                    f,
                    "camera {camera}: none of {under_way} frames under way has come to its end for {:.1} s",
                    since.as_secs_f64()
                )
            }
            Self::Short { camera, since } => {
                write!(
                    f,
                    "no camera delivers, and {camera} has not been opened for {:.1} s since descriptors or threads are wanting; \
                     LimitNOFILE= and TasksMax= of the unit limit them",
                    since.as_secs_f64()
                )
            }
            Self::Stuck { pipelines, since, .. } => {
                write!(
                    f,
                    "{pipelines} pipelines hang in the drivers of their cameras, so that none has been opened for {:.1} s; only a new \
                     process can, once the driver is restarted (CSI: systemctl restart nvargus-daemon)",
                    since.as_secs_f64()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::heartbeat::Activity;
    use crate::report::Drops;

    fn camera(offered: u64, told: u64) -> CameraState {
        CameraState {
            name: "door".into(),
            source: "test".into(),
            phase: CameraPhase::Delivering,
            since: Duration::ZERO,
            next_try: None,
            losses: 0,
            offered,
            told,
            drops: Drops([1, 0, 0, 0, 0, 0, 0]),
            short: false,
            unanswered: Duration::ZERO,
        }
    }

    fn beat(since: u64, limit: Option<u64>) -> Beat {
        let seconds = Duration::from_secs;
        Beat {
            thread: "worker-0".into(),
            activity: Activity::Looking,
            engine: Some("lite0".into()),
            since: seconds(since),
            limit: limit.map(seconds),
        }
    }

    #[test]
    fn a_thread_beyond_its_limit_is_named_with_what_it_does_and_since_when() {
        let mut health = HealthCheck::new(Duration::from_secs(10));
        let troubles = health.troubles(
            Instant::now(),
            &[beat(9, Some(10)), beat(1000, None), beat(31, Some(15))],
            &[],
            0,
        );
        assert_eq!(troubles.len(), 1);
        assert_eq!(
            troubles[0].to_string(),
            "thread worker-0 hangs: looking with lite0 for 31.0 s, more than the 15.0 s that it may"
        );
    }

    #[test]
    fn frames_under_way_must_come_to_an_end_but_silence_is_no_lack_of_progress() {
        let mut health = HealthCheck::new(Duration::from_secs(10));
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut at = |seconds: u32, offered, told| {
            health.troubles(start + seconds * second, &[], &[camera(offered, told)], 0)
        };
        assert!(at(0, 5, 2).is_empty());
        assert!(at(9, 9, 3).is_empty(), "one came to its end");
        assert!(at(19, 900, 3).is_empty(), "not for ten seconds");
        let troubles = at(20, 901, 3);
        assert_eq!(
            troubles[0].to_string(),
            "camera door: none of 897 frames under way has come to its end for 11.0 s"
        );
        assert!(at(21, 902, 4).is_empty(), "it goes on");
        // Everything has come to its end, and for an hour no frame comes: whoever waits for them
        // has a limit of its own.
        assert!(at(22, 902, 901).is_empty());
        assert!(at(3600, 902, 901).is_empty());
        assert!(at(3601, 903, 901).is_empty(), "the clock starts with the frame");
        assert!(!at(3612, 903, 901).is_empty());
    }

    #[test]
    fn frames_that_are_only_dropped_are_no_progress() {
        let mut health = HealthCheck::new(Duration::from_secs(10));
        let start = Instant::now();
        let mut at = |seconds: u64, superseded| {
            let drops = Drops([superseded, 0, 0, 0, 0, 0, superseded]);
            health.troubles(
                start + Duration::from_secs(seconds),
                &[],
                &[CameraState { drops, ..camera(2 * superseded + 9, 3) }],
                0,
            )
        };
        assert!(at(0, 1).is_empty());
        assert!(at(5, 150).is_empty());
        assert!(!at(11, 330).is_empty(), "the camera goes on, and nobody takes its frames");
    }

    #[test]
    fn engines_that_are_too_slow_for_every_deadline_are_no_hang() {
        let mut health = HealthCheck::new(Duration::from_secs(10));
        let start = Instant::now();
        let mut at = |seconds: u64| {
            let mut drops = Drops::default();
            drops.add(DropReason::Late, seconds * 5);
            health.troubles(
                start + Duration::from_secs(seconds),
                &[],
                &[CameraState { drops, ..camera(5 * seconds + 9, 3) }],
                0,
            )
        };
        assert!(
            (0..60).all(|seconds| at(seconds).is_empty()),
            "the camera is named as one without answers, see `unanswered`"
        );
    }

    #[test]
    fn a_process_whose_descriptors_are_gone_while_no_camera_delivers_makes_no_progress() {
        let mut health = HealthCheck::new(Duration::from_secs(10));
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let away =
            || CameraState { phase: CameraPhase::Retrying, name: "yard".into(), ..camera(5, 4) };
        let short = || CameraState { phase: CameraPhase::Retrying, short: true, ..camera(5, 4) };
        let mut at = |seconds: u32, cameras: &[CameraState]| {
            health.troubles(start + seconds * second, &[], cameras, 0)
        };
        assert!(at(0, &[short(), away()]).is_empty());
        assert!(at(10, &[short(), away()]).is_empty(), "others may give some back");
        let troubles = at(11, &[short(), away()]);
        assert!(
            troubles[0]
                .to_string()
                .starts_with("no camera delivers, and door has not been opened for 11.0 s"),
            "{}",
            troubles[0]
        );
        assert!(
            at(12, &[short(), CameraState { phase: CameraPhase::Delivering, ..away() }]).is_empty(),
            "one delivers"
        );
        assert!(at(40, &[short(), away()]).is_empty(), "the clock starts anew");
        assert!(
            at(60, &[away(), away()]).is_empty(),
            "cameras that are merely away are tried again for ever"
        );
    }

    #[test]
    fn some_pipelines_may_hang_in_their_driver_but_not_so_many_that_none_can_be_opened_for_long() {
        let mut health = HealthCheck::new(Duration::from_secs(10));
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let lost = CameraState { phase: CameraPhase::Retrying, ..camera(5, 4) };
        let mut at = |seconds: u32, stuck| {
            health.troubles(start + seconds * second, &[], std::slice::from_ref(&lost), stuck)
        };
        assert!(at(0, MOST_STUCK - 1).is_empty());
        assert!(at(3600, MOST_STUCK - 1).is_empty(), "a new one can be opened");
        assert!(at(3601, MOST_STUCK).is_empty());
        assert!(at(3611, MOST_STUCK).is_empty(), "they may still come back");
        assert!(at(3612, MOST_STUCK - 1).is_empty(), "one has");
        assert!(at(3613, MOST_STUCK).is_empty(), "the clock starts anew");
        let troubles = at(3624, MOST_STUCK + 1);
        assert_eq!(
            troubles[0].to_string(),
            "9 pipelines hang in the drivers of their cameras, so that none has been opened for 11.0 s; only a new process can, once \
             the driver is restarted (CSI: systemctl restart nvargus-daemon)"
        );
        assert!(troubles.len() == 1 && troubles[0].starves());
        assert!(at(3625, 0).is_empty());
    }

    #[test]
    fn hanging_drivers_starve_the_watchdog_only_while_no_camera_delivers() {
        let mut health = HealthCheck::new(Duration::from_secs(10));
        let (start, well) = (Instant::now(), camera(5, 4));
        let lost = CameraState { phase: CameraPhase::Retrying, name: "csi".into(), ..camera(5, 5) };
        let mut at = |seconds, cameras: &[CameraState]| {
            let mut troubles = health
                .troubles(start + Duration::from_secs(seconds), &[], cameras, MOST_STUCK)
                .into_iter();
            troubles.find(|trouble| matches!(trouble, Trouble::Stuck { .. }))
        };
        let both = [well, lost.clone()];
        assert!(at(0, &both).is_none());
        let complaint = at(11, &both).unwrap();
        assert!(!complaint.starves(), "who delivers is not cut off");
        let alone = at(12, &[lost]).unwrap();
        assert!(alone.starves());
        assert_ne!(alone.who(), complaint.who(), "told anew");
    }
}
