//! Versions of TensorRT as its libraries count them, and which shim serves which.
//!
//! Pure.

use std::fmt;

/// All shims that there may be, as [`Version::shim`] names them.
pub const SHIMS: [&str; 4] = ["trt8", "trt10", "trt11", "trt-rtx1"];

/// A version of TensorRT or TensorRT-RTX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// Major; 1 is TensorRT-RTX.
    pub major: u16,
    /// Minor.
    pub minor: u16,
    /// Patch.
    pub patch: u16,
}

impl Version {
    /// From `getInferLibVersion` or `NV_TENSORRT_VERSION`: 1000 * major + 100 * minor + patch up to
    /// 9, 10 000 * major + 100 * minor + patch from 10 on and for RTX. `None` for what is neither.
    pub fn from_number(number: i32) -> Option<Self> {
        let number =
            u32::try_from(number).ok().filter(|number| (5_000..1_000_000).contains(number))?;
        let unit = if number < 10_000 { 1_000 } else { 10_000 };
        let part = |value: u32| u16::try_from(value).ok();
        Some(Self {
            major: part(number / unit)?,
            minor: part(number % unit / 100)?,
            patch: part(number % 100)?,
        })
    }

    /// Which shim serves it, as `scripts/shims` names it: the `trt8` in `libsquint-trt8.so`.
    pub fn shim(self) -> Option<&'static str> {
        match (self.major, self.minor) {
            (8, _) => Some("trt8"),
            (10, _) => Some("trt10"),
            (11, _) => Some("trt11"),
            (1, 5..) => Some("trt-rtx1"),
            _ => None,
        }
    }

    /// True if it computes in the numbers that the model holds and in no others: 11 and RTX, which
    /// know no flags for precisions.
    pub fn types_strongly(self) -> bool {
        self.major >= 11 || self.major == 1
    }

    /// For people: `TensorRT 8.2.1`, `TensorRT-RTX 1.7.1`.
    pub fn title(self) -> String {
        format!("TensorRT{} {self}", if self.major == 1 { "-RTX" } else { "" })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch } = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// "10.2" from what `cuDriverGetVersion` says.
pub(super) fn cuda(number: i32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_counting_is_understood() {
        for (number, text, shim) in [
            (8201, "8.2.1", Some("trt8")),
            (8601, "8.6.1", Some("trt8")),
            (7103, "7.1.3", None),
            (100_304, "10.3.4", Some("trt10")),
            (101_601, "10.16.1", Some("trt10")),
            (110_400, "11.4.0", Some("trt11")),
            (10_701, "1.7.1", Some("trt-rtx1")),
            (10_300, "1.3.0", None),
        ] {
            let version = Version::from_number(number).unwrap();
            assert_eq!((version.to_string().as_str(), version.shim()), (text, shim), "{number}");
            assert!(shim.is_none_or(|shim| SHIMS.contains(&shim)), "{number}");
            assert_eq!(
                version.types_strongly(),
                version.major == 11 || version.major == 1,
                "{number}"
            );
        }
        for number in [i32::MIN, -1, 0, 1, 4_999, 1_000_000, i32::MAX] {
            assert_eq!(Version::from_number(number), None, "{number}");
        }
        assert_eq!(Version::from_number(10_701).unwrap().title(), "TensorRT-RTX 1.7.1");
        assert_eq!((cuda(10_020), cuda(13_000)), ("10.2".into(), "13.0".into()));
    }
}
