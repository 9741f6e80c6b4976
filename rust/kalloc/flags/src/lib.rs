// SPDX-License-Identifier: GPL-2.0
//! How an allocation may behave (`flags`), and that it failed. The crate `kalloc` re-exports both.

#![no_std]
#![forbid(unsafe_code)]

pub mod flags;

pub use flags::Flags;

/// An allocation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AllocError;

impl core::fmt::Display for AllocError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("out of memory")
    }
}

impl From<AllocError> for errno::Error {
    #[inline]
    fn from(_: AllocError) -> Self {
        errno::code::ENOMEM
    }
}

impl From<core::convert::Infallible> for AllocError {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}
