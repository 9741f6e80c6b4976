// SPDX-License-Identifier: GPL-2.0
//! Open regular files. There are no holes: what lies between the end and a write behind it becomes zeros. Locks: the inode's, around
//! writing and changing the size.

use crate::inode_ops::dirty;
use crate::node::{Node, Shared};
use kalloc::Arc;
use kernel::filesystem::mm::{Mapping, WriteControl, throttle::balance_dirty};
use kernel::filesystem::mm_alloc::{PAGE_SIZE, Page};
use kernel::filesystem::vfs::attr::may_grow;
use kernel::filesystem::vfs::file::PushPage;
use kernel::filesystem::vfs::filemap::{generic_read, generic_splice_read, write_limit, write_page};
use kernel::filesystem::vfs::{File, FileOps, Inode, IovIter, SuperDevice, fmode, idirty};
use kernel::prelude::*;

/// An open regular file. It has no state of its own.
pub(crate) struct RegFile;

fn mapping(inode: &Inode) -> Result<&Arc<Mapping>> {
    inode.mapping().ok_or(EINVAL)
}

/// The file is `size` bytes long now.
fn set_end(inode: &Inode, mapping: &Mapping, size: u64) {
    mapping.set_size(size);
    inode.set_size(size);
    inode.mark_dirty(idirty::DATASYNC);
}

/// Makes the file longer, up to `to`, by zeros. The inode's lock is held. ENOSPC: as far as it went.
fn fill_up(inode: &Inode, to: u64) -> Result {
    let mapping = mapping(inode)?;
    let mut at = inode.size();
    while at < to {
        let offset = (at % PAGE_SIZE as u64) as usize;
        let n = usize::try_from(to - at).unwrap_or(PAGE_SIZE).min(PAGE_SIZE - offset);
        mapping.ops().prepare_write(at, n)?;
        let index = at / PAGE_SIZE as u64;
        let page = match offset {
            0 => mapping.add_new(index, Page::alloc_zeroed(GFP_KERNEL)?)?,
            _ => mapping.get_or_read(index)?,
        };
        // To the end of the page: a program may have left something there in mapped memory.
        page.fill(offset, PAGE_SIZE - offset, 0)?;
        mapping.set_dirty_range(index, &page, offset, offset + n);
        at += n as u64;
        set_end(inode, mapping, at);
        balance_dirty(mapping, 1);
    }
    Ok(())
}

/// Makes the file `clusters` long at most.
pub(crate) fn cut_chain(shared: &Shared, clusters: u32) -> Result {
    let cut = shared.chain.lock().cut(&shared.mounted, clusters, false);
    shared.set_allocated(clusters);
    cut
}

/// Makes the file `size` bytes long. The inode's lock is held.
pub(crate) fn set_size(inode: &Inode, shared: &Shared, size: u64) -> Result {
    if shared.is_dir {
        return Err(EISDIR);
    }
    let old = inode.size();
    resize(inode, shared, size)?;
    if inode.sb().flags() & uapi::MS_SYNCHRONOUS != 0 {
        mapping(inode)?.write_and_wait(old.min(size), u64::MAX)?;
        shared.write(inode, false)?;
        SuperDevice::sync(&*shared.mounted.device)?;
    }
    Ok(())
}

fn resize(inode: &Inode, shared: &Shared, size: u64) -> Result {
    shared.mark_changed();
    if size > inode.size() {
        let filled = fill_up(inode, size);
        inode.touch_mtime();
        return filled;
    }
    let mapping = mapping(inode)?;
    let _guard = mapping.invalidate_lock();
    inode.set_size(size);
    mapping.truncate(size);
    dirty(inode);
    cut_chain(shared, shared.clusters(size))
}

