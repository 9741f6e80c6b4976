// SPDX-License-Identifier: GPL-2.0
//! A disk: what its configuration says, and its life.

use crate::module_parameters;
use crate::ring::Ring;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use kernel::block::blk_mq::{HwQueue, MqDisk, MqOps, MqParams, Queue, Refused, Request};
use kernel::block::{DiskOps, Gendisk, GendiskParams, Geometry, QueueLimits, disk_name};
use kernel::ext::{Alive, AliveGuard, Id, Ida, KString, Mutex, SetOnce, Work, num_online_cpus};
use kernel::hardware::ktime;
use kernel::prelude::*;
use kernel::sync::Arc;
use virtio::{Handler, VirtioDevice};

/// Feature bits of disks.
pub(crate) mod feature {
    pub(crate) const SIZE_MAX: u64 = 1 << 1;
    pub(crate) const SEG_MAX: u64 = 1 << 2;
    pub(crate) const GEOMETRY: u64 = 1 << 4;
    pub(crate) const RO: u64 = 1 << 5;
    pub(crate) const BLK_SIZE: u64 = 1 << 6;
    pub(crate) const FLUSH: u64 = 1 << 9;
    pub(crate) const TOPOLOGY: u64 = 1 << 10;
    pub(crate) const CONFIG_WCE: u64 = 1 << 11;
    pub(crate) const MQ: u64 = 1 << 12;
    pub(crate) const DISCARD: u64 = 1 << 13;
    pub(crate) const WRITE_ZEROES: u64 = 1 << 14;
    pub(crate) const KNOWN: u64 =
        SIZE_MAX | SEG_MAX | GEOMETRY | RO | BLK_SIZE | FLUSH | TOPOLOGY | CONFIG_WCE | MQ | DISCARD | WRITE_ZEROES;
}

/// Offsets of configuration.
mod config {
    pub(super) const CAPACITY: usize = 0;
    pub(super) const SIZE_MAX: usize = 8;
    pub(super) const SEG_MAX: usize = 12;
    pub(super) const CYLINDERS: usize = 16;
    pub(super) const HEADS: usize = 18;
    pub(super) const SECTORS: usize = 19;
    pub(super) const BLK_SIZE: usize = 20;
    pub(super) const PHYSICAL_EXP: usize = 24;
    pub(super) const ALIGNMENT: usize = 25;
    pub(super) const MIN_IO: usize = 26;
    pub(super) const OPT_IO: usize = 28;
    pub(super) const WCE: usize = 32;
    pub(super) const NUM_QUEUES: usize = 34;
    pub(super) const MAX_DISCARD: usize = 36;
    pub(super) const DISCARD_ALIGN: usize = 44;
    pub(super) const MAX_ZEROES: usize = 48;
}

/// Numbers for each disk's partitions.
const MINORS: u32 = 16;

static MAJOR: AtomicU32 = AtomicU32::new(0);
/// Most disks: as many as the major has room for.
const MAX_DISKS: u32 = (1 << 20) / MINORS;

/// The disks' numbers, which are the letters of their names.
static NUMBERS: Ida = Ida::new();
/// Disks that are in memory.
pub(crate) static ALIVE: Alive = Alive::new();

pub(crate) fn set_major(major: u32) {
    MAJOR.store(major, Relaxed);
}

/// The driver's side of a disk.
struct Blk {
    device: Arc<VirtioDevice>,
    rings: KVec<Ring>,
    /// Stops a device that wrote nonsense; the port's, too.
    failed: SetOnce<Arc<Work>>,
    /// Given back as soon as nobody has the disk open any more.
    index: Mutex<Option<Id>>,
    /// Dropped last.
    _alive: AliveGuard,
}

/// How long a device may take for what it has when the machine goes to sleep.
const PATIENCE: u32 = 30_000;

impl Blk {
    /// Waits until the device has nothing any more. EBUSY: it takes too long. May sleep.
    fn wait_idle(&self) -> Result {
        for _ in 0..PATIENCE {
            if self.device.is_gone() || self.rings.iter().all(Ring::is_idle) {
                return Ok(());
            }
            // Whoever would look at these may be frozen. What a device wrote wrong is found at the next look.
            self.rings.iter().filter(|ring| ring.is_polled()).for_each(|ring| {
                let _ = ring.interrupt();
            });
            ktime::sleep_ns(1_000_000);
        }
        Err(EBUSY)
    }
}

