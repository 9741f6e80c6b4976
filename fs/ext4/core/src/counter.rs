// SPDX-License-Identifier: GPL-2.0
//! A counter that processors change without sharing a cache line: Linux's `percpu_counter`. Each keeps a small part; sums of
//! them make the value.

use core::sync::atomic::{AtomicI64, Ordering};
use errno::Result;
use kalloc::{KVec, flags::GFP_KERNEL};

/// How far a part may be from zero before it goes to the common value.
const BATCH: i64 = 64;

#[repr(align(64))]
struct Part(AtomicI64);

/// See the module's text.
pub(crate) struct Counter {
    total: AtomicI64,
    parts: KVec<Part>,
}

impl Counter {
    /// A counter for so many processors.
    pub(crate) fn new(value: i64, cpus: usize) -> Result<Self> {
        let mut parts = KVec::with_capacity(cpus, GFP_KERNEL)?;
        for _ in 0..cpus.max(1) {
            parts.push(Part(AtomicI64::new(0)), GFP_KERNEL)?;
        }
        Ok(Self { total: AtomicI64::new(value), parts })
    }

    /// Adds (or takes) so much on this processor.
    pub(crate) fn add(&self, cpu: usize, amount: i64) {
        let Some(part) = self.parts.get(cpu).or_else(|| self.parts.first()) else {
            self.total.fetch_add(amount, Ordering::Relaxed);
            return;
        };
        let now = part.0.fetch_add(amount, Ordering::Relaxed).wrapping_add(amount);
        if now.abs() >= BATCH {
            part.0.fetch_sub(now, Ordering::Relaxed);
            self.total.fetch_add(now, Ordering::Relaxed);
        }
    }

    /// The value, at most `slack()` off.
    pub(crate) fn rough(&self) -> i64 {
        self.total.load(Ordering::Relaxed)
    }

    /// How far `rough` may be off.
    pub(crate) fn slack(&self) -> i64 {
        BATCH * self.parts.len() as i64
    }

    /// The value: exact while nobody changes it.
    pub(crate) fn sum(&self) -> i64 {
        self.parts.iter().fold(self.rough(), |sum, part| sum.wrapping_add(part.0.load(Ordering::Relaxed)))
    }
}
