// SPDX-License-Identifier: GPL-2.0
//! The limits that `/proc/sys/kernel` shows and sets, of one name space. Source: `sysvipc(7)`, `proc(5)`. Atomics, no locks.

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// See the module's text.
pub(crate) struct Limits {
    /// Most bytes of a segment, and most pages of all.
    pub(crate) shmmax: AtomicU64,
    pub(crate) shmall: AtomicU64,
    /// Most segments.
    pub(crate) shmmni: AtomicU32,
    /// Whether a segment that nobody has mapped goes with the task that made it.
    pub(crate) shm_rmid_forced: AtomicU32,
    /// Most bytes of a message, bytes of a new queue, queues.
    pub(crate) msgmax: AtomicU32,
    pub(crate) msgmnb: AtomicU32,
    pub(crate) msgmni: AtomicU32,
    /// Semaphores of a set, of all, operations of a call, sets.
    pub(crate) sem: [AtomicI32; 4],
}

impl Limits {
    /// Linux's.
    pub(crate) const fn new() -> Self {
        Self {
            shmmax: AtomicU64::new(u64::MAX - (1 << 24)),
            shmall: AtomicU64::new(u64::MAX - (1 << 24)),
            shmmni: AtomicU32::new(4096),
            shm_rmid_forced: AtomicU32::new(0),
            msgmax: AtomicU32::new(8192),
            msgmnb: AtomicU32::new(16384),
            msgmni: AtomicU32::new(32000),
            sem: [AtomicI32::new(32000), AtomicI32::new(32000 * 32000), AtomicI32::new(500), AtomicI32::new(32000)],
        }
    }

    /// The four numbers of `sem`: `SEMMSL`, `SEMMNS`, `SEMOPM`, `SEMMNI`.
    pub(crate) fn sem(&self) -> [u32; 4] {
        let [msl, mns, opm, mni] = &self.sem;
        let get = |value: &AtomicI32| value.load(Ordering::Relaxed).max(0).cast_unsigned();
        [get(msl), get(mns), get(opm), get(mni)]
    }

    /// Whether segments go with those who made them.
    pub(crate) fn forced(&self) -> bool {
        self.shm_rmid_forced.load(Ordering::Relaxed) != 0
    }
}

pub(crate) fn get(limit: &AtomicU32) -> u32 {
    limit.load(Ordering::Relaxed)
}
