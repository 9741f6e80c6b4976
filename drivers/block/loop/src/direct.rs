// SPDX-License-Identifier: GPL-2.0
//! Reading and writing the file past its cache: by a second opening of it with `O_DIRECT`, if its file system has that and the device's
//! blocks fit those below.

use crate::device::Bound;
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

impl Bound {
    /// Lets transfers go past the file's cache, or through it, as `on` says. EINVAL: they cannot for such a file, or with such blocks. May
    /// sleep.
    pub(crate) fn set_direct(&mut self, on: bool, block: u32) -> Result {
        if !on {
            self.direct = None;
            self.flags &= !DIRECT_IO;
            return Ok(());
        }
        let unit = below(&self.file).ok_or(EINVAL)?.logical_block_size();
        if block < unit || self.offset & u64::from(unit - 1) != 0 {
            return Err(EINVAL);
        }
        if self.direct.is_none() {
            // What is cached and dirty is written now; the file system sees to the rest.
            match self.file.ops().fsync(&self.file, false) {
                Ok(()) | Err(EINVAL) => {}
                Err(_) => return Err(EIO),
            }
            let write = if self.flags & READ_ONLY != 0 { 0 } else { O_RDWR };
            let flags = write | O_DIRECT | O_LARGEFILE;
            self.direct = Some(tasks::kernel_open_at(self.file.path().clone(), flags).map_err(|_| EINVAL)?);
        }
        self.flags |= DIRECT_IO;
        Ok(())
    }

    /// Blocks or offset are others now: direct transfers may not be possible any more. May sleep.
    pub(crate) fn check_direct(&mut self, block: u32) {
        if self.flags & DIRECT_IO != 0 && self.set_direct(true, block).is_err() {
            // Cannot fail.
            let _ = self.set_direct(false, block);
        }
    }
}
