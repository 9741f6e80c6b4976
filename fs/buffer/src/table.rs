// SPDX-License-Identifier: GPL-2.0
//! Finding buffers by block, reading them, and dropping those that nobody uses. Look-ups take no lock.

use crate::buffer::{Buffer, UNHASHED, UPTODATE};
use crate::device::DeviceCache;
use core::sync::atomic::Ordering::*;
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_NOFS};
use kalloc::{Arc, KVVec, KVec};
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use rcu::RcuList;
use sync::Mutex;

/// Locks for reading blocks in; several blocks share one.
const READERS: usize = 64;

/// The buffers of a device.
pub(crate) struct Table {
    buckets: KVVec<RcuList<Buffer>>,
    reading: KVVec<Mutex<()>>,
}

/// References to an unused buffer: its bucket's, and the looker's.
const UNUSED: usize = 2;

impl Table {
    /// Sized by the machine's memory. ENOMEM.
    pub(crate) fn new() -> Result<Self> {
        let wanted = (mm::meminfo().total / 64).clamp(256, 16384).next_power_of_two() as usize;
        let mut buckets = KVVec::with_capacity(wanted, GFP_NOFS)?;
        for _ in 0..wanted {
            // The capacity is there.
            let _ = buckets.push_within_capacity(RcuList::new());
        }
        let mut reading = KVVec::with_capacity(READERS, GFP_NOFS)?;
        for _ in 0..READERS {
            let _ = reading.push_within_capacity(Mutex::new(()));
        }
        Ok(Self { buckets, reading })
    }

    fn bucket(&self, block: u64) -> Result<&RcuList<Buffer>> {
        let hash = block.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.buckets.get(hash as usize & (self.buckets.len() - 1)).ok_or(EINVAL)
    }

    fn reader(&self, block: u64) -> Result<&Mutex<()>> {
        self.reading.get(block as usize % READERS).ok_or(EINVAL)
    }
}

impl DeviceCache {
    /// The buffer of `block`, if it is in memory. No lock.
    pub fn find(&self, block: u64, size: u32) -> Option<Arc<Buffer>> {
        let section = rcu::read_lock();
        let mut list = self.table.bucket(block).ok()?.iter(&section);
        list.find(|buffer| buffer.block() == block && buffer.size() == size).map(Arc::from)
    }

    /// The block's buffer, made if need be: then its bytes are zero and not up to date. EIO beyond the device's end, EINVAL for a
    /// size that is no power of two from 512 to 4096. May sleep.
    pub fn getblk(&self, block: u64, size: u32) -> Result<Arc<Buffer>> {
        if let Some(buffer) = self.find(block, size) {
            return Ok(buffer);
        }
        self.check(block, size)?;
        let fresh = Buffer::new(&self.me, block, size)?;
        let bucket = self.table.bucket(block)?;
        let mut list = bucket.lock();
        if let Some(there) = list.iter().find(|buffer| buffer.block() == block && buffer.size() == size) {
            return Ok(Arc::from(there));
        }
        // A new buffer is in no list.
        list.push(fresh.clone()).map_err(|_| EINVAL)?;
        drop(list);
        self.count.fetch_add(1, Relaxed);
        self.sizes.fetch_or(size, Relaxed);
        Ok(fresh)
    }

    fn check(&self, block: u64, size: u32) -> Result {
        if !size.is_power_of_two() || !(512..=PAGE_SIZE as u32).contains(&size) {
            return Err(EINVAL);
        }
        let end = block.checked_add(1).and_then(|end| end.checked_mul(size.into())).ok_or(EIO)?;
        if end > self.bytes() { Err(EIO) } else { Ok(()) }
    }

    /// The block's buffer, read from the device if it is not up to date. EIO. May sleep.
    pub fn bread(&self, block: u64, size: u32) -> Result<Arc<Buffer>> {
        let buffer = self.getblk(block, size)?;
        if !buffer.is_uptodate() {
            self.fill(&buffer)?;
        }
        Ok(buffer)
    }

