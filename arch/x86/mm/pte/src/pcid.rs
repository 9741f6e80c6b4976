// SPDX-License-Identifier: GPL-2.0
//! Which address spaces' translations a CPU keeps apart, by PCID, and up to which flush each is true. A CPU's own; interrupts off.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Contexts that a CPU tells apart.
const COUNT: usize = 6;

/// A CPU's contexts.
pub struct Pcids {
    /// By PCID (less one): context, generation.
    slots: [(AtomicU64, AtomicU64); COUNT],
    /// The one to be used for the next context that has none.
    next: AtomicUsize,
    /// The one in use.
    now: AtomicUsize,
}

impl Pcids {
    /// None yet.
    #[expect(clippy::new_without_default, reason = "made in statics alone")]
    pub const fn new() -> Self {
        Self {
            slots: [const { (AtomicU64::new(0), AtomicU64::new(0)) }; COUNT],
            next: AtomicUsize::new(0),
            now: AtomicUsize::new(0),
        }
    }

    /// The PCID for `context`, which is flushed up to `generation` when it is loaded, and whether what the CPU has of it is true still.
    /// `left`: up to where what the CPU leaves behind was flushed, if it leaves a context.
    #[inline]
    pub fn choose(&self, context: u64, generation: u64, left: Option<u64>) -> (u64, bool) {
        if let Some(left) = left
            && let Some((_, flushed)) = self.slots.get(self.now.load(Relaxed))
        {
            flushed.store(left, Relaxed);
        }
        for (i, (kept, flushed)) in self.slots.iter().enumerate() {
            if kept.load(Relaxed) == context {
                self.now.store(i, Relaxed);
                let fresh = flushed.load(Relaxed) == generation;
                flushed.store(generation, Relaxed);
                return (i as u64 + 1, fresh);
            }
        }
        let i = self.next.load(Relaxed) % COUNT;
        self.next.store(i + 1, Relaxed);
        if let Some((kept, flushed)) = self.slots.get(i) {
            kept.store(context, Relaxed);
            flushed.store(generation, Relaxed);
        }
        self.now.store(i, Relaxed);
        (i as u64 + 1, false)
    }
}
