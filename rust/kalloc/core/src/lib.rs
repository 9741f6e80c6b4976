// SPDX-License-Identifier: GPL-2.0
//! Fallible owned memory under Rust-for-Linux's names: `KBox`, `KVec`, `Arc`, `WeakArc`, `UniqueArc`. The crate `kalloc` re-exports all of it.
//! Everybody above calls it. Every allocation takes `Flags` and can fail with `AllocError` (`ENOMEM`).
//! No locks. Freeing never sleeps; allocating may where the flags say so (`GFP_KERNEL`).
//!
//! Memory comes from `__kalloc_alloc`/`__kalloc_free` (see `allocator`): a direct call into the kernel's allocator, or
//! the host's heap in tests. This is one of the named containers that may hold unsafe code at level 0.

#![no_std]
#![feature(derive_coerce_pointee)]
#![cfg_attr(target_os = "none", feature(linkage))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod allocator;
mod arc;
mod init;
mod kbox;
mod kvec;
#[cfg(test)]
mod tests;

pub use allocator::{Allocator, KVmalloc, Kmalloc, Vmalloc};
pub use arc::{Arc, ArcBorrow, UniqueArc, WeakArc};
pub use gfp::{AllocError, Flags, flags};
pub use init::InPlaceInit;
pub use kbox::{Box, KBox, KVBox, VBox};
pub use kvec::{Drain, DrainAll, InsertError, IntoIter, KVVec, KVec, PushError, RemoveError, VVec, Vec};
pub use pinned_init;

/// Everything a user of the crate commonly needs.
pub mod prelude {
    pub use crate::flags::*;
    pub use crate::{AllocError, Arc, ArcBorrow, Flags, InPlaceInit, KBox, KVec, UniqueArc, WeakArc, kvec};
}
