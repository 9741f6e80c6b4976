// SPDX-License-Identifier: GPL-2.0
//! Locks that spin, sequence counters and set-once cells. The sleeping family (mutex, rw semaphore, wait queues) is in
//! `kernel/locking/sleep`, above tasks. Every crate from the allocators up uses these.
//!
//! Which to take: [`SpinLock`] for data that only tasks touch (`lock`), or that interrupt handlers touch too (`lock_irqsave`
//! everywhere outside the handler). A spin lock's holder must not sleep. In debug builds (`CONFIG_LOCKDEP`) each acquisition is
//! checked for order and context by `lockdep`.
//! What takes unsafe code is the crate `spin_locks`; who has a lock is decided in `raw_spin`, without.

#![no_std]
#![forbid(unsafe_code)]

mod lazy;
pub mod seq;

#[cfg(CONFIG_LOCKDEP)]
pub use ::lockdep;
pub use lazy::LazyLock;
pub use seq::{SeqCount, SeqLock};
pub use spin_locks::{
    ArcSlot, RwSpinLock, RwSpinReadGuard, RwSpinWriteGuard, SetOnce, SpinGuard, SpinIrqGuard, SpinLock, arcslot, once,
    raw, rwspin, spin,
};
