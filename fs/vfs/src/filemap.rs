// SPDX-License-Identifier: GPL-2.0
//! Reading and writing through the page cache, for file systems whose regular files are an `mm::Mapping`; and open files as
//! memory maps see them. Locks: the inode's `lock`, exclusively, around a write; none around a read.

use crate::attr::remove_privileges;
use crate::disk_inode::idirty;
use crate::file::{File, PushPage, fmode};
use crate::hooks::send_current;
use crate::inode::{Inode, iop};
use core::fmt::Write;
use errno::{Result, code::*};
use kalloc::flags::{GFP_HIGHUSER_MOVABLE, GFP_KERNEL};
use kalloc::{Arc, KVec};
use mm::{Mapping, MmapRequest, VmFile};
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use mm_alloc::{Page, PageFlags};
use x86_mm::uaccess::IovIter;

/// Reads from the cache. Holes of memory-only files give zeros without taking memory. May sleep.
pub fn generic_read(file: &File, mapping: &Mapping, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    if *pos < 0 {
        return Err(EINVAL);
    }
    let mut at = pos.cast_unsigned();
    let mut done = 0;
    // At the end there is nothing to read, but the file is looked at all the same.
    let looks = to.count() != 0 || mapping.is_memory();
    while to.count() != 0 {
        let size = mapping.size();
        if at >= size {
            break;
        }
        let offset = at as usize % PAGE_SIZE;
        let want = (PAGE_SIZE - offset).min(to.count()).min(usize::try_from(size - at).unwrap_or(usize::MAX));
        let page = match page_for(file, mapping, at, to.count()) {
            Ok(page) => page,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        };
        let n = match &page {
            Some(page) => {
                // Several reads of one page in a row are one use.
                let watched = match mapping.is_memory() {
                    true => mm::swap::is_watching(),
                    false => !file.ra.is_once() && (offset == 0 || done != 0 || !file.ra.was_last(at >> PAGE_SHIFT)),
                };
                if watched {
                    page.mark_accessed();
                }
                to.copy_page_to_iter(page, offset, want)
            }
            None => to.zero(want),
        };
        at += n as u64;
        done += n;
        if n < want {
            if done == 0 {
                return Err(EFAULT);
            }
            break;
        }
        if to.count() != 0 && mm::throttle::dies() {
            break;
        }
    }
    *pos = at.cast_signed();
    if done != 0 && !mapping.is_memory() {
        file.ra.set_prev(at - 1);
    }
    if looks {
        file.accessed();
    }
    Ok(done)
}

/// [`FileOps::splice_read`](crate::FileOps::splice_read) of a file in the page cache. A hole of a memory-only file gives a page of its own.
pub fn generic_splice_read(
    file: &File,
    mapping: &Mapping,
    pos: &mut i64,
    len: usize,
    push: PushPage<'_>,
) -> Result<usize> {
    if *pos < 0 || pos.checked_add_unsigned(len as u64).is_none() {
        return Err(EINVAL);
    }
    let mut at = pos.cast_unsigned();
    let mut done = 0;
    while done < len {
        let size = mapping.size();
        if at >= size {
            break;
        }
        let offset = at as usize % PAGE_SIZE;
        let n = (PAGE_SIZE - offset).min(len - done).min(usize::try_from(size - at).unwrap_or(usize::MAX));
        let found = page_for(file, mapping, at, len - done);
        let page = match found.and_then(|page| page.map_or_else(|| Page::alloc_zeroed(GFP_KERNEL), Ok)) {
            Ok(page) => page,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        };
        if !mapping.is_memory() || mm::swap::is_watching() {
            page.mark_accessed();
        }
        at += n as u64;
        done += n;
        if !push(page, offset, n) {
            break;
        }
    }
    *pos = at.cast_signed();
    file.accessed();
    if done != 0 {
        if !mapping.is_memory() {
            file.ra.set_prev(at - 1);
        }
        crate::notify::file_event(file, uapi::IN_ACCESS);
    }
    Ok(done)
}

