// SPDX-License-Identifier: GPL-2.0
//! Between the block layer and a module: [`Driver`] is what the queue has, [`Slot`] what stands for a request. Nothing here is generic:
//! a program may have the disk open longer than the module lives, and what is dropped then must be code of the image.
//!
//! A slot's count: 0, the block layer has the request; 1, the driver has it, but no reference to it; 2, and one reference; and so on.

use crate::block::blk_mq::{HwQueue, MqDisk, MqOps, MqParams, Queue, Refused, Request};
use crate::block::{DiskOps, Gendisk, GendiskParams, QueueLimits};
use crate::sync::Refcount;
use crate::sync::atomic::Full;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr::NonNull;
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use locking::SetOnce;
use workqueue::DelayedWork;

/// When a request that the driver refused is tried again, if none ends before (`BLK_MQ_RESOURCE_DELAY`).
const RETRY_NS: u64 = 3_000_000;

/// A driver's functions.
pub(super) struct Calls {
    /// The driver's data; the slot, of which one count is handed over; whether it is the last.
    pub(super) queue_rq: unsafe fn(*mut c_void, NonNull<Slot>, bool) -> Result,
    pub(super) commit_rqs: unsafe fn(*mut c_void),
}

/// The place of a request while the driver has it.
///
/// # Invariants
/// While the count is not 0 the request is there and nobody touches it; who brings the count to 0 alone takes it out.
pub(super) struct Slot {
    refs: Refcount,
    request: UnsafeCell<Option<KBox<Request>>>,
}

// SAFETY: The request goes in and out as the invariant says: one thread at a time.
unsafe impl Send for Slot {}
// SAFETY: As above.
unsafe impl Sync for Slot {}

impl Slot {
    fn new() -> Self {
        Self { refs: Refcount::new(0), request: UnsafeCell::new(None) }
    }

    /// The driver gets a request: one count for it, one for the reference.
    fn start(&self, request: KBox<Request>) {
        // SAFETY: The count is 0: this tag's request is the caller's.
        unsafe { *self.request.get() = Some(request) };
        self.refs.set(2);
    }

    /// Takes the request out, if the count is `from`.
    fn take_from(&self, from: i32) -> Option<KBox<Request>> {
        self.refs.as_atomic().cmpxchg(from, 0, Full).ok()?;
        // SAFETY: This brought the count to 0.
        unsafe { (*self.request.get()).take() }
    }

    /// Takes the request out; `None`: the caller's reference is not the only one.
    pub(super) fn take(&self) -> Option<KBox<Request>> {
        self.take_from(2)
    }

    pub(super) fn inc(&self) {
        self.refs.inc();
    }

    pub(super) fn dec(&self) {
        self.refs.dec();
    }
}

/// A module's driver, as the queue sees it.
///
/// # Invariants
/// `data` fits `calls`; both are valid until [`Disk::remove`] has returned, and not used afterwards: the queue is dead then.
struct Driver {
    calls: &'static Calls,
    data: *mut c_void,
    /// By hardware queue and tag.
    slots: KVec<KVec<Slot>>,
    /// Looks again for what was refused.
    retry: SetOnce<DelayedWork>,
}

// SAFETY: The data is `Sync` (`Operations::QueueData`), and is not owned here.
unsafe impl Send for Driver {}
// SAFETY: As above.
unsafe impl Sync for Driver {}

impl DiskOps for Driver {}

impl MqOps for Driver {
    fn queue_rq(&self, hw: &HwQueue, request: KBox<Request>, last: bool) -> Result<(), Refused> {
        let slots = self.slots.get(hw.index() as usize);
        let Some(slot) = slots.and_then(|slots| slots.get(request.tag() as usize)) else {
            return Err(Refused::Failed(request, EIO));
        };
        slot.start(request);
        // SAFETY: The queue is not dead during the call, so data and functions are there; the slot was started, one count is given.
        let Err(error) = (unsafe { (self.calls.queue_rq)(self.data, NonNull::from(slot), last) }) else {
            return Ok(());
        };
        // Whoever still has a reference in spite of the error has to end it.
        let Some(request) = slot.take_from(1) else { return Ok(()) };
        if !matches!(error, ENOMEM | EBUSY) {
            return Err(Refused::Failed(request, status(error)));
        }
        if let Some(retry) = self.retry.get() {
            retry.queue_after(RETRY_NS);
        }
        Err(Refused::Busy(request))
    }

    fn commit_rqs(&self, _: &HwQueue) {
        // SAFETY: As in `queue_rq`.
        unsafe { (self.calls.commit_rqs)(self.data) }
    }
}

/// What a program sees of a driver's error (`errno_to_blk_status` and back).
fn status(error: Error) -> Error {
    match error {
        EOPNOTSUPP | ETIMEDOUT | ENOSPC | ENOLINK | EREMOTEIO | EBADE | ENODATA | EILSEQ | EAGAIN | ENODEV | ETIME
        | EREMCHG | EOVERFLOW | ETOOMANYREFS | EINVAL => error,
        _ => EIO,
    }
}

/// A disk with a module's driver.
pub(super) struct Disk {
    disk: Arc<Gendisk>,
    queue: Arc<Queue>,
}

impl Disk {
    /// A disk that is not found yet. `EINVAL`, `ENOMEM`. May sleep.
    ///
    /// # Safety
    /// `data` and `calls` belong together and stay valid until the disk was removed, or dropped if it was never added.
    pub(super) unsafe fn new(
        calls: &'static Calls,
        data: *mut c_void,
        (hw_queues, depth): (u32, u32),
        name: &str,
        limits: QueueLimits,
    ) -> Result<Self> {
        let mut slots = KVec::with_capacity(hw_queues as usize, GFP_KERNEL)?;
        for _ in 0..hw_queues {
            let mut its = KVec::with_capacity(depth as usize, GFP_KERNEL)?;
            for _ in 0..depth {
                its.push(Slot::new(), GFP_KERNEL)?;
            }
            slots.push(its, GFP_KERNEL)?;
        }
        let driver = KBox::new(Driver { calls, data, slots, retry: SetOnce::new() }, GFP_KERNEL)?;
        let queue = Queue::new(MqParams { hw_queues, poll_queues: 0, depth, no_sched: false }, driver)?;
        let weak = Arc::downgrade(&queue);
        let retry = DelayedWork::new(move || {
            if let Some(queue) = weak.upgrade() {
                queue.run();
            }
        })?;
        if let Some(driver) = queue.driver::<Driver>() {
            // Once, here.
            let _ = driver.retry.set(retry);
        }
        let params = GendiskParams {
            name,
            major: 0,
            first_minor: 0,
            minors: 0,
            parent: None,
            removable: false,
            no_part: false,
            owner: None,
        };
        let disk = Gendisk::new(&params, limits, KBox::new(MqDisk(queue.clone()), GFP_KERNEL)?)?;
        Ok(Self { disk, queue })
    }

    /// The disk can be found from now on. `EBUSY`, `EEXIST`, `ENOMEM`. Must be removed even if it fails. May sleep.
    pub(super) fn add(&self, sectors: u64) -> Result {
        self.disk.set_capacity(sectors);
        self.disk.add()
    }

    /// Takes the disk away: nothing calls the driver after this. Waits for the requests that the driver has. May sleep.
    pub(super) fn remove(&self) {
        self.disk.remove();
        self.queue.drain();
    }
}
