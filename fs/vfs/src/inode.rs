// SPDX-License-Identifier: GPL-2.0
//! `Inode`: a file of a file system, whatever its names. `InodeOps` is what the file system implements.
//!
//! Locks: `lock` (sleeping) is held shared around `lookup` and `iterate`, exclusively around everything that changes a
//! directory or a file's size and around writing. Order between two directories: see `namei::rename`. Attributes are atomics:
//! readers take nothing.

mod init;
mod ops;

pub use init::{InodeInit, owner_for_new};
pub use ops::{InodeOps, Link, Rename, iop};

use crate::attr::SetAttr;
use crate::census::{Inodes, One};
use crate::disk_inode::{DiskInode, idirty};
use crate::flock::LockState;
use crate::super_block::SuperBlock;
use crate::types::{AtomicTime, Dev, FileType, Kstat, current_time};
use core::any::Any;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SetOnce;
use rcu::RcuLink;
use sync::RwSemaphore;

/// A file. Always in an `Arc`.
pub struct Inode {
    /// In a bucket of the inode cache.
    link: RcuLink<Inode>,
    /// Number, unique in its file system.
    pub ino: u64,
    /// The device it is, for `S_IFCHR` and `S_IFBLK`.
    pub rdev: Dev,
    mode: AtomicU32,
    uid: AtomicU32,
    gid: AtomicU32,
    nlink: AtomicU32,
    iflags: AtomicU32,
    /// Open files (each counts one) and, in the top bit, whether `evict` was called.
    users: AtomicU32,
    /// Those of them that only name it (`O_PATH`).
    path_users: AtomicU32,
    /// Writers if positive; programs executed from it (which refuse writers) if negative.
    writecount: AtomicI32,
    size: AtomicU64,
    blocks: AtomicU64,
    /// Last access.
    pub atime: AtomicTime,
    /// Last change of the contents.
    pub mtime: AtomicTime,
    /// Last change of the inode.
    pub ctime: AtomicTime,
    /// Creation.
    pub btime: AtomicTime,
    /// Counts changes of a directory's entries and the like.
    pub version: AtomicU64,
    /// See the module's text.
    pub lock: RwSemaphore<()>,
    locks: SetOnce<KBox<LockState>>,
    /// Who wants to hear of what happens to it.
    pub(crate) marks: SetOnce<KBox<crate::notify::Marks>>,
    /// Of a file system on a device.
    disk: SetOnce<KBox<DiskInode>>,
    ops: KBox<dyn InodeOps>,
    _counted: One<Inodes>,
    /// Last: it keeps the module that the operations are in.
    sb: Arc<SuperBlock>,
}

rcu::rcu_listed!(Inode, link);

const EVICTED: u32 = 1 << 31;

impl Inode {
    /// A new inode of `sb` with one link, all times now. `mode` includes the type; `iflags` are of [`iop`].
    ///
    /// The class of its lock, for the lock checker, is the place of the call: that of a file system, as `s_type`'s keys are in Linux.
    #[track_caller]
    pub fn new(init: InodeInit<'_>, ops: KBox<dyn InodeOps>) -> Result<Arc<Self>> {
        let now = current_time();
        let inode = Self {
            link: RcuLink::new(),
            ino: init.ino,
            rdev: init.rdev,
            sb: init.sb.clone(),
            mode: AtomicU32::new(init.mode),
            uid: AtomicU32::new(init.uid),
            gid: AtomicU32::new(init.gid),
            nlink: AtomicU32::new(1),
            iflags: AtomicU32::new(init.iflags),
            users: AtomicU32::new(0),
            path_users: AtomicU32::new(0),
            writecount: AtomicI32::new(0),
            size: AtomicU64::new(0),
            blocks: AtomicU64::new(0),
            atime: AtomicTime::new(now),
            mtime: AtomicTime::new(now),
            ctime: AtomicTime::new(now),
            btime: AtomicTime::new(now),
            version: AtomicU64::new(0),
            lock: RwSemaphore::new(()),
            locks: SetOnce::new(),
            marks: SetOnce::new(),
            disk: SetOnce::new(),
            ops,
            _counted: One::new(),
        };
        let inode = Arc::new(inode, GFP_KERNEL)?;
        if crate::disk_inode::wanted(&inode.sb) {
            // The cell is new and empty.
            drop(inode.disk.set(DiskInode::new(&Arc::downgrade(&inode))?));
        }
        Ok(inode)
    }

    /// Its part for a file system on a device.
    #[inline(always)]
    pub(crate) fn disk(&self) -> Option<&DiskInode> {
        self.disk.get().map(|disk| &**disk)
    }

    /// Whether its data was given back: it has no name and no file any more.
    #[inline]
    pub fn is_evicted(&self) -> bool {
        self.users.load(Ordering::Acquire) & EVICTED != 0
    }

