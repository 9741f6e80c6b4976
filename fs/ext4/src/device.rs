// SPDX-License-Identifier: GPL-2.0
//! The device of a file system or a log, in blocks, past any cache: synchronous reads and writes of metadata. No locks.

use core::sync::atomic::{AtomicBool, Ordering};
use errno::Result;
use errno::code::EIO;
use jbd2::WriteFlags;
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KBox, KVec};
use kernel::filesystem::block::{self, Bio, BioEnd, BlockDevice, EndIo, Op, OpFlags, SECTOR_SHIFT};
use kernel::filesystem::buffer::DeviceCache;
use kernel::filesystem::buffer::direct::Endings;
use kernel::filesystem::mm::Mapping;
use kernel::filesystem::mm_alloc::{PAGE_SIZE, Page};
use kernel::filesystem::sync::Completion;

/// A device in blocks.
#[derive(Clone)]
pub(crate) struct Blocks {
    pub(crate) bdev: Arc<BlockDevice>,
    pub(crate) block_size: usize,
    /// The device's own pages, which programs read.
    pages: Arc<Mapping>,
    endings: Arc<Endings>,
    barrier: Arc<AtomicBool>,
}

impl Blocks {
    pub(crate) fn new(bdev: &Arc<BlockDevice>, block_size: usize) -> Result<Self> {
        let cache = DeviceCache::of(bdev)?;
        let (pages, endings) = (cache.mapping().clone(), cache.endings().clone());
        Ok(Self { bdev: bdev.clone(), block_size, pages, endings, barrier: Arc::new(AtomicBool::new(true), GFP_NOFS)? })
    }

    /// Whether the device's cache is flushed where order matters (mount option `barrier`).
    pub(crate) fn set_barrier(&self, barrier: bool) {
        self.barrier.store(barrier, Ordering::Relaxed);
    }

    /// What a worker has to do at the end of direct transfers.
    pub(crate) fn endings(&self) -> &Arc<Endings> {
        &self.endings
    }

    /// Blocks of the device.
    pub(crate) fn count(&self) -> u64 {
        self.bdev.size() / self.block_size as u64
    }

    /// A block was written past the device's own pages: what a program read before is old.
    pub(crate) fn forget_page(&self, block: u64) {
        let index = block.saturating_mul(self.block_size as u64) / PAGE_SIZE as u64;
        self.pages.drop_clean(index, index);
    }

    fn offset(&self, block: u64) -> Result<u64> {
        block.checked_mul(self.block_size as u64).ok_or(EIO)
    }

    /// First sector of a block.
    pub(crate) fn sector(&self, block: u64) -> u64 {
        block.saturating_mul(self.block_size as u64) >> SECTOR_SHIFT
    }

    /// Reads `bytes` from a block on, by one transfer: the pages that have them.
    pub(crate) fn read_run(&self, block: u64, bytes: usize) -> Result<KVec<Page>> {
        let count = bytes.div_ceil(PAGE_SIZE);
        let mut bio = Bio::new(&self.bdev, Op::Read, OpFlags::META, count, GFP_NOFS)?;
        bio.set_sector(self.sector(block));
        let mut pages = KVec::with_capacity(count, GFP_NOFS)?;
        for index in 0..count {
            let page = Page::alloc(GFP_NOFS)?;
            bio.add_page(page.clone(), 0, (bytes - index * PAGE_SIZE).min(PAGE_SIZE) as u32)?;
            pages.push(page, GFP_NOFS)?;
        }
        block::submit_bio_wait(bio)?;
        Ok(pages)
    }

    /// Writes out the device's cache, unless barriers are off.
    pub(crate) fn flush_cache(&self) -> Result {
        if self.barrier.load(Ordering::Relaxed) { block::issue_flush(&self.bdev) } else { Ok(()) }
    }
}

fn op_flags(flags: WriteFlags) -> OpFlags {
    let mut ops = OpFlags::SYNC | OpFlags::META;
    if flags.preflush {
        ops = ops | OpFlags::PREFLUSH;
    }
    if flags.fua {
        ops = ops | OpFlags::FUA;
    }
    ops
}

impl jbd2::BlockDevice for Blocks {
    fn read(&self, block: u64, data: &mut [u8]) -> Result {
        block::read_bytes(&self.bdev, self.offset(block)?, data)
    }

