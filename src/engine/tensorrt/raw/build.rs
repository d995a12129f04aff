//! `squint_trt_build` and `squint_trt_platform`: from ONNX to a plan, as plain C.

use std::ffi::{c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, PoisonError};

use super::super::error::CudaError;
use super::believed;
use super::cuda::checked;
use super::device::Turn;
use super::library::{Entry, Library, functions, said};
use super::memory::{DeviceMemory, Stream};
use super::shim::Shim;

/// Told of each step: phase, steps done, steps in all (0: unknown); false gives up. May be called
/// from any thread, one at a time.
pub(in super::super) type Listener<'a> = &'a mut (dyn FnMut(&str, i32, i32) -> bool + Send);

/// Fills the tensor of the next picture; false when there are no more. One call at a time.
pub(in super::super) type Feed<'a> = &'a mut (dyn FnMut(&mut [f32]) -> bool + Send);

/// `SquintTrtBuild`.
#[repr(C)]
pub(super) struct RawBuild {
    create_builder: *mut c_void,
    create_parser: *mut c_void,
    logger: *mut c_void,
    onnx: *const c_void,
    onnx_length: usize,
    workspace_bytes: u64,
    fp16: i32,
    int8: i32,
    dla_core: i32,
    capability: i32,
    timing_cache: *const c_void,
    timing_cache_length: usize,
    calibration: *const c_void,
    calibration_length: usize,
    batch: i32,
    values: usize,
    device_batch: *mut c_void,
    copy_to_device: Option<extern "C" fn(*mut c_void, *mut c_void, *const c_void, usize) -> i32>,
    feed: Option<extern "C" fn(*mut c_void, *mut f32, usize) -> i32>,
    calibrated: Option<extern "C" fn(*mut c_void, *const c_void, usize) -> i32>,
    timed: Option<extern "C" fn(*mut c_void, *const c_void, usize) -> i32>,
    plan: Option<extern "C" fn(*mut c_void, *const c_void, usize) -> i32>,
    progress: Option<extern "C" fn(*mut c_void, *const c_char, i32, i32) -> i32>,
    who: *mut c_void,
}

/// `SquintTrtPlatform`.
#[repr(C)]
#[derive(Default)]
pub(super) struct RawPlatform {
    fast_fp16: i32,
    fast_int8: i32,
    dla_cores: i32,
}

functions! {
    /// As declared in `squint_trt.h`: nothing throws, 0 is failure, the log says why.
    struct Functions {
        build: "squint_trt_build" => (*const RawBuild) -> i32;
        platform: "squint_trt_platform" => (*mut c_void, *mut c_void, *mut RawPlatform) -> i32;
    }
}

/// What to build.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Order<'a> {
    pub(in super::super) onnx: &'a [u8],
    /// Bytes that kernels may use; 0: TensorRT's own limit.
    pub(in super::super) workspace: u64,
    pub(in super::super) fp16: bool,
    pub(in super::super) int8: bool,
    pub(in super::super) dla_core: Option<i32>,
    /// Compute capability to build for, 10 * major + minor; `None`: this machine's GPU. RTX alone
    /// can build for another.
    pub(in super::super) capability: Option<i32>,
    pub(in super::super) timing: Option<&'a [u8]>,
    /// A calibration cache, for int8 without scales in the model.
    pub(in super::super) calibration: Option<&'a [u8]>,
    /// Pictures a run, 1 or more.
    pub(in super::super) batch: i32,
    /// Floats of one picture.
    pub(in super::super) values: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Product {
    pub(in super::super) plan: Vec<u8>,
    /// What was measured of kernels; empty if it was not handed out.
    pub(in super::super) timing: Vec<u8>,
    /// The calibration cache; empty if nothing was calibrated.
    pub(in super::super) calibration: Vec<u8>,
}

/// What the machine can do, as far as TensorRT says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Platform {
    pub(in super::super) fast_fp16: Option<bool>,
    pub(in super::super) fast_int8: Option<bool>,
    pub(in super::super) dla_cores: u32,
}

/// Who listens during a build. Behind locks, because nothing promises that threads of the library
/// keep out of each other's way.
struct Ears<'l, 'f, 'r> {
    listener: Mutex<Listener<'l>>,
    product: Mutex<Product>,
    feed: Mutex<Option<Feed<'f>>>,
    turn: &'r Turn,
    /// What batches are copied over on, if there are any.
    stream: Option<&'r Stream>,
}

