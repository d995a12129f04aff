//! `squint_trt.h`, the shim: TensorRT as plain C, whichever major it is.

use std::ffi::{c_char, c_void};
use std::ptr::NonNull;

use super::super::log::Log;
use super::believed;
use super::cuda::Handle;
use super::device::{Home, Turn};
use super::library::{Entry, Library, functions, said};

/// `SQUINT_TRT_FACE` that this code knows.
const FACE: i32 = 1;
/// `SQUINT_TRT_NAME`.
const NAME: usize = 256;
/// `SQUINT_TRT_RANK`.
const RANK: usize = 8;
/// Most tensors that an engine may have; more is nonsense.
const MOST_TENSORS: i32 = 256;

/// `SquintTrtTensor`.
#[repr(C)]
pub(super) struct RawTensor {
    name: [c_char; NAME],
    is_input: i32,
    kind: i32,
    rank: i32,
    dims: [i64; RANK],
}

functions! {
    /// As declared in `squint_trt.h`: nothing throws, NULL or 0 is failure, one object is used by
    /// one thread at a time.
    struct Functions {
        face: "squint_trt_face" => () -> i32;
        headers: "squint_trt_headers" => () -> i32;
        logger_new: "squint_trt_logger_new" => (extern "C" fn(*mut c_void, i32, *const c_char), *mut c_void) -> *mut c_void;
        runtime_new: "squint_trt_runtime_new" => (*mut c_void, *mut c_void) -> *mut c_void;
        engine_new: "squint_trt_engine_new" => (*mut c_void, *const c_void, usize) -> *mut c_void;
        engine_delete: "squint_trt_engine_delete" => (*mut c_void) -> ();
        tensors: "squint_trt_tensors" => (*mut c_void) -> i32;
        tensor: "squint_trt_tensor" => (*mut c_void, i32, *mut RawTensor) -> i32;
        context_new: "squint_trt_context_new" => (*mut c_void) -> *mut c_void;
        context_delete: "squint_trt_context_delete" => (*mut c_void) -> ();
        bind: "squint_trt_bind" => (*mut c_void, i32, *mut c_void) -> i32;
        enqueue: "squint_trt_enqueue" => (*mut c_void, *mut c_void) -> i32;
    }
}

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Element {
    Float32,
    Float16,
    Int8,
    Int32,
    Other,
}

/// An input or output of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Tensor {
    pub(in super::super) name: String,
    pub(in super::super) is_input: bool,
    pub(in super::super) element: Element,
    /// -1 where the engine leaves a side open.
    pub(in super::super) dims: Vec<i64>,
}

/// The opened shim with the process's one logger: TensorRT keeps to the first that it is given.
pub(in super::super) struct Shim {
    functions: Functions,
    logger: NonNull<c_void>,
    /// Version of the headers that it was built with, as the library counts.
    pub(in super::super) headers: i32,
}

// SAFETY: the functions may be called from any thread; the logger only holds the two pointers it
// was made with.
unsafe impl Send for Shim {}
// SAFETY: as above; each object that is used by one thread at a time has a type of its own.
unsafe impl Sync for Shim {}

/// The library's log callback. Any thread, any time; never waits and never panics, for C stands
/// above it.
extern "C" fn note(who: *mut c_void, severity: i32, text: *const c_char) {
    // SAFETY: `who` is the `&'static Log` that the logger was made with; `text` ends in a zero byte
    // and stays until this returns (squint_trt.h, `SquintTrtLog`).
    let (log, text) = unsafe { (&*who.cast_const().cast::<Log>(), said(text)) };
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| log.note(severity, &text)));
}

impl Shim {
    /// Takes the functions out of an opened shim and makes its logger, which writes to `log`. Fails
    /// on another face.
    pub(in super::super) fn of(
        library: &Library,
        log: &'static Log,
    ) -> Result<&'static Self, String> {
        let functions = Functions::of(library)?;
        // SAFETY: squint_trt.h: no conditions.
        let (face, headers) = unsafe { ((functions.face)(), (functions.headers)()) };
        if face != FACE {
            return Err(format!(
                "{} has face {face}, this Squint knows {FACE}; build it again",
                library.name.display()
            ));
        }
        // SAFETY: `log` stays for ever, as the logger does.
        let logger =
            unsafe { (functions.logger_new)(note, std::ptr::from_ref(log).cast_mut().cast()) };
        let logger = believed(logger)
            .ok_or_else(|| format!("{} makes no logger", library.name.display()))?;
        Ok(Box::leak(Box::new(Self { functions, logger, headers })))
    }

    pub(super) fn logger(&self) -> *mut c_void {
        self.logger.as_ptr()
    }

    /// A runtime, by the library's `createInferRuntime_INTERNAL`. `None`: the log may say why.
    pub(in super::super) fn runtime(&'static self, create: Entry, turn: &Turn) -> Option<Runtime> {
        // SAFETY: `create` is that function of a library of this shim's major; the logger outlives
        // the runtime; the driver works and the turn's context is current, without which some
        // libraries answer a small number, which is not believed.
        let runtime =
            believed(unsafe { (self.functions.runtime_new)(create.0, self.logger.as_ptr()) })?;
        Some(Runtime { shim: self, runtime, home: turn.home() })
    }
}