    fn read_run(&self, block: u64, data: &mut [u8], _size: usize) -> Result {
        let pages = Blocks::read_run(self, block, data.len())?;
        data.chunks_mut(PAGE_SIZE).zip(&pages).try_for_each(|(piece, page)| page.read(0, piece))
    }

    fn write(&self, block: u64, data: &[u8], flags: WriteFlags) -> Result {
        block::write_bytes(&self.bdev, self.offset(block)?, data, op_flags(flags))?;
        self.forget_page(block);
        Ok(())
    }

    fn flush(&self) -> Result {
        self.flush_cache()
    }
}

/// Blocks of a log in memory, and the pages that they are written from.
pub(crate) struct LogBlocks {
    data: KVec<KVec<u8>>,
    pages: KVec<Page>,
}

impl LogBlocks {
    pub(crate) fn new(blocks: usize, block_size: usize) -> Result<Self> {
        let mut data = KVec::with_capacity(blocks, GFP_NOFS)?;
        for _ in 0..blocks {
            data.push(KVec::from_elem(0, block_size, GFP_NOFS)?, GFP_NOFS)?;
        }
        let count = blocks.saturating_mul(block_size).div_ceil(PAGE_SIZE);
        let mut pages = KVec::with_capacity(count, GFP_NOFS)?;
        for _ in 0..count {
            pages.push(Page::alloc(GFP_NOFS)?, GFP_NOFS)?;
        }
        Ok(Self { data, pages })
    }

    /// Writes blocks `begin..end` to consecutive blocks of the device.
    pub(crate) fn write(&self, to: &Blocks, block: u64, begin: usize, end: usize, flags: WriteFlags) -> Result {
        let blocks = self.data.get(begin..end).ok_or(EIO)?;
        let pages = blocks.iter().map(|data| data.len()).sum::<usize>().div_ceil(PAGE_SIZE);
        let mut bio = Bio::new(&to.bdev, Op::Write, op_flags(flags), pages, GFP_NOFS)?;
        bio.set_sector(to.sector(block));
        let mut at = 0;
        for data in blocks {
            // A block never crosses a page, or is whole pages.
            for piece in data.chunks(PAGE_SIZE) {
                let page = self.pages.get(at / PAGE_SIZE).ok_or(EIO)?;
                page.write(at % PAGE_SIZE, piece)?;
                bio.add_page(page.clone(), (at % PAGE_SIZE) as u32, piece.len() as u32)?;
                at += piece.len();
            }
        }
        block::submit_bio_wait(bio).map(drop)
    }
}

impl jbd2::LogBuf for LogBlocks {
    fn blocks(&self) -> usize {
        self.data.len()
    }

    fn block(&self, index: usize) -> &[u8] {
        self.data.get(index).map_or(&[], |block| block)
    }

    fn block_mut(&mut self, index: usize) -> &mut [u8] {
        self.data.get_mut(index).map_or(&mut [], |block| block)
    }
}

/// Several transfers that are waited for together.
pub(crate) struct Batch {
    left: core::sync::atomic::AtomicUsize,
    error: core::sync::atomic::AtomicI32,
    done: Completion,
}

impl Batch {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let batch = Self { left: 1.into(), error: 0.into(), done: Completion::new() };
        Ok(Arc::new(batch, GFP_NOFS)?)
    }

    pub(crate) fn submit(self: &Arc<Self>, mut bio: KBox<Bio>) {
        self.left.fetch_add(1, Ordering::Relaxed);
        bio.set_end(BioEnd::Shared(self.clone()));
        block::submit_bio(bio);
    }

    fn put(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.complete();
        }
    }

    /// Waits for all of them: the first error.
    pub(crate) fn wait(&self) -> Result {
        self.put();
        self.done.wait_io();
        match self.error.load(Ordering::Relaxed) {
            0 => Ok(()),
            errno => Err(errno::Error::from_errno(errno)),
        }
    }
}

impl EndIo for Batch {
    fn end_io(&self, bio: KBox<Bio>) {
        if let Err(error) = bio.status() {
            let _ = self.error.compare_exchange(0, error.to_errno(), Ordering::Relaxed, Ordering::Relaxed);
        }
        drop(bio);
        self.put();
    }
}
