// SPDX-License-Identifier: GPL-2.0
//! Futexes: tasks wait on a word of user memory until others wake them (futex(2)); and robust lists, by which the kernel lets
//! go of what a thread held when it died (set_robust_list(2)). Called by the system call table, and by `process` when a
//! thread gives up its memory.
//!
//! Locks: hash buckets (`bucket`), two of them in the order of their numbers, then the owners of futexes with priority
//! inheritance (`pi`); under both, user memory is touched without faulting in, and run queues are locked by wake-ups.

#![no_std]
#![forbid(unsafe_code)]

mod bucket;
mod pi;
mod requeue;
mod requeue_pi;
mod robust;
mod syscall;
mod wait;
mod waitv;

pub use robust::{sys_get_robust_list, sys_set_robust_list};
pub use syscall::sys_futex;
pub use waitv::sys_futex_waitv;

use errno::Result;
use mm::FutexKey;

/// Bits that any wake-up has in common with any waiter.
pub(crate) const MATCH_ANY: u32 = u32::MAX;

/// The key of the word at `addr`. May sleep.
pub(crate) fn key_of(addr: usize, shared: bool) -> Result<FutexKey> {
    mm::with_current_mm(|mm| mm.futex_key(addr, shared))
}

/// Wakes up to `count` waiters of the word at `addr` whose bits meet `bits`; how many. May sleep.
pub(crate) fn wake(addr: usize, shared: bool, count: usize, bits: u32) -> Result<usize> {
    if bits == 0 {
        return Err(errno::code::EINVAL);
    }
    bucket::wake(&key_of(addr, shared)?, count, bits)
}

/// Prepares the hash table and follows the threads' ends. Once, at boot, before user programs run.
pub fn init() {
    robust::init();
}
