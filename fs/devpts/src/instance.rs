// SPDX-License-Identifier: GPL-2.0
//! One mounted devpts: its root with `ptmx`, and the numbers of its ptys. The instance that was mounted first and still is also
//! serves `/dev/ptmx`.

use crate::options::Options;
use containers::IdPool;
use core::fmt::Write;
use errno::{
    Result,
    code::{ENODEV, ENOSPC},
};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KBox, KVec, WeakArc};
use locking::SpinLock;
use uapi::{DEVPTS_SUPER_MAGIC, S_IFCHR, S_IFDIR, TTYAUX_MAJOR};
use vfs::readdir::DcacheDir;
use vfs::{
    Dentry, Dev, FileOps, FileSystemType, FsContext, Inode, InodeInit, InodeOps, OpenFlags, SuperBlock, SuperInit,
    SuperOps, dcache, iop,
};

const ROOT_INO: u64 = 1;
const PTMX_INO: u64 = 2;
/// Inode number of node 0.
pub(crate) const FIRST_INO: u64 = 3;

/// What an instance knows; shared by its super block and its ptys.
pub(crate) struct Instance {
    pub(crate) options: SpinLock<Options>,
    numbers: SpinLock<IdPool>,
    ptmx: SpinLock<Option<Arc<Inode>>>,
}

impl Instance {
    /// The lowest free number. `ENOSPC`, `ENOMEM`.
    pub(crate) fn take_number(&self) -> Result<u32> {
        crate::pty::check_limit()?;
        let max = self.options.lock().max;
        self.numbers.lock().alloc(0, max, GFP_ATOMIC).map_err(|error| match error {
            errno::code::ENOMEM => error,
            _ => ENOSPC,
        })
    }

    pub(crate) fn put_number(&self, number: u32) {
        self.numbers.lock().free(number);
    }

    pub(crate) fn count(&self) -> u32 {
        self.numbers.lock().count()
    }
}

/// The super block's part.
pub(crate) struct DevptsSuper {
    pub(crate) instance: Arc<Instance>,
}

impl SuperOps for DevptsSuper {
    fn show_options(&self, _sb: &SuperBlock, out: &mut dyn Write) -> core::fmt::Result {
        let options = *self.instance.options.lock();
        options.show(out)
    }

    fn remount(&self, _sb: &SuperBlock, _flags: u32, text: &[u8]) -> Result {
        let options = Options::parse(text)?;
        *self.instance.options.lock() = options;
        let ptmx = self.instance.ptmx.lock().clone();
        if let Some(ptmx) = ptmx {
            ptmx.set_mode(S_IFCHR | options.ptmx_mode);
        }
        Ok(())
    }

    fn put_super(&self, sb: &SuperBlock) {
        drop(self.instance.ptmx.lock().take());
        INSTANCES.lock().retain(|(other, _)| !Arc::ptr_eq(other, &self.instance));
        let _ = sb;
    }
}

/// The root: its entries are all in the dentry cache.
struct Root;

impl InodeOps for Root {
    fn lookup(&self, _dir: &Arc<Inode>, _name: &[u8]) -> Result<Option<Arc<Inode>>> {
        Ok(None)
    }

    fn open(&self, _inode: &Arc<Inode>, _flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        Ok(KBox::new(DcacheDir, GFP_KERNEL)?)
    }
}

/// `ptmx`.
struct Ptmx;
impl InodeOps for Ptmx {}

/// Mounted instances, the oldest first.
static INSTANCES: SpinLock<KVec<(Arc<Instance>, WeakArc<SuperBlock>)>> = SpinLock::new(KVec::new());

/// The instance behind `/dev/ptmx`. `ENODEV` if none is mounted.
pub(crate) fn default_super() -> Result<Arc<SuperBlock>> {
    INSTANCES.lock().iter().find_map(|(_, sb)| sb.upgrade()).ok_or(ENODEV)
}

/// The instance of a super block, if it is a devpts.
pub(crate) fn instance_of(sb: &SuperBlock) -> Option<&Arc<Instance>> {
    sb.private::<DevptsSuper>().map(|part| &part.instance)
}

/// Ptys of all instances.
pub(crate) fn all_ptys() -> u32 {
    INSTANCES.lock().iter().fold(0, |sum, (instance, _)| sum.saturating_add(instance.count()))
}

/// The type.
pub(crate) struct Devpts;

/// The type.
pub(crate) static DEVPTS: Devpts = Devpts;

fn node(sb: &Arc<SuperBlock>, ino: u64, mode: u32, rdev: Dev) -> InodeInit<'_> {
    InodeInit { sb, ino, mode, uid: 0, gid: 0, rdev, iflags: 0 }
}

impl FileSystemType for Devpts {
    fn name(&self) -> &'static str {
        "devpts"
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let options = Options::parse(context.options)?;
        let instance = Instance {
            options: SpinLock::new(options),
            numbers: SpinLock::new(IdPool::new()),
            ptmx: SpinLock::new(None),
        };
        let instance = Arc::new(instance, GFP_KERNEL)?;
        let init = SuperInit {
            magic: DEVPTS_SUPER_MAGIC.into(),
            block_size: 1024,
            max_bytes: i64::MAX.cast_unsigned(),
            flags: context.flags,
        };
        let sb = SuperBlock::new(self, init, KBox::new(DevptsSuper { instance: instance.clone() }, GFP_KERNEL)?)?;
        let mut root = node(&sb, ROOT_INO, S_IFDIR | 0o755, Dev::default());
        root.iflags = iop::COMPLETE;
        let root = Inode::new(root, KBox::new(Root, GFP_KERNEL)?)?;
        root.set_nlink(2);
        let root = Dentry::new_root(root)?;
        sb.set_root(root.clone());
        let ptmx = node(&sb, PTMX_INO, S_IFCHR | options.ptmx_mode, Dev::new(TTYAUX_MAJOR, 2));
        let ptmx = Inode::new(ptmx, KBox::new(Ptmx, GFP_KERNEL)?)?;
        *instance.ptmx.lock() = Some(ptmx.clone());
        dcache::add_entry(&root, b"ptmx", ptmx)?;
        remember(instance, &sb)?;
        Ok(sb)
    }
}

/// Puts an instance at the end of the list.
fn remember(instance: Arc<Instance>, sb: &Arc<SuperBlock>) -> Result {
    let mut entry = Some((instance, Arc::downgrade(sb)));
    let mut room = KVec::new();
    loop {
        let mut instances = INSTANCES.lock();
        if room.capacity() > instances.len() {
            let old = core::mem::take(&mut *instances);
            for known in old {
                room.push(known, GFP_ATOMIC)?;
            }
            if let Some(entry) = entry.take() {
                room.push(entry, GFP_ATOMIC)?;
            }
            *instances = room;
            return Ok(());
        }
        let needed = instances.len().saturating_add(1);
        drop(instances);
        room = KVec::with_capacity(needed, GFP_KERNEL)?;
    }
}
