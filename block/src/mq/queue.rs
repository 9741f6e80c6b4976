// SPDX-License-Identifier: GPL-2.0
//! Hardware queues and the way of a request to the driver. What a driver refuses for now waits in its hardware queue's list, and is
//! tried again when a request of that queue ends, or when the driver says so ([`Queue::run`]).

use super::request::Request;
use super::tags::Tags;
use crate::bdev::BlockDevice;
use crate::bio::Bio;
use crate::disk::{BlockOps, DiskOps, Gendisk, Geometry};
use crate::types::OpFlags;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use locking::SpinLock;
use x86_cpu::cpu_id;

/// A driver did not take a request.
pub enum Refused {
    /// Not now: the hardware is full. It is tried again when a request ends.
    Busy(KBox<Request>),
    /// Never: it ends with this error.
    Failed(KBox<Request>, Error),
}

/// A driver with hardware queues.
#[allow(unused_variables, reason = "defaults ignore their arguments")]
pub trait MqOps: DiskOps {
    /// Starts a request; the driver keeps it until it calls [`Request::complete`], perhaps at once. `last`: no other follows at once,
    /// tell the hardware now. Any context: must not sleep.
    fn queue_rq(&self, hw: &HwQueue, request: KBox<Request>, last: bool) -> Result<(), Refused>;

    /// Tells the hardware of requests that were queued without `last`.
    fn commit_rqs(&self, hw: &HwQueue) {}
}

/// Requests that wait, oldest first; room for all there are.
struct Waiting {
    ring: KVec<Option<KBox<Request>>>,
    first: usize,
    len: usize,
}

impl Waiting {
    fn new(room: u32) -> Result<Self> {
        let mut ring = KVec::with_capacity(room as usize, GFP_KERNEL)?;
        for _ in 0..room {
            ring.push(None, GFP_KERNEL)?;
        }
        Ok(Self { ring, first: 0, len: 0 })
    }

    fn place(&mut self, at: usize) -> Option<&mut Option<KBox<Request>>> {
        let room = self.ring.len().max(1);
        self.ring.get_mut(at % room)
    }

    fn push_back(&mut self, request: KBox<Request>) {
        let at = self.first + self.len;
        if let Some(place) = self.place(at) {
            *place = Some(request);
            self.len += 1;
        }
    }

