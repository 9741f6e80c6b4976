// SPDX-License-Identifier: GPL-2.0
//! `Gendisk`: a disk, the driver behind it and its partitions.
//!
//! Life: [`Gendisk::new`], limits and capacity, [`Gendisk::add`] (now it is found), [`Gendisk::remove`] (not found any more; what is
//! sent gets `EIO`). The last reference frees it.

use crate::bdev::{BlockDevice, PartitionInfo};
use crate::bio::Bio;
use crate::limits::QueueLimits;
use crate::mq::Queue;
use crate::ratios::DirtyRatios;
use crate::registry::{self, Number};
use crate::stats::DiskStats;
use crate::trace::Traced;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use errno::{Result, code::*};
use hook::Hook;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use locking::SetOnce;
use mm_alloc::PAGE_SIZE;
use module_core::Header;
use rcu::RcuArc;
use sync::Mutex;

/// What the disk's heads and cylinders would be (`HDIO_GETGEO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Heads.
    pub heads: u8,
    /// Sectors of a track.
    pub sectors: u8,
    /// Cylinders.
    pub cylinders: u16,
}

/// What a driver may do for its disk beside transfers. May sleep.
#[allow(unused_variables, reason = "defaults ignore their arguments")]
pub trait DiskOps: Any + Send + Sync {
    /// The disk is opened (each time). An error refuses it.
    fn open(&self, disk: &Arc<Gendisk>, write: bool) -> Result {
        Ok(())
    }

    /// The same with `O_NONBLOCK`: a drive without a medium can be opened so.
    fn open_nonblock(&self, disk: &Arc<Gendisk>, write: bool) -> Result {
        self.open(disk, write)
    }

    /// An opener is gone.
    fn release(&self, disk: &Arc<Gendisk>) {}

    /// A request that the block layer does not know. `arg` is the program's.
    fn ioctl(&self, bdev: &Arc<BlockDevice>, write: bool, cmd: u32, arg: usize) -> Result<usize> {
        Err(ENOTTY)
    }

    /// The disk's geometry; ENOTTY.
    fn getgeo(&self, disk: &Gendisk) -> Result<Geometry> {
        Err(ENOTTY)
    }

    /// The text of the attribute `serial`; `None`: no such attribute.
    fn serial(&self, disk: &Gendisk) -> Option<Result<KString>> {
        None
    }
}

/// A driver that takes bios.
pub trait BlockOps: DiskOps {
    /// Takes a bio and ends it, now or later ([`Bio::end`]). It is within the disk and the limits; `sector` counts from the disk's
    /// start. Sleeping is allowed unless the bio has `NOWAIT`, and the submitter is allowed to.
    fn submit_bio(&self, disk: &Arc<Gendisk>, bio: KBox<Bio>);

    /// The queue of its requests, if it has any.
    fn queue(&self) -> Option<&Arc<Queue>> {
        None
    }
}

/// Who is told of disks: nodes, sysfs, partition tables. May sleep.
pub trait BlockEvents: Sync {
    /// The disk is in the registry.
    fn disk_added(&self, disk: &Arc<Gendisk>) -> Result;
    /// The disk leaves.
    fn disk_removed(&self, disk: &Arc<Gendisk>);
    /// A partition came.
    fn partition_added(&self, bdev: &Arc<BlockDevice>) -> Result;
    /// A partition goes.
    fn partition_removed(&self, bdev: &Arc<BlockDevice>);
    /// The disk's size changed.
    fn disk_resized(&self, disk: &Arc<Gendisk>);
    /// The partition table is to be read (again).
    fn scan(&self, disk: &Arc<Gendisk>) -> Result;
}

/// Numbers of partitions are below this (`DISK_MAX_PARTS`).
const MAX_PARTS: u32 = 256;

static EVENTS: Hook<dyn BlockEvents> = Hook::new();

/// Sets who is told; once, at boot, before the first disk.
pub fn set_events(events: &'static &'static dyn BlockEvents) {
    EVENTS.set(events);
}