/// The building half of an opened shim.
pub(in super::super) struct Builder {
    functions: Functions,
    shim: &'static Shim,
    create_builder: Entry,
}

/// # Safety
///
/// `who` must be the `Ears` of a build that is under way.
unsafe fn ears<'a>(who: *mut c_void) -> &'a Ears<'a, 'a, 'a> {
    // SAFETY: the caller's promise; only shared references are ever made.
    unsafe { &*who.cast_const().cast::<Ears<'a, 'a, 'a>>() }
}

extern "C" fn progress(who: *mut c_void, phase: *const c_char, done: i32, steps: i32) -> i32 {
    // SAFETY: `who` comes from `Builder::build`, which is under way; `phase` ends in a zero byte
    // and stays until this returns.
    let (ears, phase) = unsafe { (ears(who), said(phase)) };
    let tell =
        || (ears.listener.lock().unwrap_or_else(PoisonError::into_inner))(&phase, done, steps);
    // A panic gives up: it must not cross into C.
    i32::from(std::panic::catch_unwind(std::panic::AssertUnwindSafe(tell)).unwrap_or(false))
}

/// Takes a copy of bytes that the library hands out.
///
/// # Safety
///
/// As of [`ears`]; `bytes` must be `length` bytes that stay until this returns.
unsafe fn take(
    who: *mut c_void,
    bytes: *const c_void,
    length: usize,
    place: fn(&mut Product) -> &mut Vec<u8>,
) -> i32 {
    if believed(bytes.cast_mut()).is_none() {
        return 0;
    }
    // SAFETY: the caller's promise; NULL is ruled out.
    let (ears, bytes) =
        unsafe { (ears(who), std::slice::from_raw_parts(bytes.cast::<u8>(), length)) };
    let mut product = ears.product.lock().unwrap_or_else(PoisonError::into_inner);
    let room = place(&mut product);
    room.clear();
    // Out of memory is an answer here, not the end.
    if room.try_reserve_exact(length).is_err() {
        return 0;
    }
    room.extend_from_slice(bytes);
    1
}

extern "C" fn plan(who: *mut c_void, bytes: *const c_void, length: usize) -> i32 {
    // SAFETY: squint_trt.h, `SquintTrtBytes`: bytes of the callee's to copy, during a build.
    unsafe { take(who, bytes, length, |product| &mut product.plan) }
}

extern "C" fn timed(who: *mut c_void, bytes: *const c_void, length: usize) -> i32 {
    // SAFETY: as above.
    unsafe { take(who, bytes, length, |product| &mut product.timing) }
}

extern "C" fn calibrated(who: *mut c_void, bytes: *const c_void, length: usize) -> i32 {
    // SAFETY: as above.
    unsafe { take(who, bytes, length, |product| &mut product.calibration) }
}

extern "C" fn feed(who: *mut c_void, host: *mut f32, values: usize) -> i32 {
    if believed(host).is_none() {
        return 0;
    }
    // SAFETY: squint_trt.h, `SquintTrtFeed`: `values` floats at `host`, zero or of an earlier
    // picture, that are ours until this returns.
    let (ears, tensor) = unsafe { (ears(who), std::slice::from_raw_parts_mut(host, values)) };
    let next = || {
        let mut feed = ears.feed.lock().unwrap_or_else(PoisonError::into_inner);
        feed.as_mut().is_some_and(|feed| feed(tensor))
    };
    // After a panic there are no more pictures.
    i32::from(std::panic::catch_unwind(std::panic::AssertUnwindSafe(next)).unwrap_or(false))
}

extern "C" fn copy_to_device(
    who: *mut c_void,
    device: *mut c_void,
    host: *const c_void,
    bytes: usize,
) -> i32 {
    // SAFETY: `who` comes from `Builder::build`, which is under way.
    let ears = unsafe { ears(who) };
    let Some(stream) = ears.stream else { return 0 };
    let done = ears.turn.make_current().and_then(|()| {
        // SAFETY: squint_trt.h: `bytes` of the batch at `host`, to the device memory that the build
        // was given for one batch; both stay until the stream has been waited for.
        let copy = unsafe {
            (ears.turn.home().driver().functions.to_device)(
                device.addr() as u64,
                host,
                bytes,
                stream.handle,
            )
        };
        checked("cuMemcpyHtoDAsync_v2", copy).and_then(|()| stream.wait())
    });
    i32::from(done.is_ok())
}

