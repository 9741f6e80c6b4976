// SPDX-License-Identifier: GPL-2.0
//! Tags of a hardware queue: a bitmap that CPUs search from different places, and the request that belongs to each tag.

use super::request::Request;
use core::sync::atomic::{AtomicU64, Ordering::*};
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
    /// The request of each tag, while it is free.
    requests: KVec<SpinLock<Option<KBox<Request>>>>,
    freed: WaitQueue,
}

impl Tags {
    /// `depth` free tags.
    pub(super) fn new(depth: u32) -> Result<Self> {
        let mut words = KVec::new();
        for first in (0..depth).step_by(64) {
            let here = (depth - first).min(64);
            // Bits beyond the last tag are never free.
            let taken = if here == 64 { 0 } else { u64::MAX << here };
            words.push(AtomicU64::new(taken), GFP_KERNEL)?;
        }
        let mut requests = KVec::with_capacity(depth as usize, GFP_KERNEL)?;
        for tag in 0..depth {
            requests.push(SpinLock::new(Some(KBox::new(Request::new(tag)?, GFP_KERNEL)?)), GFP_KERNEL)?;
        }
        Ok(Self { words, depth, requests, freed: WaitQueue::new() })
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    /// Takes a free tag's request. Any context.
    pub(super) fn try_get(&self) -> Option<KBox<Request>> {
        let count = self.words.len();
        let start = (cpu_id() as usize) % count.max(1);
        for word in (start..count).chain(0..start) {
            let Some(bits) = self.words.get(word) else { continue };
            let mut taken = bits.load(Relaxed);
            while taken != u64::MAX {
                let bit = taken.trailing_ones();
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

    /// Takes a free tag's request; sleeps until there is one, or `dead` says that there never will be.
    pub(super) fn get(&self, dead: impl Fn() -> bool) -> Option<KBox<Request>> {
        let mut got = self.try_get();
        if got.is_none() {
            self.freed.wait_until(|| {
                got = self.try_get();
                got.is_some() || dead()
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
