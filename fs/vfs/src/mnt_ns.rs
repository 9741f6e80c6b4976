// SPDX-License-Identifier: GPL-2.0
//! Mount name spaces. Tasks that share an `FsStruct` are in one name space, so that is where it is kept. Source:
//! `mount_namespaces(7)`, `setns(2)`, `unshare(2)`.
//!
//! Locks: `MOUNTS`, while a name space is copied or goes; `EVENTS` inside it.

use crate::fs_struct::FsStruct;
use crate::mount::{MOUNTS, Mount, follow_down};
use crate::ns_count::NsCount;
use crate::nsfs::{Namespace, NsKind, new_number, of_path, typed_ref};
use crate::path::Path;
use core::sync::atomic::{AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec};
use locking::{SetOnce, SpinLock};
use sync::WaitQueue;

/// A mount name space. The last task that leaves it takes its mounts along.
pub struct MntNs {
    /// Its number, as `/proc/PID/ns/mnt` shows it.
    pub id: u64,
    root: Arc<Mount>,
    events: Listed,
    /// Of the user who made it; the first is nobody's.
    _count: Option<NsCount>,
}

/// Changes of a name space's mounts, for those who poll `/proc/PID/mounts`.
pub struct MntEvents {
    ns: u64,
    count: AtomicU64,
    changed: Arc<WaitQueue>,
}

/// Of all name spaces.
static EVENTS: SpinLock<KVec<Arc<MntEvents>>> = SpinLock::new(KVec::new());

/// The place of a name space's events in [`EVENTS`].
struct Listed(Arc<MntEvents>);

impl Listed {
    fn new(ns: u64) -> Result<Self> {
        let changed = Arc::new(WaitQueue::new(), GFP_KERNEL)?;
        let events = Arc::new(MntEvents { ns, count: AtomicU64::new(1), changed }, GFP_KERNEL)?;
        EVENTS.lock().push(events.clone(), GFP_ATOMIC)?;
        Ok(Self(events))
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut all = EVENTS.lock();
        let index = all.iter().position(|events| Arc::ptr_eq(events, &self.0));
        let gone = index.and_then(|index| all.swap_remove(index));
        drop(all);
        drop(gone);
    }
}

impl MntEvents {
    /// Changes so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Who waits for the next.
    pub fn queue(&self) -> &Arc<WaitQueue> {
        &self.changed
    }
}

/// The mounts of name space `ns` changed. Does not sleep.
pub(crate) fn touch(ns: u64) {
    let events = EVENTS.lock().iter().find(|events| events.ns == ns).cloned();
    if let Some(events) = events {
        events.count.fetch_add(1, Ordering::AcqRel);
        events.changed.wake_up_all();
    }
}

/// Mount name spaces among the kinds.
pub static KIND: NsKind = NsKind { flag: uapi::CLONE_NEWNS, name: "mnt" };
static INIT: SetOnce<Arc<MntNs>> = SetOnce::new();

impl Namespace for MntNs {
    fn kind(&self) -> &'static NsKind {
        &KIND
    }

    fn number(&self) -> u64 {
        self.id
    }
}

/// The first name space, whose root is `root`. Once, at boot.
pub(crate) fn make_first(root: &Arc<Mount>) -> Result<u64> {
    let id = new_number();
    let ns = Arc::new(MntNs { id, root: root.clone(), events: Listed::new(id)?, _count: None }, GFP_KERNEL)?;
    INIT.set(ns).map_err(|_| EBUSY)?;
    Ok(id)
}

/// The first name space; `None` before the root is mounted.
pub fn first() -> Option<Arc<MntNs>> {
    INIT.get().cloned()
}

/// The current task's name space.
pub(crate) fn current() -> Result<Arc<MntNs>> {
    crate::fs_struct::current_fs()?.ns().ok_or(EINVAL)
}

/// `EINVAL` if `mount` is not in the current task's name space.
pub(crate) fn check_mnt(mount: &Mount) -> Result {
    if current()?.id == mount.ns() { Ok(()) } else { Err(EINVAL) }
}

impl MntNs {
    /// Changes of its mounts.
    pub fn events(&self) -> &Arc<MntEvents> {
        &self.events.0
    }

