// SPDX-License-Identifier: GPL-2.0
//! Hardware queues and the way of a request to the driver. What a driver refuses for now waits in its hardware queue's list, and is
//! tried again when a request of that queue ends, or when the driver says so ([`Queue::run`]); behind it comes what the scheduler has.

use super::control::Settings;
use super::merge::is_mergeable;
use super::request::Request;
use super::sched::Sched;
use super::tags::Tags;
use super::timeout::{Deadlines, Expired, TimeoutAction};
use super::waiting::Waiting;
use crate::bdev::BlockDevice;
use crate::bio::Bio;
use crate::disk::{BlockOps, DiskOps, Gendisk, Geometry};
use crate::plug;
use crate::trace::Action;
use crate::types::OpFlags;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use locking::SpinLock;
use rcu::RcuArc;
use sync::Mutex;
use x86_cpu::cpu_id;

/// How long a task without a free request waits before it looks again whether one of a polled queue has ended.
const POLL_PAUSE_NS: u64 = 20_000;

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

    /// Ends what the hardware is done with on a queue without interrupts ([`MqParams::poll_queues`]): how many requests. Task context,
    /// without locks; several CPUs may do it at once.
    fn poll(&self, hw: &HwQueue) -> usize {
        0
    }

    /// Whether requests that take longer than `io_timeout` are told to [`Self::timeout`]. A driver without it waits for ever.
    fn has_timeout(&self) -> bool {
        false
    }

    /// A request has been with the driver for longer than `io_timeout`. It may end meanwhile: [`HwQueue::is_expired`] says whether it
    /// is still the same one. May sleep.
    fn timeout(&self, hw: &HwQueue, expired: Expired) -> TimeoutAction {
        TimeoutAction::ResetTimer
    }
}

/// A hardware queue.
pub struct HwQueue {
    index: u32,
    tags: Tags,
    pub(super) deadlines: Deadlines,
    waiting: SpinLock<Waiting>,
    /// Something may be in `waiting`.
    has_waiting: AtomicBool,
    /// Somebody goes through `waiting`: 1; and is to do it once more: 2.
    running: AtomicU32,
}

impl HwQueue {
    fn new(index: u32, depth: u32) -> Result<Self> {
        Ok(Self {
            index,
            tags: Tags::new(depth)?,
            deadlines: Deadlines::new(depth)?,
            waiting: SpinLock::new(Waiting::new(depth)?),
            has_waiting: AtomicBool::new(false),
            running: AtomicU32::new(0),
        })
    }

    /// Its number, from 0 on.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// How many requests it can have.
    pub fn depth(&self) -> u32 {
        self.tags.depth()
    }

    /// How many of them may be used, without a scheduler.
    pub(super) fn limit(&self) -> u32 {
        self.tags.limit()
    }

    pub(super) fn set_limit(&self, limit: u32) {
        self.tags.set_limit(limit);
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
    /// Hardware queues, the polled ones among them.
    pub hw_queues: u32,
    /// How many of them, the last ones, have no interrupts: only transfers go there whose submitters look for their end.
    pub poll_queues: u32,
    /// Requests of each.
    pub depth: u32,
    /// No scheduler unless an administrator wants one (`BLK_MQ_F_NO_SCHED_BY_DEFAULT`).
    pub no_sched: bool,
}

/// The hardware queues of a disk and their driver.
pub struct Queue {
    hw: KVec<HwQueue>,
    /// Hardware queues from this one on are polled.
    first_polled: u32,
    pub(super) ops: KBox<dyn MqOps>,
    dead: AtomicBool,
    /// The driver refused a request that waits now: the next one to end runs all hardware queues.
    starved: AtomicBool,
    /// The scheduler, and one that is being replaced and still has requests.
    pub(super) sched: RcuArc<Sched>,
    pub(super) old_sched: RcuArc<Sched>,
    /// Serialises changes of the scheduler.
    pub(super) changing: Mutex<()>,
    pub(super) settings: Settings,
}

impl Queue {
    /// Makes the queues and all their requests. EINVAL for 0 requests or if no queue has interrupts, ENOMEM. May sleep.
    pub fn new(params: MqParams, ops: KBox<dyn MqOps>) -> Result<Arc<Self>> {
        if params.depth == 0 || params.depth > 10240 {
            return Err(EINVAL);
        }
        let first_polled =
            params.hw_queues.checked_sub(params.poll_queues).filter(|&count| count != 0).ok_or(EINVAL)?;
        let mut hw = KVec::with_capacity(params.hw_queues as usize, GFP_KERNEL)?;
        for index in 0..params.hw_queues {
            hw.push(HwQueue::new(index, params.depth)?, GFP_KERNEL)?;
        }
        let queue = Self {
            hw,
            first_polled,
            ops,
            dead: AtomicBool::new(false),
            starved: AtomicBool::new(false),
            sched: RcuArc::null(),
            old_sched: RcuArc::null(),
            changing: Mutex::new(()),
            settings: Settings::new(),
        };
        let queue = Arc::new(queue, GFP_KERNEL)?;
        if queue.ops.has_timeout() {
            queue.watch()?;
        }
        if first_polled == 1 && !params.no_sched {
            // One queue for all CPUs: somebody should put their requests in order.
            queue.set_scheduler("mq-deadline")?;
        }
        Ok(queue)
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
        cpu % self.first_polled.max(1)
    }

