//! What lies in a context: pinned host memory, device memory, a stream, events. Each is given back
//! when it goes, if its context still is.
//!
//! Private to the island: nothing here knows whether the device is still at work on it.
//! [`super::session`] does.

use std::ffi::c_void;
use std::ptr::NonNull;

use super::super::error::CudaError;
use super::believed;
use super::cuda::{Address, Handle, checked};
use super::device::{Home, Turn};

/// `CU_EVENT_BLOCKING_SYNC`: who waits sleeps, and leaves the core to others.
const BLOCKING: u32 = 1;
/// `CU_STREAM_NON_BLOCKING`: does not wait for what others do on the default stream.
const NON_BLOCKING: u32 = 1;

/// What a call answers that says it worked and hands out no pointer: `CUDA_ERROR_UNKNOWN`.
fn no_pointer(call: &'static str) -> CudaError {
    CudaError { call, code: 999 }
}

/// Page-locked host memory: floats that the device reads and writes by itself.
pub(super) struct Pinned {
    home: Home,
    start: NonNull<f32>,
    length: usize,
}

impl Pinned {
    /// `length` zeros.
    pub(super) fn new(turn: &Turn, length: usize) -> Result<Self, CudaError> {
        let mut start: *mut c_void = std::ptr::null_mut();
        let bytes = length * size_of::<f32>();
        // SAFETY: writes one pointer to at least `bytes` bytes, aligned for every type; Flags 0 is
        // plain page-locked memory.
        let code = unsafe { (turn.home().driver().functions.host_new)(&raw mut start, bytes, 0) };
        checked("cuMemHostAlloc", code)?;
        let start = believed(start.cast::<f32>()).ok_or(no_pointer("cuMemHostAlloc"))?;
        // SAFETY: `bytes` bytes that are nobody else's yet.
        unsafe { start.as_ptr().write_bytes(0, length) };
        Ok(Self { home: turn.home(), start, length })
    }

    /// # Safety
    ///
    /// A turn in its context must last as long as the slice, and the device must not be at work on
    /// it.
    pub(super) unsafe fn slice(&mut self) -> &mut [f32] {
        // SAFETY: `length` floats, initialised when they came, reached through `&mut self` only;
        // the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.home.is_alive() {
            // SAFETY: came from cuMemHostAlloc and goes once. An error would leave it where it is.
            let _ =
                unsafe { (self.home.driver().functions.host_delete)(self.start.as_ptr().cast()) };
        }
    }
}

/// Memory of the device.
pub(super) struct DeviceMemory {
    home: Home,
    pub(super) address: Address,
    bytes: usize,
}

impl DeviceMemory {
    /// Room for `length` floats.
    pub(super) fn new(turn: &Turn, length: usize) -> Result<Self, CudaError> {
        let (mut address, bytes) = (0, length * size_of::<f32>());
        // SAFETY: writes one address of at least `bytes` bytes on the device of the current
        // context.
        checked("cuMemAlloc_v2", unsafe {
            (turn.home().driver().functions.memory_new)(&raw mut address, bytes)
        })?;
        Ok(Self { home: turn.home(), address, bytes })
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.home.is_alive() {
            // SAFETY: came from cuMemAlloc and goes once.
            let _ = unsafe { (self.home.driver().functions.memory_delete)(self.address) };
        }
    }
}

/// A queue of work on the device.
pub(super) struct Stream {
    home: Home,
    pub(super) handle: Handle,
}

impl Stream {
    pub(super) fn new(turn: &Turn) -> Result<Self, CudaError> {
        let mut handle: Handle = std::ptr::null_mut();
        // SAFETY: writes one handle, of the current context.
        checked("cuStreamCreate", unsafe {
            (turn.home().driver().functions.stream_new)(&raw mut handle, NON_BLOCKING)
        })?;
        Ok(Self { home: turn.home(), handle })
    }

    /// Queues a copy of all of `from`, as far as it fits.
    ///
    /// # Safety
    ///
    /// Both must stay, and `from` unwritten, until the stream has been waited for.
    pub(super) unsafe fn copy_in(&self, to: &DeviceMemory, from: &Pinned) -> Result<(), CudaError> {
        let bytes = to.bytes.min(from.length * size_of::<f32>());
        // SAFETY: cuda.h: both ranges must be valid for `bytes`, the host's page-locked for the
        // copy to be asynchronous; they are.
        let code = unsafe {
            (self.home.driver().functions.to_device)(
                to.address,
                from.start.as_ptr().cast_const().cast(),
                bytes,
                self.handle,
            )
        };
        checked("cuMemcpyHtoDAsync_v2", code)
    }

    /// Queues a copy of all of `from`, as far as it fits.
    ///
    /// # Safety
    ///
    /// Both must stay, and `to` untouched, until the stream has been waited for.
    pub(super) unsafe fn copy_out(
        &self,
        to: &mut Pinned,
        from: &DeviceMemory,
    ) -> Result<(), CudaError> {
        let bytes = from.bytes.min(to.length * size_of::<f32>());
        // SAFETY: as in `copy_in`, the other way round.
        let code = unsafe {
            (self.home.driver().functions.to_host)(
                to.start.as_ptr().cast(),
                from.address,
                bytes,
                self.handle,
            )
        };
        checked("cuMemcpyDtoHAsync_v2", code)
    }

    /// Waits until everything queued is done.
    pub(super) fn wait(&self) -> Result<(), CudaError> {
        // SAFETY: a stream of the current context.
        checked("cuStreamSynchronize", unsafe {
            (self.home.driver().functions.stream_wait)(self.handle)
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.home.is_alive() {
            // SAFETY: came from cuStreamCreate and goes once; work that is still queued is finished
            // before its resources go.
            let _ = unsafe { (self.home.driver().functions.stream_delete)(self.handle) };
        }
    }
}

/// A moment on a stream.
pub(super) struct Event {
    home: Home,
    handle: Handle,
}

impl Event {
    pub(super) fn new(turn: &Turn) -> Result<Self, CudaError> {
        let mut handle: Handle = std::ptr::null_mut();
        // SAFETY: writes one handle, of the current context.
        checked("cuEventCreate", unsafe {
            (turn.home().driver().functions.event_new)(&raw mut handle, BLOCKING)
        })?;
        Ok(Self { home: turn.home(), handle })
    }

    /// Is there once what was queued on `stream` before is done.
    pub(super) fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: cuda.h: event and stream must be of the same context; they are made together.
        checked("cuEventRecord", unsafe {
            (self.home.driver().functions.event_record)(self.handle, stream.handle)
        })
    }

    /// Sleeps until it is there.
    pub(super) fn wait(&self) -> Result<(), CudaError> {
        // SAFETY: an event of the current context.
        checked("cuEventSynchronize", unsafe {
            (self.home.driver().functions.event_wait)(self.handle)
        })
    }

    /// Milliseconds from `begun` to this one; both must be there.
    pub(super) fn since(&self, begun: &Self) -> Result<f32, CudaError> {
        let mut milliseconds = 0.0;
        let elapsed = self.home.driver().functions.event_elapsed;
        // SAFETY: writes one `float`; events that are not there yet are an error.
        checked("cuEventElapsedTime", unsafe {
            elapsed(&raw mut milliseconds, begun.handle, self.handle)
        })?;
        Ok(milliseconds)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.home.is_alive() {
            // SAFETY: came from cuEventCreate and goes once.
            let _ = unsafe { (self.home.driver().functions.event_delete)(self.handle) };
        }
    }
}
