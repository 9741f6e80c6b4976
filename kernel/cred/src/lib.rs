// SPDX-License-Identifier: GPL-2.0
//! Credentials: who a task is and what it may do. A `Cred` never changes; a task that changes its identity makes a new one and
//! commits it. Callers: every permission check (`current_cred`, `capable`), `kernel/process` (setuid family, exec, fork).
//!
//! Locks: none. Each task has one place with its credentials, read under RCU; only the task itself replaces what is there.
//! Source: `credentials(7)`, `capabilities(7)`.

#![no_std]
#![forbid(unsafe_code)]

mod caps;
mod groups;

pub use caps::*;
pub use groups::{GroupInfo, NGROUPS_MAX};

use errno::{Result, code::EPERM};
use kalloc::{Arc, ArcBorrow, KBox, flags::GFP_KERNEL};
use locking::SetOnce;
use rcu::{RcuArc, ReadGuard};
use task::{Task, TaskLocal};

/// What a task is, as other checks see it. Ids are those of the initial user namespace.
#[derive(Clone, Debug)]
pub struct Cred {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Saved user id.
    pub suid: u32,
    /// Saved group id.
    pub sgid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// User id for file access.
    pub fsuid: u32,
    /// Group id for file access.
    pub fsgid: u32,
    /// `SECBIT_*` bits.
    pub securebits: u32,
    /// What an executed file may inherit.
    pub cap_inheritable: CapSet,
    /// What the task may make effective.
    pub cap_permitted: CapSet,
    /// What checks look at.
    pub cap_effective: CapSet,
    /// The limit of what exec can give.
    pub cap_bset: CapSet,
    /// What survives an exec without file capabilities.
    pub cap_ambient: CapSet,
    /// Supplementary groups, sorted; none is no allocation.
    pub groups: Option<Arc<GroupInfo>>,
}

impl Cred {
    /// The first task's: root with every capability.
    pub const fn init() -> Self {
        Self {
            uid: 0,
            gid: 0,
            suid: 0,
            sgid: 0,
            euid: 0,
            egid: 0,
            fsuid: 0,
            fsgid: 0,
            securebits: 0,
            cap_inheritable: CapSet::EMPTY,
            cap_permitted: CapSet::FULL,
            cap_effective: CapSet::FULL,
            cap_bset: CapSet::FULL,
            cap_ambient: CapSet::EMPTY,
            groups: None,
        }
    }

    /// Whether `gid` is the file-access group or a supplementary one (`in_group_p`).
    #[inline]
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.as_ref().is_some_and(|groups| groups.contains(gid))
    }

    /// Whether `gid` is the effective group or a supplementary one (`in_egroup_p`).
    #[inline]
    pub fn in_egroup(&self, gid: u32) -> bool {
        self.egid == gid || self.groups.as_ref().is_some_and(|groups| groups.contains(gid))
    }

    /// Whether `cap` is effective.
    #[inline(always)]
    pub fn capable(&self, cap: Cap) -> bool {
        self.cap_effective.has(cap)
    }
}

/// A task's place for its credentials.
pub struct CredSlot(RcuArc<Cred>);

static CREDS: TaskLocal<CredSlot> = TaskLocal::new();
static INIT_CRED: SetOnce<Arc<Cred>> = SetOnce::new();

/// The boot-time credentials, shared by the first task and kernel threads. `ENOMEM` only before the first success.
pub fn init_cred() -> Result<Arc<Cred>> {
    if let Some(cred) = INIT_CRED.get() {
        return Ok(cred.clone());
    }
    let cred = Arc::new(Cred::init(), GFP_KERNEL)?;
    // A lost race leaves the winner's, which is equal.
    let _ = INIT_CRED.set(cred.clone());
    Ok(cred)
}

/// Gives a new task its credentials; once, before it runs (`copy_creds`). May sleep.
pub fn attach(task: &Task, cred: Arc<Cred>) -> Result {
    let slot = KBox::new(CredSlot(RcuArc::new(Some(cred))), GFP_KERNEL)?;
    // Only the creating task attaches; a second attempt would be its mistake.
    CREDS.set(task, slot).map_err(|_| errno::code::EBUSY)
}

/// The credentials of `task`, or `None` if it has none yet.
#[inline]
pub fn task_cred(task: &Task) -> Option<Arc<Cred>> {
    CREDS.get(task)?.0.get()
}

/// The current task's credentials, borrowed for a read-side section: costs two loads. `None` for a task that has none yet.
#[inline(always)]
pub fn borrow<'g>(section: &'g ReadGuard) -> Option<ArcBorrow<'g, Cred>> {
    let current = task::try_current()?;
    CREDS.get(&current)?.0.borrow(section)
}

/// The current task's credentials. A task that has none yet (early boot) acts as the first task.
#[inline]
pub fn current_cred() -> Result<Arc<Cred>> {
    match task::try_current().and_then(|current| task_cred(&current)) {
        Some(cred) => Ok(cred),
        None => init_cred(),
    }
}

/// Replaces the current task's credentials (`commit_creds`). The caller has checked that the change is allowed.
pub fn commit(cred: Arc<Cred>) -> Result {
    let current = task::current();
    let slot = CREDS.get(&current).ok_or(EPERM)?;
    slot.0.replace(Some(cred));
    Ok(())
}

/// The credentials that [`override_with`] set aside; they come back when this drops.
#[must_use]
pub struct Override {
    old: Arc<Cred>,
}

/// The current task acts with `cred` until the result is dropped.
pub fn override_with(cred: Arc<Cred>) -> Result<Override> {
    let old = current_cred()?;
    commit(cred)?;
    Ok(Override { old })
}

impl Drop for Override {
    fn drop(&mut self) {
        // It succeeded when they were set aside, so the task has a place for them.
        let _ = commit(self.old.clone());
    }
}

/// Whether the current task has `cap` in its effective set.
#[inline]
pub fn capable(cap: Cap) -> bool {
    let section = rcu::read_lock();
    // Without credentials this is early boot, which may do everything.
    borrow(&section).is_none_or(|cred| cred.capable(cap))
}
