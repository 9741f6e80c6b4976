// SPDX-License-Identifier: GPL-2.0
//! Locks that spin, set-once cells, and a slot for a counted pointer. The crate `locking` re-exports all of it.

#![no_std]

pub mod arcslot;
pub mod once;
pub mod raw;
pub mod rwspin;
pub mod spin;

#[cfg(CONFIG_LOCKDEP)]
use ::lockdep;

pub use arcslot::ArcSlot;
pub use once::SetOnce;
pub use rwspin::{RwSpinLock, RwSpinReadGuard, RwSpinWriteGuard};
pub use spin::{SpinGuard, SpinIrqGuard, SpinLock};
