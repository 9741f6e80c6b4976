// SPDX-License-Identifier: GPL-2.0
//! A disk that does nothing (`/dev/nullb*`), to measure and test what is above it: requests end at once or after a time, on any number of
//! hardware queues. What is read is whatever the pages held, unless `memory_backed` keeps what was written.
//!
//! Locks: each disk's spin lock around its tree of pages.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kernel::block::blk_mq::{Expired, HwQueue, MqDisk, MqOps, MqParams, Queue, Refused, Request, TimeoutAction};
use kernel::block::{
    Bio, BioVec, BlockOps, DiskOps, Gendisk, GendiskParams, Op, QueueLimits, register_blkdev, unregister_blkdev,
};
use kernel::ext::{Clock, HrTimer, KString, Page, Restart, SpinLock, XArray};
use kernel::prelude::*;
use kernel::sync::Arc;

module! {
    type: NullBlk,
    name: "null_blk",
    authors: ["The Rideau developers"],
    description: "Null block device driver",
    license: "GPL",
    params: {
        nr_devices: u32 {
            default: 1,
            description: "Number of devices to register. Default: 1",
            permissions: 0o444,
        },
        gb: u64 {
            default: 250,
            description: "Size in GB",
            permissions: 0o444,
        },
        bs: u32 {
            default: 512,
            description: "Block size (in bytes)",
            permissions: 0o444,
        },
        virt_boundary: bool {
            default: false,
            description: "Require a virtual boundary for the device. Default: False",
            permissions: 0o444,
        },
        max_sectors: u32 {
            default: 0,
            description: "Maximum size of a command (in 512B sectors)",
            permissions: 0o444,
        },
        submit_queues: u32 {
            default: 1,
            description: "Number of submission queues",
            permissions: 0o444,
        },
        poll_queues: u32 {
            default: 1,
            description: "Number of IOPOLL submission queues. Default: 1",
            permissions: 0o444,
        },
        hw_queue_depth: u32 {
            default: 64,
            description: "Queue depth for each hardware queue. Default: 64",
            permissions: 0o444,
        },
        queue_mode: u32 {
            default: 2,
            description: "Block interface to use (0=bio,1=rq,2=multiqueue)",
            permissions: 0o444,
        },
        irqmode: u32 {
            default: 1,
            description: "IRQ completion handler. 0-none, 1-softirq, 2-timer",
            permissions: 0o444,
        },
        completion_nsec: u64 {
            default: 10_000,
            description: "Time in ns to complete a request in hardware. Default: 10,000ns",
            permissions: 0o444,
        },
        lose_every: u32 {
            default: 0,
            description: "Every so-manieth request is lost until its time is up; 0: none. Default: 0",
            permissions: 0o444,
        },
        no_sched: bool {
            default: false,
            description: "No io scheduler",
            permissions: 0o444,
        },
        memory_backed: bool {
            default: false,
            description: "Create a memory-backed block device. Default: false",
            permissions: 0o444,
        },
        discard: bool {
            default: false,
            description: "Support discard operations (requires memory-backed null_blk device). Default: false",
            permissions: 0o444,
        },
    },
}

const PAGE: usize = 4096;

/// What is kept of a disk, if anything is.
#[derive(Default)]
struct Store(SpinLock<XArray<Page>>);

impl Store {
    fn page(&self, index: u64) -> Option<Page> {
        self.0.lock_irqsave().load(index).cloned()
    }

    /// The page, made if it is missing. Any context.
    fn page_or_new(&self, index: u64) -> Result<Page> {
        if let Some(page) = self.page(index) {
            return Ok(page);
        }
        let new = Page::alloc_zeroed(GFP_ATOMIC)?;
        let mut pages = self.0.lock_irqsave();
        if let Some(page) = pages.load(index) {
            return Ok(page.clone());
        }
        pages.store(index, new.clone(), GFP_ATOMIC)?;
        Ok(new)
    }

    fn transfer<'a>(&self, op: Op, sector: u64, len: u64, pieces: impl Iterator<Item = &'a BioVec>) -> Result {
        let mut at = sector.checked_mul(512).ok_or(EIO)?;
        if op == Op::Discard {
            self.discard(at, len);
            return Ok(());
        }
        for piece in pieces {
            let (mut offset, mut left) = (piece.offset as usize, piece.len as usize);
            while left != 0 {
                let (index, inside) = (at / PAGE as u64, (at % PAGE as u64) as usize);
                let part = left.min(PAGE - inside);
                match op {
                    Op::Write => self.page_or_new(index)?.copy_range(inside, &piece.page, offset, part)?,
                    _ => match self.page(index) {
                        Some(page) => piece.page.copy_range(offset, &page, inside, part)?,
                        None => piece.page.fill(offset, part, 0)?,
                    },
                }
                (offset, left, at) = (offset + part, left - part, at + part as u64);
            }
        }
        Ok(())
    }

    /// Forgets whole pages; parts of pages stay, as a device may do.
    fn discard(&self, start: u64, len: u64) {
        let (first, end) = (start.div_ceil(PAGE as u64), (start + len) / PAGE as u64);
        for index in first..end {
            let gone = self.0.lock_irqsave().erase(index);
            drop(gone);
        }
    }
}