/// The page with byte `at`; `None` for a hole of a memory-only file.
#[inline(always)]
fn page_for(file: &File, mapping: &Mapping, at: u64, count: usize) -> Result<Option<Page>> {
    let index = at >> PAGE_SHIFT;
    match mapping.find(index) {
        Some(page) if page.is_ready() => Ok(Some(page)),
        // Only kept for the file: a hole still.
        Some(_) if mapping.is_memory() => Ok(None),
        None if mapping.is_memory() => Ok(mapping.present(index)?.filter(Page::is_ready)),
        page => read_page(file, mapping, index, pages_of(at, count), page).map(Some),
    }
}

/// Pages that `count` bytes from `at` on touch.
fn pages_of(at: u64, count: usize) -> u64 {
    let last = at.saturating_add((count as u64).saturating_sub(1)) >> PAGE_SHIFT;
    last - (at >> PAGE_SHIFT) + 1
}

/// A page that is missing, on its way, or marked: reads ahead and waits for it.
#[cold]
#[inline(never)]
fn read_page(file: &File, mapping: &Mapping, index: u64, wanted: u64, page: Option<Page>) -> Result<Page> {
    match page {
        Some(page) => {
            if page.has(PageFlags::READAHEAD) {
                mapping.readahead_marked(&file.ra, &page, index, wanted);
            }
        }
        None => mapping.readahead_missing(&file.ra, index, wanted),
    }
    mapping.get_or_read(index)
}

/// How much of a write at `pos` the limits allow: `EFBIG` (with `SIGXFSZ`) if nothing.
pub fn write_limit(inode: &Inode, pos: u64, count: usize) -> Result<usize> {
    let limit = rlimit::current(uapi::RLIMIT_FSIZE);
    let mut count = count;
    if limit != rlimit::INFINITY {
        if pos >= limit {
            send_current(uapi::SIGXFSZ);
            return Err(EFBIG);
        }
        count = count.min(usize::try_from(limit - pos).unwrap_or(usize::MAX));
    }
    let max = inode.sb().max_bytes;
    if pos >= max {
        return Err(EFBIG);
    }
    Ok(count.min(usize::try_from(max - pos).unwrap_or(usize::MAX)))
}

