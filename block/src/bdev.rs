// SPDX-License-Identifier: GPL-2.0
//! `BlockDevice`: what a `dev_t` names: a whole disk (partition number 0) or a partition of it.
//!
//! A device is in the registry while its disk is live; who holds one longer gets `EIO` for what it sends.

use crate::disk::Gendisk;
use crate::open::Claims;
use crate::registry::Number;
use crate::stats::{DiskStats, StatTotals};
use crate::types::{SECTOR_SHIFT, SECTOR_SIZE};
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use kdev::Dev;
use locking::SetOnce;
use mm_alloc::PAGE_SIZE;
use sync::Mutex;

/// The pages of a device that somebody (the page cache) keeps.
pub trait BdevCache: Any + Send + Sync {
    /// Writes dirty pages out and waits. May sleep. The first error of the pages.
    fn write_back(&self) -> Result;
    /// Forgets clean pages that nobody uses. May sleep.
    fn invalidate(&self);
    /// Nobody has the device open any more: forgets everything. May sleep.
    fn forget(&self);
    /// The device is gone: forgets everything. May sleep.
    fn kill(&self);
}

/// What a partition table says of a partition beyond its place.
#[derive(Default)]
pub struct PartitionInfo {
    /// As udev shows it (`ID_PART_ENTRY_UUID`); empty if the table has none.
    pub uuid: KString,
    /// Its name; empty if the table has none.
    pub name: KString,
}

/// A disk or a partition.
pub struct BlockDevice {
    number: Number,
    partno: u32,
    disk: Arc<Gendisk>,
    start: AtomicU64,
    nr_sectors: AtomicU64,
    read_only: AtomicBool,
    /// In use as swap space.
    swap: AtomicBool,
    /// What `BLKBSZSET` says; 0: nothing since it was first opened.
    block_size: AtomicU32,
    stats: DiskStats,
    info: PartitionInfo,
    pub(crate) claims: Mutex<Claims>,
    cache: SetOnce<Arc<dyn BdevCache>>,
}

impl BlockDevice {
    pub(crate) fn new(
        disk: &Arc<Gendisk>,
        number: Number,
        partno: u32,
        start: u64,
        sectors: u64,
        info: PartitionInfo,
    ) -> Result<Arc<Self>> {
        let bdev = Self {
            number,
            partno,
            disk: disk.clone(),
            start: AtomicU64::new(start),
            nr_sectors: AtomicU64::new(sectors),
            read_only: AtomicBool::new(false),
            swap: AtomicBool::new(false),
            block_size: AtomicU32::new(0),
            stats: DiskStats::new()?,
            info,
            claims: Mutex::new(Claims::default()),
            cache: SetOnce::new(),
        };
        Ok(Arc::new(bdev, GFP_KERNEL)?)
    }

    /// Its number.
    #[inline]
    pub fn dev(&self) -> Dev {
        self.number.dev()
    }

    /// Number of the partition; 0 is the whole disk.
    #[inline]
    pub fn partno(&self) -> u32 {
        self.partno
    }

    /// Whether it is a partition.
    #[inline]
    pub fn is_partition(&self) -> bool {
        self.partno != 0
    }

    /// The disk.
    #[inline]
    pub fn disk(&self) -> &Arc<Gendisk> {
        &self.disk
    }

    /// Looks for the end of transfers that were sent with [`OpFlags::POLLED`](crate::OpFlags::POLLED): how many requests ended. `None` if
    /// its disk has no queue without interrupts: they end by themselves. Task context, without locks; may sleep.
    pub fn poll(&self) -> Option<usize> {
        self.disk.ops().queue()?.poll()
    }

    /// Bytes from its start to the device's first natural boundary.
    pub fn alignment_offset(&self) -> u32 {
        let limits = self.disk.limits();
        if self.is_partition() { limits.alignment_of(self.start_sector()) } else { limits.alignment_offset }
    }

    /// Bytes from its start to the first block that can be discarded by itself.
    pub fn discard_alignment(&self) -> u32 {
        let limits = self.disk.limits();
        if self.is_partition() { limits.discard_alignment_of(self.start_sector()) } else { limits.discard_alignment }
    }

    /// First sector on the disk.
    #[inline]
    pub fn start_sector(&self) -> u64 {
        self.start.load(Relaxed)
    }

