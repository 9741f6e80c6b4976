// SPDX-License-Identifier: GPL-2.0
//! Regular files: the page cache is all there is of them.

use crate::inode::{Kind, Node};
use crate::limits::Limits;
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use mm::{Mapping, MappingOps, MmapRequest};
use mm_alloc::Page;
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use vfs::attr::may_grow;
use vfs::file::PushPage;
use vfs::filemap::{generic_read, generic_splice_read, generic_write, write_limit};
use vfs::{File, FileOps, IovIter, fmode};

/// Counts a file's pages against the file system's limit.
pub(crate) struct Pages(pub(crate) Arc<Limits>);

impl MappingOps for Pages {
    fn read_page(&self, _index: u64, page: &Page) -> Result {
        page.zero();
        Ok(())
    }

    fn is_memory(&self) -> bool {
        true
    }

    fn charge(&self, pages: u64) -> Result {
        self.0.pages.charge(pages)
    }

    fn uncharge(&self, pages: u64) {
        self.0.pages.uncharge(pages);
    }
}

/// An open regular file. It has no state of its own.
pub(crate) struct RegFile;

#[inline(always)]
fn node(file: &File) -> Result<&Node> {
    file.inode().private::<Node>().ok_or(EINVAL)
}

#[inline(always)]
fn mapping(file: &File) -> Result<&Arc<Mapping>> {
    node(file)?.mapping().ok_or(EINVAL)
}

impl FileOps for RegFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        generic_read(file, mapping(file)?, to, pos)
    }

    fn splice_read(&self, file: &File, pos: &mut i64, len: usize, push: PushPage<'_>) -> Option<Result<usize>> {
        Some(mapping(file).and_then(|mapping| generic_splice_read(file, mapping, pos, len, push)))
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let node = node(file)?;
        let seals = node.seals();
        if seals & (uapi::F_SEAL_WRITE | uapi::F_SEAL_FUTURE_WRITE | uapi::F_SEAL_GROW) != 0 {
            check_seals(file, seals, *pos, from)?;
        }
        generic_write(file, node.mapping().ok_or(EINVAL)?, from, pos)
    }

    fn llseek(&self, file: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        match whence {
            uapi::SEEK_DATA | uapi::SEEK_HOLE => {
                *pos = seek_data(file, offset, whence == uapi::SEEK_DATA)?;
                Ok(*pos)
            }
            _ => vfs::seek::generic(file, pos, offset, whence),
        }
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn fsync(&self, _: &File, _: bool) -> Result {
        // Memory is where the file lives.
        Ok(())
    }

    fn fallocate(&self, file: &File, mode: u32, offset: u64, len: u64) -> Result {
        fallocate(file, mode, offset, len)
    }

    fn mapping<'a>(&'a self, file: &'a File) -> Option<&'a Arc<Mapping>> {
        mapping(file).ok()
    }

    fn mmap(&self, file: &File, request: &MmapRequest) -> Result {
        let seals = node(file)?.seals();
        if request.shared && request.write && seals & (uapi::F_SEAL_WRITE | uapi::F_SEAL_FUTURE_WRITE) != 0 {
            return Err(EPERM);
        }
        Ok(())
    }

    fn fcntl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        match cmd {
            uapi::F_GET_SEALS => Ok(node(file)?.seals() as usize),
            uapi::F_ADD_SEALS => add_seals(file, arg as u32),
            uapi::F_GETPIPE_SZ | uapi::F_SETPIPE_SZ => Err(EBADF),
            _ => Err(EINVAL),
        }
    }
}

/// A write to a sealed file, if there is something to write and the limits allow that: as much as comes before a page that it may not
/// write.
#[cold]
fn check_seals(file: &File, seals: u32, pos: i64, from: &mut IovIter<'_>) -> Result {
    if from.count() == 0 {
        return Ok(());
    }
    let size = file.inode().size();
    let pos = if file.appends(pos) { size } else { pos.cast_unsigned() };
    let count = write_limit(file.inode(), pos, from.count())?;
    if seals & (uapi::F_SEAL_WRITE | uapi::F_SEAL_FUTURE_WRITE) != 0 {
        return Err(EPERM);
    }
    if pos.saturating_add(count as u64) <= size {
        return Ok(());
    }
    let within = (size & !(PAGE_SIZE as u64 - 1)).checked_sub(pos).filter(|left| *left != 0).ok_or(EPERM)?;
    from.truncate(usize::try_from(within).unwrap_or(usize::MAX));
    Ok(())
}

