// SPDX-License-Identifier: GPL-2.0
//! Open files: reading, writing and mapping go to the file of a layer, whose pages are shared by all overlays over it. A file that was
//! opened for reading in a lower layer goes on in the upper one as soon as there is a copy; what is mapped stays.

use crate::merge::{self, List};
use crate::node::{Node, node, refresh};
use kalloc::Arc;
use kernel::filesystem::locking::SetOnce;
use kernel::filesystem::mm::{Mapping, MmapRequest};
use kernel::filesystem::sync::Mutex;
use kernel::filesystem::vfs::namei::kernel::kernel_open_real;
use kernel::filesystem::vfs::times::touch_atime;
use kernel::filesystem::vfs::{DirContext, File, FileOps, IovIter, OpenFlags, fmode, seek};
use kernel::prelude::*;

/// An open directory.
pub(crate) struct DirFile {
    list: Mutex<Option<List>>,
}

impl DirFile {
    pub(crate) fn new() -> Self {
        Self { list: Mutex::new(None) }
    }
}

impl FileOps for DirFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn iterate(&self, file: &File, context: &mut DirContext<'_>) -> Result {
        let mut kept = self.list.lock();
        if context.pos == 0 || kept.is_none() {
            *kept = Some(merge::numbered(node(file.inode())?, file)?);
        }
        if !context.emit_dots(file) {
            return Ok(());
        }
        let Some(list) = &*kept else { return Err(EIO) };
        let from = usize::try_from(context.pos - 2).map_err(|_| EINVAL)?;
        for (index, name, ino, kind) in list.from(from) {
            if !context.emit(name, ino, kind, index as i64 + 3) {
                break;
            }
        }
        Ok(())
    }

    fn llseek(&self, _: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        seek::directory(pos, offset, whence, None)
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn fsync(&self, file: &File, datasync: bool) -> Result {
        let node = node(file.inode())?;
        match node.upper_path()? {
            Some(path) if node.fs.syncs()? => {
                kernel_open_real(path, uapi::O_RDONLY | uapi::O_DIRECTORY)?.fsync(datasync)
            }
            _ => Ok(()),
        }
    }
}

/// An open regular file.
pub(crate) struct RegFile {
    first: Arc<File>,
    /// Of the upper layer, if it was copied since.
    later: SetOnce<Arc<File>>,
}

/// Flags that a file of a layer is opened with. Its access time is ours to move.
fn layer_flags(node: &Node, flags: OpenFlags) -> u32 {
    const GONE: u32 = uapi::O_CREAT | uapi::O_EXCL | uapi::O_NOCTTY | uapi::O_TRUNC | uapi::O_NOFOLLOW;
    // `O_SYNC` has the bit of `O_DSYNC`.
    let unsynced = if node.fs.options.volatile { uapi::O_SYNC } else { 0 };
    flags.0 & !(GONE | unsynced) | uapi::O_NOATIME | uapi::O_LARGEFILE
}

impl RegFile {
    pub(crate) fn open(node: &Node, flags: OpenFlags) -> Result<Self> {
        let first = kernel_open_real(node.real_path()?, layer_flags(node, flags))?;
        Ok(Self { first, later: SetOnce::new() })
    }

    /// The file of the layer that it is in now.
    fn real(&self, file: &File) -> Result<&Arc<File>> {
        let node = node(file.inode())?;
        let real = if Arc::ptr_eq(self.first.inode(), node.real()?) {
            &self.first
        } else {
            if self.later.get().is_none() {
                // A lost race gives the file back: the winner's is as good.
                drop(self.later.set(kernel_open_real(node.real_path()?, layer_flags(node, file.flags()))?));
            }
            self.later.get().ok_or(EIO)?
        };
        const CHANGES: u32 = uapi::O_APPEND | uapi::O_NONBLOCK | uapi::O_DIRECT;
        if (real.flags().0 ^ file.flags().0) & CHANGES != 0 {
            real.change_flags(file.flags().0, CHANGES);
        }
        Ok(real)
    }
}

impl FileOps for RegFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let real = self.real(file)?;
        let done = real.ops().read(real, to, pos)?;
        let node = node(file.inode())?;
        if done != 0 && node.upper.get().is_some() && !file.flags().any(uapi::O_NOATIME) {
            touch_atime(&file.path().mnt, real.inode());
            file.inode().atime.set(real.inode().atime.get());
        }
        Ok(done)
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let real = self.real(file)?;
        let inode = file.inode();
        let _lock = inode.lock.write();
        let done = real.ops().write(real, from, pos);
        refresh(inode);
        done
    }

    fn llseek(&self, file: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        let real = self.real(file)?;
        real.ops().llseek(real, pos, offset, whence)
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn flush(&self, file: &File) -> Result {
        let real = self.real(file)?;
        real.ops().flush(real)
    }

    fn fsync(&self, file: &File, datasync: bool) -> Result {
        let node = node(file.inode())?;
        if node.upper.get().is_none() || !node.fs.syncs()? {
            return Ok(());
        }
        self.real(file)?.fsync(datasync)
    }

    fn fallocate(&self, file: &File, mode: u32, offset: u64, len: u64) -> Result {
        let real = self.real(file)?;
        let _lock = file.inode().lock.write();
        let done = real.ops().fallocate(real, mode, offset, len);
        refresh(file.inode());
        done
    }

    fn check_flags(&self, file: &File, flags: u32) -> Result {
        let real = self.real(file)?;
        real.ops().check_flags(real, flags)
    }

    fn mapping<'a>(&'a self, file: &'a File) -> Option<&'a Arc<Mapping>> {
        let real = self.real(file).ok()?;
        real.ops().mapping(real)
    }

    fn mmap(&self, file: &File, request: &MmapRequest) -> Result {
        let real = self.real(file)?;
        real.ops().mmap(real, request)
    }

    fn stored(&self, file: &File) {
        if let Ok(real) = self.real(file) {
            real.ops().stored(real);
            refresh(file.inode());
        }
    }
}
