// SPDX-License-Identifier: GPL-2.0
//! Reading and writing the file past its cache: by a second opening of it with `O_DIRECT`, if its file system has that and the device's
//! blocks fit those below.

use crate::device::{Bound, Device};
use crate::info::{DIRECT_IO, READ_ONLY};
use kernel::block::{BlockDevice, lookup};
use kernel::filesystem::vfs::{File, FileType, tasks};
use kernel::prelude::*;
use kernel::sync::Arc;

const O_RDWR: u32 = 2;
pub(crate) const O_DIRECT: u32 = 0o40000;
const O_LARGEFILE: u32 = 0o100_000;

/// The device that the file is on, or is.
fn below(file: &File) -> Option<Arc<BlockDevice>> {
    let inode = file.inode();
    lookup(if inode.file_type() == FileType::Block { inode.rdev } else { inode.sb().dev })
}

/// The block size for a device that nobody named one for: what can be direct has that of the device below.
pub(crate) fn block_size(file: &File, direct: bool) -> u32 {
    below(file).filter(|_| direct).map_or(512, |bdev| bdev.logical_block_size().clamp(512, 4096))
}

/// Whether a device with such blocks, that begins there in the file, can be past the file's cache.
fn fits(file: &File, offset: u64, block: u32) -> bool {
    below(file).is_some_and(|bdev| {
        let unit = bdev.logical_block_size();
        block >= unit && offset & u64::from(unit - 1) == 0
    })
}

/// Opens the file for transfers past its cache. EINVAL: it has none, or such blocks do not fit. May sleep; nothing is locked here that the
/// opening of a disk may want.
pub(crate) fn open(file: &File, flags: u32, offset: u64, block: u32) -> Result<Arc<File>> {
    if !fits(file, offset, block) {
        return Err(EINVAL);
    }
    // What is cached and dirty is written now; the file system sees to the rest.
    match file.ops().fsync(file, false) {
        Ok(()) | Err(EINVAL) => {}
        Err(_) => return Err(EIO),
    }
    let write = if flags & READ_ONLY != 0 { 0 } else { O_RDWR };
    tasks::kernel_open_at(file.path().clone(), write | O_DIRECT | O_LARGEFILE).map_err(|_| EINVAL)
}

impl Bound {
    /// Lets transfers go past the file's cache by `direct`, or through it. The old opening is the caller's to drop, without locks.
    pub(crate) fn use_direct(&mut self, direct: Option<Arc<File>>) -> Option<Arc<File>> {
        self.flags = self.flags & !DIRECT_IO | if direct.is_some() { DIRECT_IO } else { 0 };
        core::mem::replace(&mut self.direct, direct)
    }

    /// Blocks or offset are others now: direct transfers may not be possible any more. What is to be dropped, without locks.
    pub(crate) fn check_direct(&mut self, block: u32) -> Option<Arc<File>> {
        if self.direct.is_some() && !fits(&self.file, self.offset, block) { self.use_direct(None) } else { None }
    }
}

impl Device {
    /// `LOOP_SET_DIRECT_IO`. ENXIO without a file, EINVAL if it cannot. May sleep.
    pub(crate) fn set_direct(&self, on: bool, block: u32) -> Result {
        let (file, flags, offset) = self.with_bound(|bound| Ok((bound.file.clone(), bound.flags, bound.offset)))?;
        let direct = if on { Some(open(&file, flags, offset, block)?) } else { None };
        let old = self.change_bound(|bound| {
            // Another file meanwhile, or another place in it.
            if !Arc::ptr_eq(&bound.file, &file) || bound.offset != offset {
                return Err(EINVAL);
            }
            Ok(bound.use_direct(direct))
        })?;
        drop(old);
        Ok(())
    }
}