impl MqOps for Blk {
    fn queue_rq(&self, hw: &HwQueue, request: KBox<Request>, last: bool) -> Result<(), Refused> {
        match self.rings.get(hw.index() as usize) {
            Some(ring) => ring.submit(&self.device, request, last),
            None => Err(Refused::Failed(request, EIO)),
        }
    }

    fn commit_rqs(&self, hw: &HwQueue) {
        if let Some(ring) = self.rings.get(hw.index() as usize) {
            ring.commit(&self.device);
        }
    }

    fn poll(&self, hw: &HwQueue) -> usize {
        let Some(ring) = self.rings.get(hw.index() as usize) else { return 0 };
        ring.interrupt().unwrap_or_else(|_| {
            if let Some(work) = self.failed.get() {
                work.queue();
            }
            0
        })
    }
}

impl DiskOps for Blk {
    fn getgeo(&self, disk: &Gendisk) -> Result<Geometry> {
        if self.device.has(feature::GEOMETRY) {
            return Ok(Geometry {
                heads: self.device.config8(config::HEADS),
                sectors: self.device.config8(config::SECTORS),
                cylinders: self.device.config16(config::CYLINDERS),
            });
        }
        // As Linux makes it up; what does not fit is cut off.
        Ok(Geometry { heads: 1 << 6, sectors: 1 << 5, cylinders: (disk.capacity() >> 11) as u16 })
    }

    fn serial(&self, _: &Gendisk) -> Option<Result<KString>> {
        let ring = self.rings.first()?;
        Some(match ring.query_id(&self.device).and_then(|query| query.wait()) {
            Ok(text) => Ok(KString::from(text)),
            // As Linux: a device without a serial number shows an empty one.
            Err(EIO | EOPNOTSUPP) => Ok(KString::new()),
            Err(error) => Err(error),
        })
    }
}

/// What interrupts reach.
struct Port {
    queue: SetOnce<Arc<Queue>>,
    disk: SetOnce<Arc<Gendisk>>,
    device: Arc<VirtioDevice>,
    /// Looks at the configuration again.
    changed: SetOnce<Arc<Work>>,
    /// Stops a device that wrote nonsense.
    failed: SetOnce<Arc<Work>>,
}

impl Port {
    fn blk(&self) -> Option<&Blk> {
        self.queue.get()?.driver()
    }

    /// The disk does not sleep: what waited goes on.
    fn stay_awake(&self) {
        if let (Some(queue), Some(blk)) = (self.queue.get(), self.blk()) {
            blk.rings.iter().for_each(Ring::stay_awake);
            queue.run();
        }
    }

    fn stop(&self) {
        if let (Some(queue), Some(blk)) = (self.queue.get(), self.blk()) {
            queue.kill();
            blk.rings.iter().for_each(Ring::drain);
        }
    }
}

struct PortHandler(Arc<Port>);

impl Handler for PortHandler {
    fn queue_interrupt(&self, queue: u16) {
        let Some(ring) = self.0.blk().and_then(|blk| blk.rings.get(usize::from(queue))) else { return };
        if ring.interrupt().is_err()
            && let Some(work) = self.0.failed.get()
        {
            work.queue();
        }
    }

    fn config_changed(&self) {
        if let Some(work) = self.0.changed.get() {
            work.queue();
        }
    }

    fn sleeps(&self) -> bool {
        true
    }

    fn freeze(&self) -> Result {
        let Some(blk) = self.0.blk() else { return Ok(()) };
        let slept = blk.rings.iter().try_for_each(|ring| ring.sleep(&self.0.device)).and_then(|()| blk.wait_idle());
        if slept.is_err() {
            self.0.stay_awake();
            return slept;
        }
        // It would look at the configuration of a device that was reset.
        if let Some(work) = self.0.changed.get() {
            work.cancel_sync();
        }
        Ok(())
    }

    fn restore(&self, reached: Result) -> Result {
        let Some(blk) = self.0.blk() else { return reached };
        let woken = reached.and_then(|()| blk.rings.iter().try_for_each(|ring| ring.wake(&self.0.device)));
        if let Err(error) = woken {
            self.0.stop();
            return Err(error);
        }
        self.0.device.ready();
        if let Some(queue) = self.0.queue.get() {
            queue.run();
        }
        // It may have another size by now.
        self.config_changed();
        Ok(())
    }

