//! What one network needs on a GPU, in the order in which it must go: execution context, engine,
//! stream, memory.
//!
//! The one who touches pinned memory holds a turn, from the moment it is handed out until the run
//! that follows is through; so the context is not made anew meanwhile, and the device is never at
//! work on memory that is being written.

use std::time::Duration;

use super::super::error::CudaError;
use super::device::{Home, Turn};
use super::memory::{DeviceMemory, Event, Pinned, Stream};
use super::shim::{Context, Plan};

/// A tensor that is bound: its index in the engine and its number of floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Slot {
    pub(in super::super) index: usize,
    pub(in super::super) values: usize,
}

/// Why a session did not come to be or did not run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Failure {
    /// A call of the driver failed. If the error is sticky, the session is of no use any more.
    Cuda(CudaError),
    /// TensorRT refused, for reasons in its log.
    Refused(&'static str),
    /// The context was lost to somebody else's error, or is gone already.
    Lost(Option<CudaError>),
}

impl From<CudaError> for Failure {
    fn from(error: CudaError) -> Self {
        Self::Cuda(error)
    }
}

/// One network, ready to run. Fields go in this order.
pub(in super::super) struct Session {
    context: Context,
    _plan: Plan,
    begun: Event,
    ended: Event,
    stream: Stream,
    input: Pinned,
    output: Pinned,
    device_input: DeviceMemory,
    device_output: DeviceMemory,
    home: Home,
    /// Held from [`Session::input`] until the end of the run.
    turn: Option<Turn>,
}

// SAFETY: all of it may be used by any thread, one at a time, once the context is current there,
// which `run` and `drop` see to.
unsafe impl Send for Session {}

impl Session {
    /// Makes room for `input` and `output`, the engine's only tensors, and binds them.
    pub(in super::super) fn new(
        turn: &Turn,
        mut plan: Plan,
        input: Slot,
        output: Slot,
    ) -> Result<Self, Failure> {
        let heed = |error: CudaError| {
            turn.heed(error);
            Failure::Cuda(error)
        };
        let stream = Stream::new(turn).map_err(heed)?;
        let (begun, ended) = (Event::new(turn).map_err(heed)?, Event::new(turn).map_err(heed)?);
        let pinned = |slot: Slot| Pinned::new(turn, slot.values).map_err(heed);
        let device = |slot: Slot| DeviceMemory::new(turn, slot.values).map_err(heed);
        let (device_input, device_output) = (device(input)?, device(output)?);
        let (host_input, host_output) = (pinned(input)?, pinned(output)?);
        let mut context =
            plan.context().ok_or(Failure::Refused("no execution context could be made"))?;
        for (slot, memory) in [(input, &device_input), (output, &device_output)] {
            // SAFETY: as many floats as the tensor has; both live in the same session, and the
            // context goes first.
            if !unsafe { context.bind(slot.index as i32, memory.address) } {
                return Err(Failure::Refused("a tensor could not be bound"));
            }
        }
        Ok(Self {
            context,
            _plan: plan,
            begun,
            ended,
            stream,
            input: host_input,
            output: host_output,
            device_input,
            device_output,
            home: turn.home(),
            turn: None,
        })
    }

    /// True if [`Session::input`] will hand out its memory.
    pub(in super::super) fn is_ready(&mut self) -> bool {
        if self.turn.is_none() {
            self.turn = self.home.turn();
        }
        self.turn.is_some()
    }

    /// Why the context is lost, if it is and has not been made anew yet.
    pub(in super::super) fn lost(&self) -> Option<CudaError> {
        self.home.lost()
    }

    /// The pinned input; empty if the context is lost.
    pub(in super::super) fn input(&mut self) -> &mut [f32] {
        if !self.is_ready() {
            return &mut [];
        }
        // SAFETY: the turn is held until a run or the end of the session, both of which need
        // `&mut self`; the device is at work during a run only.
        unsafe { self.input.slice() }
    }

    /// Runs on what stands in [`Session::input`] and copies the scores to `output`, which must have
    /// the output's length. Returns how long the device took, copies included, if its events tell.
    /// After `Lost` or a sticky error the input can still be read, but no run will work.
    pub(in super::super) fn run(
        &mut self,
        output: &mut [f32],
    ) -> Result<Option<Duration>, Failure> {
        if !self.is_ready() || self.home.lost().is_some() {
            return Err(Failure::Lost(self.home.lost()));
        }
        match self.queued_and_waited() {
            Err(failure) => {
                if let (Failure::Cuda(error), Some(turn)) = (failure, &self.turn) {
                    turn.heed(error);
                }
                // Whatever was queued is over before anybody touches the memory again. A stream
                // that cannot even be waited for is lost.
                if let (Err(error), Some(turn)) = (self.stream.wait(), &self.turn) {
                    turn.heed(CudaError {
                        code: if error.is_sticky() { error.code } else { 999 },
                        ..error
                    });
                }
                if self.home.is_alive() {
                    self.turn = None;
                }
                Err(failure)
            }
            Ok(()) => {
                // SAFETY: the turn is held, and the device is through.
                output.copy_from_slice(unsafe { self.output.slice() });
                self.turn = None;
                let took = self
                    .ended
                    .since(&self.begun)
                    .ok()
                    .filter(|took| took.is_finite() && *took >= 0.0);
                Ok(took.map(|took| Duration::from_secs_f32(took / 1e3)))
            }
        }
    }

    fn queued_and_waited(&mut self) -> Result<(), Failure> {
        if let Some(turn) = &self.turn {
            turn.make_current()?;
        }
        self.begun.record(&self.stream)?;
        // SAFETY: `self` is borrowed until the stream has been waited for, here or by the caller.
        unsafe { self.stream.copy_in(&self.device_input, &self.input)? };
        // SAFETY: both tensors are bound; the stream is of the context that is current.
        if !unsafe { self.context.enqueue(self.stream.handle) } {
            return Err(Failure::Refused("the run could not be queued"));
        }
        // SAFETY: as for the copy in.
        unsafe { self.stream.copy_out(&mut self.output, &self.device_output)? };
        self.ended.record(&self.stream)?;
        self.ended.wait()?;
        Ok(())
    }
}

impl Drop for Session {
    /// Keeps the context while the parts go; they go only if it is still theirs.
    fn drop(&mut self) {
        if self.is_ready()
            && let Some(turn) = &self.turn
        {
            let _ = turn.make_current();
            let _ = self.stream.wait();
        }
    }
}
