// SPDX-License-Identifier: GPL-2.0
//! Sharing: `kernel::sync`, over `kalloc` (reference counts) and `kernel/locking`.

pub use kalloc::{Arc, ArcBorrow, UniqueArc};
pub use sync::Completion;