    /// Size in sectors. It can change while the device is open.
    #[inline]
    pub fn nr_sectors(&self) -> u64 {
        self.nr_sectors.load(Acquire)
    }

    /// Size in bytes.
    #[inline]
    pub fn size(&self) -> u64 {
        self.nr_sectors() << SECTOR_SHIFT
    }

    pub(crate) fn set_range(&self, start: u64, sectors: u64) {
        self.start.store(start, Relaxed);
        self.nr_sectors.store(sectors, Release);
    }

    /// Bytes of the smallest unit the device addresses.
    pub fn logical_block_size(&self) -> u32 {
        self.disk.limits().logical_block_size
    }

    /// Bytes of the smallest unit the device writes without reading first.
    pub fn physical_block_size(&self) -> u32 {
        self.disk.limits().physical_block_size
    }

    /// Bytes of a block as programs agree on them (`BLKBSZGET`): at first the largest up to a page of which the device has a whole
    /// number. Nothing here depends on it.
    pub fn block_size(&self) -> u32 {
        match self.block_size.load(Relaxed) {
            0 => {
                let least = self.logical_block_size();
                let whole = 1u32.checked_shl(self.size().trailing_zeros()).unwrap_or(u32::MAX);
                whole.min(PAGE_SIZE as u32).max(least)
            }
            size => size,
        }
    }

    /// `BLKBSZSET`. EINVAL but for powers of two from the logical block's size to a page's.
    pub fn set_block_size(&self, size: u32) -> Result {
        let least = self.logical_block_size().max(SECTOR_SIZE);
        if !size.is_power_of_two() || !(least..=PAGE_SIZE as u32).contains(&size) {
            return Err(EINVAL);
        }
        self.block_size.store(size, Relaxed);
        Ok(())
    }

    /// It is opened while nobody has it open.
    pub(crate) fn first_open(&self) {
        self.block_size.store(0, Relaxed);
    }

    /// Whether it must not be written: this device is, or its disk.
    #[inline]
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Relaxed) || self.disk.is_read_only()
    }

    /// `BLKROSET`: of this device alone.
    pub fn set_read_only(&self, read_only: bool) -> Result {
        if self.is_partition() && !read_only && self.disk.is_read_only() {
            return Err(EACCES);
        }
        self.read_only.store(read_only, Relaxed);
        Ok(())
    }

    /// Whether it is in use as swap space: programs may not write to it.
    pub fn is_swap(&self) -> bool {
        self.swap.load(Relaxed)
    }

    /// Says whether it is in use as swap space. By `swapon` and `swapoff`.
    pub fn set_swap(&self, swap: bool) {
        self.swap.store(swap, Relaxed);
    }

    /// Counters: a partition's own, or the disk's.
    pub fn stats(&self) -> &DiskStats {
        if self.is_partition() { &self.stats } else { self.disk.stats() }
    }

    /// The counters, added up.
    pub fn totals(&self) -> StatTotals {
        self.stats().totals(ktime::now_ns())
    }

    /// How many have it open.
    pub fn openers(&self) -> u32 {
        self.claims.lock().openers
    }

    /// What the partition table says of it.
    pub fn info(&self) -> &PartitionInfo {
        &self.info
    }

    /// Its name: `vda`, `vda1`, `nvme0n1p1`. ENOMEM.
    pub fn name(&self) -> Result<KString> {
        let disk = self.disk.name();
        Ok(match (self.partno, disk.as_bytes().last()) {
            (0, _) => disk.try_clone(GFP_KERNEL)?,
            (n, Some(b'0'..=b'9')) => KString::from_fmt(format_args!("{disk}p{n}"), GFP_KERNEL)?,
            (n, _) => KString::from_fmt(format_args!("{disk}{n}"), GFP_KERNEL)?,
        })
    }

    /// The page cache's part, once it set one.
    pub fn cache(&self) -> Option<&Arc<dyn BdevCache>> {
        self.cache.get()
    }

    /// Sets the page cache's part, once; later callers get theirs back and use the first.
    pub fn set_cache(&self, cache: Arc<dyn BdevCache>) -> Result<(), Arc<dyn BdevCache>> {
        self.cache.set(cache)
    }

    /// Writes cached dirty pages out (`sync_blockdev`). May sleep.
    pub fn sync(&self) -> Result {
        self.cache.get().map_or(Ok(()), |cache| cache.write_back())
    }
}
