//! The CUDA driver's C interface: a table of functions that are all there since CUDA 10, and what
//! can be asked without a context.

use std::ffi::{c_char, c_void};

use super::super::error::CudaError;
use super::library::{Library, functions, said};

/// An address on the device (`CUdeviceptr`).
pub(super) type Address = u64;
/// A context, stream or event.
pub(super) type Handle = *mut c_void;

functions! {
    /// As declared in `cuda.h`; `CUresult` and `CUdevice` are `int`, sizes `size_t`. The `_v2`
    /// names are those behind the plain ones of the header for 64 bit. Those of the context's end
    /// have one since CUDA 11 only, with the same signature.
    struct Functions {
        init: "cuInit" => (u32) -> i32;
        driver_version: "cuDriverGetVersion" => (*mut i32) -> i32;
        device_count: "cuDeviceGetCount" => (*mut i32) -> i32;
        device_get: "cuDeviceGet" => (*mut i32, i32) -> i32;
        device_name: "cuDeviceGetName" => (*mut c_char, i32, i32) -> i32;
        device_attribute: "cuDeviceGetAttribute" => (*mut i32, i32, i32) -> i32;
        context_retain: "cuDevicePrimaryCtxRetain" => (*mut Handle, i32) -> i32;
        context_release: "cuDevicePrimaryCtxRelease_v2" | "cuDevicePrimaryCtxRelease" => (i32) -> i32;
        context_reset: "cuDevicePrimaryCtxReset_v2" | "cuDevicePrimaryCtxReset" => (i32) -> i32;
        context_set_current: "cuCtxSetCurrent" => (Handle) -> i32;
        memory_new: "cuMemAlloc_v2" => (*mut Address, usize) -> i32;
        memory_delete: "cuMemFree_v2" => (Address) -> i32;
        host_new: "cuMemHostAlloc" => (*mut *mut c_void, usize, u32) -> i32;
        host_delete: "cuMemFreeHost" => (*mut c_void) -> i32;
        to_device: "cuMemcpyHtoDAsync_v2" => (Address, *const c_void, usize, Handle) -> i32;
        to_host: "cuMemcpyDtoHAsync_v2" => (*mut c_void, Address, usize, Handle) -> i32;
        stream_new: "cuStreamCreate" => (*mut Handle, u32) -> i32;
        stream_wait: "cuStreamSynchronize" => (Handle) -> i32;
        stream_delete: "cuStreamDestroy_v2" => (Handle) -> i32;
        event_new: "cuEventCreate" => (*mut Handle, u32) -> i32;
        event_record: "cuEventRecord" => (Handle, Handle) -> i32;
        event_wait: "cuEventSynchronize" => (Handle) -> i32;
        event_elapsed: "cuEventElapsedTime" => (*mut f32, Handle, Handle) -> i32;
        event_delete: "cuEventDestroy_v2" => (Handle) -> i32;
    }
}

/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`.
const CAPABILITY: [i32; 2] = [75, 76];
/// `CU_DEVICE_ATTRIBUTE_INTEGRATED`: 1 where host and device share memory.
const INTEGRATED: i32 = 18;
/// Room for a device's name.
const NAME: usize = 256;

/// The opened driver.
pub(in super::super) struct Driver {
    pub(super) functions: Functions,
}

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct About {
    pub(in super::super) name: String,
    /// Compute capability, major and minor.
    pub(in super::super) capability: (i32, i32),
    /// Host and device share memory, as on a Jetson.
    pub(in super::super) integrated: bool,
}

/// `code` as a result of `call`.
pub(super) fn checked(call: &'static str, code: i32) -> Result<(), CudaError> {
    if code == 0 { Ok(()) } else { Err(CudaError { call, code }) }
}

impl Driver {
    /// Takes the functions out of libcuda. Calls none of them.
    pub(in super::super) fn of(library: &Library) -> Result<&'static Self, String> {
        Ok(Box::leak(Box::new(Self { functions: Functions::of(library)? })))
    }

    /// Starts the driver. Comes before everything else; more than once does no harm.
    pub(in super::super) fn init(&self) -> Result<(), CudaError> {
        // SAFETY: cuda.h: `cuInit(unsigned int Flags)`, Flags must be 0; any thread, any number of
        // times.
        checked("cuInit", unsafe { (self.functions.init)(0) })
    }

    /// The newest CUDA that this driver serves: 1000 * major + 10 * minor.
    pub(in super::super) fn version(&self) -> Result<i32, CudaError> {
        let mut version = 0;
        // SAFETY: writes one `int`; needs no `cuInit`.
        checked("cuDriverGetVersion", unsafe {
            (self.functions.driver_version)(&raw mut version)
        })?;
        Ok(version)
    }

    /// How many devices there are.
    pub(in super::super) fn count(&self) -> Result<i32, CudaError> {
        let mut count = 0;
        // SAFETY: writes one `int`, after `cuInit`; before it, an error.
        checked("cuDeviceGetCount", unsafe { (self.functions.device_count)(&raw mut count) })?;
        Ok(count)
    }

    /// The handle of the device with this number, 0-based.
    pub(super) fn device(&self, number: i32) -> Result<i32, CudaError> {
        let mut device = 0;
        // SAFETY: writes one `CUdevice`; a number that is too large is an error.
        checked("cuDeviceGet", unsafe { (self.functions.device_get)(&raw mut device, number) })?;
        Ok(device)
    }

    /// What the device with this number is.
    pub(in super::super) fn about(&self, number: i32) -> Result<About, CudaError> {
        let device = self.device(number)?;
        let mut name: [c_char; NAME] = [0; NAME];
        // SAFETY: writes at most NAME - 1 characters and a zero byte; one byte less is offered, so
        // that a zero byte is left in any case.
        checked("cuDeviceGetName", unsafe {
            (self.functions.device_name)(name.as_mut_ptr(), NAME as i32 - 1, device)
        })?;
        let attribute = |which| {
            let mut value = 0;
            // SAFETY: writes one `int`; an attribute or device that is unknown is an error.
            checked("cuDeviceGetAttribute", unsafe {
                (self.functions.device_attribute)(&raw mut value, which, device)
            })?;
            Ok(value)
        };
        let [major, minor] = CAPABILITY;
        // SAFETY: the array ends in a zero byte, as said above.
        let name = unsafe { said(name.as_ptr()) };
        Ok(About {
            name,
            capability: (attribute(major)?, attribute(minor)?),
            integrated: attribute(INTEGRATED)? == 1,
        })
    }
}
