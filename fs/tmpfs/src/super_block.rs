// SPDX-License-Identifier: GPL-2.0
//! The file system types and their super blocks.

use crate::inode::{Owner, new_inode};
use crate::limits::{Count, Limits, Nameless};
use crate::options::{Options, show};
use core::fmt::Write;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use mm_alloc::layout::PAGE_SIZE;
use vfs::handle::FileId;
use vfs::{
    Dentry, Dev, FileSystemType, FsContext, Inode, Kstatfs, Path, SuperBlock, SuperInit, SuperOps, register_filesystem,
};

struct TmpfsSuper {
    limits: Arc<Limits>,
    /// Shows and changes limits (tmpfs and devtmpfs; not ramfs).
    limited: bool,
    /// In each handle, so that those of another tmpfs are none here.
    generation: u32,
    uuid: [u8; 16],
}

/// `FILEID_INO32_GEN`, though a handle here has three words.
const FILE_ID: i32 = 1;

impl SuperOps for TmpfsSuper {
    fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    fn statfs(&self, _sb: &SuperBlock, out: &mut Kstatfs) -> Result {
        let (pages, inodes) = (&self.limits.pages, &self.limits.inodes);
        if pages.max() != 0 {
            out.blocks = pages.max();
            out.bfree = pages.max().saturating_sub(pages.used());
            out.bavail = out.bfree;
        }
        if inodes.max() != 0 {
            out.files = inodes.max();
            out.ffree = inodes.max().saturating_sub(self.limits.used_inodes());
        }
        Ok(())
    }

    fn file_id(&self, inode: &Inode) -> Option<FileId> {
        let words = [self.generation, inode.ino as u32, (inode.ino >> 32) as u32];
        self.limited.then(|| FileId::new(FILE_ID, &words))
    }

    fn inode_by_id(&self, sb: &Arc<SuperBlock>, _kind: i32, words: &[u32]) -> Result<Arc<Inode>> {
        let &[generation, low, high, ..] = words else { return Err(ESTALE) };
        if generation != self.generation {
            return Err(ESTALE);
        }
        sb.known_inode(u64::from(high) << 32 | u64::from(low)).ok_or(ESTALE)
    }

    fn show_options(&self, sb: &SuperBlock, out: &mut dyn Write) -> core::fmt::Result {
        let Some(root) = sb.root() else { return Ok(()) };
        let Some(inode) = root.inode() else { return Ok(()) };
        if !self.limited {
            return Ok(());
        }
        let root = (inode.mode() & 0o7777, inode.uid(), inode.gid());
        show(&self.limits, root, out)
    }

    fn remount(&self, sb: &SuperBlock, flags: u32, options: &[u8]) -> Result {
        if !self.limited {
            return Ok(());
        }
        if flags & uapi::MS_RDONLY != 0 && !sb.is_rdonly() && self.limits.has_nameless() {
            // Those are still to be removed.
            return Err(EBUSY);
        }
        let context = FsContext { source: b"", flags, options };
        let new = Options::tmpfs().parse(&context)?;
        // Files that there are may be in swap space already.
        if new.noswap && !self.limits.noswap {
            return Err(EINVAL);
        }
        if new.given.size {
            self.limits.pages.check_limit(new.pages)?;
        }
        if new.given.inodes {
            self.limits.inodes.check_limit(new.inodes)?;
            self.limits.inodes.set_limit(new.inodes);
        }
        if new.given.size {
            self.limits.pages.set_limit(new.pages);
        }
        Ok(())
    }
}

/// A file system in memory, of type `fs_type`. `ENOMEM`. May sleep.
pub fn new_super(
    fs_type: &'static dyn FileSystemType,
    flags: u32,
    options: &Options,
    magic: u32,
) -> Result<Arc<SuperBlock>> {
    let (pages, inodes) = (Count::new(options.pages), Count::new(options.inodes));
    let limits = Limits { noswap: options.noswap, pages, inodes, nameless: Nameless::default() };
    let limits = Arc::new(limits, GFP_KERNEL)?;
    let limited = magic == uapi::TMPFS_MAGIC;
    let mut uuid = [0; 16];
    random::fill(&mut uuid);
    let ops = TmpfsSuper { limits: limits.clone(), limited, generation: random::u64() as u32, uuid };
    let ops = KBox::new(ops, GFP_KERNEL)?;
    let init = SuperInit { magic: magic.into(), block_size: PAGE_SIZE as u32, max_bytes: i64::MAX as u64, flags };
    let sb = SuperBlock::new(fs_type, init, ops)?;
    let owner = Owner { mode: uapi::S_IFDIR | options.mode, uid: options.uid, gid: options.gid };
    let root = new_inode(&sb, &limits, owner, Dev::default(), b"")?;
    sb.set_root(Dentry::new_root(root)?);
    Ok(sb)
}

struct Tmpfs;
impl FileSystemType for Tmpfs {
    fn name(&self) -> &'static str {
        "tmpfs"
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let mut options = Options::tmpfs();
        let cred = cred::current_cred()?;
        (options.uid, options.gid) = (cred.fsuid, cred.fsgid);
        new_super(self, context.flags, &options.parse(context)?, uapi::TMPFS_MAGIC)
    }
}

struct Ramfs;
impl FileSystemType for Ramfs {
    fn name(&self) -> &'static str {
        "ramfs"
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let options = Options::unlimited().parse_ramfs(context)?;
        new_super(self, context.flags, &options, uapi::RAMFS_MAGIC)
    }
}

/// The first file system, into which the initramfs is unpacked.
struct Rootfs;
impl FileSystemType for Rootfs {
    fn name(&self) -> &'static str {
        "rootfs"
    }

    fn user_mountable(&self) -> bool {
        false
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        // As with Linux where the kernel has tmpfs: its limits and its root's mode.
        new_super(self, context.flags, &Options::tmpfs(), uapi::TMPFS_MAGIC)
    }
}

static TMPFS: Tmpfs = Tmpfs;
static RAMFS: Ramfs = Ramfs;
static ROOTFS: Rootfs = Rootfs;

/// Makes the types known. Once, at boot.
pub fn init() -> Result {
    register_filesystem(&TMPFS)?;
    register_filesystem(&RAMFS)?;
    crate::memfd::init(&TMPFS)
}

/// Mounts an empty root file system and gives the current task its root and working directory there. Once, at boot.
pub fn mount_rootfs() -> Result<Path> {
    let context = FsContext { source: b"rootfs", flags: 0, options: b"" };
    let sb = ROOTFS.get_tree(&context).map_err(|_| ENOMEM)?;
    let path = vfs::mounting::mount_root(&sb, b"rootfs")?;
    vfs::tasks::init_task(path.clone())?;
    Ok(path)
}
