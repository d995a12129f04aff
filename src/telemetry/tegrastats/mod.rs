//! Readings out of tegrastats, which NVIDIA ships for Jetson boards: run as a child process, or
//! followed in a file that somebody else lets it write.
//!
//! A second source. The control loop reads sysfs where it can, for a child costs more than reading
//! files; tegrastats serves where sysfs does not have a value, in a container, and for replaying
//! what boards printed. A thread of its own hears lines and keeps the newest readings; sampling
//! copies them and never waits. Readings older than [`Patience::fresh`] are unknown.
//!
//! [`scan`](fn@scan) reads one line, [`Board`] gives readings their places; both are pure. `feed`
//! starts, restarts and kills.

mod board;
mod feed;
mod lines;
mod number;
mod scan;
mod shared;

pub use board::{Board, ORIGIN};
pub use scan::{LINE_LIMIT, NAME_LIMIT, Skip, Token, scan};

use std::io::PipeWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use self::shared::Shared;
use super::{Cost, Doubt, Inventory, Missing, Sample, Telemetry, missing};

/// Time for the thread to kill its child and go.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// A program and its arguments. A name without a slash is looked for in PATH, /usr/bin and
    /// /home/nvidia.
    Command(Vec<String>),
    /// A file that grows, or a FIFO. Read from its newest lines on; opened again when it is
    /// replaced.
    Follow(PathBuf),
}

impl Default for Feed {
    /// `tegrastats --interval 500`: twice a second.
    fn default() -> Self {
        Self::Command(["tegrastats", "--interval", "500"].map(String::from).to_vec())
    }
}

/// How long it is waited for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the first two lines, which say what the board has, when it is opened.
    pub first: Duration,
    /// Readings older than this are unknown.
    pub fresh: Duration,
    /// A child that prints nothing readable for so long is killed and started again.
    pub silence: Duration,
    /// Longest pause before the next start; the first is a quarter of a second, then they double.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(3),
            fresh: Duration::from_secs(2),
            silence: Duration::from_secs(5),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// Telemetry that hears tegrastats. Its child, if it has one, is killed when this is dropped.
pub struct Tegrastats {
    inventory: Inventory,
    patience: Patience,
    shared: Arc<Shared>,
    /// Processor time of the thread that samples have accounted for.
    accounted: Duration,
    /// Closed first when dropped: wakes the thread.
    wake: Option<PipeWriter>,
    gone: Receiver<()>,
}

impl Tegrastats {
    /// Starts hearing, and waits up to [`Patience::first`] for what the board has. A board without
    /// tegrastats is a normal state.
    pub fn open(feed: Feed, patience: Patience) -> Result<Self, Missing> {
        let missing = |why: String| missing::missing(ORIGIN, why, "nothing that sysfs has");
        let (asleep, wake) = std::io::pipe().map_err(|error| missing(error.to_string()))?;
        let shared = Arc::new(Shared::default());
        let (done, gone) = channel();
        let (theirs, limits) = (Arc::clone(&shared), patience.clone());
        let work = move || {
            let _done = done;
            feed::run(&feed, &limits, &theirs, &asleep);
        };
        thread::Builder::new()
            .name(ORIGIN.into())
            .spawn(work)
            .map_err(|error| missing(error.to_string()))?;
        let mut hearing = Self {
            inventory: Inventory::default(),
            patience,
            shared,
            accounted: Duration::ZERO,
            wake: Some(wake),
            gone,
        };
        hearing.shared.learn(hearing.patience.first).map_err(missing)?;
        hearing.inventory = hearing.shared.lock().board.inventory().clone();
        Ok(hearing)
    }

    /// Process number of the child that runs now.
    pub fn child(&self) -> Option<u32> {
        self.shared.lock().child
    }

    /// How often the source was lost, and started or opened again.
    pub fn losses(&self) -> u64 {
        self.shared.lock().losses
    }
}

impl Telemetry for Tegrastats {
    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Copies the newest readings. Its cost counts what the thread spent on lines since the last
    /// sample, but not the child's own.
    fn sample(&mut self, at: Duration, sample: &mut Sample) {
        let begun = Cost::begin();
        let state = self.shared.lock();
        match state.heard.is_some_and(|heard| heard.elapsed() <= self.patience.fresh) {
            true => sample.clone_from(state.board.latest()),
            false => state.board.blank(sample),
        }
        let heard = state.spent.saturating_sub(self.accounted);
        self.accounted = state.spent;
        drop(state);
        sample.at = at;
        sample.cost = heard + begun.spent();
    }

    fn doubts(&self) -> Vec<Doubt> {
        let state = self.shared.lock();
        let silent = state.heard.map(|heard| heard.elapsed());
        let why = match (&state.lost, silent) {
            (Some(why), _) => why.clone(),
            (None, Some(silent)) if silent <= self.patience.fresh => return state.board.doubts(),
            (None, Some(silent)) => format!("silent for {:.1} s", silent.as_secs_f32()),
            (None, None) => "silent since long before the start".to_owned(),
        };
        vec![Doubt {
            sensor: ORIGIN.into(),
            why: format!("{why}; lost {} times so far", state.losses),
        }]
    }
}

impl Drop for Tegrastats {
    /// Waits until the child is dead, but not for ever: one that the kernel does not let go must
    /// not keep Squint from ending.
    fn drop(&mut self) {
        drop(self.wake.take());
        let _ = self.gone.recv_timeout(FAREWELL);
    }
}
