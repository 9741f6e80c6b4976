// SPDX-License-Identifier: GPL-2.0
//! Which segments a task has made: with `shm_rmid_forced` those that nobody has mapped go when it ends. Source: `proc(5)`,
//! `/proc/sys/kernel/shm_rmid_forced`. Lock: a task's list (spin), taken alone.

use crate::ns::{NsRef, WeakNs};
use crate::shm::Segment;
use errno::Result;
use errno::code::ENOMEM;
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KBox, KVec, WeakArc};
use locking::SpinLock;
use task::{Task, TaskLocal, current};

struct Made {
    ns: WeakNs,
    segment: WeakArc<Segment>,
}

static MADE: TaskLocal<SpinLock<KVec<Made>>> = TaskLocal::new();

/// The current task made `segment`. May sleep.
pub(crate) fn note(ns: &NsRef, segment: &Arc<Segment>) -> Result {
    let task = current();
    if MADE.get(&task).is_none() {
        // Only the task itself fills its slot.
        MADE.set(&task, KBox::new(SpinLock::new(KVec::new()), GFP_KERNEL)?).map_err(|_| ENOMEM)?;
    }
    let list = MADE.get(&task).ok_or(ENOMEM)?;
    let made = Made { ns: ns.downgrade(), segment: Arc::downgrade(segment) };
    let mut list = list.lock();
    if list.len() == list.capacity() {
        // Those that are gone make room.
        list.retain(|made| made.segment.strong_count() != 0);
    }
    Ok(list.push(made, GFP_ATOMIC)?)
}

/// The current task ends, or leaves its name space for a new one: what it made is nobody's.
pub(crate) fn orphan(task: &Task) {
    let Some(list) = MADE.get(task) else { return };
    let all = core::mem::take(&mut *list.lock());
    for made in &all {
        let Some(segment) = made.segment.upgrade() else { continue };
        segment.set_orphaned();
        if let Some(ns) = made.ns.upgrade().filter(|ns| ns.limits.forced()) {
            segment.destroy_unused(&ns);
        }
    }
}
