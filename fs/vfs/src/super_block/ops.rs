// SPDX-License-Identifier: GPL-2.0
//! What a file system implements for itself as a whole: `SuperOps`, and what goes in and out of it; and the device behind it. Locks:
//! none.

use super::SuperBlock;
use crate::handle::FileId;
use crate::inode::Inode;
use crate::types::Dev;
use core::any::Any;
use core::fmt::Write;
use errno::{Result, code::*};
use kalloc::{Arc, KVec};
use mm::BackingDev;

/// What `statfs(2)` shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kstatfs {
    /// Magic number of the type.
    pub f_type: u64,
    /// Unit of the counts: a page, unless the file system says otherwise.
    pub bsize: u64,
    /// Units in all.
    pub blocks: u64,
    /// Units free.
    pub bfree: u64,
    /// Units free to everybody.
    pub bavail: u64,
    /// Inodes in all.
    pub files: u64,
    /// Inodes free.
    pub ffree: u64,
    /// Longest name.
    pub namelen: u64,
}

/// The device behind a file system. Implemented above the block layer.
pub trait SuperDevice: Any + Send + Sync {
    /// Its number: the file system's.
    fn dev(&self) -> Dev;
    /// Its name (`vda1`).
    fn name(&self) -> &str;
    /// What the page cache knows of it.
    fn bdi(&self) -> &Arc<BackingDev>;
    /// Writes the device's own cached pages and its volatile cache out, and waits. May sleep.
    fn sync(&self) -> Result;
    /// Writes the device's volatile cache out and waits. May sleep.
    fn flush(&self) -> Result;
    /// The file system is shut down: gives up the exclusive use of the device. May sleep.
    fn release(&self);
    /// For who made it, to find its own.
    fn as_any(&self) -> &dyn Any;
}

/// Usage and limits of an id: space in bytes, its limits in KiB, times in seconds since 1970; 0 is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct QuotaLimits {
    pub block_hard: u64,
    pub block_soft: u64,
    pub space: u64,
    pub inode_hard: u64,
    pub inode_soft: u64,
    pub inodes: u64,
    pub block_time: u64,
    pub inode_time: u64,
}

/// Seconds that usage may be over a soft limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QuotaInfo {
    /// Of space.
    pub block_grace: u64,
    /// Of inodes.
    pub inode_grace: u64,
}

/// What a file system implements for itself as a whole.
#[allow(unused_variables, reason = "defaults ignore their arguments")]
pub trait SuperOps: Any + Send + Sync {
    /// Counts. `f_type`, `bsize` and `namelen` are already filled.
    fn statfs(&self, sb: &SuperBlock, out: &mut Kstatfs) -> Result {
        Ok(())
    }

    /// Writes what the file system itself keeps (a journal's transaction, the super block); inodes and their pages are written
    /// before. With `wait` until it is there. May sleep.
    fn sync(&self, sb: &SuperBlock, wait: bool) -> Result {
        Ok(())
    }

    /// Writes the attributes of `inode` to the device (into a buffer or a transaction; with `wait` until they are there). Called
    /// for inodes that were marked dirty. May sleep.
    fn write_inode(&self, inode: &Inode, wait: bool) -> Result {
        Ok(())
    }

    /// The attributes of `inode` changed ([`crate::idirty`]): a file system with a journal records them now. May sleep.
    fn dirty_inode(&self, inode: &Inode, why: u32) {}

    /// Brings the file system into a consistent state on the device and keeps it there until `unfreeze` (`FIFREEZE`). May sleep.
    fn freeze(&self, sb: &SuperBlock) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Ends `freeze`.
    fn unfreeze(&self, sb: &SuperBlock) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Turns limits of a kind (0 user, 1 group, 2 project) on or off. `ENOSYS` without quotas at all; `EINVAL` if those are not
    /// counted, `EEXIST` if they are on or off already.
    fn quota_enable(&self, kind: u32, on: bool) -> Result {
        Err(ENOSYS)
    }

    /// Times that usage may be over a soft limit.
    fn quota_info(&self, kind: u32) -> Result<QuotaInfo> {
        Err(ENOSYS)
    }

    /// Sets those times.
    fn quota_set_info(&self, kind: u32, info: QuotaInfo) -> Result {
        Err(ENOSYS)
    }

    /// Usage and limits of an id.
    fn quota_get(&self, kind: u32, id: u32) -> Result<QuotaLimits> {
        Err(ENOSYS)
    }

    /// The first id from `id` on that has usage or limits, with them. ENOENT if there is none.
    fn quota_next(&self, kind: u32, id: u32) -> Result<(u32, QuotaLimits)> {
        Err(ENOSYS)
    }

    /// Sets limits and times of an id; usage stays.
    fn quota_set(&self, kind: u32, id: u32, new: &QuotaLimits) -> Result {
        Err(ENOSYS)
    }

    /// Options as `/proc/mounts` shows them, each with its comma in front.
    fn show_options(&self, sb: &SuperBlock, out: &mut dyn Write) -> core::fmt::Result {
        Ok(())
    }

    /// New options and `SB_*` flags for a mounted file system. The caller stores the flags.
    fn remount(&self, sb: &SuperBlock, flags: u32, options: &[u8]) -> Result {
        if options.is_empty() { Ok(()) } else { Err(EINVAL) }
    }

    /// The handle of `inode`; `None`: this file system has no handles.
    fn file_id(&self, inode: &Inode) -> Option<FileId> {
        None
    }

    /// The inode that a handle stands for, as a program gave it. Any error is `ESTALE` to the program. May sleep.
    fn inode_by_id(&self, sb: &Arc<SuperBlock>, kind: i32, words: &[u32]) -> Result<Arc<Inode>> {
        Err(ESTALE)
    }

    /// The directory that `dir` is in, and its name there, for a directory found by its handle. May sleep.
    fn place_of(&self, dir: &Arc<Inode>) -> Result<(Arc<Inode>, KVec<u8>)> {
        Err(ESTALE)
    }

    /// What tells this file system from all others, whatever it is mounted as; zeros: nothing does.
    fn uuid(&self) -> [u8; 16] {
        [0; 16]
    }

    /// The last mount is gone. The dentries are already dropped.
    fn put_super(&self, sb: &SuperBlock) {}
}

/// A super block with nothing special.
pub struct SimpleSuper;
impl SuperOps for SimpleSuper {}
