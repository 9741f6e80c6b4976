// SPDX-License-Identifier: GPL-2.0
//! Mount name spaces. Tasks that share an `FsStruct` are in one name space, so that is where it is kept. Source:
//! `mount_namespaces(7)`, `setns(2)`, `unshare(2)`.
//!
//! Locks: `MOUNTS`, while a name space is copied or goes; `EVENTS` inside it.

use crate::anon::PseudoFs;
use crate::file::{File, FileOps, OpenFlags};
use crate::fs_struct::FsStruct;
use crate::inode::{Inode, InodeOps};
use crate::mount::{MOUNTS, Mount, follow_down};
use crate::path::Path;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KBox, KVec};
use locking::{SetOnce, SpinLock};
use sync::WaitQueue;

/// A mount name space. The last task that leaves it takes its mounts along.
pub struct MntNs {
    /// Its number, as `/proc/PID/ns/mnt` shows it.
    pub id: u64,
    root: Arc<Mount>,
    events: Listed,
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

/// Numbers of name spaces (`PROC_DYNAMIC_FIRST` and on).
static NEXT_ID: AtomicU64 = AtomicU64::new(0xf000_0001);
static INIT: SetOnce<Arc<MntNs>> = SetOnce::new();
/// The files that stand for name spaces.
static NSFS: PseudoFs = PseudoFs::new("nsfs", uapi::NSFS_MAGIC);

/// Registers the file system of name spaces. Once, at boot.
pub(crate) fn init() -> Result {
    NSFS.init()
}

/// A number for a new name space.
pub(crate) fn new_number() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// The first name space, whose root is `root`. Once, at boot.
pub(crate) fn make_first(root: &Arc<Mount>) -> Result<u64> {
    let id = new_number();
    let ns = Arc::new(MntNs { id, root: root.clone(), events: Listed::new(id)? }, GFP_KERNEL)?;
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
        let id = new_number();
        let events = Listed::new(id)?;
        let paths = fs.paths()?;
        let mut mounts = MOUNTS.lock();
        let originals = mounts.tree_of(&self.root)?;
        let copies = mounts.copy_tree(&originals)?;
        let root = copies.first().ok_or(EINVAL)?.clone();
        let attached = mounts.attach(&root, id, None).and_then(|()| mounts.attach_parts(&originals, &copies, id));
        drop(mounts);
        // On failure the new name space is dropped (which takes the lock), and what was attached with it.
        let ns = Arc::new(Self { id, root, events }, GFP_KERNEL)?;
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

/// What is behind an open file that stands for a name space.
struct NsFile(Arc<MntNs>);
impl FileOps for NsFile {}

struct NsInode(Arc<MntNs>);

impl InodeOps for NsInode {
    fn open(&self, _: &Arc<Inode>, _: OpenFlags) -> Result<KBox<dyn FileOps>> {
        Ok(KBox::new(NsFile(self.0.clone()), GFP_KERNEL)?)
    }

    fn dname(&self, _: &Inode, out: &mut dyn Write) -> core::fmt::Result {
        write!(out, "mnt:[{}]", self.0.id)
    }
}

/// The place that stands for `ns` (`/proc/PID/ns/mnt`). May sleep.
pub fn ns_path(ns: Arc<MntNs>) -> Result<Path> {
    let id = ns.id;
    NSFS.new_inode_numbered(uapi::S_IFREG | 0o444, id, KBox::new(NsInode(ns), GFP_KERNEL)?)
}

/// `setns(2)` after the kind and the caller's rights were checked. `EINVAL` if `file` stands for no mount name space or the
/// current task shares its places. May sleep.
pub fn enter(file: &File) -> Result {
    let ns = file.private::<NsFile>().ok_or(EINVAL)?.0.clone();
    if !cred::capable(cred::CAP_SYS_ADMIN) || !cred::capable(cred::CAP_SYS_CHROOT) {
        return Err(EPERM);
    }
    let fs = crate::fs_struct::current_fs()?;
    if crate::tasks::shares_fs(&fs) {
        return Err(EINVAL);
    }
    let root = ns.root();
    fs.change(Some(root.clone()), Some(root))?;
    fs.set_ns(ns);
    Ok(())
}