    /// Its root, with what is mounted on it. May sleep.
    pub fn root(&self) -> Path {
        let mut path = Path { mnt: self.root.clone(), dentry: self.root.root.clone() };
        follow_down(&mut path);
        path
    }

    /// A copy, for `fs`: the same mounts again, peers of the old ones; root and working directory lie in the copies. May sleep.
    fn duplicate(&self, fs: &FsStruct) -> Result<Arc<Self>> {
        let count = NsCount::new(&KIND)?;
        let id = new_number();
        let events = Listed::new(id)?;
        let paths = fs.paths()?;
        let mut mounts = MOUNTS.lock();
        let originals = without_namespaces(mounts.tree_of(&self.root)?)?;
        let copies = mounts.copy_tree(&originals)?;
        let root = copies.first().ok_or(EINVAL)?.clone();
        let attached = mounts.attach(&root, id, None).and_then(|()| mounts.attach_parts(&originals, &copies, id));
        drop(mounts);
        // On failure the new name space is dropped (which takes the lock), and what was attached with it.
        let ns = Arc::new(Self { id, root, events, _count: Some(count) }, GFP_KERNEL)?;
        attached?;
        let translate = |path: &Path| {
            let pair = originals.iter().zip(copies.iter()).find(|pair| Arc::ptr_eq(pair.0, &path.mnt));
            pair.map(|(_, copy)| Path { mnt: copy.clone(), dentry: path.dentry.clone() })
        };
        fs.change(translate(&paths.root), translate(&paths.pwd))?;
        Ok(ns)
    }
}

impl Drop for MntNs {
    fn drop(&mut self) {
        let mut mounts = MOUNTS.lock();
        let gone: KVec<Arc<Mount>> = match mounts.tree_of(&self.root) {
            Ok(tree) => tree,
            // Without memory its mounts stay, seen by nobody.
            Err(_) => return,
        };
        for mount in gone.iter().rev() {
            mounts.detach(mount);
        }
        drop(mounts);
    }
}

/// Puts `fs`, which no other task uses, into a name space of its own (`CLONE_NEWNS`). May sleep.
pub fn unshare(fs: &FsStruct) -> Result {
    let old = fs.ns().ok_or(EINVAL)?;
    fs.set_ns(old.duplicate(fs)?);
    Ok(())
}

/// Whether a mount of what is at `path` in the current task's name space could keep that name space alive for ever: a file that stands
/// for it, or for one that was there before it.
pub(crate) fn would_loop(path: &Path) -> Result<bool> {
    let Some(ns) = of_path(path).and_then(|ns| typed_ref::<MntNs>(&**ns)) else { return Ok(false) };
    Ok(current()?.id >= ns.id)
}

/// `tree`, parents before children, without files that stand for mount name spaces and what is mounted on them.
fn without_namespaces(tree: KVec<Arc<Mount>>) -> Result<KVec<Arc<Mount>>> {
    let mut kept: KVec<Arc<Mount>> = KVec::with_capacity(tree.len(), GFP_KERNEL)?;
    for (index, mount) in tree.into_iter().enumerate() {
        let place = Path { mnt: mount.clone(), dentry: mount.root.clone() };
        let stands_for = of_path(&place).is_some_and(|ns| typed_ref::<MntNs>(&**ns).is_some());
        let parent = mount.parent_arc();
        let hangs = index == 0 || parent.is_some_and(|parent| kept.iter().any(|other| Arc::ptr_eq(other, &parent)));
        if hangs && !stands_for {
            kept.push(mount, GFP_KERNEL)?;
        }
    }
    Ok(kept)
}

/// Whether the current task may enter a name space of this kind. `EPERM`.
pub fn may_enter() -> Result {
    if cred::capable(cred::CAP_SYS_ADMIN) && cred::capable(cred::CAP_SYS_CHROOT) { Ok(()) } else { Err(EPERM) }
}

/// Puts the current task, which may, and whoever shares its places, into `ns`, at its root; all or nothing. May sleep.
pub fn enter(ns: Arc<MntNs>) -> Result {
    let fs = crate::fs_struct::current_fs()?;
    let root = ns.root();
    fs.change(Some(root.clone()), Some(root))?;
    fs.set_ns(ns);
    Ok(())
}