    /// Whether the inode cache has not dropped it. To be asked by who came to it by a weak reference, once it holds a counted one: an
    /// inode that was dropped may be made anew.
    pub fn is_cached(&self) -> bool {
        core::sync::atomic::fence(Ordering::SeqCst);
        self.iflags() & iop::UNCACHED == 0
    }

    /// The file system it belongs to.
    #[inline(always)]
    pub fn sb(&self) -> &Arc<SuperBlock> {
        &self.sb
    }

    /// The file system's operations.
    #[inline(always)]
    pub fn ops(&self) -> &dyn InodeOps {
        &*self.ops
    }

    /// The file system's own part, if it is a `T`.
    #[inline]
    pub fn private<T: InodeOps>(&self) -> Option<&T> {
        (&*self.ops as &dyn Any).downcast_ref()
    }

    /// Type and permissions.
    #[inline(always)]
    pub fn mode(&self) -> u32 {
        self.mode.load(Ordering::Relaxed)
    }

    /// Replaces type and permissions.
    pub fn set_mode(&self, mode: u32) {
        self.mode.store(mode, Ordering::Relaxed);
    }

    /// The type.
    #[inline(always)]
    pub fn file_type(&self) -> FileType {
        FileType::of(self.mode())
    }

    /// Whether it is a directory.
    #[inline(always)]
    pub fn is_dir(&self) -> bool {
        self.mode() & uapi::S_IFMT == uapi::S_IFDIR
    }

    /// Whether it is a symbolic link.
    #[inline(always)]
    pub fn is_symlink(&self) -> bool {
        self.mode() & uapi::S_IFMT == uapi::S_IFLNK
    }

    /// Whether it is a regular file.
    #[inline(always)]
    pub fn is_reg(&self) -> bool {
        self.mode() & uapi::S_IFMT == uapi::S_IFREG
    }

    /// Owner.
    #[inline(always)]
    pub fn uid(&self) -> u32 {
        self.uid.load(Ordering::Relaxed)
    }

    /// Group.
    #[inline(always)]
    pub fn gid(&self) -> u32 {
        self.gid.load(Ordering::Relaxed)
    }

    /// Changes owner and group.
    pub fn set_owner(&self, uid: u32, gid: u32) {
        self.uid.store(uid, Ordering::Relaxed);
        self.gid.store(gid, Ordering::Relaxed);
    }

    /// Links.
    #[inline(always)]
    pub fn nlink(&self) -> u32 {
        self.nlink.load(Ordering::Relaxed)
    }

    /// Sets the link count.
    pub fn set_nlink(&self, nlink: u32) {
        self.nlink.store(nlink, Ordering::Relaxed);
    }

    /// One link more.
    pub fn inc_nlink(&self) {
        self.nlink.fetch_add(1, Ordering::Relaxed);
    }

    /// One link less (not below zero).
    pub fn drop_nlink(&self) {
        let _ = self.nlink.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    }

    /// Flags of [`iop`].
    #[inline(always)]
    pub fn iflags(&self) -> u32 {
        self.iflags.load(Ordering::Relaxed)
    }

