// SPDX-License-Identifier: GPL-2.0
//! The cache of metadata blocks: each block of the device that was read as metadata, by number.
//!
//! Locks: a shard's lock (short) to find a block; a block's `data` (sleeping, shared for reading). A block's state is one atomic
//! word: `DIRTY` is set by the journal or, without one, by the writer, and taken away by whoever writes the block home (which
//! sets `WRITING` in the same step) or by the journal's claim.

use crate::device::{Batch, Blocks};
use containers::{HashMap, sort};
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use errno::Result;
use errno::code::{EIO, ENOMEM};
use jbd2::{BlockDevice as _, Claim, Mark};
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KVec};
use kernel::filesystem::block::{self, Bio, Op, OpFlags};
use kernel::filesystem::mm_alloc::{PAGE_SIZE, Page};
use kernel::filesystem::sync::{Mutex, RwReadGuard, RwSemaphore, RwWriteGuard, WaitQueue};

const UPTODATE: u32 = 1;
const DIRTY: u32 = 2;
const WRITING: u32 = 4;
const FAILED: u32 = 8;
const VERIFIED: u32 = 16;
/// In the list of dirty blocks of a file system without a journal.
const LISTED: u32 = 32;
/// Was asked for again since the cache last looked for what nobody uses.
const AGAIN: u32 = 64;

/// Who waits for a write of a block.
static WRITTEN: WaitQueue = WaitQueue::new();

struct Block {
    number: u64,
    mark: Mark,
    state: AtomicU32,
    data: RwSemaphore<KVec<u8>>,
}

/// A metadata block.
#[derive(Clone)]
pub(crate) struct Buf(Arc<Block>);

/// Read access to a block's bytes.
pub(crate) struct ReadData<'a>(RwReadGuard<'a, KVec<u8>>);
/// Write access to a block's bytes.
pub(crate) struct WriteData<'a>(RwWriteGuard<'a, KVec<u8>>);

impl Deref for ReadData<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for WriteData<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for WriteData<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Buf {
    fn has(&self, bits: u32) -> bool {
        self.0.state.load(Ordering::Acquire) & bits != 0
    }

    fn set(&self, bits: u32) -> u32 {
        self.0.state.fetch_or(bits, Ordering::AcqRel)
    }

    fn clear(&self, bits: u32) -> u32 {
        self.0.state.fetch_and(!bits, Ordering::AcqRel)
    }

    /// Its content was read.
    fn has_arrived(&self) {
        self.clear(VERIFIED);
        self.set(UPTODATE);
    }

    /// Begins to write it home, if it is dirty and nobody does.
    fn begin_write(&self) -> bool {
        let step = |old: u32| (old & DIRTY != 0 && old & WRITING == 0).then_some(old & !DIRTY | WRITING);
        self.0.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }

    fn end_write(&self, result: Result) {
        if result.is_err() {
            self.set(FAILED);
        }
        self.clear(WRITING);
        WRITTEN.wake_up_all();
    }

    fn is_unused(&self) -> bool {
        // The cache's reference and this one.
        Arc::strong_count(&self.0) <= 2 && !self.has(DIRTY | WRITING | LISTED)
    }
}

impl ext4_store::Buffer for Buf {
    type Read<'a> = ReadData<'a>;
    type Write<'a> = WriteData<'a>;

    #[inline]
    fn block(&self) -> u64 {
        self.0.number
    }
    #[inline]
    fn read(&self) -> ReadData<'_> {
        ReadData(self.0.data.read())
    }
    #[inline]
    fn write(&self) -> WriteData<'_> {
        WriteData(self.0.data.write())
    }
    #[inline]
    fn is_verified(&self) -> bool {
        self.has(VERIFIED)
    }
    fn set_verified(&self) {
        self.set(VERIFIED);
    }
}

impl jbd2::Buffer for Buf {
    fn block(&self) -> u64 {
        self.0.number
    }
    fn mark(&self) -> &Mark {
        &self.0.mark
    }
    fn copy_to(&self, out: &mut [u8]) {
        let data = self.0.data.read();
        if out.len() == data.len() {
            out.copy_from_slice(&data);
        }
    }
    fn claim(&self) -> Claim {
        let step = |old: u32| (old & WRITING == 0).then_some(old & !DIRTY);
        match self.0.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, step) {
            Ok(old) => Claim::Claimed(old & DIRTY != 0),
            Err(_) => Claim::Busy,
        }
    }
    fn wait_written(&self) {
        WRITTEN.wait_until(|| !self.has(WRITING));
    }
    fn mark_dirty(&self) {
        self.set(DIRTY);
    }
    fn is_busy(&self) -> bool {
        self.has(DIRTY | WRITING)
    }
    fn has_failed(&self) -> bool {
        self.has(FAILED)
    }
    fn forget(&self) {
        self.clear(DIRTY | FAILED | VERIFIED);
    }
}

