// SPDX-License-Identifier: GPL-2.0
//! debugfs: files that drivers and modules make for people who look for bugs, usually seen at `/sys/kernel/debug`. There is one
//! instance; directories and files go when their owner drops them, also while somebody has them open (`EIO` then).
//!
//! | file | what |
//! |---|---|
//! | `dir` | directories, and the files that a directory owns |
//! | `file` | what is behind a file; reading and writing it |
//!
//! Called by the `kernel` crate's `debugfs`. Locks: a directory's list of files (sleeping), held alone; those of `kernfs`.
//! Source: Linux's `Documentation/filesystems/debugfs.rst`.

#![no_std]
#![forbid(unsafe_code)]

mod dir;
mod file;

pub use dir::Dir;
pub use file::{File, Ops};

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use kernfs::{Ino, Node};
use locking::SetOnce;
use sync::Mutex;
use vfs::super_block::SuperInit;
use vfs::{Dentry, FileSystemType, FsContext, SimpleSuper, SuperBlock, option, register_filesystem};

static NUMBERS: Ino = Ino::new(1);
static ROOT: SetOnce<Arc<Node>> = SetOnce::new();

/// The root directory; `ENODEV` before [`init`].
pub(crate) fn root() -> Result<&'static Arc<Node>> {
    ROOT.get().ok_or(ENODEV)
}

struct Debugfs;
static DEBUGFS: Debugfs = Debugfs;
static SUPER: Mutex<Option<Arc<SuperBlock>>> = Mutex::new(None);

/// `uid=`, `gid=` and `mode=` are those of the root directory; what is not known is passed over, as in Linux.
fn apply(context: &FsContext<'_>) -> Result {
    let root = root()?;
    for (key, value) in context.iter_options() {
        let (uid, gid) = root.owner();
        match key {
            b"uid" => root.set_owner(option::id(value.ok_or(EINVAL)?)?, gid),
            b"gid" => root.set_owner(uid, option::id(value.ok_or(EINVAL)?)?),
            b"mode" => root.set_permissions(option::number(value.ok_or(EINVAL)?, 8)?),
            _ => {}
        }
    }
    Ok(())
}

impl FileSystemType for Debugfs {
    fn name(&self) -> &'static str {
        "debugfs"
    }

    fn keeps_super(&self) -> bool {
        true
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        apply(context)?;
        let mut kept = SUPER.lock();
        if let Some(sb) = &*kept {
            return Ok(sb.clone());
        }
        let init = SuperInit {
            magic: uapi::DEBUGFS_MAGIC.into(),
            block_size: 4096,
            max_bytes: i64::MAX.cast_unsigned(),
            flags: context.flags,
        };
        let sb = SuperBlock::new(&DEBUGFS, init, KBox::new(SimpleSuper, GFP_KERNEL)?)?;
        let inode = kernfs::inode_for(&sb, root()?.clone())?;
        sb.set_root(Dentry::new_root(inode)?);
        *kept = Some(sb.clone());
        Ok(sb)
    }
}

/// Makes a file in the root that is always there: code of the image is behind it. `EEXIST`. May sleep.
pub fn attr(name: &[u8], mode: u32, attribute: impl kernfs::Attribute) -> Result {
    root()?.attr(name, mode, attribute).map(drop)
}

/// Makes the root and its mount point, and registers the file system. Once, at boot, in a task, after sysfs.
pub fn init() -> Result {
    let root = Node::new_root(&NUMBERS)?;
    root.set_permissions(0o700);
    ROOT.set(root).map_err(|_| EBUSY)?;
    sysfs::root()?.path_or_new("kernel/debug")?;
    register_filesystem(&DEBUGFS)
}