/// Writes to the cache. Returns where it came to.
fn write_locked(file: &File, shared: &Shared, from: &mut IovIter<'_>, pos: i64) -> Result<(u64, u64)> {
    let inode = file.inode();
    let mapping = mapping(inode)?;
    shared.mounted.writable()?;
    let pos = if file.appends(pos) { inode.size() } else { u64::try_from(pos).map_err(|_| EINVAL)? };
    from.truncate(write_limit(inode, pos, from.count())?);
    if pos > inode.size() {
        fill_up(inode, pos)?;
    }
    if pos.saturating_add(from.count() as u64) > inode.size() {
        // What a program left behind the end in mapped memory is no part of the file.
        mapping.clear_partial(inode.size(), PAGE_SIZE);
    }
    let mut at = pos;
    while from.count() != 0 {
        let written = write_page(mapping, from, at).and_then(|n| if n == 0 { Err(EFAULT) } else { Ok(n) });
        match written {
            Ok(n) => at += n as u64,
            Err(error) if at == pos => return Err(error),
            Err(_) => break,
        }
        if at > inode.size() {
            set_end(inode, mapping, at);
        }
    }
    shared.mark_changed();
    inode.touch_mtime();
    Ok((pos, at))
}

impl FileOps for RegFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        generic_read(file, mapping(file.inode())?, to, pos)
    }

    fn splice_read(&self, file: &File, pos: &mut i64, len: usize, push: PushPage<'_>) -> Option<Result<usize>> {
        Some(mapping(file.inode()).and_then(|mapping| generic_splice_read(file, mapping, pos, len, push)))
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let inode = file.inode();
        if from.count() == 0 {
            return Ok(0);
        }
        let (start, end) = {
            let _lock = inode.lock.write();
            write_locked(file, &Node::of(inode)?.shared, from, *pos)?
        };
        *pos = end.cast_signed();
        let pages = (end - start) / PAGE_SIZE as u64 + 1;
        balance_dirty(mapping(inode)?, u32::try_from(pages).unwrap_or(u32::MAX));
        let sync = inode.sb().flags() & uapi::MS_SYNCHRONOUS != 0;
        if sync || file.flags().any(uapi::O_DSYNC) {
            file.fsync(!sync && !file.flags().has(uapi::O_SYNC))?;
        }
        Ok((end - start) as usize)
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn fsync(&self, file: &File, datasync: bool) -> Result {
        let inode = file.inode();
        inode.write_and_wait(0, u64::MAX, datasync)?;
        // The table and the directory.
        SuperDevice::sync(&*Node::of(inode)?.shared.mounted.device)
    }

    fn fallocate(&self, file: &File, mode: u32, offset: u64, len: u64) -> Result {
        if mode & !uapi::FALLOC_FL_KEEP_SIZE != 0 {
            return Err(EOPNOTSUPP);
        }
        let inode = file.inode();
        let shared = &Node::of(inode)?.shared;
        let _lock = inode.lock.write();
        shared.mounted.writable()?;
        let end = offset.checked_add(len).ok_or(EFBIG)?;
        if mode & uapi::FALLOC_FL_KEEP_SIZE == 0 {
            if end <= inode.size() {
                return Ok(());
            }
            may_grow(inode, end)?;
            return set_size(inode, shared, end);
        }
        let known = shared.chain.lock().grow(&shared.mounted, shared.clusters(end))?;
        shared.set_allocated(known);
        dirty(inode);
        Ok(())
    }

    fn mapping<'a>(&'a self, file: &'a File) -> Option<&'a Arc<Mapping>> {
        file.inode().mapping()
    }

    fn ioctl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        crate::ioctl::ioctl(file, cmd, arg)
    }

    fn release(&self, file: &File) {
        let Ok(node) = Node::of(file.inode()) else { return };
        let mounted = &node.shared.mounted;
        if file.mode() & fmode::WRITE != 0 && mounted.options.flush {
            // So that a stick can be pulled soon. Errors of pages are found by `fsync`, others by `syncfs`.
            if let Some(mapping) = file.inode().mapping() {
                let _ = mapping.write_pages(&mut WriteControl::start(0, u64::MAX));
            }
            let written = node.shared.write(file.inode(), false);
            if let Err(error) = written.and(mounted.cache().write_all()) {
                file.inode().sb().errors().set(error);
            }
        }
    }
}
