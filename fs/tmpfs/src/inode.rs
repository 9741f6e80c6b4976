// SPDX-License-Identifier: GPL-2.0
//! Inodes: directories, files, links and special files. Names are in the dentry cache, so a directory keeps no list of its own.

use crate::file::{Pages, RegFile};
use crate::limits::Limits;
use crate::xattr::Xattrs;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use mm::Mapping;
use mm_alloc::layout::PAGE_SIZE;
use uapi::{RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT};
use vfs::fileattr::FileAttr;
use vfs::inode::owner_for_new;
use vfs::{
    DcacheDir, Dev, FileOps, FileType, Inode, InodeInit, InodeOps, Kstat, Link, OpenFlags, Rename, SetAttr, SuperBlock,
    iop,
};

/// What an entry adds to its directory's size (`BOGO_DIRENT_SIZE`).
const ENTRY_SIZE: u64 = 20;

pub(crate) enum Kind {
    Dir,
    Reg {
        mapping: Arc<Mapping>,
        seals: AtomicU32,
    },
    Link(KVec<u8>),
    /// Devices, FIFOs, sockets.
    Special,
}

/// The file system's part of an inode.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) limits: Arc<Limits>,
    xattrs: Xattrs,
    /// `FS_*_FL`.
    flags: AtomicU32,
    /// Counted in `limits.nameless`.
    nameless: AtomicBool,
    /// No longer counted in `limits.inodes`.
    gone: AtomicBool,
}

/// Flags that can be changed, and those that a new entry has from its directory.
const MODIFIABLE: u32 = uapi::FS_IMMUTABLE_FL | uapi::FS_APPEND_FL | uapi::FS_NODUMP_FL | uapi::FS_NOATIME_FL;
const INHERITED: u32 = uapi::FS_NODUMP_FL | uapi::FS_NOATIME_FL;

/// What the VFS must know of `flags`.
fn iflags_of(flags: u32) -> u32 {
    [(uapi::FS_IMMUTABLE_FL, iop::IMMUTABLE), (uapi::FS_APPEND_FL, iop::APPEND), (uapi::FS_NOATIME_FL, iop::NOATIME)]
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .fold(0, |all, (_, iflag)| all | iflag)
}

impl Drop for Node {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Who a new inode belongs to.
pub(crate) struct Owner {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A new inode of `sb`. `target`: what a symbolic link says. `ENOSPC`, `ENOMEM`.
pub(crate) fn new_inode(
    sb: &Arc<SuperBlock>,
    limits: &Arc<Limits>,
    owner: Owner,
    rdev: Dev,
    target: &[u8],
) -> Result<Arc<Inode>> {
    limits.charge_inode()?;
    // From here on the node's drop takes the charge back.
    let mut node = Node {
        kind: Kind::Special,
        limits: limits.clone(),
        xattrs: Xattrs::new(),
        flags: AtomicU32::new(0),
        nameless: AtomicBool::new(false),
        gone: AtomicBool::new(false),
    };
    let mut iflags = 0;
    match FileType::of(owner.mode) {
        FileType::Dir => {
            node.kind = Kind::Dir;
            iflags = iop::COMPLETE;
        }
        FileType::Reg => {
            let pages = KBox::new(Pages(limits.clone()), GFP_KERNEL)?;
            let mapping = Mapping::new(pages, 0)?;
            mapping.set_unevictable(limits.noswap);
            node.kind = Kind::Reg { mapping, seals: AtomicU32::new(uapi::F_SEAL_SEAL) };
        }
        FileType::Link => node.kind = Kind::Link(KVec::from_slice(target, GFP_KERNEL)?),
        _ => {}
    }
    let init = InodeInit { sb, ino: sb.next_ino(), mode: owner.mode, uid: owner.uid, gid: owner.gid, rdev, iflags };
    let inode = Inode::new(init, KBox::new(node, GFP_KERNEL)?)?;
    inode.set_size(target.len() as u64);
    if inode.is_dir() {
        inode.set_nlink(2);
    }
    Ok(inode)
}

impl Node {
    pub(crate) fn mapping(&self) -> Option<&Arc<Mapping>> {
        match &self.kind {
            Kind::Reg { mapping, .. } => Some(mapping),
            _ => None,
        }
    }

    /// Seals of a regular file (`F_SEAL_*`).
    pub(crate) fn seals(&self) -> u32 {
        match &self.kind {
            Kind::Reg { seals, .. } => seals.load(Ordering::Acquire),
            _ => 0,
        }
    }

    /// Whether the inode has no name.
    fn set_nameless(&self, nameless: bool) {
        if self.nameless.swap(nameless, Ordering::Relaxed) == nameless {
            return;
        }
        self.limits.nameless.count(nameless, self.mapping().is_some());
    }

