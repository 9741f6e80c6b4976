// SPDX-License-Identifier: GPL-2.0
//! Requests that take too long. Each tag has the time by which its request should be over; a work item looks at them when the first
//! may be late, and asks the driver what to do ([`super::MqOps::timeout`]).

use super::queue::{HwQueue, Queue};
use core::sync::atomic::{AtomicU64, Ordering::*};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use workqueue::DelayedWork;

/// A request that is late.
#[derive(Clone, Copy, Debug)]
pub struct Expired {
    /// Its tag.
    pub tag: u32,
    /// By when it should have been over.
    deadline: u64,
}

/// What is to be done with a request that is late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeoutAction {
    /// The driver ended it, or will soon.
    Done,
    /// It gets the same time once more.
    ResetTimer,
}

/// Times of the requests of a hardware queue, by tag; 0: the driver does not have it.
pub(super) struct Deadlines(KVec<AtomicU64>);

impl Deadlines {
    pub(super) fn new(depth: u32) -> Result<Self> {
        let mut list = KVec::with_capacity(depth as usize, GFP_KERNEL)?;
        for _ in 0..depth {
            list.push(AtomicU64::new(0), GFP_KERNEL)?;
        }
        Ok(Self(list))
    }

    #[inline]
    pub(super) fn set(&self, tag: u32, deadline: u64) {
        if let Some(place) = self.0.get(tag as usize) {
            place.store(deadline, Release);
        }
    }

    #[inline]
    pub(super) fn clear(&self, tag: u32) {
        self.set(tag, 0);
    }

    /// Gives a request that is still there another time.
    fn replace(&self, tag: u32, old: u64, new: u64) {
        if let Some(place) = self.0.get(tag as usize) {
            // If it is over, it needs none.
            let _ = place.compare_exchange(old, new, AcqRel, Relaxed);
        }
    }

    fn get(&self, tag: u32) -> u64 {
        self.0.get(tag as usize).map_or(0, |place| place.load(Acquire))
    }
}

impl HwQueue {
    /// Whether the request is still the one that was late. With the driver's own lock held that keeps it from ending.
    pub fn is_expired(&self, expired: &Expired) -> bool {
        self.deadlines.get(expired.tag) == expired.deadline
    }
}

impl Queue {
    /// Begins to look after requests.
    pub(super) fn watch(self: &Arc<Self>) -> Result {
        let weak = Arc::downgrade(self);
        let work = DelayedWork::new(move || {
            if let Some(queue) = weak.upgrade() {
                queue.look_for_late();
            }
        })?;
        self.settings.set_watch(work);
        Ok(())
    }

    fn look_for_late(&self) {
        // From here on, who starts a request starts the timer.
        self.settings.disarm();
        let (mut first, now) = (u64::MAX, ktime::now_ns());
        for hw in self.hw_queues() {
            for tag in 0..hw.depth() {
                let deadline = hw.deadlines.get(tag);
                if deadline == 0 {
                    continue;
                }
                if deadline > now {
                    first = first.min(deadline);
                    continue;
                }
                let again = now.saturating_add(self.settings.timeout_ns());
                if self.ops.timeout(hw, Expired { tag, deadline }) == TimeoutAction::ResetTimer {
                    hw.deadlines.replace(tag, deadline, again);
                }
                first = first.min(again);
            }
        }
        if first != u64::MAX {
            self.settings.arm(first.saturating_sub(now).max(1_000_000));
        }
    }
}