    #[cold]
    fn fill(&self, buffer: &Arc<Buffer>) -> Result {
        let _reading = self.table.reader(buffer.block())?.lock();
        if buffer.is_uptodate() {
            return Ok(());
        }
        let pos = buffer.pos();
        let mut data = buffer.write_raw();
        if buffer.is_uptodate() {
            return Ok(());
        }
        // Programs may have written to the device: what its pages say is newer.
        match self.mapping.find(pos >> PAGE_SHIFT) {
            Some(_) => {
                let page = self.mapping.get_or_read(pos >> PAGE_SHIFT)?;
                page.read(pos as usize % PAGE_SIZE, &mut data)?;
            }
            None => block::read_bytes(&self.bdev()?, pos, &mut data)?,
        }
        buffer.clear_verified();
        buffer.set(UPTODATE);
        Ok(())
    }

    /// Starts reading `count` blocks that will be wanted soon; errors show when they are wanted. May sleep.
    pub fn readahead(&self, block: u64, count: u32, size: u32) {
        let (Some(first), Some(len)) = (block.checked_mul(size.into()), count.checked_mul(size)) else { return };
        let last = first.saturating_add(u64::from(len).saturating_sub(1)) >> PAGE_SHIFT;
        // Into the device's pages, from where `bread` takes them.
        self.mapping.read_forced(first >> PAGE_SHIFT, last - (first >> PAGE_SHIFT) + 1);
    }

    /// Drops buffers that nobody uses and that are clean, looking at about `buckets` of them; how many went. May sleep.
    pub fn shrink(&self, buckets: usize) -> usize {
        let mut dropped = 0;
        for _ in 0..buckets.min(self.table.buckets.len()) {
            let at = self.hand.fetch_add(1, Relaxed) & (self.table.buckets.len() - 1);
            let Some(bucket) = self.table.buckets.get(at) else { break };
            let mut victims: KVec<Arc<Buffer>> = KVec::new();
            {
                let section = rcu::read_lock();
                for buffer in bucket.iter(&section) {
                    if victims.push(Arc::from(buffer), GFP_ATOMIC).is_err() {
                        break;
                    }
                }
            }
            for buffer in victims {
                dropped += usize::from(self.drop_if_unused(bucket, &buffer));
            }
        }
        dropped
    }

    fn drop_if_unused(&self, bucket: &RcuList<Buffer>, buffer: &Arc<Buffer>) -> bool {
        if Arc::strong_count(buffer) > UNUSED || buffer.is_busy() {
            return false;
        }
        let mut list = bucket.lock();
        if !list.remove(buffer) {
            return false;
        }
        // The bucket's reference goes after a grace period only, so an unused buffer still counts two.
        if Arc::strong_count(buffer) > UNUSED || buffer.is_busy() {
            // Just removed, so it is in no list.
            let _ = list.push(buffer.clone());
            return false;
        }
        drop(list);
        buffer.set(UNHASHED);
        self.count.fetch_sub(1, Relaxed);
        true
    }

    /// Drops all buffers, dirty ones too, whose size is not `keep`: the block size changes, or the device is gone. May sleep.
    pub fn drop_buffers(&self, keep: u32) {
        for bucket in self.table.buckets.iter() {
            loop {
                let section = rcu::read_lock();
                let Some(buffer) = bucket.iter(&section).find(|b| b.size() != keep).map(Arc::from) else { break };
                drop(section);
                if bucket.lock().remove(&buffer) {
                    buffer.set(UNHASHED);
                    buffer.clear_dirty();
                    self.count.fetch_sub(1, Relaxed);
                }
            }
        }
    }

    /// Calls `f` for each buffer in memory that lies in the bytes `[start, end)`. `f` may sleep.
    pub(crate) fn each_in(&self, start: u64, end: u64, mut f: impl FnMut(&Arc<Buffer>) -> Result) -> Result {
        if self.count.load(Relaxed) == 0 {
            return Ok(());
        }
        for shift in 9..=PAGE_SHIFT {
            if self.sizes.load(Relaxed) & 1 << shift == 0 {
                continue;
            }
            let end = end.min(self.bytes());
            for block in start >> shift..end.div_ceil(1 << shift) {
                if let Some(buffer) = self.find(block, 1 << shift) {
                    f(&buffer)?;
                }
            }
        }
        Ok(())
    }
}
