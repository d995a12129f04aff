//! What a GPU can compute in, by its compute capability. Pure.
//!
//! A table to refuse by before anything slow begins; the builder on the board is asked as well and
//! has the last word. Fast int8 came with 6.1 (four-fold integer dot products), which 6.0 and 6.2,
//! the TX2, do not have. Fast half precision: 5.3, 6.0, 6.2 and all from 7.0; 6.1 computes it at a
//! sixty-fourth of the speed. Source: the precision table of TensorRT's support matrix.

use super::name::{Capability, Precision};

/// True if int8 is faster than float32 there.
pub fn has_int8(capability: Capability) -> bool {
    let Capability { major, minor } = capability;
    major >= 7 || (major, minor) == (6, 1)
}

/// True if half precision is faster than float32 there.
pub fn has_fp16(capability: Capability) -> bool {
    let Capability { major, minor } = capability;
    major >= 7 || [(5, 3), (6, 0), (6, 2)].contains(&(major, minor))
}

/// A precision that the GPU does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} is not available on sm_{}{}{}; use {instead}", here.major, here.minor, board(*.here))]
pub struct Refused {
    /// What was asked for.
    pub asked: Precision,
    /// On which GPU.
    pub here: Capability,
    /// The best that there is.
    pub instead: Precision,
}

/// Refuses what the GPU has no fast way to compute, with the best that it has.
pub fn check(asked: Precision, here: Capability) -> Result<(), Refused> {
    let has = match asked {
        Precision::Fp32 => true,
        Precision::Fp16 => has_fp16(here),
        Precision::Int8 => has_int8(here),
    };
    let instead = match has_fp16(here) {
        true => Precision::Fp16,
        false if has_int8(here) && asked == Precision::Fp16 => Precision::Int8,
        false => Precision::Fp32,
    };
    if has { Ok(()) } else { Err(Refused { asked, here, instead }) }
}

/// The boards that most people with this capability have.
fn board(capability: Capability) -> &'static str {
    match (capability.major, capability.minor) {
        (5, 3) => " (Jetson Nano, TX1)",
        (6, 2) => " (Jetson TX2)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_is_refused_where_there_is_none_with_the_reason_and_the_alternative() {
        let capability = |major, minor| Capability { major, minor };
        for (major, minor) in [(5, 3), (6, 0), (6, 2)] {
            let refused = check(Precision::Int8, capability(major, minor)).unwrap_err();
            assert_eq!(refused.instead, Precision::Fp16);
        }
        let text = check(Precision::Int8, capability(6, 2)).unwrap_err().to_string();
        assert_eq!(text, "int8 is not available on sm_62 (Jetson TX2); use fp16");
        assert_eq!(check(Precision::Int8, capability(5, 2)).unwrap_err().instead, Precision::Fp32);
        for (major, minor) in [(6, 1), (7, 0), (7, 2), (8, 7), (12, 0)] {
            assert_eq!(check(Precision::Int8, capability(major, minor)), Ok(()));
        }
    }

    #[test]
    fn half_precision_is_refused_only_where_it_is_slow() {
        let text =
            check(Precision::Fp16, Capability { major: 6, minor: 1 }).unwrap_err().to_string();
        assert_eq!(text, "fp16 is not available on sm_61; use int8");
        assert_eq!(check(Precision::Fp16, Capability { major: 6, minor: 2 }), Ok(()));
        assert_eq!(check(Precision::Fp32, Capability { major: 3, minor: 0 }), Ok(()));
    }
}
