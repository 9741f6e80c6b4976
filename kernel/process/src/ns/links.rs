// SPDX-License-Identifier: GPL-2.0
//! The name spaces of a task by the names that `/proc/PID/ns` has for them. No locks.

use super::{Slot, of, pid, type_of};
use task::Task;
use vfs::nsfs::NsRef;

/// A name in `/proc/PID/ns`.
pub struct NsLink {
    /// The name.
    pub name: &'static str,
    /// The name space of a task; `None` once it has ended.
    pub get: fn(&Task) -> Option<NsRef>,
    /// Where it is kept, for kinds that may not be there.
    slot: Option<Slot>,
}

fn mounts(task: &Task) -> Option<NsRef> {
    let ns: NsRef = vfs::fs_struct::task_fs(task)?.ns()?;
    Some(ns)
}

/// All, in the order of a listing.
static LINKS: [NsLink; 7] = [
    NsLink { name: "uts", get: |task| of(task, Slot::Uts), slot: Some(Slot::Uts) },
    NsLink { name: "ipc", get: |task| of(task, Slot::Ipc), slot: Some(Slot::Ipc) },
    NsLink { name: "pid", get: pid::space_of, slot: Some(Slot::PidForChildren) },
    NsLink { name: "pid_for_children", get: pid::children_of, slot: Some(Slot::PidForChildren) },
    NsLink { name: "mnt", get: mounts, slot: None },
    NsLink { name: "time", get: |task| of(task, Slot::Time), slot: Some(Slot::Time) },
    NsLink {
        name: "time_for_children",
        get: |task| of(task, Slot::TimeForChildren),
        slot: Some(Slot::TimeForChildren),
    },
];

/// Those of the kinds that are there.
pub fn links() -> impl Iterator<Item = &'static NsLink> {
    LINKS.iter().filter(|link| link.slot.is_none_or(|slot| type_of(slot).is_some()))
}
