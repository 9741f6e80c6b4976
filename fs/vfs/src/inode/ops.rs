// SPDX-License-Identifier: GPL-2.0
//! What a file system implements for its inodes: `InodeOps`, and what goes in and out of it. Locks: as each operation says.

use super::Inode;
use crate::attr::SetAttr;
use crate::dentry::Dentry;
use crate::file::{FileOps, OpenFlags};
use crate::fileattr::FileAttr;
use crate::path::Path;
use crate::types::{Dev, Kstat};
use core::any::Any;
use core::cell::Cell;
use errno::{Result, code::*};
use kalloc::{Arc, KBox, KVec};

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
    /// The kernel made it for a device, or on the way to one, and takes it away with that (devtmpfs).
    pub const FOR_DEVICE: u32 = 1 << 16;
    /// Three bits: how long what is written is expected to live (`F_SET_RW_HINT`).
    pub const WRITE_HINT: u32 = 7 << WRITE_HINT_SHIFT;
    /// See [`WRITE_HINT`].
    pub const WRITE_HINT_SHIFT: u32 = 28;
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
    /// What has the old name now (`RENAME_WHITEOUT`): from file systems whose names are in the dentry cache alone.
    pub whiteout: Cell<Option<Arc<Inode>>>,
}
