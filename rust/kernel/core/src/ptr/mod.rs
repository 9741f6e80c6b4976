// SPDX-License-Identifier: GPL-2.0
//! Pointers and addresses: `kernel::ptr`.

pub mod projection;

pub use crate::project_pointer as project;
pub use kernel_base::ptr::*;

/// Types of which a pointer says how large the value is.
pub trait KnownSize {
    /// The fewest bytes that a value has.
    const MIN_SIZE: usize;
    /// What the address of a value is at least a multiple of.
    const MIN_ALIGN: Alignment;

    /// How many bytes the value at `pointer` has. Nothing is read there.
    fn size(pointer: *const Self) -> usize;
}

impl<T> KnownSize for T {
    const MIN_SIZE: usize = size_of::<T>();
    const MIN_ALIGN: Alignment = Alignment::of::<T>();

    #[inline(always)]
    fn size(_: *const Self) -> usize {
        size_of::<T>()
    }
}

impl<T> KnownSize for [T] {
    const MIN_SIZE: usize = 0;
    const MIN_ALIGN: Alignment = Alignment::of::<T>();

    #[inline(always)]
    fn size(pointer: *const Self) -> usize {
        // A pointer that is valid never wraps; one that is not may say anything.
        pointer.len().wrapping_mul(size_of::<T>())
    }
}
