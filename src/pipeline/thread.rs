//! Named threads that report a panic and can be joined with a time limit.

use std::convert::Infallible;
use std::thread::{Builder, JoinHandle, panicking};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, select};

use super::PipelineError;
use super::clock::Stop;

/// A thread of ours.
pub(super) struct Thread<T> {
    name: String,
    handle: JoinHandle<T>,
    /// Disconnects when the thread is through.
    gone: Receiver<Infallible>,
}

/// Tells everybody to stop if its thread panics: Squint ends in good order then, and with an error.
struct Alarm(Stop);

impl Drop for Alarm {
    fn drop(&mut self) {
        if panicking() {
            self.0.stop();
        }
    }
}

impl<T: Send + 'static> Thread<T> {
    /// Starts `body`.
    pub(super) fn spawn(
        name: &str,
        stop: &Stop,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Self, PipelineError> {
        let (alive, gone) = bounded(0);
        let alarm = Alarm(stop.clone());
        let work = move || {
            let _alive = alive;
            let _alarm = alarm;
            body()
        };
        let handle = Builder::new()
            .name(name.into())
            .spawn(work)
            .map_err(|reason| PipelineError::Thread { name: name.into(), reason })?;
        Ok(Self { name: name.into(), handle, gone })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Waits as long as it takes, but once told to stop no longer than `limit`.
    pub(super) fn join(self, stop: &Stop, limit: Duration) -> Result<T, PipelineError> {
        self.wait(stop);
        self.join_within(limit)
    }

    /// Waits until the thread is through or Squint is told to stop.
    pub(super) fn wait(&self, stop: &Stop) {
        select! {
            recv(self.gone) -> _ => (),
            recv(stop.signal()) -> _ => (),
        }
    }

    /// True if the thread is through within `limit`.
    pub(super) fn is_gone_within(&self, limit: Duration) -> bool {
        !matches!(self.gone.recv_timeout(limit), Err(RecvTimeoutError::Timeout))
    }

    /// Waits no longer than `limit`.
    pub(super) fn join_within(self, limit: Duration) -> Result<T, PipelineError> {
        if !self.is_gone_within(limit) {
            return Err(PipelineError::Hung { name: self.name, limit });
        }
        self.handle.join().map_err(|_| PipelineError::Panicked { name: self.name })
    }
}