    /// Sets and clears flags of [`iop`].
    pub fn change_iflags(&self, set: u32, clear: u32) {
        let _ = self.iflags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |f| Some(f & !clear | set));
    }

    /// Bytes.
    #[inline(always)]
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Sets the size (`lock` held exclusively).
    #[inline(always)]
    pub fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// Units of 512 bytes in use.
    pub fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed)
    }

    /// Adds to the blocks in use (negative: takes away).
    pub fn add_blocks(&self, n: i64) {
        let _ = self.blocks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |b| Some(b.saturating_add_signed(n)));
    }

    /// Contents changed now.
    pub fn touch_mtime(&self) {
        let now = current_time();
        if self.disk.get().is_none() {
            self.mtime.set(now);
            self.ctime.set(now);
        } else if self.mtime.get() != now || self.ctime.get() != now {
            // Only a change of the (coarse) time counts. Where there is none nothing is set either: another task may have set newer
            // times since, and they may be on the disk; older ones in memory would then never get there.
            self.mtime.set(now);
            self.ctime.set(now);
            self.mark_dirty(idirty::SYNC);
        }
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    /// The inode changed now.
    pub fn touch_ctime(&self) {
        self.ctime.set(current_time());
        self.mark_dirty(idirty::SYNC);
    }

    /// For file systems that keep when a file was made.
    #[inline]
    pub fn fill_btime(&self, stat: &mut Kstat) {
        stat.result_mask |= uapi::STATX_BTIME;
        stat.btime = self.btime.get();
    }

    /// The generic part of `getattr`.
    #[inline]
    pub fn fill_stat(&self, stat: &mut Kstat) {
        stat.result_mask |= uapi::STATX_BASIC_STATS;
        stat.dev = self.sb.dev;
        stat.ino = self.ino;
        stat.mode = self.mode();
        stat.nlink = self.nlink();
        stat.uid = self.uid();
        stat.gid = self.gid();
        stat.rdev = self.rdev;
        stat.size = self.size();
        stat.blksize = self.sb.block_size;
        stat.blocks = self.blocks();
        stat.atime = self.atime.get();
        stat.mtime = self.mtime.get();
        stat.ctime = self.ctime.get();
    }

    /// Applies what `attr` names, but for the size.
    pub fn apply(&self, attr: &SetAttr) {
        if let Some(uid) = attr.uid {
            self.uid.store(uid, Ordering::Relaxed);
        }
        if let Some(gid) = attr.gid {
            self.gid.store(gid, Ordering::Relaxed);
        }
        if let Some(mode) = attr.mode {
            self.mode.store(self.mode() & uapi::S_IFMT | mode & 0o7777, Ordering::Relaxed);
        }
        if let Some(time) = attr.atime {
            self.atime.set(time);
        }
        if let Some(time) = attr.mtime {
            self.mtime.set(time);
        }
        self.ctime.set(attr.ctime);
        self.mark_dirty(idirty::SYNC);
    }

    /// Locks on the file, if it ever had any.
    #[inline(always)]
    pub(crate) fn locks(&self) -> Option<&LockState> {
        self.locks.get().map(|locks| &**locks)
    }

    /// Locks on the file.
    pub(crate) fn locks_or_new(self: &Arc<Self>) -> Result<&LockState> {
        if let Some(locks) = self.locks() {
            return Ok(locks);
        }
        let new = KBox::new(LockState::new(self)?, GFP_KERNEL)?;
        Ok(self.locks.get_or_init(move || new))
    }

    /// How many have it open for writing, if positive; programs that run from it if negative.
    pub fn writers(&self) -> i32 {
        self.writecount.load(Ordering::SeqCst)
    }

    /// Open files that can do more than name it.
    pub(crate) fn openers(&self) -> u32 {
        let users = self.users.load(Ordering::SeqCst) & !EVICTED;
        users.saturating_sub(self.path_users.load(Ordering::SeqCst))
    }

    /// A file with `O_PATH` is counted (after it was as a user), or is not any more (before).
    pub(crate) fn count_path_user(&self, more: bool) {
        if more {
            self.path_users.fetch_add(1, Ordering::SeqCst);
        } else {
            self.path_users.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// A file is opened. `ESTALE` if the inode's data was given back meanwhile.
    #[inline]
    pub(crate) fn get_user(&self) -> Result {
        if self.users.fetch_add(1, Ordering::AcqRel) & EVICTED != 0 {
            self.users.fetch_sub(1, Ordering::AcqRel);
            return Err(ESTALE);
        }
        Ok(())
    }

    /// A file is closed, or (with `counted` false) a name went.
    #[inline]
    pub(crate) fn put_user(&self, counted: bool) {
        let left = if counted {
            self.users.fetch_sub(1, Ordering::AcqRel).wrapping_sub(1)
        } else {
            self.users.load(Ordering::Acquire)
        };
        if left == 0 && self.nlink() == 0 && self.iflags() & iop::ANON == 0 {
            crate::notify::inode_gone(self);
            if self.is_reg() || self.disk().is_some() {
                self.try_evict();
            }
        }
    }

    /// Whether it has neither a name nor an open file.
    pub(crate) fn is_unused(&self) -> bool {
        self.nlink() == 0 && self.users.load(Ordering::Acquire) & !EVICTED == 0
    }

    #[cold]
    fn try_evict(&self) {
        if self.users.compare_exchange(0, EVICTED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            // From here on the background leaves it alone.
            self.wait_not_writing();
            // A commit that orders these pages before it finds them by the inode.
            if let Some(mapping) = self.mapping().filter(|mapping| mapping.is_writeback()) {
                mapping.wait_writeback_range(0, u64::MAX);
            }
            if let Some(cache) = self.sb.icache() {
                cache.remove(self);
            }
            self.ops.evict(self);
        }
    }

    /// Counts a writer; `ETXTBSY` while a program runs from the file.
    #[inline]
    pub fn get_write_access(&self) -> Result {
        let added = self.writecount.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n >= 0).then_some(n + 1));
        added.map(|_| ()).map_err(|_| ETXTBSY)
    }

    /// Undoes [`Self::get_write_access`].
    #[inline]
    pub fn put_write_access(&self) {
        self.writecount.fetch_sub(1, Ordering::AcqRel);
    }

    /// Refuses writers (execve); `ETXTBSY` while there are some.
    pub fn deny_write_access(&self) -> Result {
        let added = self.writecount.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n <= 0).then_some(n - 1));
        added.map(|_| ()).map_err(|_| ETXTBSY)
    }

    /// Undoes [`Self::deny_write_access`].
    pub fn allow_write_access(&self) {
        self.writecount.fetch_add(1, Ordering::AcqRel);
    }
}
