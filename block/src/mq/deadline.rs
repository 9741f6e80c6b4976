// SPDX-License-Identifier: GPL-2.0
//! The scheduler mq-deadline, which is always there: the policy (crate `mq_deadline`) over requests.

use super::elevator::{Policy, SchedulerType};
use super::merge::{Merged, try_merge};
use super::request::Request;
use crate::bio::Bio;
use crate::limits::QueueLimits;
use crate::types::OpFlags;
use errno::Result;
use kalloc::KBox;
use kalloc::flags::GFP_KERNEL;
use mq_deadline::{Class, Deadline, Tunables};

const NS_PER_MS: u64 = 1_000_000;

/// See [`SchedulerType`].
pub(super) static TYPE: SchedulerType = SchedulerType {
    name: "mq-deadline",
    tunables: &["read_expire", "write_expire", "prio_aging_expire", "writes_starved", "fifo_batch", "front_merges"],
    has_async_depth: true,
    urgent: |bio| !bio.op().is_write() && !bio.flags().any(OpFlags::RAHEAD | OpFlags::BACKGROUND),
    new: |depth| Ok(KBox::new(Ordered(Deadline::new(depth, Tunables::default())?), GFP_KERNEL)?),
};

struct Ordered(Deadline<KBox<Request>>);

/// The class that an `ioprio` says.
fn class(priority: u16) -> Class {
    match priority >> 13 {
        1 => Class::Rt,
        3 => Class::Idle,
        _ => Class::Be,
    }
}

fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Policy for Ordered {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn insert(&mut self, request: KBox<Request>) -> Result<(), KBox<Request>> {
        let (class, now) = (class(request.priority()), request.start_ns());
        self.0.insert(request, class, now)
    }

    fn dispatch(&mut self, now: u64) -> Option<(KBox<Request>, Option<u32>)> {
        Some((self.0.dispatch(now)?, None))
    }

    fn take_any(&mut self, now: u64) -> Option<KBox<Request>> {
        self.0.dispatch(now)
    }

    fn merge(&mut self, bio: KBox<Bio>, limits: &QueueLimits) -> Result<(), KBox<Bio>> {
        let state = &mut self.0;
        let (class, write) = (class(bio.priority()), bio.op().is_write());
        let back = state.ending_at(class, write, bio.sector());
        let found = back.or_else(|| state.starting_at(class, write, bio.end_sector()));
        let Some(index) = found else { return Err(bio) };
        let Some(request) = state.item_mut(index) else { return Err(bio) };
        if try_merge(request, bio, limits)? == Merged::Front {
            state.moved(class, index);
        }
        Ok(())
    }

    /// Times are shown in milliseconds.
    fn tunable(&self, index: usize) -> u64 {
        let tunables = &self.0.tunables;
        match index {
            0 => tunables.read_expire / NS_PER_MS,
            1 => tunables.write_expire / NS_PER_MS,
            2 => tunables.prio_aging_expire / NS_PER_MS,
            3 => tunables.writes_starved.into(),
            4 => tunables.fifo_batch.into(),
            _ => tunables.front_merges.into(),
        }
    }

    fn set_tunable(&mut self, index: usize, value: u64) {
        let tunables = &mut self.0.tunables;
        let ns = value.min(i32::MAX as u64).saturating_mul(NS_PER_MS);
        match index {
            0 => tunables.read_expire = ns,
            1 => tunables.write_expire = ns,
            2 => tunables.prio_aging_expire = ns,
            3 => tunables.writes_starved = small(value),
            4 => tunables.fifo_batch = small(value),
            _ => tunables.front_merges = value != 0,
        }
    }
}