/// Writes to the cache, extending the file. Takes the inode's `lock`. May sleep. `ENOSPC`, `EFBIG`, `EFAULT`.
pub fn generic_write(file: &File, mapping: &Mapping, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    let inode = file.inode();
    let lock = inode.lock.write();
    if from.count() == 0 {
        return Ok(0);
    }
    if file.appends(*pos) {
        *pos = inode.size().cast_signed();
    }
    if *pos < 0 {
        return Err(EINVAL);
    }
    let mut at = pos.cast_unsigned();
    from.truncate(write_limit(inode, at, from.count())?);
    remove_privileges(inode)?;
    inode.touch_mtime();
    let mut done = 0;
    let old_size = inode.size();
    if !mapping.is_memory() && at > old_size {
        mapping.ops().clear_behind_end(mapping, old_size)?;
    }
    let (mut prepared, mut result) = (Prepared::at(at), Ok(()));
    while from.count() != 0 {
        if done != 0 && mm::throttle::dies() {
            break;
        }
        match write_prepared(mapping, from, at, &mut prepared) {
            Ok(0) => {
                result = Err(EFAULT);
                break;
            }
            Ok(n) => {
                at += n as u64;
                done += n;
                if at > inode.size() {
                    extend(inode, mapping, at);
                }
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    if prepared.asked > at {
        mapping.ops().cancel_write(mapping, at, prepared.asked);
    }
    if done == 0 {
        result?;
    }
    *pos = at.cast_signed();
    drop(lock);
    finish_write(file, mapping, at - done as u64, done)?;
    Ok(done)
}

/// The file is longer now.
fn extend(inode: &Inode, mapping: &Mapping, size: u64) {
    mapping.set_size(size);
    inode.set_size(size);
    inode.mark_dirty(idirty::DATASYNC);
}

/// After a write of `done` bytes at `start`, without locks: waits if too much is dirty, and writes through for `O_SYNC`.
fn finish_write(file: &File, mapping: &Mapping, start: u64, done: usize) -> Result {
    if mapping.is_memory() || done == 0 {
        return Ok(());
    }
    mm::throttle::balance_dirty(mapping, pages_of(start, done) as u32);
    let sync = file.inode().sb().flags() & uapi::MS_SYNCHRONOUS != 0;
    if sync || file.flags().any(uapi::O_DSYNC) {
        // `O_SYNC` holds `O_DSYNC` and a bit of its own.
        file.fsync(!sync && !file.flags().has(uapi::O_SYNC))?;
    }
    Ok(())
}

/// Writes what fits into the page at `at`; returns how much (0: the program's memory faulted). Whoever could truncate the file is kept
/// out by the caller. For files whose writes differ from [`generic_write`] (block devices), and that are prepared page by page. May sleep.
pub fn write_page(mapping: &Mapping, from: &mut IovIter<'_>, at: u64) -> Result<usize> {
    write_prepared(mapping, from, at, &mut Prepared::at(at))
}

/// What the file system was told of a write to come.
struct Prepared {
    /// Up to here there is space.
    to: u64,
    /// Up to here space was asked for beyond a page: some of it may be there.
    asked: u64,
}

impl Prepared {
    fn at(at: u64) -> Self {
        Self { to: at, asked: at }
    }

    /// Prepares `want` bytes at `at`, and as many of the `count` as can be had with them.
    fn prepare(&mut self, mapping: &Mapping, at: u64, want: usize, count: usize) -> Result {
        let ops = mapping.ops();
        let most = if count > want && at >= self.asked { ops.prepare_most().min(count) } else { want };
        if most > want {
            self.asked = at + most as u64;
            if ops.prepare_write(at, most).is_ok() {
                self.to = self.asked;
                return Ok(());
            }
        }
        // With little space left page by page: what there is room for is written.
        ops.prepare_write(at, want)?;
        self.to = at + want as u64;
        Ok(())
    }
}

/// As `write_page`, with what was prepared before.
fn write_prepared(mapping: &Mapping, from: &mut IovIter<'_>, at: u64, prepared: &mut Prepared) -> Result<usize> {
    let offset = at as usize % PAGE_SIZE;
    let index = at >> PAGE_SHIFT;
    let want = (PAGE_SIZE - offset).min(from.count());
    let there = mapping.get(index);
    if !mapping.is_memory() && at + want as u64 > prepared.to {
        let dirty = there.as_ref().is_some_and(|page| page.has(PageFlags::DIRTY));
        if !(dirty && mapping.ops().dirty_is_prepared()) {
            prepared.prepare(mapping, at, want, from.count())?;
        }
    }
    // Who sees the page keeps it in the cache; one that came meanwhile is found below.
    if let Some(page) = there {
        let n = from.copy_page_from_iter(&page, offset, want);
        written(mapping, index, &page, offset, n);
        return Ok(n);
    }
    if want < PAGE_SIZE {
        // Behind the end of the file there is nothing to read.
        let page = match !mapping.is_memory() && at - offset as u64 >= mapping.size() {
            true => mapping.add_new(index, Page::alloc_zeroed(GFP_HIGHUSER_MOVABLE)?)?,
            false => mapping.get_or_read(index)?,
        };
        let n = from.copy_page_from_iter(&page, offset, want);
        written(mapping, index, &page, offset, n);
        return Ok(n);
    }
    // A whole new page is filled before anybody can see it.
    let page = Page::alloc(GFP_HIGHUSER_MOVABLE)?;
    let n = from.copy_page_from_iter(&page, 0, want);
    if n == 0 {
        return Ok(0);
    }
    if n < PAGE_SIZE && !mapping.is_memory() {
        // Its rest is the file's: read it, and take the bytes once more.
        from.revert(n);
        let page = mapping.get_or_read(index)?;
        let n = from.copy_page_from_iter(&page, 0, n);
        written(mapping, index, &page, 0, n);
        return Ok(n);
    }
    page.fill(n, PAGE_SIZE - n, 0)?;
    let there = mapping.add_new(index, page.clone())?;
    if !there.same(&page) {
        there.copy_range(0, &page, 0, n)?;
    }
    written(mapping, index, &there, 0, n);
    Ok(n)
}

/// `n` bytes of `page` from `offset` on are new.
#[inline(always)]
fn written(mapping: &Mapping, index: u64, page: &Page, offset: usize, n: usize) {
    if n != 0 && !mapping.is_memory() {
        // To write-back, what lies behind the end is no part of the file: the end moves first.
        let end = (index << PAGE_SHIFT) + (offset + n) as u64;
        if end > mapping.size() {
            mapping.set_size(end);
        }
        mapping.set_dirty_range(index, page, offset, offset + n);
    }
}

impl VmFile for File {
    fn readable(&self) -> bool {
        self.mode() & fmode::READ != 0
    }

    fn writable(&self) -> bool {
        self.mode() & fmode::WRITE != 0
    }

    fn may_tell_cached(&self) -> bool {
        let inode = self.inode();
        let owner = crate::perm::owner_or_capable(inode).unwrap_or(false);
        owner || crate::perm::inode_permission(inode, crate::perm::MAY_WRITE).is_ok()
    }

    fn may_exec(&self) -> bool {
        self.path().mnt.flags() & uapi::MS_NOEXEC == 0
    }

    fn mmap(&self, request: &MmapRequest) -> Result {
        if request.shared && request.write && self.inode().iflags() & iop::SWAPFILE != 0 {
            return Err(ETXTBSY);
        }
        self.ops().mmap(self, request)?;
        self.accessed();
        Ok(())
    }

    fn mapping(&self) -> Option<&Arc<Mapping>> {
        self.ops().mapping(self)
    }

    fn fault(&self, pgoff: u64, write: bool) -> Result<Page> {
        self.ops().fault(self, pgoff, write)
    }

    fn stored(&self) {
        self.ops().stored(self);
    }

    fn id(&self) -> (u64, u64) {
        let inode = self.inode();
        (inode.sb().dev.encode(), inode.ino)
    }

    fn show_path(&self, out: &mut dyn Write) -> core::fmt::Result {
        let text: KVec<u8> = crate::path::shown(self.path()).map_err(|_| core::fmt::Error)?;
        for chunk in text.utf8_chunks() {
            out.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(out, "\\{byte:03o}")?;
            }
        }
        Ok(())
    }

    fn sync_range(&self, _start: u64, _end: u64) -> Result {
        self.fsync(true)
    }

    fn punch_hole(&self, start: u64, len: u64) -> Result {
        let mode = uapi::FALLOC_FL_PUNCH_HOLE | uapi::FALLOC_FL_KEEP_SIZE;
        let (start, len) = (i64::try_from(start).map_err(|_| EINVAL)?, i64::try_from(len).map_err(|_| EINVAL)?);
        crate::syscall::meta::fallocate(self, mode, start, len)
    }

    fn readahead(&self) -> Option<&mm::Readahead> {
        Some(&self.ra)
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}

struct Table;

impl mm::FileTable for Table {
    fn vm_file(&self, fd: i32) -> Result<Arc<dyn VmFile>> {
        let file: Arc<dyn VmFile> = crate::fdtable::fdget(fd.cast_unsigned() as usize)?;
        Ok(file)
    }
}

/// Tells `mm` where files are. Once, at boot.
pub fn init() {
    static TABLE: &'static dyn mm::FileTable = &Table;
    mm::FILE_TABLE.set(&TABLE);
}

/// `file` as memory maps take it.
pub fn vm_file(file: &Arc<File>) -> Arc<dyn VmFile> {
    file.clone()
}
