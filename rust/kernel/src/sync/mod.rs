// SPDX-License-Identifier: GPL-2.0
//! Sharing: `kernel::sync`, over `kalloc` (reference counts) and `kernel/locking`.

mod condvar;
pub mod poll;
pub mod srcu;

pub use crate::{new_condvar, new_srcu};
pub use condvar::{CondVar, CondVarTimeoutResult};
pub use kernel_core::sync::*;
pub use srcu::Srcu;