/// `SquintTrtRuntime`. Stays for as long as the process lives: engines may outlive whoever made it.
pub(in super::super) struct Runtime {
    shim: &'static Shim,
    runtime: NonNull<c_void>,
    home: Home,
}

// SAFETY: squint_trt.h: one thread at a time, whichever; `&mut self` sees to that.
unsafe impl Send for Runtime {}

impl Runtime {
    /// True if it was made in the context of `turn`.
    pub(in super::super) fn belongs_to(&self, turn: &Turn) -> bool {
        self.home.is_same(turn.home())
    }

    /// An engine from a plan's bytes. `None`: the log says why.
    pub(in super::super) fn plan(&mut self, bytes: &[u8]) -> Option<Plan> {
        // SAFETY: reads `bytes` during the call only.
        let engine = unsafe {
            (self.shim.functions.engine_new)(
                self.runtime.as_ptr(),
                bytes.as_ptr().cast(),
                bytes.len(),
            )
        };
        believed(engine).map(|engine| Plan { shim: self.shim, engine, home: self.home })
    }
}

/// `SquintTrtEngine`: a plan that the library has taken.
pub(in super::super) struct Plan {
    shim: &'static Shim,
    engine: NonNull<c_void>,
    home: Home,
}

// SAFETY: squint_trt.h: one thread at a time, whichever; nothing is shared.
unsafe impl Send for Plan {}

impl Plan {
    /// Its inputs and outputs by index, or what is wrong with them.
    pub(in super::super) fn tensors(&mut self) -> Result<Vec<Tensor>, String> {
        // SAFETY: an engine that is alive.
        let count = unsafe { (self.shim.functions.tensors)(self.engine.as_ptr()) };
        if !(1..=MOST_TENSORS).contains(&count) {
            return Err(format!("the engine has {count} tensors, allowed are 1 to {MOST_TENSORS}"));
        }
        (0..count).map(|index| self.tensor(index)).collect()
    }

    fn tensor(&mut self, index: i32) -> Result<Tensor, String> {
        let mut raw = RawTensor { name: [0; NAME], is_input: 0, kind: 0, rank: 0, dims: [0; RANK] };
        // SAFETY: an index below their number; `raw` has the layout of `SquintTrtTensor` and is
        // written whole.
        if unsafe { (self.shim.functions.tensor)(self.engine.as_ptr(), index, &raw mut raw) } != 1 {
            return Err(format!(
                "tensor {index} of the engine cannot be read, or its name is too long"
            ));
        }
        let name: Vec<u8> = raw.name.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
        let rank = usize::try_from(raw.rank).ok().filter(|rank| *rank <= RANK);
        let rank = rank
            .ok_or_else(|| format!("tensor {index} of the engine has {} dimensions", raw.rank))?;
        Ok(Tensor {
            name: String::from_utf8_lossy(&name).into_owned(),
            is_input: raw.is_input == 1,
            element: match raw.kind {
                0 => Element::Float32,
                1 => Element::Float16,
                2 => Element::Int8,
                3 => Element::Int32,
                _ => Element::Other,
            },
            dims: raw.dims[..rank].to_vec(),
        })
    }

    /// What runs it. `None`: the log says why, most often a lack of device memory.
    pub(super) fn context(&mut self) -> Option<Context> {
        // SAFETY: an engine that is alive; whoever holds both lets the context go first.
        let context = believed(unsafe { (self.shim.functions.context_new)(self.engine.as_ptr()) })?;
        Some(Context { shim: self.shim, context, home: self.home })
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        if self.home.is_alive() {
            // SAFETY: goes once, after its context.
            unsafe { (self.shim.functions.engine_delete)(self.engine.as_ptr()) };
        }
    }
}

/// `SquintTrtContext`.
pub(super) struct Context {
    shim: &'static Shim,
    context: NonNull<c_void>,
    home: Home,
}

// SAFETY: squint_trt.h: one thread at a time, whichever; nothing is shared.
unsafe impl Send for Context {}

impl Context {
    /// Where tensor `index` lies, from now on.
    ///
    /// # Safety
    ///
    /// `address` must be device memory of the tensor's size that stays as long as the context is
    /// enqueued.
    pub(super) unsafe fn bind(&mut self, index: i32, address: u64) -> bool {
        let address = std::ptr::without_provenance_mut(address as usize); // the device's own address space
        // SAFETY: the caller's promise; never read on the host.
        unsafe { (self.shim.functions.bind)(self.context.as_ptr(), index, address) == 1 }
    }

    /// Queues a run on `stream`.
    ///
    /// # Safety
    ///
    /// Every tensor must be bound, and `stream` be one of the current context.
    pub(super) unsafe fn enqueue(&mut self, stream: Handle) -> bool {
        // SAFETY: the caller's promise.
        unsafe { (self.shim.functions.enqueue)(self.context.as_ptr(), stream) == 1 }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.home.is_alive() {
            // SAFETY: goes once, before its engine.
            unsafe { (self.shim.functions.context_delete)(self.context.as_ptr()) };
        }
    }
}
