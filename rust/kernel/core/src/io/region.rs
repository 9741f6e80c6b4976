// SPDX-License-Identifier: GPL-2.0
//! `Region`: bytes of a device of which nothing more is known.

use crate::error::{Result, code::EINVAL};
use crate::ptr::{Alignment, KnownSize};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes that can be accessed at any aligned offset; at least `SIZE` of them, which is known when the code is compiled.
///
/// # Invariants
/// There are at least `SIZE` bytes, from a multiple of 4 on.
#[repr(C, align(4))]
#[derive(FromBytes)]
pub struct Region<const SIZE: usize = 0> {
    bytes: [u8],
}

impl<const SIZE: usize> Region<SIZE> {
    /// The pointer to `size` bytes from `base` on; one that is not valid if the invariants do not hold.
    #[inline]
    pub fn ptr_from_raw_parts_mut(base: *mut u8, size: usize) -> *mut Self {
        core::ptr::slice_from_raw_parts_mut(base, size) as *mut Self
    }

    /// As [`Self::ptr_from_raw_parts_mut`]; `EINVAL` if the invariants do not hold.
    #[inline]
    pub fn ptr_try_from_raw_parts_mut(base: *mut u8, size: usize) -> Result<*mut Self> {
        if size < SIZE || !size.is_multiple_of(4) || !base.addr().is_multiple_of(4) {
            return Err(EINVAL);
        }
        Ok(Self::ptr_from_raw_parts_mut(base, size))
    }
}

impl<const SIZE: usize> KnownSize for Region<SIZE> {
    const MIN_SIZE: usize = SIZE;
    const MIN_ALIGN: Alignment = Alignment::new::<4>();

    #[inline(always)]
    fn size(pointer: *const Self) -> usize {
        (pointer as *const [u8]).len()
    }
}

// SAFETY: It is bytes, and a multiple of 4 of them: there is no padding.
unsafe impl<const SIZE: usize> IntoBytes for Region<SIZE> {
    #[allow(dead_code, reason = "it is an item of the trait")]
    fn only_derive_is_allowed_to_implement_this_trait() {}
}
