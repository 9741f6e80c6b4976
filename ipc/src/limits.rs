// SPDX-License-Identifier: GPL-2.0
//! The limits that `/proc/sys/kernel` shows and sets. Source: `sysvipc(7)`, `proc(5)`. Atomics, no locks.

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// Most bytes of a segment, and most pages of all.
pub(crate) static SHMMAX: AtomicU64 = AtomicU64::new(u64::MAX - (1 << 24));
pub(crate) static SHMALL: AtomicU64 = AtomicU64::new(u64::MAX - (1 << 24));
/// Most segments.
pub(crate) static SHMMNI: AtomicU32 = AtomicU32::new(4096);
/// Most bytes of a message, bytes of a new queue, queues.
pub(crate) static MSGMAX: AtomicU32 = AtomicU32::new(8192);
pub(crate) static MSGMNB: AtomicU32 = AtomicU32::new(16384);
pub(crate) static MSGMNI: AtomicU32 = AtomicU32::new(32000);
/// Semaphores of a set, of all, operations of a call, sets.
pub(crate) static SEM: [AtomicI32; 4] =
    [AtomicI32::new(32000), AtomicI32::new(32000 * 32000), AtomicI32::new(500), AtomicI32::new(32000)];

/// The four numbers of [`SEM`]: `SEMMSL`, `SEMMNS`, `SEMOPM`, `SEMMNI`.
pub(crate) fn sem() -> [u32; 4] {
    let [msl, mns, opm, mni] = &SEM;
    let get = |value: &AtomicI32| value.load(Ordering::Relaxed).max(0).cast_unsigned();
    [get(msl), get(mns), get(opm), get(mni)]
}

pub(crate) fn get(limit: &AtomicU32) -> u32 {
    limit.load(Ordering::Relaxed)
}
