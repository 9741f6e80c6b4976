// SPDX-License-Identifier: GPL-2.0
//! Mounts: where file systems are attached to the tree.
//!
//! Locks: `MOUNTS` (sleeping) serialises every change in every name space; readers use the mount hash under RCU. Inside `MOUNTS`
//! the lock of a mountpoint's directory inode may be taken, never the other way round. Source: `mount(2)`,
//! `mount_namespaces(7)`.

use crate::dentry::{Dentry, dflag};
use crate::path::Path;
use crate::super_block::{REMOUNTING, SuperBlock};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, ArcBorrow, KString, KVec};
use locking::{SeqCount, SpinLock};
use rcu::{RcuArc, RcuLink, RcuList, ReadGuard};
use sync::Mutex;

/// Flags of a mount: those `MS_*` bits that belong to it and not to the super block.
pub const MOUNT_FLAGS: u32 = uapi::MS_RDONLY
    | uapi::MS_NOSUID
    | uapi::MS_NODEV
    | uapi::MS_NOEXEC
    | uapi::MS_NOATIME
    | uapi::MS_NODIRATIME
    | uapi::MS_RELATIME
    | uapi::MS_NOSYMFOLLOW;

/// A file system (or a part of it) attached somewhere. Always in an `Arc`.
pub struct Mount {
    link: RcuLink<Mount>,
    /// Number, as in `/proc/self/mountinfo`.
    pub id: u64,
    /// What its root shows.
    pub root: Arc<Dentry>,
    /// The file system.
    pub sb: Arc<SuperBlock>,
    /// What was given as the source.
    pub source: KString,
    flags: AtomicU32,
    parent: RcuArc<Mount>,
    mountpoint: RcuArc<Dentry>,
    /// Number of the name space it is in; 0 for none. Changes under `MOUNTS`.
    ns: AtomicU64,
    /// Peer group (0: private), the group it receives from (0: none), whether it may not be bound. Change under `MOUNTS`.
    group: AtomicU32,
    master: AtomicU32,
    unbindable: AtomicBool,
    /// `umount2(MNT_EXPIRE)` has seen it unused, and nobody walked into it since.
    expiring: AtomicBool,
    /// Changes under way and files open for writing; see [`Mount::want_write`].
    writers: AtomicU32,
}

rcu::rcu_listed!(Mount, link);

const BUCKETS: usize = 256;
static TABLE: [RcuList<Mount>; BUCKETS] = [const { RcuList::new() }; BUCKETS];
/// Odd while a mount moves; a reader that found nothing then looks again.
static MOUNT_SEQ: SeqCount = SeqCount::new();
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Every mount that is attached in any name space, parents before children.
pub struct Mounts {
    /// The mounts.
    pub(crate) list: KVec<Arc<Mount>>,
}

/// All mounts.
pub(crate) static MOUNTS: Mutex<Mounts> = Mutex::new(Mounts { list: KVec::new() });
/// Held while a mount or super block becomes read-only and its writers are looked for. Innermost.
static FREEZE: SpinLock<()> = SpinLock::new(());

impl Mount {
    /// A mount of `root` that is attached nowhere.
    pub fn new(sb: &Arc<SuperBlock>, root: Arc<Dentry>, source: &[u8], flags: u32) -> Result<Arc<Self>> {
        let mount = Self {
            link: RcuLink::new(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            root,
            sb: sb.clone(),
            source: KString::from_bytes(source, GFP_KERNEL)?,
            flags: AtomicU32::new(flags & MOUNT_FLAGS),
            parent: RcuArc::null(),
            mountpoint: RcuArc::null(),
            ns: AtomicU64::new(0),
            group: AtomicU32::new(0),
            master: AtomicU32::new(0),
            unbindable: AtomicBool::new(false),
            expiring: AtomicBool::new(false),
            writers: AtomicU32::new(0),
        };
        let mount = Arc::new(mount, GFP_KERNEL)?;
        sb.get_mount();
        Ok(mount)
    }

    /// Flags (`MS_*` bits of [`MOUNT_FLAGS`]).
    #[inline(always)]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::SeqCst)
    }

    pub(crate) fn set_flags(&self, flags: u32) {
        self.flags.store(flags & MOUNT_FLAGS, Ordering::SeqCst);
    }

    /// Number of the name space it is in; 0 for none.
    pub fn ns(&self) -> u64 {
        self.ns.load(Ordering::Relaxed)
    }

    pub(crate) fn set_ns(&self, ns: u64) {
        self.ns.store(ns, Ordering::Relaxed);
    }

    /// Peer group; 0 if it is not shared.
    pub fn group(&self) -> u32 {
        self.group.load(Ordering::Relaxed)
    }

    /// The group that it receives changes from; 0 if it is no slave.
    pub fn master(&self) -> u32 {
        self.master.load(Ordering::Relaxed)
    }

    /// Whether it may not be bound elsewhere.
    pub fn is_unbindable(&self) -> bool {
        self.unbindable.load(Ordering::Relaxed)
    }