/// A request, and how it will end.
type Held = (KBox<Request>, Result);

/// A tag's timer: it holds the request until it is time.
struct Slot {
    held: Arc<SpinLock<Option<Held>>>,
    timer: Arc<HrTimer>,
}

impl Slot {
    fn new() -> Result<Self> {
        let held = Arc::new(SpinLock::new(None::<(KBox<Request>, Result)>), GFP_KERNEL)?;
        let its = held.clone();
        let timer = HrTimer::new(Clock::Monotonic, move |_| {
            let done = its.lock_irqsave().take();
            if let Some((request, result)) = done {
                request.complete(result);
            }
            Restart::No
        })?;
        Ok(Self { held, timer })
    }
}

struct Null {
    store: Option<Store>,
    delay_ns: u64,
    /// By hardware queue and tag; empty: requests end at once.
    slots: KVec<KVec<Slot>>,
    /// Every so-manieth request is lost; 0: none.
    lose_every: u64,
    count: AtomicU64,
    /// Those that are lost; room for all.
    lost: SpinLock<KVec<KBox<Request>>>,
    /// Hardware queues from here on are polled, and what each keeps until somebody looks; room for all.
    first_polled: u32,
    polled: KVec<SpinLock<KVec<Held>>>,
}

impl Null {
    fn new(queues: u32, poll_queues: u32, depth: u32) -> Result<Self> {
        let mut polled = KVec::with_capacity(poll_queues as usize, GFP_KERNEL)?;
        for _ in 0..poll_queues {
            polled.push(SpinLock::new(KVec::with_capacity(depth as usize, GFP_KERNEL)?), GFP_KERNEL)?;
        }
        let mut slots = KVec::new();
        if module_parameters::irqmode.value() == 2 {
            for _ in 0..queues {
                let mut its = KVec::with_capacity(depth as usize, GFP_KERNEL)?;
                for _ in 0..depth {
                    its.push(Slot::new()?, GFP_KERNEL)?;
                }
                slots.push(its, GFP_KERNEL)?;
            }
        }
        let store = module_parameters::memory_backed.value().then(Store::default);
        let lose_every = u64::from(module_parameters::lose_every.value());
        let room = if lose_every == 0 { 0 } else { (queues + poll_queues) as usize * depth as usize };
        let lost = SpinLock::new(KVec::with_capacity(room, GFP_KERNEL)?);
        let delay_ns = module_parameters::completion_nsec.value();
        let count = AtomicU64::new(0);
        Ok(Self { store, delay_ns, slots, lose_every, count, lost, first_polled: queues, polled })
    }

    /// What polled hardware queue `hw` keeps; `None` for others.
    fn kept(&self, hw: &HwQueue) -> Option<&SpinLock<KVec<Held>>> {
        self.polled.get(hw.index().checked_sub(self.first_polled)? as usize)
    }

    fn work(&self, request: &Request) -> Result {
        match &self.store {
            Some(store) => store.transfer(request.op(), request.sector(), request.len(), request.segments()),
            None => Ok(()),
        }
    }
}

impl DiskOps for Null {}

impl MqOps for Null {
    fn queue_rq(&self, hw: &HwQueue, request: KBox<Request>, _: bool) -> Result<(), Refused> {
        if self.lose_every != 0 && (self.count.fetch_add(1, Relaxed) + 1).is_multiple_of(self.lose_every) {
            return self.lost.lock_irqsave().push_within_capacity(request).map_err(|refused| Refused::Busy(refused.0));
        }
        let result = self.work(&request);
        if let Some(kept) = self.kept(hw) {
            return kept.lock().push_within_capacity((request, result)).map_err(|full| Refused::Busy(full.0.0));
        }
        match self.slots.get(hw.index() as usize).and_then(|slots| slots.get(request.tag() as usize)) {
            Some(slot) => {
                *slot.held.lock_irqsave() = Some((request, result));
                slot.timer.start_after(self.delay_ns);
            }
            None => request.complete(result),
        }
        Ok(())
    }