    /// The inode counts no more: a regular one when it is evicted, which comes a grace period before the drop.
    fn let_go(&self) {
        if !self.gone.swap(true, Ordering::Relaxed) {
            self.limits.inodes.uncharge(1);
            self.set_nameless(false);
        }
    }

    /// `inode` loses a name. All but the first of a file count as inodes do, as in Linux.
    fn drop_name(&self, inode: &Inode) {
        if inode.nlink() > 1 && !inode.is_dir() {
            self.limits.inodes.uncharge(1);
        }
        inode.drop_nlink();
        inode.touch_ctime();
        if inode.nlink() == 0
            && let Some(node) = inode.private::<Self>()
        {
            node.set_nameless(true);
        }
    }

    /// Gives the new entry `inode` of this directory the flags that go from one to the other.
    fn pass_on(&self, inode: &Inode) {
        let flags = self.flags.load(Ordering::Relaxed) & INHERITED;
        if flags != 0
            && let Some(node) = inode.private::<Self>()
        {
            node.flags.store(flags, Ordering::Relaxed);
            inode.change_iflags(iflags_of(flags), 0);
        }
    }

    fn add(&self, dir: &Arc<Inode>, mode: u32, dev: Dev, target: &[u8]) -> Result<Arc<Inode>> {
        let (uid, gid, mode) = owner_for_new(dir, mode)?;
        let inode = new_inode(dir.sb(), &self.limits, Owner { mode, uid, gid }, dev, target)?;
        self.pass_on(&inode);
        grow(dir, true);
        Ok(inode)
    }
}

/// An entry came to `dir` or left it.
fn grow(dir: &Inode, more: bool) {
    let size = dir.size();
    dir.set_size(if more { size.saturating_add(ENTRY_SIZE) } else { size.saturating_sub(ENTRY_SIZE) });
    dir.touch_mtime();
}

impl InodeOps for Node {
    fn lookup(&self, _dir: &Arc<Inode>, _name: &[u8]) -> Result<Option<Arc<Inode>>> {
        // Every name is in the dentry cache.
        match self.kind {
            Kind::Dir => Ok(None),
            _ => Err(ENOTDIR),
        }
    }

    fn create(&self, dir: &Arc<Inode>, _name: &[u8], mode: u32) -> Result<Arc<Inode>> {
        self.add(dir, mode, Dev::default(), b"")
    }

    fn mkdir(&self, dir: &Arc<Inode>, _name: &[u8], mode: u32) -> Result<Arc<Inode>> {
        let inode = self.add(dir, mode, Dev::default(), b"")?;
        dir.inc_nlink();
        Ok(inode)
    }

    fn mknod(&self, dir: &Arc<Inode>, _name: &[u8], mode: u32, dev: Dev) -> Result<Arc<Inode>> {
        self.add(dir, mode, dev, b"")
    }

    fn symlink(&self, dir: &Arc<Inode>, _name: &[u8], target: &[u8]) -> Result<Arc<Inode>> {
        self.add(dir, uapi::S_IFLNK | 0o777, Dev::default(), target)
    }

    fn tmpfile(&self, dir: &Arc<Inode>, mode: u32) -> Result<Arc<Inode>> {
        let (uid, gid, mode) = owner_for_new(dir, mode)?;
        let inode = new_inode(dir.sb(), &self.limits, Owner { mode, uid, gid }, Dev::default(), b"")?;
        self.pass_on(&inode);
        inode.set_nlink(0);
        if let Some(node) = inode.private::<Self>() {
            node.set_nameless(true);
        }
        Ok(inode)
    }

    fn link(&self, dir: &Arc<Inode>, _name: &[u8], inode: &Arc<Inode>) -> Result {
        if inode.nlink() != 0 {
            self.limits.charge_inode()?;
        } else if let Some(node) = inode.private::<Self>() {
            node.set_nameless(false);
        }
        grow(dir, true);
        inode.inc_nlink();
        inode.touch_ctime();
        Ok(())
    }

    fn unlink(&self, dir: &Arc<Inode>, _name: &[u8], inode: &Arc<Inode>) -> Result {
        grow(dir, false);
        self.drop_name(inode);
        Ok(())
    }

    fn rmdir(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        if inode.size() != 0 {
            return Err(ENOTEMPTY);
        }
        dir.drop_nlink();
        inode.drop_nlink();
        self.unlink(dir, name, inode)
    }

