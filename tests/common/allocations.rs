//! An allocator that counts what the calling thread allocates by way of Rust. Other threads, such
//! as those of the test harness, do not count. Whoever includes this file has it as the allocator
//! of its whole program.
#![allow(unsafe_code)] // GlobalAlloc is an unsafe trait; there is no other way to see allocations

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNTED: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    COUNTED.set(COUNTED.get() + 1);
}

// SAFETY: every call is handed on unchanged to the system's allocator, whose contract is the same;
// counting touches only a thread-local without a destructor, which neither allocates nor ends
// before its thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often `act` allocates, or makes an allocation larger or smaller.
pub fn allocations(act: impl FnOnce()) -> u64 {
    let before = COUNTED.get();
    act();
    COUNTED.get() - before
}

#[test]
fn the_allocator_counts_new_zeroed_and_grown_memory() {
    use std::hint::black_box;
    assert_eq!(allocations(|| drop(black_box(Box::new(black_box(1))))), 1);
    assert_eq!(allocations(|| drop(black_box(vec![0_u8; black_box(1000)]))), 1);
    let mut grown = black_box(vec![1_u8]);
    assert_eq!(allocations(|| grown.reserve_exact(black_box(1000))), 1);
    assert_eq!(allocations(|| drop(black_box(grown))), 0);
}