    /// The polled hardware queue of CPU `cpu`.
    fn map_polled(&self, cpu: u32) -> Option<u32> {
        // The number of queues fits: `new` made them from a u32.
        let count = (self.hw.len() as u32).saturating_sub(self.first_polled);
        Some(self.first_polled + cpu.checked_rem(count)?)
    }

    /// Whether hardware queue `index` has requests of CPU `cpu`, polled ones or others.
    pub fn serves(&self, index: u32, cpu: u32) -> bool {
        self.map_cpu(cpu) == index || self.map_polled(cpu) == Some(index)
    }

    /// The hardware queues without interrupts.
    fn polled(&self) -> &[HwQueue] {
        self.hw.get(self.first_polled as usize..).unwrap_or(&[])
    }

    /// Whether there are hardware queues without interrupts.
    pub fn can_poll(&self) -> bool {
        !self.polled().is_empty()
    }

    /// Looks for the end of polled requests: how many ended. `None` if no queue is polled. Task context, without locks; may sleep.
    pub fn poll(&self) -> Option<usize> {
        self.can_poll().then(|| {
            let used = self.polled().iter().filter(|hw| hw.tags.in_use() != 0);
            used.map(|hw| self.poll_one(hw)).sum()
        })
    }

    fn poll_one(&self, hw: &HwQueue) -> usize {
        // `drain` waits for who is in here.
        let _section = rcu::read_lock();
        if self.is_dead() { 0 } else { self.ops.poll(hw) }
    }

    /// The driver, if it is a `T`.
    pub fn driver<T: MqOps>(&self) -> Option<&T> {
        (&*self.ops as &dyn Any).downcast_ref()
    }

    /// Requests on their way.
    pub fn in_flight(&self) -> u32 {
        let kept = [&self.sched, &self.old_sched].into_iter().filter_map(RcuArc::get).map(|sched| sched.in_use());
        self.hw.iter().map(|hw| hw.tags.in_use()).chain(kept).sum()
    }

