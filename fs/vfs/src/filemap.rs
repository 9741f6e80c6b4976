// SPDX-License-Identifier: GPL-2.0
//! Reading and writing through the page cache, for file systems whose regular files are an `mm::Mapping`; and open files as
//! memory maps see them. Locks: the inode's `lock`, exclusively, around a write; none around a read.

use crate::attr::remove_privileges;
use crate::file::{File, fmode};
use crate::hooks::send_current;
use crate::inode::Inode;
use core::fmt::Write;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use mm::{Mapping, MmapRequest, VmFile};
use mm_alloc::Page;
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use x86_mm::uaccess::IovIter;

/// Reads from the cache. Holes of memory-only files give zeros without taking memory. May sleep.
pub fn generic_read(file: &File, mapping: &Mapping, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    if *pos < 0 {
        return Err(EINVAL);
    }
    let mut at = pos.cast_unsigned();
    let mut done = 0;
    while to.count() != 0 {
        let size = file.inode().size();
        if at >= size {
            break;
        }
        let offset = at as usize % PAGE_SIZE;
        let want = (PAGE_SIZE - offset).min(to.count()).min(usize::try_from(size - at).unwrap_or(usize::MAX));
        let index = at >> PAGE_SHIFT;
        let page = match mapping.get(index) {
            Some(page) => Some(page),
            None if mapping.is_memory() => None,
            None => match mapping.get_or_read(index) {
                Ok(page) => Some(page),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            },
        };
        let n = match &page {
            Some(page) => to.copy_page_to_iter(page, offset, want),
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
    }
    *pos = at.cast_signed();
    if done != 0 {
        file.accessed();
    }
    Ok(done)
}

/// How much of a write at `pos` the limits allow: `EFBIG` (with `SIGXFSZ`) if nothing.
fn write_limit(inode: &Inode, pos: u64, count: usize) -> Result<usize> {
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
    let _lock = inode.lock.write();
    if from.count() == 0 {
        return Ok(0);
    }
    if file.flags().any(uapi::O_APPEND) {
        *pos = inode.size().cast_signed();
    }
    if *pos < 0 {
        return Err(EINVAL);
    }
    let mut at = pos.cast_unsigned();
    from.truncate(write_limit(inode, at, from.count())?);
    remove_privileges(inode);
    inode.touch_mtime();
    let mut done = 0;
    while from.count() != 0 {
        match write_page(mapping, from, at) {
            Ok(0) if done == 0 => return Err(EFAULT),
            Ok(0) => break,
            Ok(n) => {
                at += n as u64;
                done += n;
                if at > inode.size() {
                    mapping.set_size(at);
                    inode.set_size(at);
                }
            }
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    *pos = at.cast_signed();
    Ok(done)
}

/// Writes what fits into the page at `at`; returns how much (0: the program's memory faulted).
fn write_page(mapping: &Mapping, from: &mut IovIter<'_>, at: u64) -> Result<usize> {
    let offset = at as usize % PAGE_SIZE;
    let index = at >> PAGE_SHIFT;
    let want = (PAGE_SIZE - offset).min(from.count());
    if let Some(page) = mapping.get(index) {
        return Ok(from.copy_page_from_iter(&page, offset, want));
    }
    if want < PAGE_SIZE {
        let page = mapping.get_or_read(index)?;
        return Ok(from.copy_page_from_iter(&page, offset, want));
    }
    // A whole new page is filled before anybody can see it.
    let page = Page::alloc(GFP_KERNEL)?;
    let n = from.copy_page_from_iter(&page, 0, want);
    if n == 0 {
        return Ok(0);
    }
    page.fill(n, PAGE_SIZE - n, 0)?;
    let there = mapping.add_new(index, page.clone())?;
    if !there.same(&page) {
        there.copy_range(0, &page, 0, n)?;
    }
    Ok(n)
}

impl VmFile for File {
    fn readable(&self) -> bool {
        self.mode() & fmode::READ != 0
    }

    fn writable(&self) -> bool {
        self.mode() & fmode::WRITE != 0
    }

    fn may_exec(&self) -> bool {
        self.path().mnt.flags() & uapi::MS_NOEXEC == 0
    }

    fn mmap(&self, request: &MmapRequest) -> Result {
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
        self.ops().fsync(self, true)
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
