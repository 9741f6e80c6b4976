// SPDX-License-Identifier: GPL-2.0
//! Files in no directory: pipes, sockets, event descriptors. Each kind has a file system of its own (`pipefs`, `sockfs`,
//! `anon_inodefs`) that only the kernel mounts. Locks: none but at the first use of a kind.

use crate::dentry::Dentry;
use crate::file::{File, FileOps, OpenFlags, Prepared};
use crate::fs_type::FileSystemType;
use crate::inode::{Inode, InodeInit, InodeOps, iop};
use crate::mounting::kern_mount;
use crate::path::Path;
use crate::super_block::{FsContext, SimpleSuper, SuperBlock, SuperInit};
use crate::types::Dev;
use core::fmt::Write;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SetOnce;

/// A kernel-only file system.
pub struct PseudoFs {
    name: &'static str,
    magic: u32,
    place: SetOnce<Path>,
}

/// The directory at its root, which nobody sees.
struct Nothing;
impl InodeOps for Nothing {}

impl FileSystemType for PseudoFs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn user_mountable(&self) -> bool {
        false
    }

    fn get_tree(&'static self, _: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let init = SuperInit { magic: self.magic.into(), block_size: 4096, max_bytes: i64::MAX as u64, flags: 0 };
        let sb = SuperBlock::new(self, init, KBox::new(SimpleSuper, GFP_KERNEL)?)?;
        let root = InodeInit {
            sb: &sb,
            ino: sb.next_ino(),
            mode: uapi::S_IFDIR | 0o600,
            uid: 0,
            gid: 0,
            rdev: Dev::default(),
            iflags: iop::ANON,
        };
        let root = Inode::new(root, KBox::new(Nothing, GFP_KERNEL)?)?;
        sb.set_root(Dentry::new_root(root)?);
        Ok(sb)
    }
}

impl PseudoFs {
    /// A type that is not mounted yet.
    pub const fn new(name: &'static str, magic: u32) -> Self {
        Self { name, magic, place: SetOnce::new() }
    }

    /// Registers and mounts it. Once, at boot.
    pub fn init(&'static self) -> Result {
        crate::fs_type::register_filesystem(self)?;
        let sb = self.get_tree(&FsContext { source: b"none", flags: 0, options: b"" })?;
        self.place.set(kern_mount(&sb, self.name.as_bytes())?).map_err(|_| EBUSY)
    }

    /// A new inode with a dentry of its own. `ops.dname` tells its name.
    pub fn new_inode(&self, mode: u32, ops: KBox<dyn InodeOps>) -> Result<Path> {
        let place = self.place.get().ok_or(ENODEV)?;
        self.new_inode_numbered(mode, place.mnt.sb.next_ino(), ops)
    }

    /// As [`Self::new_inode`], with a number of the caller's choice.
    pub fn new_inode_numbered(&self, mode: u32, ino: u64, ops: KBox<dyn InodeOps>) -> Result<Path> {
        let place = self.place.get().ok_or(ENODEV)?;
        let cred = cred::current_cred()?;
        let sb = &place.mnt.sb;
        let init = InodeInit {
            sb,
            ino,
            mode,
            uid: cred.fsuid,
            gid: cred.fsgid,
            rdev: Dev::default(),
            iflags: iop::ANON | iop::DNAME | iop::NOATIME,
        };
        let dentry = Dentry::new_anon(Inode::new(init, ops)?, b"")?;
        Ok(Path { mnt: place.mnt.clone(), dentry })
    }
}

/// `anon_inodefs`.
static ANON_FS: PseudoFs = PseudoFs::new("anon_inodefs", uapi::ANON_INODE_FS_MAGIC);

/// A kind of anonymous file (`[eventfd]`): all of a kind share one inode.
pub struct AnonKind {
    name: &'static str,
    place: SetOnce<Path>,
}

struct Named(&'static str);
impl InodeOps for Named {
    fn dname(&self, _: &Inode, out: &mut dyn Write) -> core::fmt::Result {
        write!(out, "anon_inode:{}", self.0)
    }
}

impl AnonKind {
    /// A kind; `name` with its brackets.
    pub const fn new(name: &'static str) -> Self {
        Self { name, place: SetOnce::new() }
    }

    /// A new open file of this kind. May sleep.
    pub fn open(&self, flags: OpenFlags, ops: KBox<dyn FileOps>) -> Result<Arc<File>> {
        let path = match self.place.get() {
            Some(path) => path,
            None => {
                let path = ANON_FS.new_inode(0o600, KBox::new(Named(self.name), GFP_KERNEL)?)?;
                // Another task may have been first: then its path is used.
                drop(self.place.set(path));
                self.place.get().ok_or(ENOMEM)?
            }
        };
        File::new(path.clone(), flags, ops, Prepared::nothing())
    }
}

/// Registers and mounts `anon_inodefs`. Once, at boot.
pub fn init() -> Result {
    ANON_FS.init()?;
    crate::nsfs::init()
}