    pub(crate) fn set_group(&self, group: u32) {
        self.group.store(group, Ordering::Relaxed);
    }

    pub(crate) fn set_master(&self, master: u32) {
        self.master.store(master, Ordering::Relaxed);
    }

    pub(crate) fn set_unbindable(&self, on: bool) {
        self.unbindable.store(on, Ordering::Relaxed);
    }

    /// Somebody walked into it, or (`on`) it was seen unused. Returns what was set before.
    #[inline(always)]
    pub(crate) fn set_expiring(&self, on: bool) -> bool {
        // A load first: nearly always nothing is to be done.
        if !on && !self.expiring.load(Ordering::Relaxed) {
            return false;
        }
        self.expiring.swap(on, Ordering::Relaxed)
    }

    /// Whether nothing may be changed through this mount.
    #[inline(always)]
    pub fn is_rdonly(&self) -> bool {
        self.flags() & uapi::MS_RDONLY != 0 || self.sb.refuses_writers()
    }

    /// `EROFS` if nothing may be changed through this mount; else it stays so until the guard is gone.
    #[inline]
    pub fn want_write(&self) -> Result<WriteAccess<'_>> {
        self.get_write().map(|()| WriteAccess(self))
    }

    /// [`Self::want_write`] for what outlives the call: a file open for writing. Given back by [`Self::put_write`].
    pub(crate) fn get_write(&self) -> Result {
        loop {
            self.writers.fetch_add(1, Ordering::SeqCst);
            self.sb.writers.fetch_add(1, Ordering::SeqCst);
            if !self.is_rdonly() {
                return Ok(());
            }
            self.put_write();
            // Who makes it read-only may yet take that back, having seen a writer.
            let _settled = FREEZE.lock();
            if self.is_rdonly() {
                return Err(EROFS);
            }
        }
    }

    pub(crate) fn put_write(&self) {
        self.sb.writers.fetch_sub(1, Ordering::Release);
        self.writers.fetch_sub(1, Ordering::Release);
    }

    /// Sets the flags of a remount. `EBUSY` if that would make it read-only and something is written through it.
    pub(crate) fn remount(&self, flags: u32) -> Result {
        let _settled = FREEZE.lock();
        let old = self.flags();
        self.set_flags(flags);
        if flags & !old & uapi::MS_RDONLY != 0 && self.writers.load(Ordering::SeqCst) != 0 {
            self.set_flags(old);
            return Err(EBUSY);
        }
        crate::mnt_ns::touch(self.ns());
        Ok(())
    }

    /// Where it is attached: the mount above and the dentry there.
    #[inline]
    pub fn mounted_on<'g>(&self, section: &'g ReadGuard) -> Option<(ArcBorrow<'g, Mount>, ArcBorrow<'g, Dentry>)> {
        Some((self.parent.borrow(section)?, self.mountpoint.borrow(section)?))
    }

    /// The mount above, counted.
    pub fn parent_arc(&self) -> Option<Arc<Mount>> {
        self.parent.get()
    }

    /// Where it is attached, counted.
    pub fn mountpoint_path(&self) -> Option<Path> {
        Some(Path { mnt: self.parent.get()?, dentry: self.mountpoint.get()? })
    }

    fn bucket(&self) -> Option<&'static RcuList<Mount>> {
        let parent = self.parent.as_ptr();
        (!parent.is_null()).then(|| bucket(parent.addr(), self.mountpoint.as_ptr().addr()))
    }
}

/// Refuses writers to `sb`, which still writes what it has, until its flags are set again. `EBUSY` if there are some.
pub(crate) fn freeze_super(sb: &SuperBlock) -> Result {
    let old = sb.flags();
    let _settled = FREEZE.lock();
    sb.set_flags(old | REMOUNTING);
    if sb.writers.load(Ordering::SeqCst) != 0 {
        sb.set_flags(old);
        return Err(EBUSY);
    }
    Ok(())
}

/// Nobody makes the mount read-only as long as this is there. From [`Mount::want_write`].
#[must_use]
pub struct WriteAccess<'m>(&'m Mount);

impl Drop for WriteAccess<'_> {
    fn drop(&mut self) {
        self.0.put_write();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.sb.put_mount();
    }
}

#[inline(always)]
fn bucket(mount: usize, dentry: usize) -> &'static RcuList<Mount> {
    let hash = (mount >> 5 ^ dentry >> 5).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // In bounds: the mask is the (constant) length less one.
    &TABLE[hash >> 40 & (BUCKETS - 1)]
}

/// What is mounted on `dentry` in `mount`.
#[inline]
pub(crate) fn lookup<'g>(section: &'g ReadGuard, mount: &Mount, dentry: &Dentry) -> Option<ArcBorrow<'g, Mount>> {
    let list = bucket(core::ptr::from_ref(mount).addr(), core::ptr::from_ref(dentry).addr());
    loop {
        let seq = MOUNT_SEQ.read_begin();
        let found = list.iter(section).find(|candidate| {
            core::ptr::eq(candidate.parent.as_ptr(), mount) && core::ptr::eq(candidate.mountpoint.as_ptr(), dentry)
        });
        if found.is_some() || !MOUNT_SEQ.read_retry(seq) {
            return found;
        }
    }
}

