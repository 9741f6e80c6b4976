// SPDX-License-Identifier: GPL-2.0
//! The system calls on files, as `kernel/syscalls` lists them: each takes the program's registers, checks and converts the
//! arguments, and calls the part of the VFS that does it. Locks: those of what they call.

pub mod cachestat;
pub mod dents;
pub mod fcntl;
pub mod fd;
pub mod handle;
pub mod ioctl;
pub mod lock;
pub mod meta;
pub mod mount;
pub mod mount_api;
pub mod names;
pub mod old;
pub mod open;
pub mod quota;
mod remap;
pub mod rw;
pub mod stat;
pub mod sync;
pub mod transfer;
pub mod xattr;

use crate::fdtable::fdget_raw;
use crate::file::File;
use crate::namei::{PathName, Start};
use errno::Result;
use kalloc::Arc;

/// The `dirfd` argument of the `*at` calls: the working directory or an open file, kept for the length of the call.
pub(crate) struct DirFd(Option<Arc<File>>);

impl DirFd {
    /// For looking up `name`; an absolute name does not look at `dirfd`. `EBADF`.
    #[inline(always)]
    pub(crate) fn new(dirfd: usize, name: &PathName) -> Result<Self> {
        if dirfd as i32 == uapi::AT_FDCWD || name.padded().first() == Some(&b'/') {
            return Ok(Self(None));
        }
        Ok(Self(Some(fdget_raw(dirfd)?)))
    }

    /// The directory `dirfd`, whatever the name is. `EBADF`.
    pub(crate) fn always(dirfd: usize) -> Result<Self> {
        if dirfd as i32 == uapi::AT_FDCWD { Ok(Self(None)) } else { Ok(Self(Some(fdget_raw(dirfd)?))) }
    }

    /// Where the walk starts.
    #[inline(always)]
    pub(crate) fn start(&self) -> Start<'_> {
        match &self.0 {
            None => Start::Cwd,
            Some(file) => Start::At(file.path()),
        }
    }
}
