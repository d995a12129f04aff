//! One GPU, its primary context, and who is at work in it.
//!
//! The primary context is the one that TensorRT's own runtime uses. Some errors leave it beyond
//! help ([`CudaError::is_sticky`]); then every engine in it is lost, and only a new one helps. To
//! make it new is to pull memory from under whoever still has something there, so nobody may be at
//! work meanwhile: who touches memory of the context holds a [`Turn`], and a context is made anew
//! only when there is none. What was made in a context that is lost is forgotten, not given back:
//! the driver has it already, and vendor code that gives back what is no more may end the process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::error::CudaError;
use super::cuda::{Driver, Handle, checked};

/// A GPU of this machine.
pub(in super::super) struct Device {
    pub(super) driver: &'static Driver,
    handle: i32,
    state: Mutex<State>,
}

struct State {
    context: Option<Context>,
    /// Which context this is, counted up with each that is made anew.
    generation: u64,
    /// Turns that have not ended.
    at_work: usize,
    /// Why the context is beyond help.
    lost: Option<CudaError>,
}

#[derive(Clone, Copy)]
struct Context(Handle);

// SAFETY: cuda.h: a context may be made current to any thread, and to several at once.
unsafe impl Send for Context {}

/// The right to touch what lies in a context; while there is one, the context stays.
pub(in super::super) struct Turn {
    home: Home,
    context: Context,
}

/// Where something was made.
#[derive(Clone, Copy)]
pub(super) struct Home {
    device: &'static Device,
    generation: u64,
}

impl Device {
    /// The device with this number, 0-based. Its context is made when it is first needed. At most
    /// one `Device` a GPU and process: two would not know of each other's turns.
    pub(in super::super) fn open(
        driver: &'static Driver,
        number: i32,
    ) -> Result<&'static Self, CudaError> {
        let handle = driver.device(number)?;
        let state = Mutex::new(State { context: None, generation: 0, at_work: 0, lost: None });
        Ok(Box::leak(Box::new(Self { driver, handle, state })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn, in a context that works as far as is known: it is made if there is none, and made
    /// anew if it is lost and nobody is at work in it. The error is why it was lost, or why there
    /// is none.
    pub(in super::super) fn enter(&'static self) -> Result<Turn, CudaError> {
        let mut state = self.state();
        if let Some(error) = state.lost {
            if state.at_work > 0 {
                return Err(error);
            }
            self.renew(&mut state)?;
        }
        let context = match state.context {
            Some(context) => context,
            None => *state.context.insert(self.retain()?),
        };
        state.at_work += 1;
        let turn = Turn { home: Home { device: self, generation: state.generation }, context };
        drop(state);
        turn.make_current()?;
        Ok(turn)
    }

    fn retain(&self) -> Result<Context, CudaError> {
        let mut context: Handle = std::ptr::null_mut();
        // SAFETY: writes one handle; makes the context if this is its first user.
        checked("cuDevicePrimaryCtxRetain", unsafe {
            (self.driver.functions.context_retain)(&raw mut context, self.handle)
        })?;
        Ok(Context(context))
    }

    /// Ends the lost context, whoever else holds it, so that the next retain makes a new one.
    fn renew(&self, state: &mut State) -> Result<(), CudaError> {
        if state.context.take().is_some() {
            // SAFETY: cuda.h: balances the retain. It may fail in a context that is lost, which
            // changes nothing.
            let _ = unsafe { (self.driver.functions.context_release)(self.handle) };
            // SAFETY: cuda.h: "it is the responsibility of the calling module to ensure that no
            // other module in the process is using the device": nobody has a turn, no turn can
            // begin while the state is locked, and what was made there before is forgotten because
            // its generation is over.
            let reset = unsafe { (self.driver.functions.context_reset)(self.handle) };
            state.generation += 1;
            checked("cuDevicePrimaryCtxReset", reset)?;
        }
        state.lost = None;
        Ok(())
    }
}

impl Home {
    /// A turn in the same context; `None` if that is lost or gone.
    pub(super) fn turn(self) -> Option<Turn> {
        let mut state = self.device.state();
        let context = state
            .context
            .filter(|_| state.lost.is_none() && state.generation == self.generation)?;
        state.at_work += 1;
        Some(Turn { home: self, context })
    }

    /// True if both are the same context.
    pub(super) fn is_same(self, other: Self) -> bool {
        std::ptr::eq(self.device, other.device) && self.generation == other.generation
    }

    /// True if what was made here is still to be given back.
    pub(super) fn is_alive(self) -> bool {
        let state = self.device.state();
        state.lost.is_none() && state.generation == self.generation
    }

    /// Why the context is lost, if it is and has not been made anew.
    pub(super) fn lost(self) -> Option<CudaError> {
        let state = self.device.state();
        state.lost.filter(|_| state.generation == self.generation)
    }

    pub(super) fn driver(self) -> &'static Driver {
        self.device.driver
    }
}

impl Turn {
    pub(super) fn home(&self) -> Home {
        self.home
    }

    /// Makes the context this thread's.
    pub(super) fn make_current(&self) -> Result<(), CudaError> {
        // SAFETY: a context that was retained and, as long as a turn lasts, not reset.
        let code = unsafe { (self.home.driver().functions.context_set_current)(self.context.0) };
        checked("cuCtxSetCurrent", code).inspect_err(|error| self.heed(*error))
    }

    /// Marks the context as lost if `error` says so.
    pub(in super::super) fn heed(&self, error: CudaError) {
        let mut state = self.home.device.state();
        if error.is_sticky() && state.generation == self.home.generation {
            state.lost.get_or_insert(error);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.home.device.state().at_work -= 1;
    }
}
