// SPDX-License-Identifier: GPL-2.0
//! `Inode`: a file of a file system, whatever its names. `InodeOps` is what the file system implements.
//!
//! Locks: `lock` (sleeping) is held shared around `lookup` and `iterate`, exclusively around everything that changes a
//! directory or a file's size and around writing. Order between two directories: see `namei::rename`. Attributes are atomics:
//! readers take nothing.

mod init;

pub use init::{InodeInit, owner_for_new};

use crate::attr::SetAttr;
use crate::census::{Inodes, One};
use crate::dentry::Dentry;
use crate::disk_inode::{DiskInode, idirty};
use crate::file::{FileOps, OpenFlags};
use crate::fileattr::FileAttr;
use crate::flock::LockState;
use crate::path::Path;
use crate::super_block::SuperBlock;
use crate::types::{AtomicTime, Dev, FileType, Kstat, current_time};
use core::any::Any;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use locking::SetOnce;
use rcu::RcuLink;
use sync::RwSemaphore;

/// What the walk must know of an inode's operations without calling them.
pub mod iop {
    /// `permission` is the file system's own.
    pub const PERMISSION: u32 = 1 << 0;
    /// Every entry of the directory is in the dentry cache: what is not found there does not exist (tmpfs).
    pub const COMPLETE: u32 = 1 << 1;
    /// `revalidate` must be asked before a cached dentry of this inode is used (procfs).
    pub const REVALIDATE: u32 = 1 << 2;
    /// Names that do not exist are not cached in this directory (they may come to exist by themselves).
    pub const NO_NEGATIVE: u32 = 1 << 3;
    /// Never update the access time.
    pub const NOATIME: u32 = 1 << 4;
    /// Writing is refused even to root (`S_IMMUTABLE`).
    pub const IMMUTABLE: u32 = 1 << 5;
    /// Only appending is allowed (`S_APPEND`).
    pub const APPEND: u32 = 1 << 6;
    /// The inode has a name in no file system (pipes, sockets, anonymous inodes).
    pub const ANON: u32 = 1 << 7;
    /// Its dentry's path is shown by `dname` (pipes, sockets, anonymous inodes).
    pub const DNAME: u32 = 1 << 8;
    /// A magic link: resolving it jumps (procfs).
    pub const MAGIC_LINK: u32 = 1 << 9;
    /// Has no name yet but may get one (`O_TMPFILE`).
    pub const LINKABLE: u32 = 1 << 10;
    /// An entry of the directory is found by several names (whatever the case of its letters): the dentry of what a look-up finds
    /// gets the name that was looked for. A name that is made may be that of any that are cached as not there: those are dropped.
    pub const ALIASES: u32 = 1 << 11;
    /// The inode cache dropped it, or is about to.
    pub const UNCACHED: u32 = 1 << 12;
    /// In use as swap space: not to be written, cut or removed (`S_SWAPFILE`).
    pub const SWAPFILE: u32 = 1 << 13;
    /// Attributes may have changed elsewhere: `refresh` brings them up to date before they are shown.
    pub const REFRESH: u32 = 1 << 14;
    /// It is known to have no file capabilities: who writes to it need not look (`S_NOSEC`).
    pub const NO_CAPS: u32 = 1 << 15;
}

/// Where a symbolic link leads.
pub enum Link<'a> {
    /// Text inside the inode.
    Text(&'a [u8]),
    /// Text made for this call.
    Owned(KVec<u8>),
    /// Straight to a place (magic links).
    Jump(Path),
}

