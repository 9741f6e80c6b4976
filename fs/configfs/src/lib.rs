// SPDX-License-Identifier: GPL-2.0
//! configfs: a tree in which programs make and remove directories, and a module's objects come and go with them; usually seen at
//! `/sys/kernel/config`. A subsystem registers the first directory; `mkdir` inside asks what is behind the directory for a new
//! object, `rmdir` gives it back; attributes are texts of a page at most.
//!
//! | file | what |
//! |---|---|
//! | `item` | directories and their attributes, and what modules implement |
//! | `inode` | the directories as the VFS sees them |
//!
//! Called by the `kernel` crate's `configfs`. An object that a program made keeps its module. Locks: `inode.lock` of the
//! directory (the VFS's), inside it an item's list of children. Source: Linux's `Documentation/filesystems/configfs.rst`.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod inode;
mod item;

pub use item::{Group, NewAttribute, NewGroup, Subsystem};

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use kernfs::Ino;
use locking::SetOnce;
use sync::Mutex;
use vfs::super_block::SuperInit;
use vfs::{Dentry, FileSystemType, FsContext, SimpleSuper, SuperBlock, register_filesystem};

pub(crate) static NUMBERS: Ino = Ino::new(1);
pub(crate) static ROOT: SetOnce<Arc<item::Item>> = SetOnce::new();

/// What `statfs(2)` shows.
const MAGIC: u64 = 0x6265_6570;

struct Configfs;
static CONFIGFS: Configfs = Configfs;
static SUPER: Mutex<Option<Arc<SuperBlock>>> = Mutex::new(None);

impl FileSystemType for Configfs {
    fn name(&self) -> &'static str {
        "configfs"
    }

    fn keeps_super(&self) -> bool {
        true
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let mut kept = SUPER.lock();
        if let Some(sb) = &*kept {
            return Ok(sb.clone());
        }
        let init =
            SuperInit { magic: MAGIC, block_size: 4096, max_bytes: i64::MAX.cast_unsigned(), flags: context.flags };
        let sb = SuperBlock::new(&CONFIGFS, init, KBox::new(SimpleSuper, GFP_KERNEL)?)?;
        let inode = inode::inode_for(&sb, ROOT.get().ok_or(ENODEV)?)?;
        sb.set_root(Dentry::new_root(inode)?);
        *kept = Some(sb.clone());
        Ok(sb)
    }
}

/// Makes the root and its mount point, and registers the file system. Once, at boot, in a task, after sysfs.
pub fn init() -> Result {
    ROOT.set(item::Item::root()?).map_err(|_| EBUSY)?;
    sysfs::root()?.path_or_new("kernel/config")?;
    register_filesystem(&CONFIGFS)
}