/// What a new disk is.
pub struct GendiskParams<'a> {
    /// Name of the disk (`vda`).
    pub name: &'a str,
    /// Major number; 0: numbers of [`BLOCK_EXT_MAJOR`].
    pub major: u32,
    /// First minor.
    pub first_minor: u32,
    /// How many minors there are for the disk and its partitions; further partitions get numbers of [`BLOCK_EXT_MAJOR`].
    pub minors: u32,
    /// Where in `/sys` the device is that it belongs to (`devices/pci0000:00/...`); `None` for a virtual one.
    pub parent: Option<&'a str>,
    /// Its medium can be taken out.
    pub removable: bool,
    /// It has no partitions (`GENHD_FL_NO_PART`).
    pub no_part: bool,
    /// The module that the driver is in, which cannot go while the disk is open; `None` for code of the image.
    pub owner: Option<&'static Header>,
}

struct Parts(KVec<Arc<BlockDevice>>);

/// A disk.
pub struct Gendisk {
    name: KString,
    major: u32,
    first_minor: u32,
    minors: u32,
    parent: Option<KString>,
    removable: bool,
    no_part: AtomicBool,
    owner: Option<&'static Header>,
    adapter: SetOnce<&'static Header>,
    ops: KBox<dyn BlockOps>,
    limits: RcuArc<QueueLimits>,
    capacity: AtomicU64,
    read_only: AtomicBool,
    live: AtomicBool,
    stats: DiskStats,
    /// The whole disk, then its partitions by number, while it is live.
    parts: RcuArc<Parts>,
    /// Serialises changes of `parts`, `limits` and the scan; holds the number of openers of the disk and its partitions.
    pub(crate) open: Mutex<u32>,
    diskseq: u64,
    /// Read-ahead in KB (`queue/read_ahead_kb`).
    read_ahead_kb: AtomicU32,
    dirty: DirtyRatios,
    /// The limits' `add_random`.
    adds_random: AtomicBool,
    /// Who is told of what happens.
    pub(crate) tracer: RcuArc<Traced>,
}

static DISKSEQ: AtomicU64 = AtomicU64::new(0);

impl Gendisk {
    /// A disk that is not found yet. ENOMEM. May sleep.
    pub fn new(params: &GendiskParams<'_>, limits: QueueLimits, ops: KBox<dyn BlockOps>) -> Result<Arc<Self>> {
        let adds_random = limits.add_random;
        let limits = Arc::new(limits.checked(), GFP_KERNEL)?;
        let disk = Self {
            name: KString::from_str(params.name, GFP_KERNEL)?,
            major: params.major,
            first_minor: params.first_minor,
            minors: params.minors,
            parent: params.parent.map(|path| KString::from_str(path, GFP_KERNEL)).transpose()?,
            removable: params.removable,
            no_part: AtomicBool::new(params.no_part),
            owner: params.owner,
            adapter: SetOnce::new(),
            ops,
            read_ahead_kb: AtomicU32::new(limits.read_ahead_kb.max(limits.io_opt / 512)),
            limits: RcuArc::new(Some(limits)),
            capacity: AtomicU64::new(0),
            read_only: AtomicBool::new(false),
            live: AtomicBool::new(false),
            stats: DiskStats::new()?,
            parts: RcuArc::null(),
            open: Mutex::new(0),
            diskseq: DISKSEQ.fetch_add(1, Relaxed) + 1,
            dirty: DirtyRatios::new(),
            adds_random: AtomicBool::new(adds_random),
            tracer: RcuArc::null(),
        };
        Ok(Arc::new(disk, GFP_KERNEL)?)
    }

    /// Its name.
    pub fn name(&self) -> &KString {
        &self.name
    }

    /// Its driver's side.
    #[inline]
    pub fn ops(&self) -> &dyn BlockOps {
        &*self.ops
    }

    /// Its driver's side, if that is a `T`.
    pub fn driver<T: BlockOps>(&self) -> Option<&T> {
        (&*self.ops as &dyn Any).downcast_ref()
    }

    /// Where in `/sys` its device is.
    pub fn parent(&self) -> Option<&KString> {
        self.parent.as_ref()
    }

    /// Whether its medium can be taken out.
    pub fn is_removable(&self) -> bool {
        self.removable
    }

    /// Whether partition tables on it are ignored.
    pub fn has_no_partitions(&self) -> bool {
        self.no_part.load(Relaxed)
    }