    fn rename(&self, rename: &Rename<'_>) -> Result {
        if rename.flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) != 0 {
            return Err(EINVAL);
        }
        let across = !Arc::ptr_eq(rename.old_dir, rename.new_dir);
        if rename.flags & RENAME_EXCHANGE != 0 {
            exchange(rename, across);
            return Ok(());
        }
        let is_dir = rename.inode.is_dir();
        if rename.target.is_some_and(|target| target.is_dir() && target.size() != 0) {
            return Err(ENOTEMPTY);
        }
        if rename.flags & RENAME_WHITEOUT != 0 {
            // The last thing that may fail.
            rename.whiteout.set(Some(self.add(rename.old_dir, uapi::S_IFCHR, Dev::default(), b"")?));
        }
        if let Some(target) = rename.target {
            if target.is_dir() {
                // The directory loses both its name and its own `.`.
                target.drop_nlink();
                rename.new_dir.drop_nlink();
            }
            self.drop_name(target);
            grow(rename.new_dir, false);
        }
        if is_dir {
            rename.old_dir.drop_nlink();
            rename.new_dir.inc_nlink();
        }
        grow(rename.old_dir, false);
        grow(rename.new_dir, true);
        rename.inode.touch_ctime();
        Ok(())
    }

    fn get_link<'a>(&'a self, _inode: &'a Inode) -> Result<Link<'a>> {
        match &self.kind {
            Kind::Link(target) => Ok(Link::Text(target)),
            _ => Err(EINVAL),
        }
    }

    fn setattr(&self, inode: &Inode, attr: &SetAttr) -> Result {
        if let Some(size) = attr.size {
            let mapping = self.mapping().ok_or(EINVAL)?;
            let (old, seals) = (inode.size(), self.seals());
            if size < old && seals & uapi::F_SEAL_SHRINK != 0 || size > old && seals & uapi::F_SEAL_GROW != 0 {
                return Err(EPERM);
            }
            inode.set_size(size);
            mapping.truncate(size);
        }
        inode.apply(attr);
        Ok(())
    }

    fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        inode.fill_stat(stat);
        inode.fill_btime(stat);
        stat.attributes_mask |= (uapi::STATX_ATTR_APPEND | uapi::STATX_ATTR_IMMUTABLE | uapi::STATX_ATTR_NODUMP) as u64;
        let flags = self.flags.load(Ordering::Relaxed);
        for (flag, attribute) in [
            (uapi::FS_APPEND_FL, uapi::STATX_ATTR_APPEND),
            (uapi::FS_IMMUTABLE_FL, uapi::STATX_ATTR_IMMUTABLE),
            (uapi::FS_NODUMP_FL, uapi::STATX_ATTR_NODUMP),
        ] {
            if flags & flag != 0 {
                stat.attributes |= attribute as u64;
            }
        }
        if let Kind::Dir = self.kind {
            // `.` and `..`.
            stat.size = stat.size.saturating_add(2 * ENTRY_SIZE);
        }
        if let Some(mapping) = self.mapping() {
            stat.blocks = mapping.page_count() as u64 * (PAGE_SIZE as u64 / 512);
        }
    }

    fn open(&self, _inode: &Arc<Inode>, _flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        match self.kind {
            Kind::Dir => Ok(KBox::new(DcacheDir, GFP_KERNEL)?),
            Kind::Reg { .. } => Ok(KBox::new(RegFile, GFP_KERNEL)?),
            _ => Err(ENXIO),
        }
    }

    fn getxattr(&self, _inode: &Inode, name: &[u8]) -> Result<KVec<u8>> {
        self.xattrs.get(name)
    }

    fn setxattr(&self, inode: &Inode, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result {
        self.xattrs.set(name, value, flags)?;
        inode.touch_ctime();
        Ok(())
    }

    fn listxattr(&self, _inode: &Inode) -> Result<KVec<u8>> {
        self.xattrs.list()
    }

    fn fileattr_get(&self, _inode: &Inode) -> Result<FileAttr> {
        match self.kind {
            Kind::Dir | Kind::Reg { .. } => {
                Ok(FileAttr::from_flags(self.flags.load(Ordering::Relaxed) & uapi::FS_FL_USER_VISIBLE))
            }
            _ => Err(ENOTTY),
        }
    }

    fn fileattr_set(&self, inode: &Inode, new: &FileAttr) -> Result {
        if new.has_more_than_flags() || new.flags & !MODIFIABLE != 0 {
            return Err(EOPNOTSUPP);
        }
        self.flags.store(new.flags, Ordering::Relaxed);
        inode.change_iflags(iflags_of(new.flags), iflags_of(MODIFIABLE & !new.flags));
        inode.touch_ctime();
        Ok(())
    }

    fn evict(&self, _inode: &Inode) {
        if let Some(mapping) = self.mapping() {
            mapping.truncate(0);
        }
        self.let_go();
    }
}

fn exchange(rename: &Rename<'_>, across: bool) {
    let Some(target) = rename.target else { return };
    if across && rename.inode.is_dir() != target.is_dir() {
        // A directory's `..` counts in its parent.
        let (loses, gains) =
            if rename.inode.is_dir() { (rename.old_dir, rename.new_dir) } else { (rename.new_dir, rename.old_dir) };
        loses.drop_nlink();
        gains.inc_nlink();
    }
    rename.old_dir.touch_mtime();
    rename.new_dir.touch_mtime();
    rename.inode.touch_ctime();
    target.touch_ctime();
}