    fn push_front(&mut self, request: KBox<Request>) {
        let room = self.ring.len();
        self.first = (self.first + room.saturating_sub(1)) % room.max(1);
        let at = self.first;
        if let Some(place) = self.place(at) {
            *place = Some(request);
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<KBox<Request>> {
        if self.len == 0 {
            return None;
        }
        let at = self.first;
        let request = self.place(at)?.take();
        self.first = (at + 1) % self.ring.len().max(1);
        self.len -= 1;
        request
    }
}

/// A hardware queue.
pub struct HwQueue {
    index: u32,
    tags: Tags,
    waiting: SpinLock<Waiting>,
    /// Something may be in `waiting`.
    has_waiting: AtomicBool,
    /// Somebody goes through `waiting`: 1; and is to do it once more: 2.
    running: AtomicU32,
}

impl HwQueue {
    /// Its number, from 0 on.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// How many requests it can have.
    pub fn depth(&self) -> u32 {
        self.tags.depth()
    }

    /// Puts a request into the list.
    fn wait(&self, request: KBox<Request>, first: bool) {
        let mut waiting = self.waiting.lock_irqsave();
        if first {
            waiting.push_front(request);
        } else {
            waiting.push_back(request);
        }
        self.has_waiting.store(true, SeqCst);
    }

    /// How many it has.
    pub fn in_use(&self) -> u32 {
        self.tags.in_use()
    }
}

/// What a queue is like.
#[derive(Clone, Copy, Debug)]
pub struct MqParams {
    /// Hardware queues.
    pub hw_queues: u32,
    /// Requests of each.
    pub depth: u32,
}

/// The hardware queues of a disk and their driver.
pub struct Queue {
    hw: KVec<HwQueue>,
    ops: KBox<dyn MqOps>,
    dead: AtomicBool,
}

impl Queue {
    /// Makes the queues and all their requests. EINVAL for 0 queues or requests, ENOMEM. May sleep.
    pub fn new(params: MqParams, ops: KBox<dyn MqOps>) -> Result<Arc<Self>> {
        if params.hw_queues == 0 || params.depth == 0 || params.depth > 10240 {
            return Err(EINVAL);
        }
        let mut hw = KVec::new();
        for index in 0..params.hw_queues {
            let queue = HwQueue {
                index,
                tags: Tags::new(params.depth)?,
                waiting: SpinLock::new(Waiting::new(params.depth)?),
                has_waiting: AtomicBool::new(false),
                running: AtomicU32::new(0),
            };
            hw.push(queue, GFP_KERNEL)?;
        }
        Ok(Arc::new(Self { hw, ops, dead: AtomicBool::new(false) }, GFP_KERNEL)?)
    }

    /// Hardware queue `index`.
    #[inline]
    pub fn hw(&self, index: u32) -> Option<&HwQueue> {
        self.hw.get(index as usize)
    }

    /// All of them.
    pub fn hw_queues(&self) -> &[HwQueue] {
        &self.hw
    }

    /// The hardware queue of CPU `cpu`.
    #[inline]
    pub fn map_cpu(&self, cpu: u32) -> u32 {
        // The number of queues fits: `new` made them from a u32.
        cpu % (self.hw.len() as u32).max(1)
    }

    /// The driver, if it is a `T`.
    pub fn driver<T: MqOps>(&self) -> Option<&T> {
        (&*self.ops as &dyn Any).downcast_ref()
    }

    /// Requests on their way.
    pub fn in_flight(&self) -> u32 {
        self.hw.iter().map(|hw| hw.tags.in_use()).sum()
    }

    /// The driver is gone: new bios end with EIO, and so do requests that wait; those that the driver has are its to end. Any context.
    pub fn kill(self: &Arc<Self>) {
        self.dead.store(true, SeqCst);
        for hw in self.hw.iter() {
            hw.tags.wake_all();
            loop {
                let request = hw.waiting.lock_irqsave().pop();
                match request {
                    Some(request) => request.complete(Err(EIO)),
                    None => break,
                }
            }
        }
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Acquire)
    }

    fn submit(self: &Arc<Self>, disk: &Gendisk, bio: KBox<Bio>) {
        let index = self.map_cpu(cpu_id());
        let Some(hw) = self.hw(index) else { return bio.end(Err(EIO)) };
        if self.is_dead() {
            return bio.end(Err(EIO));
        }
        let request = match hw.tags.try_get() {
            Some(request) => Some(request),
            None if bio.flags().has(OpFlags::NOWAIT) => return bio.end(Err(EAGAIN)),
            None => hw.tags.get(|| self.is_dead()),
        };
        let Some(mut request) = request else { return bio.end(Err(EIO)) };
        let limits = disk.limits();
        request.begin(self, index, bio, limits.write_cache, limits.fua);
        self.issue(hw, request);
    }

    /// Gives a request to the driver, or lets it wait behind those that wait already.
    fn issue(self: &Arc<Self>, hw: &HwQueue, request: KBox<Request>) {
        if hw.has_waiting.load(Acquire) {
            hw.wait(request, false);
            return self.run_hw(hw);
        }
        match self.ops.queue_rq(hw, request, true) {
            Ok(()) => {}
            Err(Refused::Busy(request)) => {
                hw.wait(request, false);
                // The last of the others may have ended before it was in the list.
                self.run_hw(hw);
            }
            Err(Refused::Failed(request, error)) => request.complete(Err(error)),
        }
    }

    /// A request goes on with its next step. Any context.
    pub(super) fn requeue(self: &Arc<Self>, index: u32, request: KBox<Request>) {
        let Some(hw) = self.hw(index) else { return };
        hw.wait(request, true);
        self.run_hw(hw);
    }

    /// A request is over. Any context.
    pub(super) fn freed(self: &Arc<Self>, index: u32, request: KBox<Request>) {
        let Some(hw) = self.hw(index) else { return };
        hw.tags.put(request);
        if hw.has_waiting.load(SeqCst) {
            self.run_hw(hw);
        }
    }

    /// The driver can take requests again. Any context.
    pub fn run(self: &Arc<Self>) {
        for hw in self.hw.iter().filter(|hw| hw.has_waiting.load(SeqCst)) {
            self.run_hw(hw);
        }
    }

    /// Goes through what waits; one at a time: who comes meanwhile leaves word.
    fn run_hw(self: &Arc<Self>, hw: &HwQueue) {
        if hw.running.fetch_or(2, SeqCst) & 1 != 0 {
            return;
        }
        loop {
            // Who set bit 1 first works; the others' wish is in bit 2.
            let state = hw.running.load(SeqCst);
            if state & 1 != 0 {
                return;
            }
            if hw.running.compare_exchange(state, 1, SeqCst, SeqCst).is_err() {
                continue;
            }
            self.dispatch(hw);
            if hw.running.compare_exchange(1, 0, SeqCst, SeqCst).is_ok() {
                return;
            }
            hw.running.store(2, SeqCst);
        }
    }

    fn dispatch(self: &Arc<Self>, hw: &HwQueue) {
        loop {
            let (request, more) = {
                let mut waiting = hw.waiting.lock_irqsave();
                let Some(request) = waiting.pop() else {
                    // Only here: a request that ends before must find it set, and leave word.
                    hw.has_waiting.store(false, SeqCst);
                    return;
                };
                (request, waiting.len != 0)
            };
            if self.is_dead() {
                request.complete(Err(EIO));
                continue;
            }
            match self.ops.queue_rq(hw, request, !more) {
                Ok(()) => {}
                Err(Refused::Busy(request)) => {
                    hw.waiting.lock_irqsave().push_front(request);
                    self.ops.commit_rqs(hw);
                    return;
                }
                Err(Refused::Failed(request, error)) => request.complete(Err(error)),
            }
        }
    }
}

/// The operations of a disk on a [`Queue`]: what `Gendisk::new` wants.
pub struct MqDisk(pub Arc<Queue>);

impl BlockOps for MqDisk {
    fn submit_bio(&self, disk: &Arc<Gendisk>, bio: KBox<Bio>) {
        self.0.submit(disk, bio);
    }

    fn queue(&self) -> Option<&Arc<Queue>> {
        Some(&self.0)
    }
}

impl DiskOps for MqDisk {
    fn open(&self, disk: &Arc<Gendisk>, write: bool) -> Result {
        self.0.ops.open(disk, write)
    }

    fn release(&self, disk: &Arc<Gendisk>) {
        self.0.ops.release(disk);
    }

    fn ioctl(&self, bdev: &Arc<BlockDevice>, write: bool, cmd: u32, arg: usize) -> Result<usize> {
        self.0.ops.ioctl(bdev, write, cmd, arg)
    }

    fn getgeo(&self, disk: &Gendisk) -> Result<Geometry> {
        self.0.ops.getgeo(disk)
    }

    fn serial(&self, disk: &Gendisk) -> Option<Result<KString>> {
        self.0.ops.serial(disk)
    }
}
