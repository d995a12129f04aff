//! What the CUDA driver answers, by name, and which answers mean that a context is beyond help.
//!
//! Pure.

use std::fmt;

/// A call of the driver that failed. Codes are those of `cuda.h` (`CUresult`), the same since
/// CUDA 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaError {
    /// The function.
    pub call: &'static str,
    /// Its result, never 0.
    pub code: i32,
}

/// Results that are told by name.
const NAMES: [(i32, &str); 27] = [
    (1, "CUDA_ERROR_INVALID_VALUE"),
    (2, "CUDA_ERROR_OUT_OF_MEMORY"),
    (3, "CUDA_ERROR_NOT_INITIALIZED"),
    (4, "CUDA_ERROR_DEINITIALIZED"),
    (34, "CUDA_ERROR_STUB_LIBRARY"),
    (46, "CUDA_ERROR_DEVICE_UNAVAILABLE"),
    (100, "CUDA_ERROR_NO_DEVICE"),
    (101, "CUDA_ERROR_INVALID_DEVICE"),
    (201, "CUDA_ERROR_INVALID_CONTEXT"),
    (214, "CUDA_ERROR_ECC_UNCORRECTABLE"),
    (304, "CUDA_ERROR_OPERATING_SYSTEM"),
    (400, "CUDA_ERROR_INVALID_HANDLE"),
    (600, "CUDA_ERROR_NOT_READY"),
    (700, "CUDA_ERROR_ILLEGAL_ADDRESS"),
    (701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
    (702, "CUDA_ERROR_LAUNCH_TIMEOUT"),
    (709, "CUDA_ERROR_CONTEXT_IS_DESTROYED"),
    (710, "CUDA_ERROR_ASSERT"),
    (714, "CUDA_ERROR_HARDWARE_STACK_ERROR"),
    (715, "CUDA_ERROR_ILLEGAL_INSTRUCTION"),
    (716, "CUDA_ERROR_MISALIGNED_ADDRESS"),
    (717, "CUDA_ERROR_INVALID_ADDRESS_SPACE"),
    (718, "CUDA_ERROR_INVALID_PC"),
    (719, "CUDA_ERROR_LAUNCH_FAILED"),
    (802, "CUDA_ERROR_SYSTEM_NOT_READY"),
    (803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
    (999, "CUDA_ERROR_UNKNOWN"),
];

impl CudaError {
    /// True if the context is beyond help: every further call in it fails, and only a new context
    /// may work. As `cuda.h` says of each code that "leaves the process in an inconsistent state"
    /// or destroys the context.
    pub fn is_sticky(self) -> bool {
        matches!(self.code, 4 | 46 | 201 | 214 | 700 | 702 | 709 | 710 | 714..=719 | 999)
    }
}

impl fmt::Display for CudaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(code, _)| *code == self.code) {
            Some((code, name)) => write!(f, "{} failed: {name} ({code})", self.call),
            None => write!(f, "{} failed: CUDA error {}", self.call, self.code),
        }
    }
}

impl std::error::Error for CudaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_by_name_and_those_beyond_help_are_known() {
        let error = |code| CudaError { call: "cuMemAlloc_v2", code };
        assert_eq!(error(2).to_string(), "cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY (2)");
        assert_eq!(error(12345).to_string(), "cuMemAlloc_v2 failed: CUDA error 12345");
        for (code, sticky) in
            [(1, false), (2, false), (700, true), (701, false), (719, true), (999, true)]
        {
            assert_eq!(error(code).is_sticky(), sticky, "{code}");
        }
    }
}
