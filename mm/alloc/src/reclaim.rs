// SPDX-License-Identifier: GPL-2.0
//! What an allocation does that finds no memory: `mm_base::reclaim`, for the allocators here. No locks.

use crate::stat::{self, Item};
use crate::{buddy, pcp, slab, vmalloc};
use core::sync::atomic::Ordering;
use kalloc::Flags;

pub(crate) use mm_base::reclaim::refilled;
pub use mm_base::reclaim::{COSTLY_ORDER, OOM, OutOfMemory, RECLAIM, Reclaim, Verdict};

struct Allocators;

impl mm_base::reclaim::Allocators for Allocators {
    fn drain_local() {
        slab::drain_local();
        pcp::drain_local();
    }

    fn purge() {
        vmalloc::purge(1);
        pcp::drain_local();
    }

    fn stalled() {
        stat::add(Item::AllocStall, 1);
    }

    fn failed() {
        buddy::FAILURES.fetch_add(1, Ordering::Relaxed);
    }
}

/// The slow path of an allocation that failed once: tries until `attempt` succeeds or nothing more can be done.
#[inline]
pub(crate) fn allocate<T>(order: usize, flags: Flags, attempt: impl FnMut(Flags) -> Option<T>) -> Option<T> {
    mm_base::reclaim::allocate::<Allocators, T>(order, flags, attempt)
}
