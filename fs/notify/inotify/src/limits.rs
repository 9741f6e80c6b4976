// SPDX-License-Identifier: GPL-2.0
//! The limits below `/proc/sys/fs/inotify`, and how much of them each user uses. Locks: `USERS`, short.

use containers::HashMap;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Error, Result, code::*};
use locking::{LazyLock, SpinLock};

/// Most events in a queue (`max_queued_events`).
pub static MAX_QUEUED_EVENTS: AtomicU32 = AtomicU32::new(16384);
/// Most inotify files of a user (`max_user_instances`).
pub static MAX_USER_INSTANCES: AtomicU32 = AtomicU32::new(128);
/// Most watches of a user (`max_user_watches`); set from the size of memory at boot.
pub static MAX_USER_WATCHES: AtomicU32 = AtomicU32::new(8192);

/// What a watch is taken to cost: itself, and the inode that it keeps.
const WATCH_COST: u64 = 1024;

/// Sets the limit of watches: their cost may be a hundredth of memory. Once, at boot.
pub fn init() {
    let watches =
        (mm::meminfo().total.saturating_mul(mm_alloc::PAGE_SIZE as u64) / 100 / WATCH_COST).clamp(8192, 1 << 20);
    MAX_USER_WATCHES.store(watches as u32, Ordering::Relaxed);
}

/// Instances and watches of each user.
static USERS: LazyLock<SpinLock<HashMap<u32, [u32; 2]>>> = LazyLock::new(|| SpinLock::new(HashMap::new()));

/// One instance or watch that counts for a user, as long as it lives.
pub(crate) struct Charge {
    uid: u32,
    kind: usize,
}

impl Charge {
    fn new(kind: usize, limit: &AtomicU32, over: Error) -> Result<Self> {
        let uid = cred::current_cred()?.uid;
        let mut users = USERS.lock();
        let mut counts = users.get(&uid).copied().unwrap_or([0; 2]);
        let count = counts.get_mut(kind).ok_or(EINVAL)?;
        if *count >= limit.load(Ordering::Relaxed) {
            return Err(over);
        }
        *count += 1;
        users.insert(uid, counts)?;
        Ok(Self { uid, kind })
    }

    /// An instance. `EMFILE`.
    pub(crate) fn instance() -> Result<Self> {
        Self::new(0, &MAX_USER_INSTANCES, EMFILE)
    }

    /// A watch. `ENOSPC`.
    pub(crate) fn watch() -> Result<Self> {
        Self::new(1, &MAX_USER_WATCHES, ENOSPC)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut users = USERS.lock();
        if let Some(counts) = users.get_mut(&self.uid) {
            if let Some(count) = counts.get_mut(self.kind) {
                *count = count.saturating_sub(1);
            }
            if *counts == [0; 2] {
                users.remove(&self.uid);
            }
        }
    }
}
