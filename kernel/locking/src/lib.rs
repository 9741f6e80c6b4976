// SPDX-License-Identifier: GPL-2.0
//! Locks that spin, sequence counters and set-once cells. The sleeping family (mutex, rw semaphore, wait queues) is in
//! `kernel/locking/sleep`, above tasks. Every crate from the allocators up uses these.
//!
//! Which to take: [`SpinLock`] for data that only tasks touch (`lock`), or that interrupt handlers touch too (`lock_irqsave`
//! everywhere outside the handler). A spin lock's holder must not sleep. In debug builds (`CONFIG_LOCKDEP`) each acquisition is
//! checked for order and context by `lockdep`.

#![no_std]

pub mod arcslot;
#[cfg(any(CONFIG_LOCKDEP, test))]
mod lock_order;
#[cfg(CONFIG_LOCKDEP)]
pub mod lockdep;
pub mod once;
pub mod raw;
pub mod rwspin;
pub mod seq;
pub mod spin;

pub use arcslot::ArcSlot;
pub use once::{LazyLock, SetOnce};
pub use rwspin::{RwSpinLock, RwSpinReadGuard, RwSpinWriteGuard};
pub use seq::{SeqCount, SeqLock};
pub use spin::{SpinGuard, SpinIrqGuard, SpinLock};
