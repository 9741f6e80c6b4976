// SPDX-License-Identifier: GPL-2.0
//! The file system of the queues: each name space has its own, which it keeps mounted. One that is mounted elsewhere outlives its name
//! space; then no queue can be made in it. Locks: the directory's, held by the VFS.

use crate::account::{Limits, Size};
use crate::file::QueueFile;
use crate::ns::{self, Ns};
use crate::queue::Queue;
use errno::Result;
use errno::code::{EACCES, EINVAL, ENOTDIR};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, WeakArc};
use vfs::inode::owner_for_new;
use vfs::{
    DcacheDir, Dentry, Dev, FileOps, FileSystemType, FsContext, Inode, InodeInit, InodeOps, OpenFlags, Path,
    SimpleSuper, SuperBlock, SuperInit, iop, register_filesystem,
};

const MAGIC: u64 = 0x1980_0202;
/// Size of a queue's text (`FILENT_SIZE`).
const TEXT_SIZE: u64 = 80;
/// What an entry adds to the directory's size.
const ENTRY_SIZE: u64 = 20;

struct Mqueue;
static MQUEUE: Mqueue = Mqueue;

impl FileSystemType for Mqueue {
    fn name(&self) -> &'static str {
        "mqueue"
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        if !context.options.is_empty() {
            return Err(EINVAL);
        }
        ns::current()?.root().map(|place| place.mnt.sb.clone())
    }
}

/// The root directory.
struct Root(WeakArc<Ns>);

impl InodeOps for Root {
    fn lookup(&self, _: &Arc<Inode>, _: &[u8]) -> Result<Option<Arc<Inode>>> {
        // Every name is in the dentry cache.
        Ok(None)
    }

    fn create(&self, dir: &Arc<Inode>, _: &[u8], mode: u32) -> Result<Arc<Inode>> {
        let ns = self.0.upgrade().ok_or(EACCES)?;
        new_queue(&ns.limits, dir, mode, Size::default_size(&ns.limits))
    }

    fn unlink(&self, dir: &Arc<Inode>, _: &[u8], inode: &Arc<Inode>) -> Result {
        dir.set_size(dir.size().saturating_sub(ENTRY_SIZE));
        dir.touch_mtime();
        inode.drop_nlink();
        inode.touch_ctime();
        Ok(())
    }

    fn open(&self, _: &Arc<Inode>, _: OpenFlags) -> Result<KBox<dyn FileOps>> {
        Ok(KBox::new(DcacheDir, GFP_KERNEL)?)
    }
}

/// A queue as an inode.
struct QueueInode(Arc<Queue>);

impl InodeOps for QueueInode {
    fn lookup(&self, _: &Arc<Inode>, _: &[u8]) -> Result<Option<Arc<Inode>>> {
        Err(ENOTDIR)
    }

    fn open(&self, _: &Arc<Inode>, _: OpenFlags) -> Result<KBox<dyn FileOps>> {
        Ok(KBox::new(QueueFile(self.0.clone()), GFP_KERNEL)?)
    }
}

/// A new queue for an entry of `dir`.
pub(crate) fn new_queue(limits: &Arc<Limits>, dir: &Arc<Inode>, mode: u32, size: Size) -> Result<Arc<Inode>> {
    let queue = Queue::new(limits, size)?;
    let (uid, gid, mode) = owner_for_new(dir, mode)?;
    let init = InodeInit { sb: dir.sb(), ino: dir.sb().next_ino(), mode, uid, gid, rdev: Dev::default(), iflags: 0 };
    let inode = Inode::new(init, KBox::new(QueueInode(queue), GFP_KERNEL)?)?;
    inode.set_size(TEXT_SIZE);
    dir.set_size(dir.size().saturating_add(ENTRY_SIZE));
    dir.touch_mtime();
    Ok(inode)
}

/// A new file system, of name space `ns`, mounted for that one's own use. May sleep.
pub(crate) fn new_mount(ns: &Arc<Ns>) -> Result<Path> {
    let init = SuperInit { magic: MAGIC, block_size: 4096, max_bytes: i64::MAX.cast_unsigned(), flags: 0 };
    let sb = SuperBlock::new(&MQUEUE, init, KBox::new(SimpleSuper, GFP_KERNEL)?)?;
    let init = InodeInit {
        sb: &sb,
        ino: sb.next_ino(),
        mode: uapi::S_IFDIR | uapi::S_ISVTX | 0o777,
        uid: 0,
        gid: 0,
        rdev: Dev::default(),
        iflags: iop::COMPLETE,
    };
    let root = Inode::new(init, KBox::new(Root(Arc::downgrade(ns)), GFP_KERNEL)?)?;
    root.set_nlink(2);
    root.set_size(2 * ENTRY_SIZE);
    sb.set_root(Dentry::new_root(root)?);
    vfs::mounting::kern_mount(&sb, b"mqueue")
}

/// Makes the first name space's and the settings. Once, at boot, after `proc`.
pub fn init() -> Result {
    ns::init()?;
    crate::account::init()?;
    register_filesystem(&MQUEUE)
}
