// SPDX-License-Identifier: GPL-2.0
//! Inodes: which files of the layers they stand for, their numbers, and the operations that go to those files. An inode shows the
//! attributes that the file had when it was last looked at; everything that goes through the overlay looks again.

use crate::file::{DirFile, RegFile};
use crate::layers::Fs;
use kalloc::{Arc, KBox, KVec, WeakArc};
use kernel::filesystem::locking::SetOnce;
use kernel::filesystem::sync::Mutex;
use kernel::filesystem::vfs::{
    Dentry, Dev, FileOps, Inode, InodeInit, InodeOps, Kstat, Link, OpenFlags, Path, Prepared, Rename, SetAttr,
    SuperBlock, attr, iop,
};
use kernel::prelude::*;

/// A file or directory of a lower layer.
#[derive(Clone)]
pub(crate) struct Lower {
    pub(crate) layer: usize,
    pub(crate) dentry: Arc<Dentry>,
}

/// The name that an inode without a file in the upper layer has: it does not change before there is one.
pub(crate) struct Home {
    pub(crate) parent: Arc<Inode>,
    pub(crate) name: KVec<u8>,
}

/// What an inode stands for.
pub(crate) struct Node {
    pub(crate) fs: Arc<Fs>,
    pub(crate) upper: SetOnce<Arc<Dentry>>,
    /// Directories that are merged, topmost first; at most one other file, which may be where one of the upper layer came from.
    pub(crate) lower: KVec<Lower>,
    pub(crate) home: Option<Home>,
    /// The inode whose node this is.
    pub(crate) own: SetOnce<WeakArc<Inode>>,
    /// What its directory in the upper layer says of where the directories below are (`redirect`).
    pub(crate) redirect: Mutex<Option<KVec<u8>>>,
    /// Held while it comes to the upper layer.
    pub(crate) copying: Mutex<()>,
    /// A regular file that came to the upper layer is in use there until this inode is not: who opened it before goes on in the copy,
    /// which nothing else keeps if it is removed. Given back by [`InodeOps::evict`], or with the inode.
    pub(crate) held: Mutex<Option<Prepared>>,
}

/// The node of one of our inodes. `EIO` for another.
pub(crate) fn node(inode: &Inode) -> Result<&Node> {
    inode.private::<Node>().ok_or(EIO)
}

impl Node {
    /// The inode for files of the layers that were found. One for each file, but for those below with several names: each of these
    /// becomes a file of its own when it is changed.
    pub(crate) fn inode(
        sb: &Arc<SuperBlock>,
        fs: &Arc<Fs>,
        upper: Option<Arc<Dentry>>,
        lower: KVec<Lower>,
        home: Option<Home>,
        redirect: Option<KVec<u8>>,
    ) -> Result<Arc<Inode>> {
        let real = match (&upper, lower.first()) {
            (Some(dentry), _) => dentry.positive()?.clone(),
            (None, Some(first)) => first.dentry.positive()?.clone(),
            (None, None) => return Err(ENOENT),
        };
        let alone = upper.is_none() && !real.is_dir() && real.nlink() > 1;
        let make = || {
            let cell = SetOnce::new();
            if let Some(dentry) = upper {
                // The cell is new and empty.
                drop(cell.set(dentry));
            }
            let node = Node {
                fs: fs.clone(),
                upper: cell,
                lower,
                home,
                own: SetOnce::new(),
                redirect: Mutex::new(redirect),
                copying: Mutex::new(()),
                held: Mutex::new(None),
            };
            let (_, ino) = node.ids(&real);
            let ino = ino.unwrap_or_else(|| sb.next_ino());
            let init = InodeInit {
                sb,
                ino,
                mode: real.mode(),
                uid: real.uid(),
                gid: real.gid(),
                rdev: real.rdev,
                iflags: iop::NOATIME,
            };
            let inode = Inode::new(init, KBox::new(node, GFP_KERNEL)?)?;
            inode.set_nlink(real.nlink());
            if let Some(node) = inode.private::<Node>() {
                drop(node.own.set(Arc::downgrade(&inode)));
            }
            refresh(&inode);
            Ok(inode)
        };
        if alone { make() } else { fs.table.get(key(&real), make) }
    }

    /// The file that is read now.
    pub(crate) fn real(&self) -> Result<&Arc<Inode>> {
        match (self.upper.get(), self.lower.first()) {
            (Some(dentry), _) => dentry.positive(),
            (None, Some(first)) => first.dentry.positive(),
            (None, None) => Err(ENOENT),
        }
    }

    /// Its place.
    pub(crate) fn real_path(&self) -> Result<Path> {
        match self.upper_path()? {
            Some(path) => Ok(path),
            None => self.lower.first().ok_or(ENOENT).and_then(|first| self.lower_path(first)),
        }
    }

    /// The place in the upper layer, if it is there.
    pub(crate) fn upper_path(&self) -> Result<Option<Path>> {
        match self.upper.get() {
            Some(dentry) => Ok(Some(Path { mnt: self.fs.upper_mount()?.clone(), dentry: dentry.clone() })),
            None => Ok(None),
        }
    }