fn add_seals(file: &File, add: u32) -> Result<usize> {
    const KNOWN: u32 =
        uapi::F_SEAL_SEAL | uapi::F_SEAL_SHRINK | uapi::F_SEAL_GROW | uapi::F_SEAL_WRITE | uapi::F_SEAL_FUTURE_WRITE;
    if file.mode() & fmode::WRITE == 0 {
        return Err(EPERM);
    }
    if add & !KNOWN != 0 {
        return Err(EINVAL);
    }
    let Kind::Reg { mapping, seals } = &node(file)?.kind else { return Err(EINVAL) };
    let _lock = file.inode().lock.write();
    let now = seals.load(Ordering::Acquire);
    if now & uapi::F_SEAL_SEAL != 0 {
        return Err(EPERM);
    }
    if add & uapi::F_SEAL_WRITE != 0 && now & uapi::F_SEAL_WRITE == 0 && mapping.is_mapped() {
        return Err(EBUSY);
    }
    seals.store(now | add, Ordering::Release);
    Ok(0)
}

/// The next data (or hole) at or after `offset`.
fn seek_data(file: &File, offset: i64, data: bool) -> Result<i64> {
    let size = file.inode().size();
    if offset < 0 || offset.cast_unsigned() >= size {
        return Err(ENXIO);
    }
    let from = offset.cast_unsigned();
    // First page of the kind wanted; page numbers come in order.
    let mut index = from >> PAGE_SHIFT;
    let mut found = None;
    mapping(file)?.for_each_used(index, |at, used| {
        if data {
            if used {
                found = Some(at);
            }
            return !used;
        }
        if at != index || !used {
            return false;
        }
        index += 1;
        true
    });
    let place = match (data, found) {
        (true, Some(at)) => at << PAGE_SHIFT,
        (true, None) => return Err(ENXIO),
        (false, _) => index << PAGE_SHIFT,
    };
    let place = place.max(from);
    match (data, place >= size) {
        (true, true) => Err(ENXIO),
        (false, true) => Ok(size.cast_signed()),
        _ => Ok(place.cast_signed()),
    }
}

fn fallocate(file: &File, mode: u32, offset: u64, len: u64) -> Result {
    if mode & !(uapi::FALLOC_FL_KEEP_SIZE | uapi::FALLOC_FL_PUNCH_HOLE) != 0 {
        return Err(EOPNOTSUPP);
    }
    let node = node(file)?;
    let mapping = node.mapping().ok_or(EINVAL)?;
    let inode = file.inode();
    let _lock = inode.lock.write();
    let end = offset.checked_add(len).ok_or(EFBIG)?;
    let seals = node.seals();
    if mode & uapi::FALLOC_FL_PUNCH_HOLE != 0 {
        if seals & (uapi::F_SEAL_WRITE | uapi::F_SEAL_FUTURE_WRITE) != 0 {
            return Err(EPERM);
        }
        mapping.punch(offset, end);
        inode.touch_mtime();
        return Ok(());
    }
    let beyond = end > inode.size();
    // Also if the size is to stay.
    may_grow(inode, end)?;
    if beyond && seals & uapi::F_SEAL_GROW != 0 {
        return Err(EPERM);
    }
    let (first, last) = (offset >> PAGE_SHIFT, end.div_ceil(PAGE_SIZE as u64));
    let room = node.limits.pages.max();
    if room != 0 && last - first > room {
        return Err(ENOSPC);
    }
    populate(mapping, first, last)?;
    if beyond && mode & uapi::FALLOC_FL_KEEP_SIZE == 0 {
        inode.set_size(end);
        mapping.set_size(end);
    }
    inode.touch_ctime();
    Ok(())
}

/// Keeps pages for where none are, all of `[first, last)` or, after an error, none.
fn populate(mapping: &Mapping, first: u64, last: u64) -> Result {
    // Stretches of pages that were not there before.
    let mut added: KVec<(u64, u64)> = KVec::new();
    let mut result = Ok(());
    for index in first..last {
        // Room for the note first: what is kept must not be forgotten.
        result =
            added.reserve(1, GFP_KERNEL).map_err(Into::into).and_then(|()| mapping.preallocate(index)).map(|new| {
                match added.last_mut() {
                    _ if !new => {}
                    Some(stretch) if stretch.1 == index => stretch.1 = index + 1,
                    _ => drop(added.push_within_capacity((index, index + 1))),
                }
            });
        if result.is_ok() && task::current().signal_pending() {
            result = Err(EINTR);
        }
        if result.is_err() {
            break;
        }
    }
    if result.is_err() {
        for &(from, to) in added.iter() {
            // A program that has the file mapped may use some already.
            mapping.forget_kept(from, to - 1);
        }
    }
    result
}
