//! Shared objects opened at run time, and what is taken out of them by name.

use std::ffi::{OsStr, c_char, c_void};
use std::path::{Path, PathBuf};

use super::believed;

/// A shared object, open for as long as the process lives.
#[derive(Clone, Debug)]
pub(in super::super) struct Library {
    handle: &'static libloading::Library,
    /// As it was asked for: a path, or a bare name that the system's loader found.
    pub(in super::super) name: PathBuf,
}

/// A function that is handed on to the shim and never called here.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Entry(pub(super) *mut c_void);

// SAFETY: the address of a function in a library that is never closed; any thread may hold it.
unsafe impl Send for Entry {}
// SAFETY: as above; nothing is read or written through it here.
unsafe impl Sync for Entry {}

impl Library {
    /// Opens `name`: a path, or a bare name for the system's loader. Errors are the loader's words.
    pub(in super::super) fn open(name: &Path) -> Result<Self, String> {
        let library = open(name.as_os_str()).map_err(|error| {
            // The crate's own words are "dlopen failed"; the loader's are behind them.
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
        })?;
        Ok(Self { handle: Box::leak(Box::new(library)), name: name.to_path_buf() })
    }

    /// The first of `names` that is there, as a function of type `F`.
    ///
    /// # Safety
    ///
    /// `F` must be a function pointer with the signature that the library's header declares for
    /// every one of `names`.
    pub(super) unsafe fn function<F: Copy>(&self, names: &[&str]) -> Result<F, String> {
        for name in names {
            // SAFETY: the caller answers for the type; the copy outlives the symbol, which the
            // library, never closed, allows.
            if let Ok(symbol) = unsafe { self.handle.get::<F>(*name) } {
                return Ok(*symbol);
            }
        }
        Err(format!("{} has no function {}", self.name.display(), names.join(" or ")))
    }

    /// The address of `name`, to be handed on.
    pub(in super::super) fn entry(&self, name: &str) -> Result<Entry, String> {
        // SAFETY: any symbol is an address; it is not called through this type.
        let symbol = unsafe { self.handle.get::<*mut c_void>(name) };
        // SAFETY: the library is never closed, so the address stays good without the symbol.
        let address =
            symbol.ok().and_then(|symbol| unsafe { symbol.try_as_raw_ptr() }).and_then(believed);
        address
            .map(|address| Entry(address.as_ptr()))
            .ok_or_else(|| format!("{} has no function {name}", self.name.display()))
    }

    /// What `getInferLibVersion` says, for libnvinfer and its like.
    pub(in super::super) fn nvinfer_version(&self) -> Result<i32, String> {
        type Version = unsafe extern "C" fn() -> i32;
        // SAFETY: NvInferRuntime.h: `int32_t getInferLibVersion() noexcept`, C linkage, no
        // conditions.
        unsafe { Ok(self.function::<Version>(&["getInferLibVersion"])?()) }
    }
}

fn open(name: &OsStr) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: opening runs the object's initialisers. That is what a user asks for who names a
    // library or installs NVIDIA's; the dangerous part, code that crashes without a driver, comes
    // after the checks of the probe, and first in a child process.
    unsafe { libloading::Library::new(name) }
}

/// What a C string says, or nothing if there is none.
///
/// # Safety
///
/// `text` must be NULL or end in a zero byte within memory that stays readable meanwhile.
pub(super) unsafe fn said(text: *const c_char) -> String {
    if believed(text.cast_mut()).is_none() {
        return String::new();
    }
    // SAFETY: the caller's promise; NULL is ruled out.
    unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Declares a table of C functions, read from a [`Library`] by name.
macro_rules! functions {
    ($(#[$doc:meta])* struct $table:ident { $($field:ident: $($name:literal)|+ => ($($arg:ty),*) $(-> $ret:ty)?;)* }) => {
        $(#[$doc])*
        pub(super) struct $table { $(pub(super) $field: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)* }
        impl $table {
            /// Fails with the first name that is not there.
            pub(super) fn of(library: &$crate::engine::tensorrt::raw::library::Library) -> Result<Self, String> {
                // SAFETY: each signature here is the one in the header that is named above the
                // table.
                Ok(Self { $($field: unsafe { library.function(&[$($name),+])? },)* })
            }
        }
    };
}
pub(super) use functions;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_and_a_function_that_is_not_in_it_are_named() {
        let error = Library::open(Path::new("/nowhere/libnothing.so")).unwrap_err();
        assert!(error.contains("/nowhere/libnothing.so"), "{error}");
        let libc = Library::open(Path::new("libc.so.6")).unwrap();
        assert!(libc.entry("getpid").is_ok());
        assert!(libc.entry("get_nothing").unwrap_err().contains("get_nothing"));
        assert!(
            libc.nvinfer_version()
                .unwrap_err()
                .contains("libc.so.6 has no function getInferLibVersion")
        );
    }
}
