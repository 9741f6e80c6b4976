// SPDX-License-Identifier: GPL-2.0
//! Reading and writing a device through its cached pages, and making way for transfers past them. For device files.

use crate::device::DeviceCache;
use block::OpFlags;
use errno::{Result, code::*};
use mm_alloc::layout::PAGE_SHIFT;
use vfs::filemap::{generic_read, write_page};
use vfs::{File, IovIter};

/// Reads from byte `pos` on. May sleep.
pub fn read(file: &File, cache: &DeviceCache, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    generic_read(file, cache.mapping(), to, pos)
}

/// Writes from byte `pos` on; with `O_DSYNC` to the device. ENOSPC at its end. May sleep.
pub fn write(file: &File, cache: &DeviceCache, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    let start = u64::try_from(*pos).map_err(|_| EINVAL)?;
    if from.is_empty() {
        return Ok(0);
    }
    let left = cache.bytes().checked_sub(start).filter(|left| *left != 0).ok_or(ENOSPC)?;
    from.truncate(usize::try_from(left).unwrap_or(usize::MAX));
    let mut at = start;
    let mut result = Ok(());
    while !from.is_empty() {
        match write_page(cache.mapping(), from, at) {
            Ok(0) => result = Err(EFAULT),
            Ok(n) => at += n as u64,
            Err(error) => result = Err(error),
        }
        if result.is_err() {
            break;
        }
    }
    if at == start {
        result?;
    }
    cache.show_in_buffers(start, at)?;
    *pos = at.cast_signed();
    mm::throttle::balance_dirty(cache.mapping(), ((at - start) >> PAGE_SHIFT) as u32 + 1);
    if file.flags().any(uapi::O_DSYNC) {
        cache.mapping().write_and_wait(start, at - 1)?;
        cache.flush()?;
    }
    Ok((at - start) as usize)
}

/// Before a transfer past the cache of the bytes `[start, end)`: what is dirty there is written; with `write` cached pages and
/// buffers are forgotten. May sleep.
pub fn before_direct(cache: &DeviceCache, start: u64, end: u64, write: bool) -> Result {
    if start >= end {
        return Ok(());
    }
    cache.mapping().write_and_wait(start, end - 1)?;
    cache.each_in(start, end, |buffer| {
        if buffer.is_busy() {
            cache.write_buffers(core::slice::from_ref(buffer), OpFlags::NONE)?;
        }
        Ok(())
    })?;
    if write {
        cache.drop_pages(start, end);
        forget_buffers(cache, start, end)?;
    }
    Ok(())
}

/// After a write past the cache: what was read in meanwhile is old. What a program made dirty meanwhile stays, and is written later.
pub fn after_direct(cache: &DeviceCache, start: u64, end: u64) -> Result {
    if start >= end {
        return Ok(());
    }
    if cache.mapping().page_count() != 0 {
        let _guard = cache.mapping().invalidate_lock();
        cache.mapping().drop_old(start >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
    }
    forget_buffers(cache, start, end)
}

fn forget_buffers(cache: &DeviceCache, start: u64, end: u64) -> Result {
    cache.each_in(start, end, |buffer| {
        if !buffer.is_busy() {
            buffer.forget();
        }
        Ok(())
    })
}