    /// A place in a lower layer.
    pub(crate) fn lower_path(&self, lower: &Lower) -> Result<Path> {
        let layer = self.fs.lower.get(lower.layer).ok_or(EIO)?;
        Ok(Path { mnt: layer.root.mnt.clone(), dentry: lower.dentry.clone() })
    }

    /// Whether several directories are shown as one.
    pub(crate) fn is_merged(&self) -> bool {
        self.lower.len() + usize::from(self.upper.get().is_some()) > 1
    }

    /// `st_dev` and `st_ino` for the file `real` (`None`: the overlay's own). Numbers stay the same when a file comes to the upper
    /// layer, as long as the overlay is mounted.
    fn ids(&self, real: &Inode) -> (Option<Dev>, Option<u64>) {
        let is_dir = real.is_dir();
        let (system, ino) = match (self.upper.get(), self.lower.first()) {
            (Some(_), None) => (0, real.ino),
            (upper, Some(first)) => {
                let system = self.fs.system(first.layer);
                match first.dentry.inode() {
                    Some(inode) if upper.is_none() || is_dir || inode.nlink() == 1 => (system, inode.ino),
                    _ => (0, real.ino),
                }
            }
            (None, None) => (0, real.ino),
        };
        if self.fs.same {
            return (None, Some(ino));
        }
        if let Some(ino) = self.fs.number(system, ino) {
            return (None, Some(ino));
        }
        if is_dir {
            return (None, None);
        }
        (self.fs.systems.get(system).and_then(|system| system.dev), Some(ino))
    }
}

/// Looks at the file of the layer again.
pub(crate) fn refresh(inode: &Inode) {
    let Ok(real) = node(inode).and_then(Node::real) else { return };
    inode.set_mode(real.mode());
    inode.set_owner(real.uid(), real.gid());
    if !inode.is_dir() {
        inode.set_nlink(real.nlink());
    }
    inode.set_size(real.size());
    for (own, its) in [(&inode.atime, &real.atime), (&inode.mtime, &real.mtime), (&inode.ctime, &real.ctime)] {
        own.set(its.get());
    }
    const SAME: u32 = iop::PERMISSION | iop::IMMUTABLE | iop::APPEND;
    inode.change_iflags(real.iflags() & SAME, !real.iflags() & SAME);
}

/// What a file of a layer is found by.
pub(crate) fn key(real: &Arc<Inode>) -> usize {
    Arc::as_ptr(real).addr()
}

