// SPDX-License-Identifier: GPL-2.0
//! The layers of a mount: where they are, who reads and writes them, the attributes in which they say what they hide.

use crate::node::Table;
use crate::options::Options;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kalloc::{Arc, KVec};
use kernel::filesystem::cred::{Cred, Override, override_with};
use kernel::filesystem::vfs::super_block::AnonDev;
use kernel::filesystem::vfs::{Dentry, Dev, FileType, Inode, Mount, Path};
use kernel::prelude::*;

/// A layer that is only read.
pub(crate) struct Layer {
    pub(crate) root: Path,
    /// Which of `Fs::systems` it is on.
    pub(crate) system: usize,
}

/// A file system that layers are on. The first is the upper layer's, whether there is one or not.
pub(crate) struct System {
    /// `st_dev` of its files, where they keep one of their own.
    pub(crate) dev: Option<Dev>,
    /// What handles of its files are known by, where that means one of the lower file systems alone.
    pub(crate) uuid: Option<[u8; 16]>,
    pub(crate) _own: Option<AnonDev>,
}

/// A mounted overlay.
pub(crate) struct Fs {
    /// The root of the upper layer; the directory `work` below `workdir`.
    pub(crate) upper: Option<Path>,
    pub(crate) work: Option<Path>,
    /// Directories that must not be met in a lower layer: the upper layer's root, `workdir` and what is in it.
    pub(crate) traps: KVec<Arc<Dentry>>,
    pub(crate) lower: KVec<Layer>,
    pub(crate) systems: KVec<System>,
    /// All layers are on one file system.
    pub(crate) same: bool,
    /// By how many bits a file system's number goes up in inode numbers, if that is done.
    pub(crate) xino: Option<u32>,
    pub(crate) options: Options,
    /// Of the upper file system's errors, where `volatile` counts from.
    pub(crate) errors: u32,
    /// Who mounted it.
    pub(crate) cred: Arc<Cred>,
    pub(crate) table: Table,
    pub(crate) temporary: AtomicU64,
}

impl Fs {
    /// Which of `systems` lower layer `layer` is on.
    pub(crate) fn system(&self, layer: usize) -> usize {
        self.lower.get(layer).map_or(0, |layer| layer.system)
    }

    /// The inode number for `ino` of a file system of layers, if the overlay has one space for all.
    pub(crate) fn number(&self, system: usize, ino: u64) -> Option<u64> {
        if self.same {
            return Some(ino);
        }
        self.xino.filter(|shift| ino >> shift == 0).map(|shift| ino | (system as u64) << shift)
    }

    /// The mount of the upper layer. `EROFS` without one.
    pub(crate) fn upper_mount(&self) -> Result<&Arc<Mount>> {
        self.upper.as_ref().map(|path| &path.mnt).ok_or(EROFS)
    }

    /// Whether what is in the upper layer is to be written to the disk when somebody asks for it; with `volatile` it is not. EIO: something
    /// could not be written since it was mounted, so that all of it may be damaged.
    pub(crate) fn syncs(&self) -> Result<bool> {
        match &self.upper {
            Some(upper) if self.options.volatile => upper.mnt.sb.errors().check(self.errors).map(|()| false),
            _ => Ok(true),
        }
    }

    /// The directory for what is in the making. `EROFS` without an upper layer.
    pub(crate) fn work(&self) -> Result<&Path> {
        self.work.as_ref().ok_or(EROFS)
    }

    /// A name in it that is not in use.
    pub(crate) fn temporary(&self) -> Result<KVec<u8>> {
        let mut name = KVec::with_capacity(20, GFP_KERNEL)?;
        core::fmt::Write::write_fmt(&mut name, format_args!("#{:x}", self.temporary.fetch_add(1, Relaxed)))
            .map_err(|_| ENOMEM)?;
        Ok(name)
    }

    /// The current task acts for who mounted it.
    pub(crate) fn act(&self) -> Result<Override> {
        override_with(self.cred.clone())
    }

    /// What the names of our attributes begin with.
    pub(crate) fn prefix(&self) -> &'static [u8] {
        if self.options.userxattr { b"user.overlay." } else { b"trusted.overlay." }
    }

    fn name(&self, name: &[u8]) -> Result<KVec<u8>> {
        let mut out = KVec::with_capacity(40, GFP_KERNEL)?;
        out.extend_from_slice(self.prefix(), GFP_KERNEL)?;
        out.extend_from_slice(name, GFP_KERNEL)?;
        Ok(out)
    }

    /// One of our attributes of a file of a layer; `None` if it has none.
    pub(crate) fn attribute(&self, inode: &Inode, name: &[u8]) -> Result<Option<KVec<u8>>> {
        match inode.ops().getxattr(inode, &self.name(name)?) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error == ENODATA || error == EOPNOTSUPP => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a directory of a layer hides what lies below it.
    pub(crate) fn is_opaque(&self, inode: &Inode) -> Result<bool> {
        Ok(self.attribute(inode, b"opaque")?.is_some_and(|value| value.as_slice() == b"y"))
    }

    /// Makes a directory of the upper layer hide what lies below it.
    pub(crate) fn set_opaque(&self, dentry: &Dentry) -> Result {
        self.set_attribute(dentry.positive()?, b"opaque", b"y")
    }

    /// Sets one of our attributes of a file of the upper layer.
    pub(crate) fn set_attribute(&self, inode: &Inode, name: &[u8], value: &[u8]) -> Result {
        let _lock = inode.lock.write();
        inode.ops().setxattr(inode, &self.name(name)?, Some(value), 0)
    }

    /// Whether a directory of the upper layer has entries whose numbers are those of lower files, though it is not merged itself.
    pub(crate) fn is_impure(&self, inode: &Inode) -> Result<bool> {
        Ok(self.attribute(inode, b"impure")?.is_some_and(|value| value.as_slice() == b"y"))
    }

    /// Makes it one.
    pub(crate) fn set_impure(&self, inode: &Inode) -> Result {
        if self.is_impure(inode)? { Ok(()) } else { self.set_attribute(inode, b"impure", b"y") }
    }

    /// Whether an entry of directory `dir` says that there is no such name: a device 0:0, or, where the directory is marked so, an
    /// empty file with an attribute.
    pub(crate) fn is_whiteout(&self, dir: &Inode, inode: &Inode) -> Result<bool> {
        Ok(match inode.file_type() {
            FileType::Char => inode.rdev == Dev::default(),
            FileType::Reg if inode.size() == 0 => {
                self.attribute(inode, b"whiteout")?.is_some() && self.may_have_whiteout_files(dir)?
            }
            _ => false,
        })
    }

    /// Whether empty files in a directory may be whiteouts.
    pub(crate) fn may_have_whiteout_files(&self, dir: &Inode) -> Result<bool> {
        Ok(self.attribute(dir, b"opaque")?.is_some_and(|value| value.as_slice() == b"x"))
    }
}
