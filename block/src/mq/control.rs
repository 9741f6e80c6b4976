// SPDX-License-Identifier: GPL-2.0
//! What an administrator sets in `/sys/block/*/queue`: the scheduler and its tunables, how many requests, merging, statistics,
//! time-outs. Source: Linux's `Documentation/ABI/stable/sysfs-block`.

use super::elevator::{self, SchedulerType};
use super::queue::{HwQueue, Queue};
use super::sched::Sched;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use errno::{
    Result,
    code::{EINVAL, ENODEV},
};
use kalloc::Arc;
use locking::SetOnce;
use workqueue::DelayedWork;

/// Fewest requests of a queue (`BLKDEV_MIN_RQ`).
const MIN_REQUESTS: u32 = 4;
/// What a scheduler's requests are counted from (`BLKDEV_DEFAULT_RQ`).
const DEFAULT_REQUESTS: u32 = 128;
/// Most requests of a scheduler (`MAX_SCHED_RQ`).
const MAX_SCHED_REQUESTS: u32 = 16 * DEFAULT_REQUESTS;
/// Time for a request: 30 seconds.
const TIMEOUT_NS: u64 = 30_000_000_000;

/// Settings of a queue.
pub(super) struct Settings {
    nomerges: AtomicU32,
    iostats: AtomicBool,
    timeout_ns: AtomicU64,
    watch: SetOnce<DelayedWork>,
    armed: AtomicBool,
}

impl Settings {
    pub(super) fn new() -> Self {
        Self {
            nomerges: AtomicU32::new(0),
            iostats: AtomicBool::new(true),
            timeout_ns: AtomicU64::new(TIMEOUT_NS),
            watch: SetOnce::new(),
            armed: AtomicBool::new(false),
        }
    }

    /// 0: bios are joined; 1: only with what the task has just sent; 2: not at all.
    #[inline]
    pub(super) fn nomerges(&self) -> u32 {
        self.nomerges.load(Relaxed)
    }

    #[inline]
    pub(super) fn iostats(&self) -> bool {
        self.iostats.load(Relaxed)
    }

    pub(super) fn timeout_ns(&self) -> u64 {
        self.timeout_ns.load(Relaxed)
    }

    pub(super) fn set_watch(&self, work: DelayedWork) {
        // Once, when the queue is made.
        let _ = self.watch.set(work);
    }

    /// The driver gets the request with this tag.
    #[inline]
    pub(super) fn started(&self, hw: &HwQueue, tag: u32) {
        if self.watch.get().is_none() {
            return;
        }
        let timeout = self.timeout_ns();
        hw.deadlines.set(tag, ktime::now_ns().saturating_add(timeout));
        if !self.armed.load(SeqCst) {
            self.arm(timeout);
        }
    }

    /// Somebody is to look after `ns`, unless that is arranged already.
    pub(super) fn arm(&self, ns: u64) {
        if let Some(watch) = self.watch.get()
            && !self.armed.swap(true, SeqCst)
        {
            watch.queue_after(ns);
        }
    }

    pub(super) fn disarm(&self) {
        self.armed.store(false, SeqCst);
    }
}

impl Queue {
    /// Which merges are left out (`nomerges`).
    pub fn nomerges(&self) -> u32 {
        self.settings.nomerges()
    }

    /// Sets it: 2 none, 0 all; others as 1.
    pub fn set_nomerges(&self, level: u32) {
        self.settings.nomerges.store(if level > 2 { 1 } else { level }, Relaxed);
    }

    /// Whether requests are counted (`iostats`).
    pub fn iostats(&self) -> bool {
        self.settings.iostats()
    }

    /// Sets it, for requests that are made from now on.
    pub fn set_iostats(&self, on: bool) {
        self.settings.iostats.store(on, Relaxed);
    }

    /// Whether the driver is told of requests that take too long.
    pub fn has_timeout(&self) -> bool {
        self.settings.watch.get().is_some()
    }

    /// Milliseconds that a request may take (`io_timeout`).
    pub fn timeout_ms(&self) -> u64 {
        self.settings.timeout_ns() / 1_000_000
    }

