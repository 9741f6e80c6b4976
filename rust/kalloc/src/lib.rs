// SPDX-License-Identifier: GPL-2.0
//! Fallible owned memory under Rust-for-Linux's names: `KBox`, `KVec`, `Arc`, `WeakArc`, `UniqueArc`, `KString`.
//! Everybody above calls it. Every allocation takes `Flags` and can fail with `AllocError` (`ENOMEM`).
//! No locks. Freeing never sleeps; allocating may where the flags say so (`GFP_KERNEL`).
//!
//! The unsafe code is in `rust/kalloc/core`.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod kstring;
#[cfg(test)]
mod tests;

pub use kalloc_core::{
    AllocError, Allocator, Arc, ArcBorrow, Box, Drain, DrainAll, Flags, InPlaceInit, InsertError, IntoIter, KBox,
    KVBox, KVVec, KVec, KVmalloc, Kmalloc, PushError, RemoveError, UniqueArc, VBox, VVec, Vec, Vmalloc, WeakArc,
    allocator, flags, kvec, pinned_init,
};
pub use kstring::KString;

/// Everything a user of the crate commonly needs.
pub mod prelude {
    pub use crate::flags::*;
    pub use crate::{AllocError, Arc, ArcBorrow, Flags, InPlaceInit, KBox, KString, KVec, UniqueArc, WeakArc, kvec};
}
