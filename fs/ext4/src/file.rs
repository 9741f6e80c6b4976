// SPDX-License-Identifier: GPL-2.0
//! Open regular files: through the page cache, `fsync`, `fallocate`, holes.

use crate::direct;
use crate::inode_ops::write_attributes;
use crate::mounted::{Mounted, parts};
use crate::node::Node;
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::EINVAL;
use kalloc::Arc;
use kernel::filesystem::mm::{Mapping, MmapRequest, WriteControl};
use kernel::filesystem::mm_alloc::PAGE_SIZE;
use kernel::filesystem::vfs::file::PushPage;
use kernel::filesystem::vfs::filemap::{generic_read, generic_splice_read, generic_write};
use kernel::filesystem::vfs::kiocb::Kiocb;
use kernel::filesystem::vfs::{File, FileOps, Inode, IovIter, fmode, idirty, iop, seek};

/// An open regular file. It has no state of its own.
pub(crate) struct RegFile;

#[inline(always)]
fn mapping(file: &File) -> Result<&Arc<Mapping>> {
    file.inode().mapping().ok_or(EINVAL)
}

impl FileOps for RegFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        parts(file.inode())?.1.base.health.usable()?;
        if direct::wanted(file.flags(), file.inode())? {
            return direct::read(file, mapping(file)?, to, pos);
        }
        generic_read(file, mapping(file)?, to, pos)
    }

    fn splice_read(&self, file: &File, pos: &mut i64, len: usize, push: PushPage<'_>) -> Option<Result<usize>> {
        // `read` has its errors; and what is read past the cache is not in it.
        if !parts(file.inode()).is_ok_and(|(_, mount)| mount.base.health.usable().is_ok())
            || file.flags().any(uapi::O_DIRECT)
        {
            return None;
        }
        Some(mapping(file).and_then(|mapping| generic_splice_read(file, mapping, pos, len, push)))
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let (node, mount) = parts(file.inode())?;
        if mount.base.health.is_dead() {
            return Err(errno::code::EIO);
        }
        // Made read-only under the feet of who had it open (a system request).
        if mount.core.read_only() {
            return Err(errno::code::EROFS);
        }
        mount.wait_thawed();
        if file.inode().iflags() & iop::SWAPFILE != 0 {
            return Err(errno::code::ETXTBSY);
        }
        let done = if direct::wanted(file.flags(), file.inode())? {
            direct::write(file, mapping(file)?, from, pos)?
        } else {
            generic_write(file, mapping(file)?, from, pos)?
        };
        if done != 0 && writes_at_once(node, mount) {
            let end = pos.cast_unsigned();
            let page = |at: u64| at / PAGE_SIZE as u64;
            let mut range = WriteControl::sync(page(end.saturating_sub(done as u64)), page(end - 1));
            mapping(file)?.write_pages(&mut range)?;
        }
        if node.shared.write_through.load(Ordering::Relaxed) && done != 0 {
            file.fsync(false)?;
        }
        Ok(done)
    }

    fn llseek(&self, file: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        match whence {
            uapi::SEEK_DATA | uapi::SEEK_HOLE => {
                let found = crate::fallocate::seek(file.inode(), offset, whence == uapi::SEEK_HOLE)?;
                *pos = found;
                Ok(found)
            }
            _ => seek::generic(file, pos, offset, whence),
        }
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn fsync(&self, file: &File, datasync: bool) -> Result {
        let inode = file.inode();
        mapping(file)?.write_and_wait(0, u64::MAX)?;
        sync_inode(inode, datasync)
    }

    fn can_submit(&self, file: &File) -> bool {
        file.flags().any(uapi::O_DIRECT)
    }

    fn submit_direct(&self, file: &File, iter: &mut IovIter<'_>, kiocb: Kiocb) -> Option<Kiocb> {
        direct::submit(file, iter, kiocb)
    }

    fn poll_direct(&self, file: &File) -> Option<usize> {
        direct::poll(file)
    }

    fn fallocate(&self, file: &File, mode: u32, offset: u64, len: u64) -> Result {
        crate::fallocate::fallocate(file, mode, offset, len)
    }

    fn check_flags(&self, _file: &File, _flags: u32) -> Result {
        // All flags can be had, `O_DIRECT` too.
        Ok(())
    }

    fn mapping<'a>(&'a self, file: &'a File) -> Option<&'a Arc<Mapping>> {
        mapping(file).ok()
    }

    fn mmap(&self, file: &File, _request: &MmapRequest) -> Result {
        parts(file.inode())?.1.base.health.usable()
    }

    fn ioctl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        crate::ioctl::ioctl(file, cmd, arg)
    }

    fn release(&self, file: &File) {
        if file.mode() & fmode::WRITE != 0
            && let Ok((node, mount)) = parts(file.inode())
        {
            if node.shared.flush_on_close.swap(false, Ordering::AcqRel) {
                start_writing(file.inode());
            }
            let mut tree = node.shared.tree.write();
            if !tree.delayed.is_empty() && file.inode().writers() <= 1 {
                // Nobody can store behind the end of the file any more: space kept for that waits for nothing. What cannot be
                // told apart for want of memory stays reserved.
                let past = u32::try_from(mount.core.blocks_of(file.inode().size())).unwrap_or(u32::MAX);
                let _ = node.shared.unreserve(&mut tree, past, u32::MAX);
            }
            if tree.delayed.is_empty() {
                mount.core.discard_preallocations(&mut tree.inode);
            }
        }
    }
}

/// Whether what is written is to be in a transaction before the call is over: journalled data, so that it is there no later than what
/// the program does next; without delayed allocation the blocks of files whose map cannot say that they are not written yet.
fn writes_at_once(node: &Node, mount: &Mounted) -> bool {
    node.shared.is_journaled() || (!mount.delays() && !node.shared.tree.read().inode.uses_extents())
}

/// Has what is known of an inode on the disk: its attributes, and the transaction that changed it last.
pub(crate) fn sync_inode(inode: &Inode, datasync: bool) -> Result {
    let (node, mount) = parts(inode)?;
    mount.base.health.usable()?;
    if mount.core.read_only() {
        return Ok(());
    }
    let wanted = if datasync { idirty::DATASYNC } else { idirty::INODE | idirty::TIME };
    if inode.dirty_flags() & wanted != 0 {
        inode.clear_dirty(idirty::INODE | idirty::TIME);
        write_attributes(inode, true)?;
    }
    let Some(journal) = mount.journal() else {
        mount.base.cache.sync()?;
        return mount.base.cache.device.flush_cache();
    };
    let tid = if datasync { &node.shared.datasync_tid } else { &node.shared.sync_tid };
    let tid = tid.load(Ordering::Acquire);
    // A commit that is over, or under way, flushed the device's cache too early for data written just now.
    let flush = tid == 0 || !journal.will_flush(tid);
    if tid != 0 {
        journal.wait_commit(tid)?;
    }
    if flush { mount.base.cache.device.flush_cache() } else { Ok(()) }
}

/// Begins to write what is dirty, so that names and sizes do not reach the disk long before the data. Errors are found by
/// `fsync`.
pub(crate) fn start_writing(inode: &Inode) {
    if let Some(mapping) = inode.mapping() {
        let _ = mapping.write_pages(&mut WriteControl::background(i64::MAX));
    }
}
