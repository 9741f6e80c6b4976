// SPDX-License-Identifier: GPL-2.0
//! A disk's I/O scheduler: keeps requests, which have tags of the scheduler's own, until a hardware queue has room for one. The policy
//! is another one's (`elevator`); without a scheduler (`none`) requests go to the hardware as they come.
//!
//! Lock: `state` (interrupts off), none inside. A scheduler that is replaced is closed: no new requests come, and what it has is sent before its successor's.

use super::elevator::{Chosen, Policy, SchedulerType};
use super::request::Request;
use super::tags::Tags;
use crate::bio::Bio;
use crate::limits::QueueLimits;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use errno::{Result, code::ENODEV};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use module_core::ModuleRef;

/// A scheduler.
pub(super) struct Sched {
    tags: Tags,
    kind: &'static SchedulerType,
    /// The type's, in the table.
    id: u64,
    /// Tags that may be used by what nobody waits for; with mq-deadline by writes, too.
    async_depth: AtomicU32,
    closed: AtomicBool,
    state: SpinLock<KBox<dyn Policy>>,
    /// What `state` holds, to look without the lock.
    len: AtomicU32,
    /// The module of `kind` and of what is in `state`: the last to be dropped.
    _owner: ModuleRef,
}

/// A request that the driver has and that its scheduler wants to hear of.
pub(super) struct Sent {
    sched: Arc<Sched>,
    kind: u32,
    at_ns: u64,
}

impl Sent {
    /// It is over, and was made at `start_ns`. Any context.
    pub(super) fn done(self, start_ns: u64) {
        let now = ktime::now_ns();
        let (total, device) = (now.saturating_sub(start_ns), now.saturating_sub(self.at_ns));
        self.sched.state.lock_irqsave().done(self.kind, total, device, now);
    }
}

impl Sched {
    /// One that holds `depth` requests. ENOMEM. May sleep.
    pub(super) fn new(depth: u32, chosen: Chosen) -> Result<Arc<Self>> {
        let Chosen { kind, id, owner } = chosen;
        let sched = Self {
            tags: Tags::new(depth)?,
            kind,
            id,
            async_depth: AtomicU32::new((depth * 3 / 4).max(1)),
            closed: AtomicBool::new(false),
            state: SpinLock::new((kind.new)(depth)?),
            len: AtomicU32::new(0),
            _owner: owner,
        };
        Ok(Arc::new(sched, GFP_KERNEL)?)
    }

    /// What it is. (Its module stays as long as this.)
    pub(super) fn kind(&self) -> &SchedulerType {
        self.kind
    }

    /// The number that its type has in the table.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn depth(&self) -> u32 {
        self.tags.depth()
    }

    pub(super) fn async_depth(&self) -> u32 {
        self.async_depth.load(Relaxed)
    }

    pub(super) fn set_async_depth(&self, depth: u32) {
        self.async_depth.store(depth.clamp(1, self.depth()), Relaxed);
        self.tags.wake_all();
    }

    /// Tunable `index` of the type `id`. ENODEV: it is of another one.
    pub(super) fn tunable(&self, id: u64, index: usize) -> Result<u64> {
        if id != self.id {
            return Err(ENODEV);
        }
        Ok(self.state.lock_irqsave().tunable(index))
    }

    /// Sets it.
    pub(super) fn set_tunable(&self, id: u64, index: usize, value: u64) -> Result {
        if id != self.id {
            return Err(ENODEV);
        }
        self.state.lock_irqsave().set_tunable(index, value);
        Ok(())
    }

    /// Has the tunables of `old`, which is of the same type.
    pub(super) fn take_tunables(&self, old: &Self) -> Result {
        (0..self.kind.tunables.len())
            .try_for_each(|index| self.set_tunable(old.id, index, old.tunable(self.id, index)?))
    }

    /// Whether requests wait in it.
    #[inline]
    pub(super) fn has_work(&self) -> bool {
        self.len.load(SeqCst) != 0
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    /// Takes a request of its own for `bio`; waits for one, unless `wait` is false. `None`: there is none, or it was closed or `dead`.
    pub(super) fn get(&self, bio: &Bio, wait: bool, dead: impl Fn() -> bool) -> Option<KBox<Request>> {
        let most = if (self.kind.urgent)(bio) { u32::MAX } else { self.async_depth() };
        let request = self.tags.get(most, || !wait || self.is_closed() || dead())?;
        if self.closed.load(SeqCst) {
            // `drain` may have looked before this tag was taken.
            self.tags.put(request);
            return None;
        }
        Some(request)
    }

    /// A request of its own is free again. Any context.
    pub(super) fn put(&self, request: KBox<Request>) {
        self.tags.put(request);
    }

    /// Joins a bio with a request that waits; else gives it back.
    pub(super) fn merge(&self, bio: KBox<Bio>, limits: &QueueLimits) -> Result<(), KBox<Bio>> {
        if !self.has_work() {
            return Err(bio);
        }
        self.state.lock_irqsave().merge(bio, limits)
    }

    /// Puts a request of its own in; given back if there is no room. Any context.
    pub(super) fn insert(&self, request: KBox<Request>) -> Result<(), KBox<Request>> {
        let mut state = self.state.lock_irqsave();
        state.insert(request)?;
        self.len.store(state.len() as u32, SeqCst);
        Ok(())
    }

    /// Takes the one to be sent next, and what is told when it is over. Any context.
    pub(super) fn next(self: &Arc<Self>) -> Option<(KBox<Request>, Option<Sent>)> {
        if !self.has_work() {
            return None;
        }
        let now = ktime::now_ns();
        let mut state = self.state.lock_irqsave();
        let found = state.dispatch(now);
        self.len.store(state.len() as u32, SeqCst);
        drop(state);
        let (request, kind) = found?;
        Some((request, kind.map(|kind| Sent { sched: self.clone(), kind, at_ns: now })))
    }

    /// Takes any that waits: the driver is gone. Any context.
    pub(super) fn take_any(&self) -> Option<KBox<Request>> {
        let now = ktime::now_ns();
        let mut state = self.state.lock_irqsave();
        let request = state.take_any(now);
        self.len.store(state.len() as u32, SeqCst);
        request
    }

    /// Gives out no requests any more, and waits until those that are out have been sent. May sleep.
    pub(super) fn drain(&self) {
        self.closed.store(true, SeqCst);
        self.tags.wake_all();
        self.tags.wait_idle();
    }

    /// Waits until none of its requests is in use. May sleep.
    pub(super) fn wait_idle(&self) {
        self.tags.wait_idle();
    }

    pub(super) fn wake_all(&self) {
        self.tags.wake_all();
    }

    /// Requests of its own in use.
    pub(super) fn in_use(&self) -> u32 {
        self.tags.in_use()
    }
}