    /// The driver is gone: new bios end with EIO, and so do requests that wait; those that the driver has are its to end. Any context.
    pub fn kill(self: &Arc<Self>) {
        self.dead.store(true, SeqCst);
        for sched in [&self.sched, &self.old_sched].into_iter().filter_map(RcuArc::get) {
            sched.wake_all();
            while let Some(request) = sched.take_any() {
                request.complete(Err(EIO));
            }
        }
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

    /// [`Self::kill`], and waits until nobody is in the driver's `queue_rq` or `commit_rqs`: nothing is given to it after this.
    /// May sleep.
    pub fn quiesce(self: &Arc<Self>) {
        self.kill();
        // Who comes after this sees that the queue is dead.
        rcu::synchronize();
    }

    /// [`Self::quiesce`], and waits for the requests that the driver has: it knows of none after this. May sleep.
    pub fn drain(self: &Arc<Self>) {
        self.quiesce();
        for sched in [&self.sched, &self.old_sched].into_iter().filter_map(RcuArc::get) {
            sched.wait_idle();
        }
        self.hw.iter().for_each(|hw| hw.tags.wait_idle());
        // A call that ended the last request may not have returned.
        rcu::synchronize();
    }

    /// Whether it was killed.
    pub fn is_killed(&self) -> bool {
        self.is_dead()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(SeqCst)
    }

    /// Takes a bio: joins it with a request that waits, or makes it one of its own.
    fn submit(self: &Arc<Self>, disk: &Gendisk, bio: KBox<Bio>) {
        if self.is_dead() {
            return bio.end(Err(EIO));
        }
        let limits = disk.limits();
        let merges = if is_mergeable(&bio) { 2u32.saturating_sub(self.settings.nomerges()) } else { 0 };
        let mut bio = bio;
        let cpu = cpu_id();
        let polled = if bio.flags().has(OpFlags::POLLED) { self.map_polled(cpu) } else { None };
        if polled.is_none() {
            let flags = bio.flags().without(OpFlags::POLLED);
            bio.set_flags(flags);
        }
        if merges != 0 {
            bio = match plug::merge(self, bio, &limits) {
                Ok(()) => return,
                Err(bio) => bio,
            };
        }
        // A flush is about what was done before: it is not put in order with others.
        // Nor is what somebody waits for in a loop.
        let alone = OpFlags::PREFLUSH | OpFlags::FUA | OpFlags::POLLED;
        let ordered = !self.sched.is_null() && !bio.is_empty() && !bio.flags().any(alone);
        let sched = if ordered { self.sched.get() } else { None };
        if merges == 2
            && let Some(sched) = &sched
        {
            bio = match sched.merge(bio, &limits) {
                Ok(()) => return,
                Err(bio) => bio,
            };
        }
        let index = polled.unwrap_or_else(|| self.map_cpu(cpu));
        match self.request_for(&bio, index, sched) {
            Ok(mut request) => {
                request.begin(self, index, bio, limits.write_cache, limits.fua, self.settings.iostats());
                if let Err(request) = plug::add(request) {
                    self.insert(request, true);
                }
            }
            Err(error) => bio.end(Err(error)),
        }
    }

    /// A free request: the scheduler's, or the hardware queue's. EIO when the driver is gone, EAGAIN instead of waiting.
    fn request_for(&self, bio: &Bio, index: u32, mut sched: Option<Arc<Sched>>) -> Result<KBox<Request>> {
        let wait = !bio.flags().has(OpFlags::NOWAIT);
        while let Some(its) = sched {
            if let Some(mut request) = its.get(bio, wait, || self.is_dead()) {
                request.set_sched(its);
                return Ok(request);
            }
            if self.is_dead() {
                return Err(EIO);
            }
            if !its.is_closed() {
                return Err(EAGAIN);
            }
            sched = self.sched.get();
        }
        let hw = self.hw(index).ok_or(EIO)?;
        let request = match hw.tags.try_get() {
            None if !wait => return Err(EAGAIN),
            None if bio.flags().has(OpFlags::POLLED) => self.get_polled(hw),
            None => hw.tags.get(u32::MAX, || self.is_dead()),
            request => request,
        };
        request.ok_or(EIO)
    }

    /// A free request of a polled hardware queue. Whoever else would look for the end of those in use may be waiting here, too. May sleep.
    fn get_polled(&self, hw: &HwQueue) -> Option<KBox<Request>> {
        // Some may be the task's own, not sent yet.
        plug::flush_own();
        loop {
            let ended = self.poll_one(hw);
            let request = hw.tags.try_get();
            if request.is_some() || self.is_dead() {
                return request;
            }
            if ended == 0 {
                ktime::sleep_ns(POLL_PAUSE_NS);
            }
        }
    }

    /// A request is ready: to the scheduler, or to the driver. `last`: no other follows at once. Any context: does not sleep.
    pub(crate) fn insert(self: &Arc<Self>, request: KBox<Request>, last: bool) {
        let Some(hw) = self.hw(request.hw_queue()) else { return };
        let Some(sched) = request.sched().cloned() else {
            // What follows or came before it may lie in the scheduler, which need not have a tag for it: then nobody would tell the
            // hardware of this one, or send those.
            self.issue(hw, request, last || !self.sched.is_null());
            if last && self.sched_has_work() {
                self.run_hw(hw);
            }
            return;
        };
        request.trace(Action::Insert, Ok(()));
        // It has room for as many as it has tags.
        if let Err(request) = sched.insert(request) {
            request.complete(Err(EIO));
        }
        if last {
            self.run_hw(hw);
        }
        if self.is_dead() {
            self.kill();
        }
    }

    /// Gives a request to the driver.
    fn start(self: &Arc<Self>, hw: &HwQueue, request: KBox<Request>, last: bool) -> Result<(), Refused> {
        let tag = request.tag();
        // `drain` waits for who is in here.
        let _section = rcu::read_lock();
        if self.is_dead() {
            return Err(Refused::Failed(request, EIO));
        }
        self.settings.started(hw, tag);
        request.trace(Action::Issue, Ok(()));
        let result = self.ops.queue_rq(hw, request, last);
        if let Err(refused) = &result {
            hw.deadlines.clear(tag);
            if let Refused::Busy(request) = refused {
                request.trace(Action::Requeue, Ok(()));
            }
        }
        result
    }

    /// Tells the driver that no other request follows at once.
    fn commit(&self, hw: &HwQueue) {
        let _section = rcu::read_lock();
        if !self.is_dead() {
            self.ops.commit_rqs(hw);
        }
    }

    /// Gives a request to the driver, or lets it wait behind those that wait already.
    fn issue(self: &Arc<Self>, hw: &HwQueue, request: KBox<Request>, last: bool) {
        if hw.has_waiting.load(Acquire) {
            hw.wait(request, false);
            return self.run_hw(hw);
        }
        match self.start(hw, request, last) {
            Ok(()) => {}
            Err(Refused::Busy(request)) => {
                hw.wait(request, false);
                // The last of the others may have ended before it was in the list.
                self.run_hw(hw);
            }
            Err(Refused::Failed(request, error)) => {
                self.commit(hw);
                request.complete(Err(error));
            }
        }
    }

    /// A request goes on with its next step. Any context.
    pub(super) fn requeue(self: &Arc<Self>, index: u32, request: KBox<Request>) {
        let Some(hw) = self.hw(index) else { return };
        hw.deadlines.clear(request.tag());
        hw.wait(request, true);
        self.run_hw(hw);
    }

    /// A request is over. Any context.
    pub(super) fn freed(self: &Arc<Self>, index: u32, request: KBox<Request>) {
        let Some(hw) = self.hw(index) else { return };
        hw.deadlines.clear(request.tag());
        hw.tags.put(request);
        if self.starved.load(SeqCst) && self.starved.swap(false, SeqCst) {
            return self.run();
        }
        if hw.has_waiting.load(SeqCst) || self.sched_has_work() {
            self.run_hw(hw);
        }
    }

    fn sched_has_work(&self) -> bool {
        if self.sched.is_null() && self.old_sched.is_null() {
            return false;
        }
        let section = rcu::read_lock();
        [&self.sched, &self.old_sched].iter().any(|sched| sched.load(&section).is_some_and(Sched::has_work))
    }

    /// The driver can take requests again. Any context.
    pub fn run(self: &Arc<Self>) {
        let work = self.sched_has_work();
        for hw in self.hw.iter().filter(|hw| work || hw.has_waiting.load(SeqCst)) {
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
            if self.dispatch_waiting(hw) {
                self.dispatch_sched(hw);
            }
            if hw.running.compare_exchange(1, 0, SeqCst, SeqCst).is_ok() {
                return;
            }
            hw.running.store(2, SeqCst);
        }
    }

    /// Gives the driver what waits; whether it took all.
    fn dispatch_waiting(self: &Arc<Self>, hw: &HwQueue) -> bool {
        if !hw.has_waiting.load(SeqCst) {
            return true;
        }
        loop {
            let (request, more) = {
                let mut waiting = hw.waiting.lock_irqsave();
                let Some(request) = waiting.pop() else {
                    // Only here: a request that ends before must find it set, and leave word.
                    hw.has_waiting.store(false, SeqCst);
                    return true;
                };
                (request, !waiting.is_empty())
            };
            if !self.dispatch_one(hw, request, !more) {
                return false;
            }
        }
    }

    /// Gives the driver one of those that waited; false if it is full.
    fn dispatch_one(self: &Arc<Self>, hw: &HwQueue, request: KBox<Request>, last: bool) -> bool {
        if self.is_dead() {
            request.complete(Err(EIO));
            return true;
        }
        let result = match self.start(hw, request, last) {
            Err(Refused::Busy(request)) => {
                // What the driver is short of may come back with a request of another hardware queue: this one hears of it by
                // `starved`. It may have come back just before.
                self.starved.store(true, SeqCst);
                self.start(hw, request, last)
            }
            result => result,
        };
        match result {
            Ok(()) => true,
            Err(Refused::Busy(request)) => {
                hw.wait(request, true);
                self.commit(hw);
                if self.is_dead() || !self.starved.load(SeqCst) {
                    // It came back meanwhile, before this one was in the list, or the list was just emptied for good: once more.
                    hw.running.fetch_or(2, SeqCst);
                }
                false
            }
            Err(Refused::Failed(request, error)) => {
                // Those before it may not have been told of.
                self.commit(hw);
                request.complete(Err(error));
                true
            }
        }
    }

    /// Gives the driver what the scheduler has, as long as there are tags.
    fn dispatch_sched(self: &Arc<Self>, hw: &HwQueue) {
        let mut untold = false;
        for sched in [&self.old_sched, &self.sched] {
            if sched.is_null() {
                continue;
            }
            let Some(sched) = sched.get() else { continue };
            while sched.has_work() {
                // Without a tag: who gives one back comes here again.
                let Some(mut request) = hw.tags.try_get() else { break };
                let Some((mut kept, sent)) = sched.next() else {
                    hw.tags.put(request);
                    break;
                };
                kept.take_sched();
                kept.set_sent(sent);
                kept.set_hw_queue(hw.index);
                kept.move_to(&mut request);
                sched.put(kept);
                let last = !sched.has_work();
                untold = !last;
                if !self.dispatch_one(hw, request, last) {
                    return;
                }
            }
        }
        if untold {
            self.commit(hw);
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

    fn open_nonblock(&self, disk: &Arc<Gendisk>, write: bool) -> Result {
        self.0.ops.open_nonblock(disk, write)
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