    /// Sets whether partition tables on it are ignored (`LO_FLAGS_PARTSCAN`).
    pub fn set_no_partitions(&self, no_part: bool) {
        self.no_part.store(no_part, Relaxed);
    }

    /// The module that its driver is in.
    pub(crate) fn owner(&self) -> Option<&'static Header> {
        self.owner
    }

    /// Names the module of the adapter that the disk is behind, if that is another one than its driver's: it cannot go either while the
    /// disk is open. Before [`Self::add`].
    pub fn set_adapter(&self, adapter: Option<&'static Header>) {
        if let Some(adapter) = adapter {
            // A disk stays at its adapter: the first word counts.
            let _ = self.adapter.set(adapter);
        }
    }

    /// See [`Self::set_adapter`].
    pub(crate) fn adapter(&self) -> Option<&'static Header> {
        self.adapter.get().copied()
    }

    /// How many numbers the driver has for it.
    pub fn minors(&self) -> u32 {
        self.minors
    }

    /// Number of its first device.
    pub fn first_minor(&self) -> u32 {
        self.first_minor
    }

    /// Counts disks since boot: never the same for two.
    pub fn diskseq(&self) -> u64 {
        self.diskseq
    }

    /// The limits now.
    #[inline]
    pub fn limits(&self) -> QueueLimits {
        let section = rcu::read_lock();
        self.limits.load(&section).copied().unwrap_or_default()
    }

    /// Changes the limits. ENOMEM. May sleep. Requests on their way were made for the old ones.
    pub fn update_limits(&self, change: impl FnOnce(&mut QueueLimits)) -> Result {
        let mut limits = self.limits();
        change(&mut limits);
        let adds_random = limits.add_random;
        self.limits.replace(Some(Arc::new(limits.checked(), GFP_KERNEL)?));
        self.adds_random.store(adds_random, Relaxed);
        Ok(())
    }

    /// Read-ahead in KB.
    pub fn read_ahead_kb(&self) -> u32 {
        self.read_ahead_kb.load(Relaxed)
    }

    /// Sets the read-ahead: whole pages of it.
    pub fn set_read_ahead_kb(&self, kb: u32) {
        self.read_ahead_kb.store(kb - kb % (PAGE_SIZE as u32 >> 10), Relaxed);
    }

    /// A request is over: its time goes into the random numbers, if the disk is of that kind. Any context.
    #[inline]
    pub(crate) fn add_random(&self) {
        if self.adds_random.load(Relaxed) {
            random::add_disk(self.diskseq);
        }
    }

    /// What its devices have of the memory that may be dirty.
    pub fn dirty(&self) -> &DirtyRatios {
        &self.dirty
    }

    /// Counters of the whole disk.
    #[inline]
    pub fn stats(&self) -> &DiskStats {
        &self.stats
    }

    /// Sectors.
    pub fn capacity(&self) -> u64 {
        self.capacity.load(Acquire)
    }

    /// Sets the size in sectors; tells when that is news about a live disk. May sleep.
    pub fn set_capacity(self: &Arc<Self>, sectors: u64) {
        let old = self.capacity.swap(sectors, AcqRel);
        if let Some(whole) = self.part(0) {
            whole.set_range(0, sectors);
            if old != sectors {
                klog::pr_info!("{}: detected capacity change from {old} to {sectors}", self.name);
                if let Some(events) = EVENTS.get() {
                    events.disk_resized(self);
                }
            }
        }
    }

    /// Whether the medium must not be written.
    #[inline]
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Relaxed)
    }

    /// The medium must not be written (`set_disk_ro`).
    pub fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Relaxed);
    }

    /// Whether it is in the registry and takes requests.
    #[inline]
    pub fn is_live(&self) -> bool {
        self.live.load(Acquire)
    }

    /// How many have it or a partition open.
    pub fn openers(&self) -> u32 {
        *self.open.lock()
    }

    /// Partition `number`, or the whole disk (0).
    pub fn part(&self, number: u32) -> Option<Arc<BlockDevice>> {
        let section = rcu::read_lock();
        let parts = self.parts.load(&section)?;
        parts.0.iter().find(|part| part.partno() == number).cloned()
    }

    /// The whole disk and its partitions. ENOMEM.
    pub fn parts(&self) -> Result<KVec<Arc<BlockDevice>>> {
        match self.parts.get() {
            Some(parts) => Ok(parts.0.try_clone(GFP_KERNEL)?),
            None => Ok(KVec::new()),
        }
    }

    /// Puts it into the registry, makes its nodes and looks for partitions. EBUSY if its number is taken, EEXIST if its name is. May sleep.
    pub fn add(self: &Arc<Self>) -> Result {
        let number = if self.major == 0 { Number::ext()? } else { Number::of(self.major, self.first_minor) };
        let whole = BlockDevice::new(self, number, 0, 0, self.capacity(), PartitionInfo::default())?;
        let mut list = KVec::new();
        list.push(whole.clone(), GFP_KERNEL)?;
        let parts = Arc::new(Parts(list), GFP_KERNEL)?;
        registry::enter(self)?;
        registry::register(&whole).inspect_err(|_| registry::leave(self))?;
        self.parts.replace(Some(parts));
        self.live.store(true, Release);
        if let Some(events) = EVENTS.get()
            && let Err(error) = events.disk_added(self)
        {
            self.remove();
            return Err(error);
        }
        // A disk without a readable table is a disk.
        let _ = self.scan_partitions();
        Ok(())
    }

    /// Takes it and its partitions out of the registry: they are not found any more, and what is sent ends with EIO. Unless its queue
    /// was killed before, what is dirty in its cache is written out first. May sleep.
    pub fn remove(self: &Arc<Self>) {
        if self.is_live() && !self.ops.queue().is_some_and(|queue| queue.is_killed()) {
            for part in self.parts.get().iter().flat_map(|parts| parts.0.iter()) {
                // Nobody is left to tell.
                let _ = part.sync();
            }
        }
        if !self.live.swap(false, AcqRel) {
            return;
        }
        let _open = self.open.lock();
        if let Some(parts) = self.parts.get() {
            for part in parts.0.iter().rev() {
                if let Some(cache) = part.cache() {
                    cache.kill();
                }
                if let Some(events) = EVENTS.get().filter(|_| part.is_partition()) {
                    events.partition_removed(part);
                }
                registry::unregister(part);
            }
        }
        if let Some(events) = EVENTS.get() {
            events.disk_removed(self);
        }
        registry::leave(self);
        self.parts.replace(None);
    }

    /// [`Self::remove`] for a module that goes, which nobody has an open disk of: waits until nobody has the disk itself either, so
    /// that nothing of the driver is called or dropped afterwards. May sleep.
    pub fn remove_and_wait(disk: Arc<Self>) {
        disk.remove();
        if let Some(queue) = disk.ops.queue() {
            queue.drain();
        }
        // The queue: its time-out worker may look at it.
        while Arc::strong_count(&disk) > 1 || disk.ops.queue().is_some_and(|queue| Arc::strong_count(queue) > 1) {
            // Who reads a list of disks, or what RCU frees later.
            rcu::synchronize();
            ktime::sleep_ns(1_000_000);
        }
    }

    /// Reads the partition table (again). EBUSY while a partition is open; EINVAL if it has none by nature. May sleep.
    pub fn scan_partitions(self: &Arc<Self>) -> Result {
        let _open = self.open.lock();
        if !self.is_live() {
            return Err(ENXIO);
        }
        if let Some(parts) = self.parts.get() {
            for part in parts.0.iter().filter(|part| part.is_partition()) {
                if part.claims.lock().openers != 0 {
                    return Err(EBUSY);
                }
            }
            for part in parts.0.iter().filter(|part| part.is_partition()) {
                self.drop_partition(part)?;
            }
        }
        match EVENTS.get() {
            Some(events) if self.capacity() != 0 && !self.has_no_partitions() => events.scan(self),
            _ => Ok(()),
        }
    }

    /// Adds a partition; for who reads the table (the disk's `open` is held), and `BLKPG`. EBUSY if the number is taken, EINVAL if it
    /// is 0 or the range is empty.
    pub fn add_partition(
        self: &Arc<Self>,
        number: u32,
        start: u64,
        sectors: u64,
        info: PartitionInfo,
    ) -> Result<Arc<BlockDevice>> {
        if number == 0 || sectors == 0 || start.checked_add(sectors).is_none() {
            return Err(EINVAL);
        }
        let parts = self.parts.get().ok_or(ENXIO)?;
        if parts.0.iter().any(|part| part.partno() == number) {
            return Err(EBUSY);
        }
        let its = match number {
            number if number < self.minors => Number::of(self.major, self.first_minor + number),
            _ => Number::ext()?,
        };
        let part = BlockDevice::new(self, its, number, start, sectors, info)?;
        let mut list = parts.0.try_clone(GFP_KERNEL)?;
        let at = list.iter().take_while(|other| other.partno() < number).count();
        list.insert(at, part.clone(), GFP_KERNEL)?;
        let list = Arc::new(Parts(list), GFP_KERNEL)?;
        registry::register(&part)?;
        self.parts.replace(Some(list));
        if let Some(events) = EVENTS.get()
            && let Err(error) = events.partition_added(&part)
        {
            self.drop_partition(&part)?;
            return Err(error);
        }
        Ok(part)
    }

    /// `BLKPG_ADD_PARTITION`: as [`Self::add_partition`]; the `open` lock is taken, and EBUSY if it overlaps another partition, EINVAL if
    /// it leaves the disk or its number is above those that a disk has (`ext_range`). May sleep.
    pub fn new_partition(self: &Arc<Self>, number: u32, start: u64, sectors: u64, info: PartitionInfo) -> Result {
        let _open = self.open.lock();
        let end = start.checked_add(sectors).filter(|&end| end <= self.capacity()).ok_or(EINVAL)?;
        let overlaps = |part: &Arc<BlockDevice>| {
            part.is_partition()
                && part.start_sector() < end
                && start < part.start_sector().saturating_add(part.nr_sectors())
        };
        if self.parts.get().ok_or(ENXIO)?.0.iter().any(overlaps) {
            return Err(EBUSY);
        }
        if number >= MAX_PARTS {
            return Err(EINVAL);
        }
        self.add_partition(number, start, sectors, info).map(drop)
    }

    /// `BLKPG_RESIZE_PARTITION`. ENXIO without that partition, EINVAL if it begins elsewhere, is to be empty or to leave the disk, EBUSY if
    /// it would overlap another one. The disk's `open` lock is taken. May sleep.
    pub fn resize_partition(self: &Arc<Self>, number: u32, start: u64, sectors: u64) -> Result {
        let _open = self.open.lock();
        let part = self.part(number).filter(|part| part.is_partition()).ok_or(ENXIO)?;
        if part.start_sector() != start || sectors == 0 {
            return Err(EINVAL);
        }
        let end = start.checked_add(sectors).filter(|&end| end <= self.capacity()).ok_or(EINVAL)?;
        let overlaps = |other: &Arc<BlockDevice>| {
            other.is_partition() && other.partno() != number && {
                let its_end = other.start_sector().saturating_add(other.nr_sectors());
                other.start_sector() < end && start < its_end
            }
        };
        if self.parts.get().ok_or(ENXIO)?.0.iter().any(overlaps) {
            return Err(EBUSY);
        }
        part.set_range(start, sectors);
        Ok(())
    }

    fn drop_partition(self: &Arc<Self>, part: &Arc<BlockDevice>) -> Result {
        let parts = self.parts.get().ok_or(ENXIO)?;
        let mut list = KVec::with_capacity(parts.0.len(), GFP_KERNEL)?;
        for other in parts.0.iter().filter(|other| !Arc::ptr_eq(other, part)) {
            list.push(other.clone(), GFP_KERNEL)?;
        }
        self.parts.replace(Some(Arc::new(Parts(list), GFP_KERNEL)?));
        if let Some(cache) = part.cache() {
            cache.kill();
        }
        if let Some(events) = EVENTS.get() {
            events.partition_removed(part);
        }
        registry::unregister(part);
        Ok(())
    }

    /// `BLKPG_DEL_PARTITION`. ENXIO without that partition, EBUSY while it is open. The disk's `open` lock is taken. May sleep.
    pub fn delete_partition(self: &Arc<Self>, number: u32) -> Result {
        let _open = self.open.lock();
        let part = self.part(number).filter(|part| part.is_partition()).ok_or(ENXIO)?;
        if part.claims.lock().openers != 0 {
            return Err(EBUSY);
        }
        part.sync()?;
        self.drop_partition(&part)
    }
}
