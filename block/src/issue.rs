// SPDX-License-Identifier: GPL-2.0
//! Operations that wait: flush, discard, zeroes, and a few bytes or pages read or written past any cache. All sleep.

use crate::bdev::BlockDevice;
use crate::bio::{Bio, BioEnd, EndIo};
use crate::submit::{submit_bio, submit_bio_wait};
use crate::types::{Op, OpFlags, SECTOR_SHIFT, SECTOR_SIZE};
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering::*};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_NOIO;
use kalloc::{Arc, KBox};
use mm_alloc::{PAGE_SIZE, Page};
use sync::Completion;
use task_io::Plug;

/// Many bios, one wait.
struct Batch {
    left: AtomicUsize,
    error: AtomicI32,
    done: Completion,
}

impl Batch {
    fn new() -> Result<Arc<Self>> {
        let batch = Self { left: AtomicUsize::new(1), error: AtomicI32::new(0), done: Completion::new() };
        Ok(Arc::new(batch, GFP_NOIO)?)
    }

    fn submit(self: &Arc<Self>, mut bio: KBox<Bio>) {
        self.left.fetch_add(1, Relaxed);
        bio.set_end(BioEnd::Shared(self.clone()));
        submit_bio(bio);
    }

    fn put(&self) {
        if self.left.fetch_sub(1, AcqRel) == 1 {
            self.done.complete();
        }
    }

    /// Waits for all that were submitted: the first error.
    fn wait(&self) -> Result {
        self.put();
        self.done.wait_io();
        match self.error.load(Relaxed) {
            0 => Ok(()),
            errno => Err(Error::from_errno(errno)),
        }
    }
}

impl EndIo for Batch {
    fn end_io(&self, bio: KBox<Bio>) {
        if let Err(error) = bio.status() {
            let _ = self.error.compare_exchange(0, error.to_errno(), Relaxed, Relaxed);
        }
        drop(bio);
        self.put();
    }
}

/// Writes the device's volatile cache out (`blkdev_issue_flush`).
pub fn issue_flush(bdev: &Arc<BlockDevice>) -> Result {
    let bio = Bio::new(bdev, Op::Write, OpFlags::PREFLUSH, 0, GFP_NOIO)?;
    submit_bio_wait(bio).map(drop)
}

/// The sectors' contents are not needed any more. EOPNOTSUPP if the device cannot; EINVAL if they are not whole blocks.
pub fn issue_discard(bdev: &Arc<BlockDevice>, sector: u64, sectors: u64) -> Result {
    let limits = bdev.disk().limits();
    if bdev.is_read_only() {
        return Err(EPERM);
    }
    if limits.max_discard_sectors == 0 {
        return Err(EOPNOTSUPP);
    }
    check_blocks(bdev, sector, sectors)?;
    without_pages(bdev, Op::Discard, OpFlags::NONE, sector, sectors)
}

/// The same, and nobody can read them afterwards. EOPNOTSUPP if the device cannot.
pub fn issue_secure_erase(bdev: &Arc<BlockDevice>, sector: u64, sectors: u64) -> Result {
    if bdev.disk().limits().max_secure_erase_sectors == 0 {
        return Err(EOPNOTSUPP);
    }
    if bdev.is_read_only() {
        return Err(EPERM);
    }
    check_blocks(bdev, sector, sectors)?;
    if sectors == 0 {
        return Err(EINVAL);
    }
    without_pages(bdev, Op::SecureErase, OpFlags::NONE, sector, sectors)
}

fn check_blocks(bdev: &BlockDevice, sector: u64, sectors: u64) -> Result {
    let unit = u64::from(bdev.logical_block_size() >> SECTOR_SHIFT);
    if sector.is_multiple_of(unit) && sectors.is_multiple_of(unit) { Ok(()) } else { Err(EINVAL) }
}

fn without_pages(bdev: &Arc<BlockDevice>, op: Op, flags: OpFlags, sector: u64, sectors: u64) -> Result {
    let mut bio = Bio::new(bdev, op, flags, 0, GFP_NOIO)?;
    bio.set_sector(sector);
    bio.set_sectors(sectors)?;
    submit_bio_wait(bio).map(drop)
}

/// Zeroes the sectors: the device does it if it can, else zeros are written. `keep`: they must stay allocated; `no_fallback`:
/// EOPNOTSUPP rather than writing.
pub fn issue_zeroout(bdev: &Arc<BlockDevice>, sector: u64, sectors: u64, keep: bool, no_fallback: bool) -> Result {
    if bdev.is_read_only() {
        return Err(EPERM);
    }
    check_blocks(bdev, sector, sectors)?;
    if bdev.disk().limits().max_write_zeroes_sectors != 0 {
        let flags = if keep { OpFlags::NOUNMAP } else { OpFlags::NONE };
        match without_pages(bdev, Op::WriteZeroes, flags, sector, sectors) {
            Err(EOPNOTSUPP) => {}
            done => return done,
        }
    }
    if no_fallback {
        return Err(EOPNOTSUPP);
    }
    let zero = Page::alloc_zeroed(GFP_NOIO)?;
    let batch = Batch::new()?;
    let result = write_zeros(bdev, &batch, &zero, sector, sectors);
    batch.wait().and(result)
}

