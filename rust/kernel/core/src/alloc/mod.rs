// SPDX-License-Identifier: GPL-2.0
//! Memory: `kernel::alloc`, over the crate `kalloc`.

mod iter;
pub mod layout;

pub use kalloc::{AllocError, Allocator, Flags, flags};

/// Sources of memory.
pub mod allocator {
    pub use super::iter::VmallocPageIter;
    pub use kalloc::{KVmalloc, Kmalloc, Vmalloc};
}

/// Boxes.
pub mod kbox {
    pub use kalloc::{Box, KBox, KVBox, VBox};
}

/// Vectors.
pub mod kvec {
    pub use kalloc::{Drain, DrainAll, InsertError, IntoIter, KVVec, KVec, PushError, RemoveError, VVec, Vec};
}

pub use kbox::{Box, KBox, KVBox, VBox};
pub use kvec::{IntoIter, KVVec, KVec, VVec, Vec};

/// A vector of the given elements, as in Rust-for-Linux: `kvec![]` is an empty one; `kvec![1, 2]` and `kvec![0; n]` allocate with
/// `GFP_KERNEL` and are a `Result`.
#[macro_export]
macro_rules! kvec {
    () => { $crate::alloc::KVec::new() };
    ($($elements:tt)+) => { $crate::__private::kvec!($($elements)+) };
}
