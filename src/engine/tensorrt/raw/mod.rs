//! The island: the only place of the product with `unsafe`. NVIDIA's libraries and the shim, opened
//! at run time, behind types that cannot be misused from outside.
//!
//! An edge module without decisions: what to open, in which order, and what to do about a failure
//! is told by the rooms around it. [`library`] opens shared objects, [`cuda`] is the driver's C
//! interface, [`device`] one GPU and its context, [`memory`] what lies there, [`shim`] and
//! [`build`] are `squint_trt.h`, and [`session`] holds what one network needs, in the order in
//! which it must go.
//!
//! Rules: a library that was opened is never closed, so what comes out of it is `'static`. A
//! pointer that it hands out is checked before it is believed: without a driver some of them answer
//! 0x228 in place of NULL. No panic crosses into C.

#![allow(
    unsafe_code,
    reason = "C interfaces opened at run time; each block says what the other side promises"
)]

pub(super) mod build;
pub(super) mod cuda;
pub(super) mod device;
pub(super) mod library;
mod memory;
pub(super) mod session;
pub(super) mod shim;

use std::ptr::NonNull;

/// Pointers below this are no pointers but a failure that was not told: the first page is never
/// mapped.
const FIRST_PAGE: usize = 4096;

/// The pointer, if it can be one.
fn believed<T>(pointer: *mut T) -> Option<NonNull<T>> {
    NonNull::new(pointer).filter(|pointer| pointer.addr().get() >= FIRST_PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_pointer_is_no_pointer() {
        for (address, is_believed) in
            [(0, false), (0x228, false), (FIRST_PAGE - 1, false), (FIRST_PAGE, true)]
        {
            let pointer = std::ptr::without_provenance_mut::<u8>(address);
            assert_eq!(believed(pointer).is_some(), is_believed, "{address:#x}");
        }
    }
}
