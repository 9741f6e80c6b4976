// SPDX-License-Identifier: GPL-2.0
//! Reading and writing: at most [`CHUNK`] pages at a time.

use block::{BlockDevice, OpFlags};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use mm_alloc::{PAGE_SIZE, Page};
use x86_mm::uaccess::IovIter;

/// Pages of one transfer.
const CHUNK: usize = 64;

fn pages(count: usize) -> Result<KVec<Page>> {
    let mut pages = KVec::with_capacity(count, GFP_KERNEL)?;
    for _ in 0..count {
        pages.push(Page::alloc(GFP_KERNEL)?, GFP_KERNEL)?;
    }
    Ok(pages)
}

/// What of `count` bytes from `pos` on is moved next: first block's place, bytes to skip in it, bytes wanted, bytes of whole blocks.
struct Window {
    start: u64,
    skip: usize,
    len: usize,
    whole: usize,
}

impl Window {
    fn new(bdev: &BlockDevice, pos: u64, count: usize) -> Option<Self> {
        let unit = bdev.logical_block_size() as usize;
        let left = bdev.size().checked_sub(pos).filter(|&left| left != 0)?;
        let skip = (pos % unit as u64) as usize;
        let len = count.min(CHUNK * PAGE_SIZE - skip).min(usize::try_from(left).unwrap_or(usize::MAX));
        let whole = (skip + len).next_multiple_of(unit);
        (len != 0).then_some(Self { start: pos - skip as u64, skip, len, whole })
    }

    /// Moves the window's blocks; pages are full but perhaps the last.
    fn transfer(&self, bdev: &Arc<BlockDevice>, pages: &[Page], write: bool) -> Result {
        block::transfer_bytes(bdev, write, OpFlags::NONE, self.start >> 9, pages, self.whole)
    }
}

pub(crate) fn read(bdev: &Arc<BlockDevice>, to: &mut IovIter<'_>, mut pos: u64) -> Result<usize> {
    let mut done = 0;
    let mut buffers = KVec::new();
    while let Some(window) = Window::new(bdev, pos, to.count()) {
        if buffers.len() * PAGE_SIZE < window.whole {
            buffers = pages(window.whole.div_ceil(PAGE_SIZE))?;
        }
        if let Err(error) = window.transfer(bdev, buffers.get(..window.whole.div_ceil(PAGE_SIZE)).unwrap_or(&[]), false)
        {
            return if done == 0 { Err(error) } else { Ok(done) };
        }
        let mut copied = 0;
        while copied < window.len {
            let at = window.skip + copied;
            let Some(page) = buffers.get(at / PAGE_SIZE) else { break };
            let part = (PAGE_SIZE - at % PAGE_SIZE).min(window.len - copied);
            let n = to.copy_page_to_iter(page, at % PAGE_SIZE, part);
            copied += n;
            if n < part {
                done += copied;
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
        }
        done += copied;
        pos += copied as u64;
    }
    Ok(done)
}

pub(crate) fn write(bdev: &Arc<BlockDevice>, from: &mut IovIter<'_>, mut pos: u64) -> Result<usize> {
    let mut done = 0;
    if !from.is_empty() && pos >= bdev.size() {
        return Err(ENOSPC);
    }
    while let Some(window) = Window::new(bdev, pos, from.count()) {
        // New pages each time: nobody sees old bytes in them, they are all overwritten.
        let buffers = pages(window.whole.div_ceil(PAGE_SIZE))?;
        if window.skip != 0 || window.whole != window.len {
            window.transfer(bdev, &buffers, false)?;
        }
        let mut copied = 0;
        while copied < window.len {
            let at = window.skip + copied;
            let Some(page) = buffers.get(at / PAGE_SIZE) else { break };
            let part = (PAGE_SIZE - at % PAGE_SIZE).min(window.len - copied);
            let n = from.copy_page_from_iter(page, at % PAGE_SIZE, part);
            copied += n;
            if n < part {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
        }
        if let Err(error) = window.transfer(bdev, &buffers, true) {
            return if done == 0 { Err(error) } else { Ok(done) };
        }
        done += copied;
        pos += copied as u64;
    }
    Ok(done)
}