    fn remove(&self) {
        let (queue, disk) = (self.0.queue.get(), self.0.disk.get());
        if self.0.device.is_gone() {
            // Nobody waits for what it has any more.
            self.0.stop();
        } else if let Some(disk) = disk {
            // What was written goes out first.
            disk.remove();
        }
        // Nothing new comes, and the device touches no memory any more.
        if let Some(queue) = queue {
            queue.quiesce();
        }
        self.0.device.reset();
        // Interrupts queue them, which come no more; what fails while dirty pages go out needs them.
        for work in [self.0.changed.get(), self.0.failed.get()].into_iter().flatten() {
            work.cancel_sync();
        }
        self.0.stop();
        if let Some(disk) = disk {
            disk.remove();
        }
        if let Some(queue) = queue {
            queue.drain();
        }
        // Nobody can open it any more: the next disk may have its letter, though RCU keeps this one for a moment.
        if disk.is_some_and(|disk| disk.openers() == 0)
            && let Some(blk) = self.0.blk()
        {
            let index = blk.index.lock().take();
            drop(index);
        }
    }
}

/// Works on `port` later, while it is there.
fn work_on(port: &Arc<Port>, f: impl Fn(&Port) + Send + Sync + 'static) -> Result<Arc<Work>> {
    let weak = Arc::downgrade(port);
    Work::new(move || {
        if let Some(port) = weak.upgrade() {
            f(&port);
        }
    })
}

/// Takes a device.
pub(crate) fn probe(device: &Arc<VirtioDevice>) -> Result<Arc<dyn Handler>> {
    let index = NUMBERS.alloc(MAX_DISKS)?;
    let port = Port {
        queue: SetOnce::new(),
        disk: SetOnce::new(),
        device: device.clone(),
        changed: SetOnce::new(),
        failed: SetOnce::new(),
    };
    let port = Arc::new(port, GFP_KERNEL)?;
    let handler: Arc<dyn Handler> = Arc::new(PortHandler(port.clone()), GFP_KERNEL)?;
    let (cpus, poll_queues) = queue_cpus(device)?;
    device.transport().connect(device.name().to_str().unwrap_or("virtio"), &cpus, handler.clone())?;

    let max_piece = if device.has(feature::SIZE_MAX) { device.config32(config::SIZE_MAX).max(4096) } else { u32::MAX };
    let wanted = if device.has(feature::SEG_MAX) { device.config32(config::SEG_MAX).clamp(1, 254) } else { 1 };
    let mut rings = KVec::with_capacity(cpus.len(), GFP_KERNEL)?;
    for queue in 0..u16::try_from(cpus.len())? {
        let polled = usize::from(queue) + poll_queues as usize >= cpus.len();
        rings.push(Ring::new(device, queue, (wanted, max_piece), polled)?, GFP_KERNEL)?;
    }
    let size = rings.first().map_or(4, Ring::size);
    let indirect = device.has(virtio::features::INDIRECT_DESC);
    let mut depth = u32::from(if indirect { size } else { size / 2 });
    let limit = module_parameters::queue_depth.value();
    if limit != 0 {
        depth = depth.min(limit);
    }
    let mut limits = limits(device);
    limits.max_segments = wanted.min(u32::from(size).saturating_sub(2).max(1));
    limits.max_segment_size = max_piece;

    let hw_queues = u32::try_from(cpus.len())?;
    let params = MqParams { hw_queues, poll_queues, depth: depth.max(1), no_sched: false };
    let first_minor = index.get() * MINORS;
    let name = disk_name("vd", index.get())?;
    let (index, failed) = (Mutex::new(Some(index)), SetOnce::new());
    let blk = Blk { device: device.clone(), rings, failed, index, _alive: ALIVE.count() };
    let queue = Queue::new(params, KBox::new(blk, GFP_KERNEL)?)?;
    let path = device.sysfs_path()?;
    let params = GendiskParams {
        name: name.to_str().ok_or(EINVAL)?,
        major: MAJOR.load(Relaxed),
        first_minor,
        minors: MINORS,
        parent: path.to_str(),
        removable: false,
        no_part: false,
        owner: <crate::VirtioBlk as kernel::ModuleMetadata>::this_module().header(),
    };
    let disk = Gendisk::new(&params, limits, KBox::new(MqDisk(queue.clone()), GFP_KERNEL)?)?;
    disk.set_read_only(device.has(feature::RO));
    disk.set_capacity(device.config64(config::CAPACITY));
    let _ = port.queue.set(queue);
    let _ = port.disk.set(disk.clone());
    let _ = port.changed.set(work_on(&port, resized)?);
    let failed = work_on(&port, |port| {
        port.device.fail();
        port.stop();
    })?;
    if let Some(blk) = port.blk() {
        let _ = blk.failed.set(failed.clone());
    }
    let _ = port.failed.set(failed);
    device.ready();
    announce(device, &disk, hw_queues - poll_queues, poll_queues);
    if let Err(error) = disk.add() {
        handler.remove();
        return Err(error);
    }
    Ok(handler)
}