/// Sectors of one bio of zeros.
const ZERO_BIO: u64 = 256 * (PAGE_SIZE >> SECTOR_SHIFT) as u64;

fn write_zeros(bdev: &Arc<BlockDevice>, batch: &Arc<Batch>, zero: &Page, mut sector: u64, mut sectors: u64) -> Result {
    let _plug = Plug::start();
    while sectors != 0 {
        let count = sectors.min(ZERO_BIO);
        let mut bytes = (count << SECTOR_SHIFT) as usize;
        let mut bio = Bio::new(bdev, Op::Write, OpFlags::NONE, bytes.div_ceil(PAGE_SIZE), GFP_NOIO)?;
        bio.set_sector(sector);
        while bytes != 0 {
            let len = bytes.min(PAGE_SIZE);
            bio.add_page(zero.clone(), 0, len as u32)?;
            bytes -= len;
        }
        batch.submit(bio);
        sector += count;
        sectors -= count;
    }
    Ok(())
}

/// Pages of one bio that is made here.
const BIO_PAGES: usize = 256;

fn transfer(
    bdev: &Arc<BlockDevice>,
    op: Op,
    flags: OpFlags,
    mut sector: u64,
    pages: &[Page],
    mut bytes: usize,
) -> Result {
    let batch = Batch::new()?;
    let mut submit = || {
        let _plug = Plug::start();
        for chunk in pages.chunks(BIO_PAGES) {
            let mut bio = Bio::new(bdev, op, flags, chunk.len(), GFP_NOIO)?;
            bio.set_sector(sector);
            for page in chunk {
                let len = bytes.min(PAGE_SIZE);
                bio.add_page(page.clone(), 0, len as u32)?;
                bytes -= len;
            }
            sector = sector.saturating_add(bio.sectors());
            batch.submit(bio);
        }
        Ok(())
    };
    let result = submit();
    batch.wait().and(result)
}

/// Reads whole pages from `sector` on.
pub fn read_pages(bdev: &Arc<BlockDevice>, sector: u64, pages: &[Page]) -> Result {
    transfer(bdev, Op::Read, OpFlags::SYNC, sector, pages, pages.len() * PAGE_SIZE)
}

/// Writes whole pages from `sector` on.
pub fn write_pages(bdev: &Arc<BlockDevice>, sector: u64, pages: &[Page], flags: OpFlags) -> Result {
    transfer(bdev, Op::Write, flags | OpFlags::SYNC, sector, pages, pages.len() * PAGE_SIZE)
}

/// Moves `bytes` (whole blocks) between pages, all full but perhaps the last, and the device from `sector` on. EINVAL if the pages are
/// too few or too many.
pub fn transfer_bytes(
    bdev: &Arc<BlockDevice>,
    write: bool,
    flags: OpFlags,
    sector: u64,
    pages: &[Page],
    bytes: usize,
) -> Result {
    if bytes.div_ceil(PAGE_SIZE) != pages.len() {
        return Err(EINVAL);
    }
    transfer(bdev, if write { Op::Write } else { Op::Read }, flags | OpFlags::SYNC, sector, pages, bytes)
}

/// One page, `count` sectors of it.
fn one_page(bdev: &Arc<BlockDevice>, op: Op, flags: OpFlags, sector: u64, page: &Page, bytes: usize) -> Result {
    let mut bio = Bio::new(bdev, op, flags, 1, GFP_NOIO)?;
    bio.set_sector(sector);
    bio.add_page(page.clone(), 0, bytes as u32)?;
    submit_bio_wait(bio).map(drop)
}

/// Reads bytes from byte `offset` on, past the page cache; both need not be aligned. EIO beyond the end.
pub fn read_bytes(bdev: &Arc<BlockDevice>, offset: u64, to: &mut [u8]) -> Result {
    let unit = u64::from(bdev.logical_block_size());
    let page = Page::alloc(GFP_NOIO)?;
    let mut at = offset;
    let mut rest = to;
    while !rest.is_empty() {
        let first = at - at % unit;
        let skip = (at - first) as usize;
        let len = rest.len().min(PAGE_SIZE - skip);
        let bytes = (skip + len).next_multiple_of(unit as usize);
        one_page(bdev, Op::Read, OpFlags::NONE, first >> SECTOR_SHIFT, &page, bytes)?;
        let (part, tail) = rest.split_at_mut(len);
        page.read(skip, part)?;
        rest = tail;
        at = at.checked_add(len as u64).ok_or(EINVAL)?;
    }
    Ok(())
}

/// Writes whole sectors from byte `offset` on, past the page cache. EINVAL if place or length are not whole blocks.
pub fn write_bytes(bdev: &Arc<BlockDevice>, offset: u64, from: &[u8], flags: OpFlags) -> Result {
    let unit = u64::from(bdev.logical_block_size().max(SECTOR_SIZE));
    if !offset.is_multiple_of(unit) || !(from.len() as u64).is_multiple_of(unit) {
        return Err(EINVAL);
    }
    let page = Page::alloc(GFP_NOIO)?;
    let mut at = offset;
    for chunk in from.chunks(PAGE_SIZE) {
        page.write(0, chunk)?;
        one_page(bdev, Op::Write, flags, at >> SECTOR_SHIFT, &page, chunk.len())?;
        at = at.checked_add(chunk.len() as u64).ok_or(EINVAL)?;
    }
    Ok(())
}
