// SPDX-License-Identifier: GPL-2.0
//! Tags: a bitmap that CPUs search from different places, and the request that belongs to each tag. A hardware queue has one, and so
//! has a scheduler, for the requests that it keeps.

use super::request::Request;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{KBox, KVec};
use locking::SpinLock;
use sync::WaitQueue;
use x86_cpu::cpu_id;

/// Tags and their requests.
pub(super) struct Tags {
    words: KVec<AtomicU64>,
    depth: u32,
    /// Tags from here on are not used (`nr_requests`).
    limit: AtomicU32,
    /// The request of each tag, while it is free.
    requests: KVec<SpinLock<Option<KBox<Request>>>>,
    freed: WaitQueue,
}

/// The bits of word `word` that are tags from `limit` on.
fn beyond(word: usize, limit: u32) -> u64 {
    match (limit as usize).checked_sub(word * 64) {
        None => u64::MAX,
        Some(here @ 0..64) => u64::MAX << here,
        Some(_) => 0,
    }
}

impl Tags {
    /// `depth` free tags.
    pub(super) fn new(depth: u32) -> Result<Self> {
        let mut words = KVec::new();
        for word in 0..(depth as usize).div_ceil(64) {
            // Bits beyond the last tag are never free.
            words.push(AtomicU64::new(beyond(word, depth)), GFP_KERNEL)?;
        }
        let mut requests = KVec::with_capacity(depth as usize, GFP_KERNEL)?;
        for tag in 0..depth {
            requests.push(SpinLock::new(Some(KBox::new(Request::new(tag)?, GFP_KERNEL)?)), GFP_KERNEL)?;
        }
        Ok(Self { words, depth, limit: AtomicU32::new(depth), requests, freed: WaitQueue::new() })
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    /// How many may be used.
    pub(super) fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// Sets how many may be used: 1 to the depth.
    pub(super) fn set_limit(&self, limit: u32) {
        self.limit.store(limit.clamp(1, self.depth), Relaxed);
        self.wake_all();
    }

    /// Takes a free tag's request. Any context.
    pub(super) fn try_get(&self) -> Option<KBox<Request>> {
        self.try_get_below(self.limit())
    }

    /// The same, below `limit`.
    fn try_get_below(&self, limit: u32) -> Option<KBox<Request>> {
        let count = self.words.len();
        let start = (cpu_id() as usize) % count.max(1);
        for word in (start..count).chain(0..start) {
            let Some(bits) = self.words.get(word) else { continue };
            let mask = beyond(word, limit);
            let mut taken = bits.load(Relaxed);
            while taken | mask != u64::MAX {
                let bit = (taken | mask).trailing_ones();
                match bits.compare_exchange_weak(taken, taken | 1 << bit, Acquire, Relaxed) {
                    Ok(_) => {
                        let request = self.requests.get(word * 64 + bit as usize)?;
                        return request.lock_irqsave().take();
                    }
                    Err(now) => taken = now,
                }
            }
        }
        None
    }

    /// Takes a free tag's request below `most`; sleeps until there is one, or `give_up` says that there never will be.
    pub(super) fn get(&self, most: u32, give_up: impl Fn() -> bool) -> Option<KBox<Request>> {
        let try_get = || self.try_get_below(most.min(self.limit()));
        let mut got = try_get();
        if got.is_none() {
            self.freed.wait_until(|| {
                got = try_get();
                got.is_some() || give_up()
            });
        }
        got
    }

    /// Gives a request back. Any context.
    pub(super) fn put(&self, request: KBox<Request>) {
        let tag = request.tag();
        let (word, bit) = (tag as usize / 64, tag % 64);
        let (Some(bits), Some(place)) = (self.words.get(word), self.requests.get(tag as usize)) else { return };
        *place.lock_irqsave() = Some(request);
        bits.fetch_and(!(1 << bit), SeqCst);
        if self.freed.is_active() {
            self.freed.wake_up();
        }
    }

    /// Waits until no tag is in use. Nobody else waits, as none is given out. May sleep.
    pub(super) fn wait_idle(&self) {
        self.freed.wait_until(|| self.in_use() == 0);
    }

    /// Wakes who waits for a tag.
    pub(super) fn wake_all(&self) {
        self.freed.wake_up_all();
    }

    /// Tags in use.
    pub(super) fn in_use(&self) -> u32 {
        let free: u32 = self.words.iter().map(|word| word.load(SeqCst).count_zeros()).sum();
        self.depth.saturating_sub(free)
    }
}