    fn poll(&self, hw: &HwQueue) -> usize {
        let mut ended = 0;
        while let Some((request, result)) = self.kept(hw).and_then(|kept| kept.lock().pop()) {
            request.complete(result);
            ended += 1;
        }
        ended
    }

    fn has_timeout(&self) -> bool {
        true
    }

    fn timeout(&self, hw: &HwQueue, expired: Expired) -> TimeoutAction {
        // Perhaps nobody looked.
        if self.poll(hw) != 0 && !hw.is_expired(&expired) {
            return TimeoutAction::Done;
        }
        let mut lost = self.lost.lock_irqsave();
        let its = |request: &KBox<Request>| request.hw_queue() == hw.index() && request.tag() == expired.tag;
        let found = lost.iter().position(its).filter(|_| hw.is_expired(&expired));
        let Some(request) = found.and_then(|index| lost.swap_remove(index)) else { return TimeoutAction::ResetTimer };
        drop(lost);
        pr_info!("rq on queue {} tag {} timed out\n", hw.index(), expired.tag);
        request.complete(Err(ETIMEDOUT));
        TimeoutAction::Done
    }
}

/// The same without requests (`queue_mode=0`).
struct NullBio(Null);

impl DiskOps for NullBio {}

impl BlockOps for NullBio {
    fn submit_bio(&self, _: &Arc<Gendisk>, bio: KBox<Bio>) {
        let status = match &self.0.store {
            Some(store) => store.transfer(bio.op(), bio.sector(), bio.len(), bio.segments().iter()),
            None => Ok(()),
        };
        bio.end(status);
    }
}

struct NullBlk {
    major: u32,
    disks: KVec<Arc<Gendisk>>,
}

impl kernel::Module for NullBlk {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        if module_parameters::queue_mode.value() == 1 {
            pr_err!("legacy IO path is no longer available\n");
            return Err(EINVAL);
        }
        let mut null = Self { major: register_blkdev(0, "nullb")?, disks: KVec::new() };
        for index in 0..module_parameters::nr_devices.value() {
            let disk = make(null.major, index)?;
            null.disks.push(disk.clone(), GFP_KERNEL)?;
            disk.add()?;
        }
        pr_info!("module loaded\n");
        Ok(null)
    }
}

fn make(major: u32, index: u32) -> Result<Arc<Gendisk>> {
    let name = KString::from_fmt(format_args!("nullb{index}"), GFP_KERNEL)?;
    let params = GendiskParams {
        name: name.to_str().ok_or(EINVAL)?,
        major,
        first_minor: index,
        minors: 1,
        parent: None,
        removable: false,
        no_part: false,
        owner: <NullBlk as kernel::ModuleMetadata>::this_module().header(),
    };
    let block = module_parameters::bs.value();
    let block = if block.is_power_of_two() { block.clamp(512, 4096) } else { 512 };
    let most = match module_parameters::max_sectors.value() {
        0 => 2560,
        most => most,
    };
    let discard = module_parameters::discard.value() && module_parameters::memory_backed.value();
    let limits = QueueLimits {
        logical_block_size: block,
        physical_block_size: block,
        max_hw_sectors: most,
        max_sectors: most,
        max_hw_discard_sectors: if discard { u32::MAX >> 9 } else { 0 },
        max_discard_sectors: if discard { u32::MAX >> 9 } else { 0 },
        discard_granularity: if discard { block } else { 0 },
        virt_boundary_mask: if module_parameters::virt_boundary.value() { PAGE as u64 - 1 } else { 0 },
        rotational: false,
        ..QueueLimits::default()
    };
    let queues = module_parameters::submit_queues.value().clamp(1, 64);
    let depth = module_parameters::hw_queue_depth.value().clamp(1, 1024);
    let poll_queues = module_parameters::poll_queues.value().min(64);
    let null = Null::new(queues, poll_queues, depth)?;
    let ops: KBox<dyn BlockOps> = match module_parameters::queue_mode.value() {
        0 => KBox::new(NullBio(null), GFP_KERNEL)?,
        _ => KBox::new(
            MqDisk(Queue::new(
                MqParams {
                    hw_queues: queues + poll_queues,
                    poll_queues,
                    depth,
                    no_sched: module_parameters::no_sched.value(),
                },
                KBox::new(null, GFP_KERNEL)?,
            )?),
            GFP_KERNEL,
        )?,
    };
    let disk = Gendisk::new(&params, limits, ops)?;
    disk.set_capacity(module_parameters::gb.value().saturating_mul(1 << 21));
    Ok(disk)
}

impl Drop for NullBlk {
    fn drop(&mut self) {
        self.disks.drain_all().for_each(Gendisk::remove_and_wait);
        unregister_blkdev(self.major);
    }
}
