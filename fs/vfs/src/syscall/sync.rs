// SPDX-License-Identifier: GPL-2.0
//! Writing back. Source: `sync(2)`, `fsync(2)`.

use crate::fdtable::{fdget, fdget_raw};
use crate::super_block::for_each_on_device;
use crate::types::FileType;
use errno::{Result, code::*};
use kalloc::Arc;
use mm::{Mapping, WriteControl};
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use x86_cpu::regs::PtRegs;

/// `sync()`.
pub fn sys_sync(_: &PtRegs) -> Result<usize> {
    sync_everything();
    Ok(0)
}

/// Writes back everything there is, and waits. May sleep.
pub(crate) fn sync_everything() {
    // All begin before one is waited for. `sync` reports no error; those of a file are reported by its `fsync`, others by `syncfs`.
    for_each_on_device(|sb| sb.sync_start());
    for_each_on_device(|sb| {
        if let Err(error) = sb.sync_all() {
            sb.errors().set(error);
        }
    });
    crate::hooks::sync_devices();
}

/// `syncfs(fd)`.
pub fn sys_syncfs(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    let written = file.inode().sb().sync_all();
    let earlier = file.take_fs_error();
    written.and(earlier).map(|()| 0)
}

/// `fsync(fd)`.
pub fn sys_fsync(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    file.fsync(false).map(|()| 0)
}

/// `fdatasync(fd)`.
pub fn sys_fdatasync(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    file.fsync(true).map(|()| 0)
}

/// `sync_file_range(fd, offset, len, flags)`: pages only, no attributes, no device cache.
pub fn sys_sync_file_range(regs: &PtRegs) -> Result<usize> {
    const WAIT_BEFORE: u32 = uapi::SYNC_FILE_RANGE_WAIT_BEFORE;
    const WRITE: u32 = uapi::SYNC_FILE_RANGE_WRITE;
    const WAIT_AFTER: u32 = uapi::SYNC_FILE_RANGE_WAIT_AFTER;
    let (offset, len, flags) = (regs.arg1() as i64, regs.arg2() as i64, regs.arg3() as u32);
    let file = fdget_raw(regs.arg0())?;
    if file.mode() & crate::file::fmode::PATH != 0 {
        return Err(EBADF);
    }
    if flags & !(WAIT_BEFORE | WRITE | WAIT_AFTER) != 0 || offset < 0 || len < 0 {
        return Err(EINVAL);
    }
    let end = offset.checked_add(len).ok_or(EINVAL)?;
    let inode = file.inode();
    let kind = inode.file_type();
    if !matches!(kind, FileType::Reg | FileType::Dir | FileType::Link | FileType::Block) {
        return Err(ESPIPE);
    }
    let Some(mapping) = file.ops().mapping(&file).filter(|mapping| !mapping.is_memory()) else { return Ok(0) };
    let first = offset.cast_unsigned() >> PAGE_SHIFT;
    let last = if len == 0 { u64::MAX } else { (end - 1).cast_unsigned() >> PAGE_SHIFT };
    if flags & WAIT_BEFORE != 0 {
        mapping.wait_writeback_range(first, last);
        file.take_write_error()?;
    }
    if flags & WRITE != 0 {
        let all = flags & (WAIT_BEFORE | WAIT_AFTER) == WAIT_BEFORE | WAIT_AFTER;
        let mut wbc = if all { WriteControl::sync(first, last) } else { WriteControl::start(first, last) };
        mapping.write_pages(&mut wbc)?;
    }
    if flags & WAIT_AFTER != 0 {
        mapping.wait_writeback_range(first, last);
        file.take_write_error()?;
    }
    Ok(0)
}

/// `posix_fadvise(fd, offset, len, advice)`. `len` 0 is up to the end.
pub fn sys_fadvise64(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    if file.inode().file_type() == FileType::Fifo {
        return Err(ESPIPE);
    }
    let (offset, len, advice) = (regs.arg1() as i64, regs.arg2() as i64, regs.arg3() as u32);
    if len < 0 || advice > uapi::POSIX_FADV_NOREUSE {
        return Err(EINVAL);
    }
    let Some(mapping) = file.ops().mapping(&file) else { return Ok(0) };
    if mapping.is_memory() {
        return Ok(0);
    }
    let start = offset.max(0).cast_unsigned();
    let end = match len {
        0 => u64::MAX,
        len => start.saturating_add(len.cast_unsigned()),
    };
    match advice {
        uapi::POSIX_FADV_NORMAL => {
            file.ra.set_pages(-1);
            file.ra.set_once(false);
        }
        uapi::POSIX_FADV_SEQUENTIAL => file.ra.set_pages(mm::readahead::SEQUENTIAL),
        uapi::POSIX_FADV_RANDOM => file.ra.set_pages(mm::readahead::RANDOM),
        uapi::POSIX_FADV_WILLNEED => {
            let first = start >> PAGE_SHIFT;
            let pages = ((end - 1) >> PAGE_SHIFT).saturating_sub(first).saturating_add(1);
            mapping.read_forced(first, pages);
        }
        uapi::POSIX_FADV_DONTNEED => dont_need(mapping, start, end),
        // Used once: reading it is no reason to keep it longer than other pages.
        _ => file.ra.set_once(true),
    }
    Ok(0)
}

/// Drops whole clean pages of `[start, end)`; dirty ones begin to be written.
fn dont_need(mapping: &Arc<Mapping>, start: u64, end: u64) {
    let page = PAGE_SIZE as u64;
    // A last page that the file itself cuts short is whole.
    let end = if end >= mapping.size() { u64::MAX } else { end };
    let (first, past) = (start.div_ceil(page), end / page);
    // Advice: errors show when the file is synchronised.
    let _ = mapping.write_pages(&mut WriteControl::start(first, past));
    if first < past {
        mapping.drop_clean(first, past - 1);
    }
}

/// `readahead(fd, offset, count)`.
pub fn sys_readahead(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    if file.mode() & crate::file::fmode::READ == 0 {
        return Err(EBADF);
    }
    let kind = file.inode().file_type();
    let mapping = file.ops().mapping(&file).filter(|_| matches!(kind, FileType::Reg | FileType::Block));
    let (offset, count) = (regs.arg1() as i64, regs.arg2());
    let mapping = mapping.ok_or(EINVAL)?;
    if offset < 0 || count == 0 {
        return if offset < 0 { Err(EINVAL) } else { Ok(0) };
    }
    let start = offset.cast_unsigned();
    let first = start >> PAGE_SHIFT;
    let last = start.saturating_add(count as u64 - 1) >> PAGE_SHIFT;
    mapping.read_forced(first, last - first + 1);
    Ok(0)
}
