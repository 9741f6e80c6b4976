// SPDX-License-Identifier: GPL-2.0
//! How many name spaces of each kind a user may have made (`/proc/sys/user`). Source: `namespaces(7)`. Lock: a kind's counts (spin),
//! taken alone.

use crate::nsfs::NsKind;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_ATOMIC;
use locking::SpinLock;

/// The limit of one kind, and who has how many.
pub struct NsLimit {
    flag: u32,
    /// Its file.
    pub file: &'static str,
    /// Most of one user.
    pub most: AtomicU32,
    /// Users and counts that are not zero.
    users: SpinLock<KVec<(u32, u32)>>,
}

impl NsLimit {
    const fn new(flag: u32, file: &'static str) -> Self {
        Self { flag, file, most: AtomicU32::new(i32::MAX as u32), users: SpinLock::new(KVec::new()) }
    }
}

/// All kinds that are counted.
pub static LIMITS: [NsLimit; 5] = [
    NsLimit::new(uapi::CLONE_NEWPID, "max_pid_namespaces"),
    NsLimit::new(uapi::CLONE_NEWUTS, "max_uts_namespaces"),
    NsLimit::new(uapi::CLONE_NEWIPC, "max_ipc_namespaces"),
    NsLimit::new(uapi::CLONE_NEWNS, "max_mnt_namespaces"),
    NsLimit::new(uapi::CLONE_NEWTIME, "max_time_namespaces"),
];

/// Sets all limits, at boot.
pub fn set_all(most: u32) {
    LIMITS.iter().for_each(|limit| limit.most.store(most, Ordering::Relaxed));
}

/// A name space that is counted for the user who made it, until this is dropped.
pub struct NsCount {
    limit: &'static NsLimit,
    uid: u32,
}

impl NsCount {
    /// One more of `kind`, of the current task's effective user. `ENOSPC` above the limit, `ENOMEM`.
    pub fn new(kind: &NsKind) -> Result<Self> {
        let limit = LIMITS.iter().find(|limit| limit.flag == kind.flag).ok_or(EINVAL)?;
        let uid = cred::current_cred()?.euid;
        let mut users = limit.users.lock();
        let most = limit.most.load(Ordering::Relaxed);
        match users.iter_mut().find(|user| user.0 == uid) {
            Some(user) if user.1 >= most => return Err(ENOSPC),
            Some(user) => user.1 += 1,
            None if most == 0 => return Err(ENOSPC),
            None => users.push((uid, 1), GFP_ATOMIC)?,
        }
        Ok(Self { limit, uid })
    }
}

impl Drop for NsCount {
    fn drop(&mut self) {
        let mut users = self.limit.users.lock();
        let Some(index) = users.iter().position(|user| user.0 == self.uid) else { return };
        if let Some(user) = users.get_mut(index) {
            user.1 = user.1.saturating_sub(1);
            if user.1 == 0 {
                let _ = users.swap_remove(index);
            }
        }
    }
}