impl InodeOps for Node {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        crate::lookup::lookup(self, dir, name)
    }

    fn create(&self, dir: &Arc<Inode>, name: &[u8], mode: u32) -> Result<Arc<Inode>> {
        crate::entries::make(self, dir, name, mode, |at, name, mode| at.ops().create(at, name, mode))
    }

    fn mkdir(&self, dir: &Arc<Inode>, name: &[u8], mode: u32) -> Result<Arc<Inode>> {
        crate::entries::make(self, dir, name, mode | uapi::S_IFDIR, |at, name, mode| at.ops().mkdir(at, name, mode))
    }

    fn mknod(&self, dir: &Arc<Inode>, name: &[u8], mode: u32, dev: Dev) -> Result<Arc<Inode>> {
        // It would be a whiteout.
        if mode & uapi::S_IFMT == uapi::S_IFCHR && dev == Dev::default() {
            return Err(EPERM);
        }
        crate::entries::make(self, dir, name, mode, |at, name, mode| at.ops().mknod(at, name, mode, dev))
    }

    fn symlink(&self, dir: &Arc<Inode>, name: &[u8], target: &[u8]) -> Result<Arc<Inode>> {
        let mode = uapi::S_IFLNK | 0o777;
        crate::entries::make(self, dir, name, mode, |at, name, _| at.ops().symlink(at, name, target))
    }

    fn tmpfile(&self, dir: &Arc<Inode>, mode: u32) -> Result<Arc<Inode>> {
        crate::entries::tmpfile(self, dir, mode)
    }

    fn link(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        crate::entries::link(self, dir, name, inode)
    }

    fn unlink(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        crate::entries::remove(self, dir, name, inode)
    }

    fn rmdir(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        crate::entries::remove(self, dir, name, inode)
    }

    fn rename(&self, rename: &Rename<'_>) -> Result {
        crate::rename::rename(rename)
    }

    fn get_link<'a>(&'a self, _: &'a Inode) -> Result<Link<'a>> {
        let real = self.real()?;
        real.ops().get_link(real)
    }

    fn permission(&self, inode: &Inode, mask: u32) -> Result {
        let real = self.real()?;
        // What is only read of a lower layer is written in the upper one: nothing that forbids writing there counts.
        if real.iflags() & iop::PERMISSION != 0 {
            return real.ops().permission(real, mask);
        }
        kernel::filesystem::vfs::perm::generic_permission(inode, mask)
    }

    fn setattr(&self, inode: &Inode, attr: &SetAttr) -> Result {
        self.copy_up(inode, attr.size)?;
        let real = self.real()?;
        let _write = self.fs.upper_mount()?.want_write()?;
        if attr.size.is_some() {
            real.get_write_access()?;
        }
        let result = {
            let _lock = real.lock.write();
            if attr.size.is_some() {
                attr::remove_privileges(real);
            }
            real.ops().setattr(real, attr)
        };
        if attr.size.is_some() {
            real.put_write_access();
        }
        refresh(inode);
        result
    }

    fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        let Ok(real) = self.real() else { return inode.fill_stat(stat) };
        real.ops().getattr(real, stat);
        let (dev, ino) = self.ids(real);
        stat.dev = dev.unwrap_or(inode.sb().dev);
        stat.ino = ino.unwrap_or(inode.ino);
        if real.is_dir() && self.is_merged() {
            stat.nlink = 1;
        } else if inode.nlink() == 0 {
            stat.nlink = 0;
        }
    }

    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        if inode.is_dir() {
            return Ok(KBox::new(DirFile::new(), GFP_KERNEL)?);
        }
        if flags.writes() || flags.any(uapi::O_TRUNC) {
            self.copy_up(inode, flags.any(uapi::O_TRUNC).then_some(0))?;
        }
        Ok(KBox::new(RegFile::open(self, flags)?, GFP_KERNEL)?)
    }

    fn getxattr(&self, _: &Inode, name: &[u8]) -> Result<KVec<u8>> {
        if name.starts_with(self.fs.prefix()) {
            return Err(EOPNOTSUPP);
        }
        let real = self.real()?;
        real.ops().getxattr(real, name)
    }

    fn setxattr(&self, inode: &Inode, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result {
        if name.starts_with(self.fs.prefix()) {
            return Err(EOPNOTSUPP);
        }
        if value.is_none() && self.upper.get().is_none() {
            // What is not there needs no copy to be removed.
            let real = self.real()?;
            real.ops().getxattr(real, name)?;
        }
        self.copy_up(inode, None)?;
        let real = self.real()?;
        let _write = self.fs.upper_mount()?.want_write()?;
        let result = {
            let _lock = real.lock.write();
            real.ops().setxattr(real, name, value, flags)
        };
        refresh(inode);
        result
    }

    fn evict(&self, _: &Inode) {
        self.let_go();
    }

    fn listxattr(&self, _: &Inode) -> Result<KVec<u8>> {
        let real = self.real()?;
        let all = real.ops().listxattr(real)?;
        let mut out = KVec::with_capacity(all.len(), GFP_KERNEL)?;
        for name in all.split_inclusive(|&byte| byte == 0).filter(|name| !name.starts_with(self.fs.prefix())) {
            out.extend_from_slice(name, GFP_KERNEL)?;
        }
        Ok(out)
    }
}

/// Buckets of [`Table`].
const BUCKETS: usize = 256;

type Bucket = Mutex<KVec<(usize, WeakArc<Inode>)>>;

/// The overlay's inodes by the files that they stand for.
pub(crate) struct Table(KVec<Bucket>);

impl Table {
    pub(crate) fn new() -> Result<Self> {
        let mut buckets = KVec::with_capacity(BUCKETS, GFP_KERNEL)?;
        for _ in 0..BUCKETS {
            buckets.push(Mutex::new(KVec::new()), GFP_KERNEL)?;
        }
        Ok(Self(buckets))
    }

    fn bucket(&self, key: usize) -> Result<&Bucket> {
        self.0.get((key >> 6).wrapping_mul(0x9e37_79b9) >> 8 & (BUCKETS - 1)).ok_or(EIO)
    }

    /// The inode of a file, made if there is none. `make` must not ask for another.
    pub(crate) fn get(&self, key: usize, make: impl FnOnce() -> Result<Arc<Inode>>) -> Result<Arc<Inode>> {
        let mut bucket = self.bucket(key)?.lock();
        if let Some(inode) = bucket.iter().filter(|entry| entry.0 == key).find_map(|entry| entry.1.upgrade()) {
            return Ok(inode);
        }
        let inode = make()?;
        bucket.retain(|entry| entry.1.strong_count() != 0);
        bucket.push((key, Arc::downgrade(&inode)), GFP_KERNEL)?;
        Ok(inode)
    }

    /// An inode stands for another file now too: it was copied up.
    pub(crate) fn add(&self, key: usize, inode: WeakArc<Inode>) -> Result {
        let mut bucket = self.bucket(key)?.lock();
        bucket.retain(|entry| entry.1.strong_count() != 0);
        bucket.push((key, inode), GFP_KERNEL)?;
        Ok(())
    }

    /// Undoes [`Self::add`]: the copy is not kept.
    pub(crate) fn remove(&self, key: usize) {
        if let Ok(bucket) = self.bucket(key) {
            bucket.lock().retain(|entry| entry.0 != key);
        }
    }
}