/// A CPU for each queue, and how many of the queues, the last ones, are polled: as many as `poll_queues` says, but one has interrupts.
fn queue_cpus(device: &VirtioDevice) -> Result<(KVec<u32>, u32)> {
    let offered = if device.has(feature::MQ) { u32::from(device.config16(config::NUM_QUEUES)) } else { 1 };
    let limit = match module_parameters::num_request_queues.value() {
        0 => num_online_cpus(),
        limit => limit.min(num_online_cpus()),
    };
    // As Linux: the polled ones are among those that the limit is for.
    let count = offered.min(limit).max(1);
    let polled = module_parameters::poll_queues.value().min(count - 1);
    let mut cpus = KVec::with_capacity(count as usize, GFP_KERNEL)?;
    for queue in 0..count {
        // The first of either kind is CPU 0's.
        cpus.push(queue.checked_sub(count - polled).unwrap_or(queue), GFP_KERNEL)?;
    }
    Ok((cpus, polled))
}

fn limits(device: &VirtioDevice) -> QueueLimits {
    let block = if device.has(feature::BLK_SIZE) { device.config32(config::BLK_SIZE) } else { 512 };
    let mut limits = QueueLimits {
        logical_block_size: block,
        physical_block_size: block,
        max_hw_sectors: u32::MAX >> 9,
        max_sectors: kernel::block::BLK_DEF_MAX_SECTORS,
        // Without the feature the device writes through, or its cache is none of ours.
        write_cache: if device.has(feature::CONFIG_WCE) {
            device.config8(config::WCE) != 0
        } else {
            device.has(feature::FLUSH)
        },
        seg_boundary_mask: u64::MAX,
        ..QueueLimits::default()
    };
    if device.has(feature::TOPOLOGY) {
        let exp = u32::from(device.config8(config::PHYSICAL_EXP)).min(16);
        limits.physical_block_size = block.checked_shl(exp).unwrap_or(block);
        limits.alignment_offset = u32::from(device.config8(config::ALIGNMENT)).saturating_mul(block);
        limits.io_min = u32::from(device.config16(config::MIN_IO)).saturating_mul(block);
        limits.io_opt = device.config32(config::OPT_IO).saturating_mul(block);
    }
    if device.has(feature::DISCARD) {
        let most = device.config32(config::MAX_DISCARD);
        let most = if most == 0 { u32::MAX >> 9 } else { most.min(u32::MAX >> 9) };
        limits.max_hw_discard_sectors = most;
        limits.max_discard_sectors = most;
        limits.discard_granularity = device.config32(config::DISCARD_ALIGN).saturating_mul(512).max(block);
    }
    if device.has(feature::WRITE_ZEROES) {
        let most = device.config32(config::MAX_ZEROES);
        limits.max_write_zeroes_sectors = if most == 0 { u32::MAX >> 9 } else { most.min(u32::MAX >> 9) };
    }
    limits
}

/// As Linux says it: blocks of the device, and bytes in both kinds of units.
fn announce(device: &VirtioDevice, disk: &Gendisk, queues: u32, polled: u32) {
    let block = u64::from(disk.limits().logical_block_size);
    let bytes = disk.capacity().saturating_mul(512);
    pr_info!("{}: {queues}/0/{polled} default/read/poll queues\n", device.name());
    pr_info!(
        "{}: [{}] {} {block}-byte logical blocks ({} MB/{} MiB)\n",
        device.name(),
        disk.name(),
        bytes / block.max(1),
        bytes / 1_000_000,
        bytes >> 20,
    );
}

/// The host changed the disk's size.
fn resized(port: &Port) {
    if let Some(disk) = port.disk.get() {
        disk.set_capacity(port.device.config64(config::CAPACITY));
    }
}
