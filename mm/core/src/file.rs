// SPDX-License-Identifier: GPL-2.0
//! `VmFile`: an open file as a mapping needs it. The VFS implements it over its files and registers [`FILE_TABLE`], through
//! which `mmap` finds the file of a descriptor. No locks.

use crate::mapping::Mapping;
use core::fmt;
use errno::{Result, code::*};
use hook::Hook;
use kalloc::Arc;
use mm_alloc::Page;

/// What `mmap` asks a file for.
#[derive(Clone, Copy, Debug)]
pub struct MmapRequest {
    /// First page of the file.
    pub pgoff: u64,
    /// Bytes.
    pub len: usize,
    /// `MAP_SHARED`.
    pub shared: bool,
    /// The program wants to write through it now.
    pub write: bool,
}

/// An open file that can be mapped.
pub trait VmFile: Send + Sync {
    /// Open for reading.
    fn readable(&self) -> bool;
    /// Open for writing.
    fn writable(&self) -> bool;
    /// On a mount without `noexec`.
    fn may_exec(&self) -> bool;
    /// Accepts or refuses a mapping (device files, sealed files). Called before anything is changed, without `mm`'s locks.
    fn mmap(&self, _request: &MmapRequest) -> Result {
        match self.mapping() {
            Some(_) => Ok(()),
            None => Err(ENODEV),
        }
    }
    /// The cached pages, for files that have them.
    fn mapping(&self) -> Option<&Arc<Mapping>>;
    /// The page `pgoff` of a file without cached pages (a device's buffer). May sleep. `EFAULT`: SIGBUS.
    fn fault(&self, _pgoff: u64, _write: bool) -> Result<Page> {
        Err(EFAULT)
    }
    /// Whether the caller may know which of the file's pages are cached (`mincore(2)`): it may write the file, or owns it.
    fn may_tell_cached(&self) -> bool {
        self.writable()
    }
    /// How the file was read so far, for reading ahead.
    fn readahead(&self) -> Option<&crate::readahead::Readahead> {
        None
    }
    /// A program is to store to memory that it shares with the file, the first time since its page was clean: its contents change
    /// (`file_update_time`). Without locks but those of an address space. May sleep.
    fn stored(&self) {}
    /// Device number (as `makedev` packs it in `stat`) and inode number, for `/proc/PID/maps`.
    fn id(&self) -> (u64, u64);
    /// The path, for `/proc/PID/maps`; with "` (deleted)`" where it has no name any more.
    fn show_path(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    /// Writes pages back (`msync(MS_SYNC)`). May sleep.
    fn sync_range(&self, _start: u64, _end: u64) -> Result {
        Ok(())
    }
    /// Makes a hole of `len` bytes at `start`, as `fallocate(2)` does it (`MADV_REMOVE`). Called without `mm`'s locks. May sleep.
    fn punch_hole(&self, _start: u64, _len: u64) -> Result {
        Err(EOPNOTSUPP)
    }
    /// Whether the file counts the mappings of it ([`Self::mapped`], [`Self::unmapped`]). Such mappings never join.
    fn counts_mappings(&self) -> bool {
        false
    }
    /// One more mapping: by `mmap`, by a fork, or a part of one that was split. Must not sleep.
    fn mapped(&self) {}
    /// One mapping less. Must not sleep.
    fn unmapped(&self) {}
    /// For the VFS to get its file back.
    fn as_any(&self) -> &dyn core::any::Any;
}

/// Finds files by descriptor.
pub trait FileTable: Sync {
    /// The current task's file `fd`. EBADF.
    fn vm_file(&self, fd: i32) -> Result<Arc<dyn VmFile>>;
}

/// The registered table.
pub static FILE_TABLE: Hook<dyn FileTable> = Hook::new();