const SHARDS: usize = 64;

/// The metadata blocks of a device.
pub(crate) struct Cache {
    pub(crate) device: Blocks,
    shards: KVec<Mutex<HashMap<u64, Buf>>>,
    count: AtomicUsize,
    /// Most blocks to keep that nobody uses.
    limit: usize,
    /// Dirty blocks of a file system without a journal.
    dirty: Mutex<KVec<Buf>>,
    /// There was no memory to list some of them.
    unlisted: AtomicBool,
}

impl Cache {
    pub(crate) fn new(device: Blocks, limit: usize) -> Result<Arc<Self>> {
        let mut shards = KVec::with_capacity(SHARDS, GFP_NOFS)?;
        for _ in 0..SHARDS {
            shards.push(Mutex::new(HashMap::new()), GFP_NOFS)?;
        }
        let (count, dirty, unlisted) = (AtomicUsize::new(0), Mutex::new(KVec::new()), AtomicBool::new(false));
        Ok(Arc::new(Self { device, shards, count, limit, dirty, unlisted }, GFP_NOFS)?)
    }

    fn shard(&self, block: u64) -> Result<&Mutex<HashMap<u64, Buf>>> {
        // Neighbours lie in the same shard: they are used together.
        let index = (block >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        self.shards.get(index as usize).ok_or(EIO)
    }

    /// The block if it is in memory.
    pub(crate) fn find(&self, block: u64) -> Option<Buf> {
        self.shard(block).ok()?.lock().get(&block).cloned()
    }

    /// The block if it is in memory with its content.
    pub(crate) fn find_uptodate(&self, block: u64) -> Option<Buf> {
        self.find(block).filter(|buf| buf.has(UPTODATE))
    }

    fn get(&self, block: u64) -> Result<Buf> {
        let mut shard = self.shard(block)?.lock();
        if let Some(buf) = shard.get(&block) {
            if !buf.has(AGAIN) {
                buf.set(AGAIN);
            }
            return Ok(buf.clone());
        }
        if self.count.load(Ordering::Relaxed) > self.limit {
            let before = shard.len();
            shard.retain(|_, buf| {
                let used = Arc::strong_count(&buf.0) > 1 || buf.has(DIRTY | WRITING | LISTED);
                used || buf.clear(AGAIN) & AGAIN != 0
            });
            self.count.fetch_sub(before - shard.len(), Ordering::Relaxed);
        }
        let data = KVec::from_elem(0, self.device.block_size, GFP_NOFS)?;
        let block = Block { number: block, mark: Mark::new(), state: AtomicU32::new(0), data: RwSemaphore::new(data) };
        let buf = Buf(Arc::new(block, GFP_NOFS)?);
        shard.insert(buf.0.number, buf.clone())?;
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(buf)
    }

    /// The block, read if it is not in memory.
    pub(crate) fn read(&self, block: u64) -> Result<Buf> {
        let buf = self.get(block)?;
        self.bring(&buf)?;
        Ok(buf)
    }

    fn bring(&self, buf: &Buf) -> Result {
        if !buf.has(UPTODATE) {
            let mut data = buf.0.data.write();
            if !buf.has(UPTODATE) {
                self.device.read(buf.0.number, &mut data)?;
                buf.has_arrived();
            }
        }
        Ok(())
    }

    /// The block; if it is not in memory, what is not of the run that `near` gives is read with it, by one transfer.
    pub(crate) fn read_near(&self, block: u64, near: impl FnOnce() -> (u64, u32)) -> Result<Buf> {
        let buf = self.get(block)?;
        if !buf.has(UPTODATE) {
            let (first, count) = near();
            // If that fails the block is read alone: only it must be there.
            let _ = self.read_run(first, count as usize);
        }
        self.bring(&buf)?;
        Ok(buf)
    }

    #[cold]
    fn read_run(&self, first: u64, count: usize) -> Result {
        // Held from before the transfer on: one that came otherwise, was changed, written home and dropped would get its old content back.
        let mut blocks = KVec::with_capacity(count, GFP_NOFS)?;
        for number in (first..).take(count) {
            blocks.push(self.get(number)?, GFP_NOFS)?;
        }
        let size = self.device.block_size;
        let pages = self.device.read_run(first, count * size)?;
        for (index, buf) in blocks.iter().enumerate() {
            // Not waited for: who has the content of one that is there may want what the caller has.
            if buf.has(UPTODATE) {
                continue;
            }
            let mut data = buf.0.data.write();
            if buf.has(UPTODATE) {
                continue;
            }
            let mut at = index * size;
            for piece in data.chunks_mut(PAGE_SIZE) {
                pages.get(at / PAGE_SIZE).ok_or(EIO)?.read(at % PAGE_SIZE, piece)?;
                at += piece.len();
            }
            buf.has_arrived();
        }
        Ok(())
    }

    /// The block without reading it; zeros if it was not in memory.
    pub(crate) fn get_new(&self, block: u64) -> Result<Buf> {
        if block >= self.device.count() {
            return Err(EIO);
        }
        let buf = self.get(block)?;
        buf.set(UPTODATE);
        Ok(buf)
    }

    /// Writes those of the buffers that are dirty, and waits: all that was dirty when it began is on the device then.
    pub(crate) fn write_back(&self, buffers: &[Buf]) -> Result {
        // What somebody else was writing may have been changed since he took his copy.
        while self.write_round(buffers)? {}
        Ok(())
    }

    /// One round of `write_back`. True if it left out buffers that are dirty.
    fn write_round(&self, buffers: &[Buf]) -> Result<bool> {
        let batch = Batch::new()?;
        let mut started = KVec::with_capacity(buffers.len(), GFP_NOFS)?;
        let mut sorted = KVec::with_capacity(buffers.len(), GFP_NOFS)?;
        for buf in buffers {
            sorted.push(buf, GFP_NOFS)?;
        }
        // Neighbours become one request.
        sort::sort_by_key(&mut sorted, |buf| buf.0.number);
        let (mut result, mut left_out) = (Ok(()), false);
        let plug = block::Plug::start();
        for &buf in &sorted {
            if !buf.begin_write() {
                left_out |= buf.has(DIRTY);
                continue;
            }
            let submitted = self.submit(&batch, buf);
            if submitted.is_err() {
                buf.set(DIRTY);
                buf.end_write(Ok(()));
                result = submitted;
                break;
            }
            // The capacity is there.
            let _ = started.push_within_capacity(buf.clone());
        }
        drop(plug);
        let done = batch.wait();
        for buf in &started {
            buf.end_write(done);
            self.device.forget_page(buf.0.number);
        }
        for buf in buffers {
            jbd2::Buffer::wait_written(buf);
        }
        result.and(done).map(|()| left_out)
    }

    fn submit(&self, batch: &Arc<Batch>, buf: &Buf) -> Result {
        let data = buf.0.data.read();
        let mut bio = Bio::new(&self.device.bdev, Op::Write, OpFlags::META, data.len().div_ceil(PAGE_SIZE), GFP_NOFS)?;
        bio.set_sector(self.device.sector(buf.0.number));
        for piece in data.chunks(PAGE_SIZE) {
            let page = Page::alloc(GFP_NOFS)?;
            page.write(0, piece)?;
            bio.add_page(page, 0, piece.len() as u32)?;
        }
        batch.submit(bio);
        Ok(())
    }

    /// Without a journal: the block was changed. That cannot be undone, so this cannot fail: if there is no memory for the list, the
    /// next `sync` looks at all blocks.
    pub(crate) fn dirtied(&self, buf: &Buf) {
        if buf.set(DIRTY | LISTED) & LISTED == 0 && self.dirty.lock().push(buf.clone(), GFP_NOFS).is_err() {
            buf.clear(LISTED);
            self.unlisted.store(true, Ordering::Release);
        }
    }

    /// Without a journal: writes all blocks that were changed. What could not even be tried stays for the next time.
    pub(crate) fn sync(&self) -> Result {
        let list = core::mem::take(&mut *self.dirty.lock());
        for buf in &list {
            buf.clear(LISTED);
        }
        let mut result = self.write_list(&list);
        if self.unlisted.swap(false, Ordering::AcqRel) {
            result = result.and(self.shards.iter().map(|shard| self.write_shard(shard)).fold(Ok(()), Result::and));
        }
        result
    }

    /// Without a journal: number and content of each block that was changed since the last `sync`. `ENOMEM` if some could not be listed.
    pub(crate) fn each_dirty(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result) -> Result {
        if self.unlisted.load(Ordering::Acquire) {
            return Err(ENOMEM);
        }
        let mut list = KVec::new();
        for buf in self.dirty.lock().iter().filter(|buf| buf.has(DIRTY)) {
            list.push(buf.clone(), GFP_NOFS)?;
        }
        list.iter().try_for_each(|buf| each(buf.0.number, &buf.0.data.read()))
    }

    fn write_list(&self, list: &[Buf]) -> Result {
        let mut result = Ok(());
        for chunk in list.chunks(64) {
            let written = self.write_back(chunk);
            if written.is_err() {
                chunk.iter().filter(|buf| buf.has(DIRTY)).for_each(|buf| self.dirtied(buf));
            }
            result = result.and(written);
        }
        result
    }

    /// Writes the dirty blocks of a shard, which keeps them whether they are listed or not.
    fn write_shard(&self, shard: &Mutex<HashMap<u64, Buf>>) -> Result {
        let mut list = KVec::new();
        let gathered = shard
            .lock()
            .iter()
            .filter(|(_, buf)| buf.has(DIRTY))
            .try_for_each(|(_, buf)| list.push(buf.clone(), GFP_NOFS));
        if let Err(error) = gathered {
            self.unlisted.store(true, Ordering::Release);
            return self.write_list(&list).and(Err(error.into()));
        }
        self.write_list(&list)
    }

    /// Drops every block that nobody uses: what the device has was changed from elsewhere.
    pub(crate) fn drop_unused(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let before = shard.len();
            shard.retain(|_, buf| !(Arc::strong_count(&buf.0) == 1 && buf.clone().is_unused()));
            self.count.fetch_sub(before - shard.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(ext4_buffer)]
mod tests {
    use super::*;
    use core::sync::atomic::Ordering::SeqCst;
    use kernel::filesystem::block::QueueLimits;
    use kernel::filesystem::block::testing::RamDisk;

    const PAGES: usize = 64;

    /// A cache of a disk each of whose blocks says where it is.
    fn with_cache(block_size: usize, limit: usize, test: impl FnOnce(&RamDisk, &Cache) -> Result) -> Result {
        let disk = RamDisk::disk("kunitext4", PAGES, QueueLimits::default(), u64::MAX, EIO)?;
        let ram = disk.driver::<RamDisk>().ok_or(EIO)?;
        for (n, page) in ram.pages.iter().enumerate() {
            for at in (0..PAGE_SIZE).step_by(block_size) {
                page.write(at, &((n * PAGE_SIZE + at) as u64).to_le_bytes())?;
            }
        }
        let whole = disk.part(0).ok_or(EIO)?;
        let blocks = Blocks::new(&whole, block_size);
        let result = blocks.and_then(|blocks| Cache::new(blocks, limit)).and_then(|cache| test(ram, &cache));
        disk.remove();
        result
    }

    fn says(buf: &Buf) -> u64 {
        buf.0.data.read().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    #[test]
    fn neighbours_come_by_one_transfer() -> Result {
        for size in [1024, PAGE_SIZE] {
            with_cache(size, 1000, |ram, cache| {
                let place = |number: u64| number * size as u64;
                let there = cache.read(7)?;
                there.0.data.write().fill(9);
                let before = ram.reads.load(SeqCst);
                assert_eq!(says(&cache.read_near(5, || (4, 8))?), place(5));
                assert_eq!(ram.reads.load(SeqCst) - before, 1);
                for number in [4, 6, 8, 11] {
                    let near = cache.find_uptodate(number).ok_or(EIO)?;
                    assert_eq!(says(&near), place(number));
                }
                assert_eq!(says(&there), 0x0909_0909_0909_0909, "one that was there stays");
                assert!(cache.find_uptodate(12).is_none());
                cache.read_near(11, || (0, 32))?;
                assert_eq!(ram.reads.load(SeqCst) - before, 1);
                // With what the device does not have: alone.
                let last = (PAGES * PAGE_SIZE / size) as u64 - 1;
                assert_eq!(says(&cache.read_near(last, || (last, 8))?), place(last));
                Ok(())
            })?;
        }
        Ok(())
    }

    #[test]
    fn a_full_cache_keeps_what_is_asked_for_again() -> Result {
        with_cache(1024, 8, |_, cache| {
            // All in one shard.
            for number in 0..9 {
                cache.read(number)?;
            }
            cache.read(3)?;
            let held = cache.read(5)?;
            cache.read(9)?;
            let left = (0..10).filter(|number| cache.find(*number).is_some());
            assert!(left.eq([3, 5, 9]));
            drop(held);
            Ok(())
        })
    }
}