/// What a file system implements for its inodes. `self` is the file system's own part of `inode`. May sleep unless it says
/// otherwise. Defaults answer as Linux does where the operation is missing.
#[allow(unused_variables, reason = "defaults ignore their arguments")]
pub trait InodeOps: Any + Send + Sync {
    /// The inode of entry `name`, or `None` if there is none. `dir.lock` is held shared.
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        Err(ENOTDIR)
    }

    /// Makes a regular file. `mode` has its type and the umask applied. `dir.lock` is held (as in all that change a directory).
    fn create(&self, dir: &Arc<Inode>, name: &[u8], mode: u32) -> Result<Arc<Inode>> {
        Err(EACCES)
    }

    /// Makes a directory.
    fn mkdir(&self, dir: &Arc<Inode>, name: &[u8], mode: u32) -> Result<Arc<Inode>> {
        Err(EPERM)
    }

    /// Makes a device, FIFO or socket.
    fn mknod(&self, dir: &Arc<Inode>, name: &[u8], mode: u32, dev: Dev) -> Result<Arc<Inode>> {
        Err(EPERM)
    }

    /// Makes a symbolic link to `target`.
    fn symlink(&self, dir: &Arc<Inode>, name: &[u8], target: &[u8]) -> Result<Arc<Inode>> {
        Err(EPERM)
    }

    /// Makes an unnamed regular file (`O_TMPFILE`).
    fn tmpfile(&self, dir: &Arc<Inode>, mode: u32) -> Result<Arc<Inode>> {
        Err(EOPNOTSUPP)
    }

    /// Adds a name to `inode`.
    fn link(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        Err(EPERM)
    }

    /// Takes a name from `inode`, which is no directory.
    fn unlink(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        Err(EPERM)
    }

    /// Removes directory `inode`; `ENOTEMPTY` if it has entries.
    fn rmdir(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        Err(EPERM)
    }

    /// Moves an entry. See [`Rename`]. Flags it does not know: `EINVAL`.
    fn rename(&self, rename: &Rename<'_>) -> Result {
        Err(EPERM)
    }

    /// Where the symbolic link leads.
    fn get_link<'a>(&'a self, inode: &'a Inode) -> Result<Link<'a>> {
        Err(EINVAL)
    }

    /// Own permission check (with [`iop::PERMISSION`]). `mask`: `MAY_*`. Must not sleep.
    fn permission(&self, inode: &Inode, mask: u32) -> Result {
        crate::perm::generic_permission(inode, mask)
    }

    /// Whether the current task, which is not the owner, may set the times of `inode` to what it likes.
    fn may_set_times(&self, inode: &Inode) -> bool {
        false
    }

    /// Whether a cached dentry of `inode` still stands (with [`iop::REVALIDATE`]). Must not sleep.
    fn revalidate(&self, inode: &Inode) -> bool {
        true
    }

    /// Whether entry `name` of `dir` still is `inode`; asked where [`Self::revalidate`] said no and there is time to find out. `dir.lock`
    /// is held, perhaps shared. May sleep.
    fn check(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result<bool> {
        Ok(false)
    }

    /// Brings what `getattr` shows up to date (with [`iop::REFRESH`]). May sleep.
    fn refresh(&self, inode: &Arc<Inode>) -> Result {
        Ok(())
    }

    /// Changes attributes after permission checks. The default changes those of the inode itself and refuses a new size.
    fn setattr(&self, inode: &Inode, attr: &SetAttr) -> Result {
        if attr.size.is_some() {
            return Err(EINVAL);
        }
        inode.apply(attr);
        Ok(())
    }

    /// Fills what `stat` shows. Must not sleep (called while walking under RCU).
    fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        inode.fill_stat(stat);
    }

    /// Opens the file: the operations for the new [`crate::File`]. Not called for devices and FIFOs.
    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        Err(ENXIO)
    }

    /// The value of extended attribute `name`.
    fn getxattr(&self, inode: &Inode, name: &[u8]) -> Result<KVec<u8>> {
        Err(EOPNOTSUPP)
    }

    /// Sets or (with `None`) removes an extended attribute. `flags`: `XATTR_CREATE`, `XATTR_REPLACE`.
    fn setxattr(&self, inode: &Inode, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result {
        Err(EOPNOTSUPP)
    }

    /// The names of the extended attributes, each ended by a NUL.
    fn listxattr(&self, inode: &Inode) -> Result<KVec<u8>> {
        Ok(KVec::new())
    }

    /// The flags that `chattr` changes. `ENOTTY`: there are none, or the file's own `ioctl` has them.
    fn fileattr_get(&self, inode: &Inode) -> Result<FileAttr> {
        Err(ENOTTY)
    }

    /// Changes them. The caller may; `inode.lock` is held. `EOPNOTSUPP` for what is not known.
    fn fileattr_set(&self, inode: &Inode, new: &FileAttr) -> Result {
        Err(ENOTTY)
    }

    /// For swap space: calls `add` with position (bytes of the device) and length of each run of the file's blocks, from the file's first
    /// byte on; dirty pages were written. Inode's lock held. EINVAL for files that cannot be swap space: those with holes, too.
    fn swap_extents(&self, inode: &Inode, add: &mut dyn FnMut(u64, u64) -> Result) -> Result {
        Err(EINVAL)
    }

    /// What `/proc/*/fd` shows of an inode with [`iop::DNAME`] (`pipe:[12]`).
    fn dname(&self, inode: &Inode, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        Ok(())
    }

    /// The last name is gone and nobody has the file open: give back its data (`Mapping::truncate(0)`, then its blocks, then its
    /// number). Called at most once; nobody writes the inode meanwhile or later. On file systems without a device for regular
    /// files only. May sleep.
    fn evict(&self, inode: &Inode) {}

    /// A clean inode that nobody uses leaves the inode cache, or its file system is unmounted: give up what is kept for it beyond
    /// the inode (preallocated space). May sleep, but must not wait for the file system's own locks that an allocation may hold.
    fn forget(&self, inode: &Inode) {}
}

/// What [`InodeOps::rename`] is told. Both directories are locked, and the inodes that move or go.
pub struct Rename<'a> {
    /// Directory it leaves.
    pub old_dir: &'a Arc<Inode>,
    /// Name it had.
    pub old_name: &'a [u8],
    /// What moves.
    pub inode: &'a Arc<Inode>,
    /// Its place in the tree, which is the old one until the call is over.
    pub place: &'a Arc<Dentry>,
    /// Directory it goes to (possibly the same).
    pub new_dir: &'a Arc<Inode>,
    /// Name it gets.
    pub new_name: &'a [u8],
    /// What has that name now and is replaced (or exchanged).
    pub target: Option<&'a Arc<Inode>>,
    /// The place of that.
    pub target_place: Option<&'a Arc<Dentry>>,
    /// `RENAME_*`. `RENAME_NOREPLACE` is already checked.
    pub flags: u32,
}

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
        // Where it must be written, only a change of the (coarse) time counts.
        let moved = self.disk.get().is_some() && (self.mtime.get() != now || self.ctime.get() != now);
        self.mtime.set(now);
        self.ctime.set(now);
        self.version.fetch_add(1, Ordering::Relaxed);
        if moved {
            self.mark_dirty(idirty::SYNC);
        }
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