/// The place on top of everything mounted on `path`.
pub fn follow_down(path: &mut Path) {
    while path.dentry.test_flags(dflag::MOUNTED) {
        let section = rcu::read_lock();
        let Some(found) = lookup(&section, &path.mnt, &path.dentry) else { return };
        let mnt = Arc::from(found);
        drop(section);
        let dentry = mnt.root.clone();
        *path = Path { mnt, dentry };
    }
}

impl Mounts {
    fn changed(&self, ns: u64) {
        crate::mnt_ns::touch(ns);
    }

    /// Attaches `mount` in name space `ns` at `at` (nothing for the root of the name space). The caller holds `MOUNTS`.
    pub(crate) fn attach(&mut self, mount: &Arc<Mount>, ns: u64, at: Option<&Path>) -> Result {
        self.list.push(mount.clone(), GFP_KERNEL)?;
        mount.set_ns(ns);
        if let Some(at) = at {
            self.hook_in(mount, at);
        }
        self.changed(ns);
        Ok(())
    }

    /// Enters `mount`, which is in the list, at `at`.
    pub(crate) fn hook_in(&mut self, mount: &Arc<Mount>, at: &Path) {
        at.dentry.set_flags(dflag::MOUNTED);
        let _preempt = x86_cpu::preempt_disable();
        MOUNT_SEQ.write_begin();
        mount.parent.replace(Some(at.mnt.clone()));
        mount.mountpoint.replace(Some(at.dentry.clone()));
        if let Some(list) = mount.bucket() {
            // It is in no bucket: it was new or unhooked.
            let _ = list.lock().push(mount.clone());
        }
        MOUNT_SEQ.write_end();
    }

    /// Takes `mount` from where it is attached, leaving it in the list.
    pub(crate) fn unhook(&mut self, mount: &Arc<Mount>) {
        let mountpoint = mount.mountpoint.get();
        {
            let _preempt = x86_cpu::preempt_disable();
            MOUNT_SEQ.write_begin();
            if let Some(list) = mount.bucket() {
                list.lock().remove(mount);
            }
            mount.parent.replace(None);
            mount.mountpoint.replace(None);
            MOUNT_SEQ.write_end();
        }
        if let Some(mountpoint) = mountpoint {
            let still = self.list.iter().any(|other| core::ptr::eq(other.mountpoint.as_ptr(), &*mountpoint));
            if !still {
                mountpoint.clear_flags(dflag::MOUNTED);
            }
        }
        self.changed(mount.ns());
    }

    /// Takes `mount` out of the name space.
    pub(crate) fn detach(&mut self, mount: &Arc<Mount>) {
        self.unhook(mount);
        self.make_private(mount);
        mount.set_ns(0);
        self.list.retain(|other| !Arc::ptr_eq(other, mount));
    }

    /// What is mounted on `dentry` in `mount`.
    pub(crate) fn child_at(&self, mount: &Mount, dentry: &Dentry) -> Option<Arc<Mount>> {
        let section = rcu::read_lock();
        lookup(&section, mount, dentry).map(Arc::from)
    }

    /// `top` and everything mounted below it, parents before children.
    pub(crate) fn tree_of(&self, top: &Arc<Mount>) -> Result<KVec<Arc<Mount>>> {
        let mut tree = KVec::new();
        tree.push(top.clone(), GFP_KERNEL)?;
        let mut index = 0;
        while let Some(parent) = tree.get(index).cloned() {
            for child in self.children(&parent) {
                tree.push(child.clone(), GFP_KERNEL)?;
            }
            index += 1;
        }
        Ok(tree)
    }

    /// Mounts that are attached somewhere on `mount`.
    pub(crate) fn children<'a>(&'a self, mount: &'a Mount) -> impl Iterator<Item = &'a Arc<Mount>> {
        self.list.iter().filter(move |other| core::ptr::eq(other.parent.as_ptr(), mount))
    }
}

/// Calls `f` for each mount of every name space, parents first. `f` may sleep.
pub fn for_each_mount(mut f: impl FnMut(&Arc<Mount>) -> Result) -> Result {
    let mounts = MOUNTS.lock();
    mounts.list.iter().try_for_each(&mut f)
}

/// Calls `f` for each mount of name space `ns`, parents first (`/proc/PID/mounts`). `f` may sleep.
pub fn for_each_mount_in(ns: u64, mut f: impl FnMut(&Arc<Mount>) -> Result) -> Result {
    let mounts = MOUNTS.lock();
    mounts.list.iter().filter(|mount| mount.ns() == ns).try_for_each(&mut f)
}

/// Whether something is mounted on this very dentry anywhere: it may be neither removed nor renamed.
pub(crate) fn is_mountpoint(dentry: &Dentry) -> bool {
    dentry.test_flags(dflag::MOUNTED)
}