    /// Sets it for requests that are started from now on. EINVAL for 0.
    pub fn set_timeout_ms(&self, ms: u32) -> Result {
        if ms == 0 {
            return Err(EINVAL);
        }
        self.settings.timeout_ns.store(u64::from(ms) * 1_000_000, Relaxed);
        if let Some(watch) = self.settings.watch.get() {
            // One that is armed for a longer time would come too late.
            self.settings.armed.store(true, SeqCst);
            watch.queue_after(u64::from(ms) * 1_000_000);
        }
        Ok(())
    }

    /// Whether that is the name of its scheduler (`none`: it has none).
    pub fn has_scheduler(&self, name: &str) -> bool {
        self.with_scheduler(|its| its.map_or("none", |(kind, _)| kind.name) == name)
    }

    /// Tells `f` of its scheduler, if there is one: the type, and a number that no other type has. The type may be a module's, and gone
    /// afterwards.
    pub fn with_scheduler<R>(&self, f: impl FnOnce(Option<(&SchedulerType, u64)>) -> R) -> R {
        let sched = self.sched.get();
        f(sched.as_ref().map(|sched| (sched.kind(), sched.id())))
    }

    /// Tunable `index` of the scheduler whose type has the number `id`. ENODEV: it has another one.
    pub fn tunable(&self, id: u64, index: usize) -> Result<u64> {
        self.sched.get().ok_or(ENODEV)?.tunable(id, index)
    }

    /// Sets it. ENODEV.
    pub fn set_tunable(&self, id: u64, index: usize, value: u64) -> Result {
        let _changing = self.changing.lock();
        self.sched.get().ok_or(ENODEV)?.set_tunable(id, index, value)
    }

    /// How many requests writes may use, if there is a scheduler.
    pub fn async_depth(&self) -> Option<u32> {
        self.sched.get().map(|sched| sched.async_depth())
    }

    /// Sets it. EINVAL without a scheduler.
    pub fn set_async_depth(&self, depth: u32) -> Result {
        self.sched.get().ok_or(EINVAL)?.set_async_depth(depth);
        Ok(())
    }

    /// Takes another scheduler, or `none`; waits until the old one has nothing left. EINVAL for an unknown one. May sleep.
    pub fn set_scheduler(&self, name: &str) -> Result {
        let _changing = self.changing.lock();
        let new = match name {
            _ if self.has_scheduler(name) => return Ok(()),
            "none" => None,
            name => {
                let chosen = elevator::choose(name).ok_or(EINVAL)?;
                let depth = self.hw(0).map_or(1, HwQueue::depth);
                Some(Sched::new(2 * depth.min(DEFAULT_REQUESTS), chosen)?)
            }
        };
        if new.is_some() {
            self.hw_queues().iter().for_each(|hw| hw.set_limit(hw.depth()));
        }
        self.replace(new);
        Ok(())
    }

    fn replace(&self, new: Option<Arc<Sched>>) {
        let Some(old) = self.sched.get() else { return self.sched.replace(new) };
        // Both are looked at until the old one is empty.
        self.old_sched.replace(Some(old.clone()));
        self.sched.replace(new);
        old.drain();
        self.old_sched.replace(None);
    }

    /// Requests that can wait or be sent at a time (`nr_requests`).
    pub fn nr_requests(&self) -> u32 {
        match self.sched.get() {
            Some(sched) => sched.depth(),
            None => self.hw(0).map_or(0, HwQueue::limit),
        }
    }

    /// Sets it, at least to 4. EINVAL if it is more than the hardware has (or a scheduler may have). May sleep.
    pub fn set_nr_requests(&self, count: u32) -> Result {
        let count = count.max(MIN_REQUESTS);
        let _changing = self.changing.lock();
        let Some(sched) = self.sched.get() else {
            if self.hw(0).is_none_or(|hw| count > hw.depth()) {
                return Err(EINVAL);
            }
            self.hw_queues().iter().for_each(|hw| hw.set_limit(count));
            return Ok(());
        };
        if count > MAX_SCHED_REQUESTS {
            return Err(EINVAL);
        }
        if count != sched.depth() {
            // Its module is kept by the old one, and cannot be going.
            let new = Sched::new(count, elevator::choose(sched.kind().name).ok_or(EINVAL)?)?;
            new.take_tunables(&sched)?;
            self.replace(Some(new));
        }
        Ok(())
    }
}
