// SPDX-License-Identifier: GPL-2.0
//! The fair class on one run queue: where a task joins and with what it leaves, who is in which of the two trees, and who goes first. The
//! arithmetic is crate `eevdf`'s.

use super::RunQueue;
use crate::entity::{ENTITY, Entity, FAIR, policy, tree};
use crate::tick::TICK_NS;
use core::sync::atomic::Ordering::Relaxed;

/// Slice of a task that did not ask for another.
pub(crate) const SLICE_NS: u64 = 3_000_000;
/// Who was chosen runs so long before a woken task may preempt it, or for its slice if that is shorter.
const PROTECTED_NS: u64 = 750_000;
/// Who yields goes on only if the others have had so much more.
const YIELD_NS: u64 = 1_000_000;

impl RunQueue {
    /// Sees to it that the first task of the first fair tree, if there is one, is eligible, and that nobody is eligible in the second.
    #[inline]
    pub(super) fn settle(&mut self) {
        while let Some((key, _)) = self.later.first()
            && self.mean.is_eligible(key.0 & !FAIR)
        {
            self.move_first(true);
        }
        while let Some((_, Some(task))) = self.queue.first()
            && let Some(entity) = ENTITY.get(task)
            && !self.mean.is_eligible(entity.vruntime.load(Relaxed))
        {
            // Somebody came who is owed more, or somebody left who owed.
            self.move_first(false);
        }
    }

    /// Moves the first of one tree to the other.
    #[cold]
    fn move_first(&mut self, from_later: bool) {
        let tree = if from_later { &mut self.later } else { &mut self.queue };
        let Some(mut node) = tree.pop_first_node() else { return };
        let Some(task) = node.value().clone() else { return };
        let Some(entity) = ENTITY.get(&task) else { return };
        let time = if from_later { &entity.deadline } else { &entity.vruntime };
        node.key_value_mut().0.0 = FAIR | time.load(Relaxed);
        self.put(entity, node, if from_later { tree::FAIR } else { tree::LATER });
    }

    /// No fair task is queued.
    #[inline]
    pub(super) fn is_nobody_fair(&self) -> bool {
        self.queue.is_empty() && self.later.is_empty()
    }

    /// Whether the running task, a fair one, should go on rather than the first in line.
    pub(super) fn fair_goes_on(&mut self) -> bool {
        if self.rt_goes_first() {
            return false;
        }
        if !self.curr.open && !self.curr.yielded && self.curr.ran < PROTECTED_NS.min(self.curr.slice) {
            return true;
        }
        self.settle();
        match self.queue.first().map(|(key, _)| key.0) {
            Some(_) if self.curr.yielded => false,
            Some(first) => self.mean.is_eligible(self.curr.vruntime) && FAIR | self.curr.deadline <= first,
            None if self.curr.yielded => {
                let next = self.later.first().map(|(key, _)| key.0 & !FAIR);
                next.is_none_or(|next| self.curr.vruntime + YIELD_NS < next)
            }
            None => true,
        }
    }

    /// Gives a fair task that joins its virtual run time, by what it is owed, and its first deadline.
    #[inline]
    pub(super) fn place(&mut self, entity: &Entity, new: bool) {
        let weight = entity.weight.load(Relaxed);
        let vruntime = match new {
            true => self.mean.place_new(weight),
            false => self.mean.place(eevdf::to_virtual(entity.lag.load(Relaxed), weight), weight),
        };
        // A new task's first slice is half as long, so that it starts soon.
        let slice = virtual_slice(entity.slice_ns(), weight) >> u32::from(new);
        entity.vruntime.store(vruntime, Relaxed);
        entity.deadline.store(vruntime + slice, Relaxed);
    }

    /// A task that is still counted here is about to leave: remembers what it is owed.
    #[inline]
    pub(super) fn keep_lag(&mut self, entity: &Entity) {
        let lag = match entity.is_rt() {
            true => 0,
            false => {
                let limit = entity.slice_ns().saturating_mul(2).max(TICK_NS);
                self.mean.lag(entity.vruntime.load(Relaxed), entity.weight.load(Relaxed), limit)
            }
        };
        entity.lag.store(lag, Relaxed);
    }

    /// A task that slept here wakes: what it owed may be forgiven by now.
    #[inline]
    pub(crate) fn settle_debt(&mut self, entity: &Entity) {
        let (vruntime, weight) = (entity.vruntime.load(Relaxed), entity.weight.load(Relaxed));
        let lag = self.mean.lag_after_sleep(entity.lag.load(Relaxed), vruntime, weight);
        entity.lag.store(lag, Relaxed);
    }

    /// Whether a fair task that was just enqueued should run rather than the running one, which is fair as well.
    #[inline]
    pub(super) fn fair_preempt(&mut self, entity: &Entity) -> bool {
        let woken = entity.policy.load(Relaxed);
        if self.curr.policy == policy::IDLE {
            self.curr.open |= woken != policy::IDLE;
            return woken != policy::IDLE;
        }
        if woken != policy::NORMAL {
            return false;
        }
        // Who asks for shorter slices than others need not wait for what they have begun.
        let short = entity.slice_ns() < self.curr.slice;
        if !self.curr.open && !short && self.curr.ran < PROTECTED_NS.min(self.curr.slice) {
            return false;
        }
        let first = self.mean.is_eligible(entity.vruntime.load(Relaxed))
            && (!self.mean.is_eligible(self.curr.vruntime) || entity.deadline.load(Relaxed) < self.curr.deadline);
        self.curr.open |= first;
        self.curr.open
    }
}

/// A slice in virtual time.
#[inline]
pub(super) fn virtual_slice(ns: u64, weight: u32) -> u64 {
    // Slices are far below 2^63.
    eevdf::to_virtual(ns as i64, weight).cast_unsigned()
}