impl Builder {
    /// `library` is the shim's, `create_builder` the `createInferBuilder_INTERNAL` of a TensorRT of
    /// its major.
    pub(in super::super) fn of(
        library: &Library,
        shim: &'static Shim,
        create_builder: Entry,
    ) -> Result<Self, String> {
        Ok(Self { functions: Functions::of(library)?, shim, create_builder })
    }

    /// What the machine can do. `None`: the log says why.
    pub(in super::super) fn platform(&self) -> Option<Platform> {
        let mut raw = RawPlatform::default();
        let logger = self.shim.logger();
        // SAFETY: `create_builder` is of the shim's major; the logger lives for ever; `raw` has the
        // layout of `SquintTrtPlatform`.
        let done =
            unsafe { (self.functions.platform)(self.create_builder.0, logger, &raw mut raw) } == 1;
        let word = |value| (value >= 0).then_some(value == 1);
        done.then(|| Platform {
            fast_fp16: word(raw.fast_fp16),
            fast_int8: word(raw.fast_int8),
            dla_cores: u32::try_from(raw.dla_cores).unwrap_or(0),
        })
    }

    /// Builds; takes seconds to many minutes. `None`: the log says why. `create_parser` is
    /// `createNvOnnxParser_INTERNAL` of a parser of the same version. With a `feed`, scales for
    /// int8 are learned from its pictures; TensorRT 11 has no such thing.
    pub(in super::super) fn build(
        &self,
        turn: &Turn,
        create_parser: Entry,
        order: &Order<'_>,
        feeding: Option<Feed<'_>>,
        listener: Listener<'_>,
    ) -> Result<Option<Product>, CudaError> {
        let batch = order.batch.max(1);
        let room = match feeding.is_some() {
            true => Some((
                Stream::new(turn)?,
                DeviceMemory::new(turn, order.values * batch.unsigned_abs() as usize)?,
            )),
            false => None,
        };
        let (device_batch, is_fed) =
            (room.as_ref().map(|(_, memory)| memory.address), room.is_some());
        let ears = Ears {
            listener: Mutex::new(listener),
            product: Mutex::default(),
            feed: Mutex::new(feeding),
            turn,
            stream: room.as_ref().map(|(stream, _)| stream),
        };
        let bytes = |bytes: Option<&[u8]>| {
            bytes.map_or((null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
        };
        let ((timing_cache, timing_cache_length), (calibration, calibration_length)) =
            (bytes(order.timing), bytes(order.calibration));
        let raw = RawBuild {
            create_builder: self.create_builder.0,
            create_parser: create_parser.0,
            logger: self.shim.logger(),
            onnx: order.onnx.as_ptr().cast(),
            onnx_length: order.onnx.len(),
            workspace_bytes: order.workspace,
            fp16: i32::from(order.fp16),
            int8: i32::from(order.int8),
            dla_core: order.dla_core.unwrap_or(-1),
            capability: order.capability.unwrap_or(0),
            timing_cache,
            timing_cache_length,
            calibration,
            calibration_length,
            batch,
            values: order.values,
            // An address of the device's own, never read here.
            device_batch: device_batch
                .map_or(null_mut(), |address| std::ptr::without_provenance_mut(address as usize)),
            copy_to_device: is_fed.then_some(copy_to_device as _),
            feed: is_fed.then_some(feed as _),
            calibrated: is_fed.then_some(calibrated as _),
            timed: Some(timed),
            plan: Some(plan),
            progress: Some(progress),
            who: std::ptr::from_ref(&ears).cast_mut().cast(),
        };
        // SAFETY: `raw` has the layout of `SquintTrtBuild`; all it points to outlives the call, and
        // no callback comes after it.
        let built = unsafe { (self.functions.build)(&raw const raw) } == 1;
        let product = ears.product.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(product).filter(|product| built && !product.plan.is_empty()))
    }
}
