// SPDX-License-Identifier: GPL-2.0
//! `SEM_UNDO`: what a process did to semaphores is undone when it ends. Processes made with `CLONE_SYSVSEM` share their
//! adjustments, and the last one's end undoes them. A set keeps the adjustments, an owner the sets that have some of his.
//! Locks: a task's slot (spin), then an owner's list (spin); a set's state is taken alone.

use crate::ids::{Object, now, pid};
use crate::made;
use crate::sem::Set;
use crate::sem_ops::Adjustments;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use errno::Result;
use errno::code::{EIDRM, ENOMEM};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KBox, KVec};
use locking::SpinLock;
use process::hooks::{TaskEvents, follow};
use task::{Task, TaskLocal, current};

/// Who shares adjustments.
struct Owner {
    id: u64,
    /// Tasks that share them.
    tasks: AtomicUsize,
    sets: SpinLock<KVec<Arc<Set>>>,
}

/// A task's part in an owner. When the last goes, its adjustments are made.
struct Share(Arc<Owner>);

static NEXT: AtomicU64 = AtomicU64::new(1);
static SHARES: TaskLocal<SpinLock<Option<Share>>> = TaskLocal::new();

impl Share {
    fn new() -> Result<Self> {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let owner = Owner { id, tasks: AtomicUsize::new(1), sets: SpinLock::new(KVec::new()) };
        Ok(Self(Arc::new(owner, GFP_KERNEL)?))
    }

    fn share(&self) -> Self {
        self.0.tasks.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let sets = core::mem::take(&mut *self.0.sets.lock());
        for set in sets {
            let mut state = set.state.lock();
            if state.undo(self.0.id, &pid()) {
                state.op_time = now();
                state.wake();
            }
        }
    }
}

/// The current task's owner, made if there is none.
fn current_owner() -> Result<Arc<Owner>> {
    let task = current();
    if let Some(slot) = SHARES.get(&task)
        && let Some(share) = &*slot.lock()
    {
        return Ok(share.0.clone());
    }
    let share = Share::new()?;
    let owner = share.0.clone();
    fill(&task, share)?;
    Ok(owner)
}

/// Gives `task` its share. Only the task itself fills its slot once it runs, so there is none there.
fn fill(task: &Task, share: Share) -> Result {
    match SHARES.get(task) {
        Some(slot) => *slot.lock() = Some(share),
        None => SHARES.set(task, KBox::new(SpinLock::new(Some(share)), GFP_KERNEL)?).map_err(|_| ENOMEM)?,
    }
    Ok(())
}

/// Whose adjustments the current task's operations on `set` change; there is room for them afterwards. `ENOMEM`, `EIDRM`.
pub(crate) fn owner(set: &Arc<Set>) -> Result<u64> {
    let owner = current_owner()?;
    if set.state.lock().adjustments.iter().any(|a| a.owner == owner.id) {
        return Ok(owner.id);
    }
    let values = KVec::from_elem(0, set.count, GFP_KERNEL)?;
    let forgotten = {
        let mut sets = owner.sets.lock();
        sets.reserve(1, GFP_ATOMIC)?;
        let mut forgotten = KVec::new();
        while let Some(index) = sets.iter().position(|set| set.header().is_removed()) {
            let Some(removed) = sets.swap_remove(index) else { break };
            forgotten.push(removed, GFP_ATOMIC)?;
        }
        sets.push(set.clone(), GFP_ATOMIC)?;
        forgotten
    };
    drop(forgotten);
    let mut state = set.state.lock();
    if set.header().is_removed() {
        return Err(EIDRM);
    }
    // Another thread with the same owner may have been faster.
    if !state.adjustments.iter().any(|a| a.owner == owner.id) {
        state.adjustments.push(Adjustments { owner: owner.id, values }, GFP_ATOMIC)?;
    }
    Ok(owner.id)
}

/// The current task gives up its share.
fn leave(task: &Task) {
    let share = SHARES.get(task).and_then(|slot| slot.lock().take());
    drop(share);
}

struct Follower;

impl TaskEvents for Follower {
    fn fork(&self, task: &Task, flags: u64) -> Result {
        if flags & u64::from(uapi::CLONE_SYSVSEM) == 0 {
            return Ok(());
        }
        current_owner()?;
        let share = SHARES.get(&current()).and_then(|slot| slot.lock().as_ref().map(Share::share));
        share.map_or(Ok(()), |share| fill(task, share))
    }

    fn unshare(&self, task: &Task, flags: u32) {
        if flags & uapi::CLONE_SYSVSEM != 0 {
            leave(task);
        }
        if flags & uapi::CLONE_NEWIPC != 0 {
            made::orphan(task);
        }
    }

    fn exit(&self, task: &Task, _: bool) {
        leave(task);
        made::orphan(task);
    }
}

pub(crate) fn init() {
    static FOLLOWER: Follower = Follower;
    if !follow(&FOLLOWER) {
        klog::pr_err!("sysvipc: no room to follow processes, SEM_UNDO is not undone");
    }
}
