// SPDX-License-Identifier: GPL-2.0
//! How many pages an address space has, by kind: counted where faults of several CPUs do not meet. No locks.

use crate::kind::Kind;
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Lines that CPUs share; a power of two.
const LINES: usize = 4;

/// The counts of some CPUs: a cache line. Each may be negative, since pages come and go on different CPUs; their sum is not.
#[repr(align(64))]
struct Line([AtomicI64; 3]);

/// Pages of an address space.
pub struct Rss {
    lines: [Line; LINES],
    /// Read in each fault and seldom changed, so it is one.
    swap: AtomicI64,
    /// Seldom changed, too.
    lazy: AtomicI64,
}

impl Rss {
    /// None.
    pub const fn new() -> Self {
        Self {
            lines: [const { Line([const { AtomicI64::new(0) }; 3]) }; LINES],
            swap: AtomicI64::new(0),
            lazy: AtomicI64::new(0),
        }
    }

    /// Counts `delta` pages of a kind.
    #[inline(always)]
    pub fn add(&self, kind: Kind, delta: i64) {
        if kind == Kind::Lazy {
            self.lazy.fetch_add(delta, Relaxed);
            return;
        }
        // In bounds: the rest of a division by the length. A move to another CPU in between does no harm.
        let Line(counts) = &self.lines[x86_cpu::cpu_id() as usize % LINES];
        counts.get(kind as usize).unwrap_or(&self.swap).fetch_add(delta, Relaxed);
    }

    /// Pages of a kind; right when nothing changes meanwhile.
    pub fn sum(&self, kind: Kind) -> i64 {
        match kind {
            Kind::Swap => self.swap.load(Relaxed),
            Kind::Lazy => self.lazy.load(Relaxed),
            _ => self.lines.iter().filter_map(|Line(counts)| counts.get(kind as usize)).map(|n| n.load(Relaxed)).sum(),
        }
    }

    /// Whether any entry has the mark of `MADV_FREE`.
    #[inline(always)]
    pub fn has_lazy(&self) -> bool {
        self.lazy.load(Relaxed) != 0
    }

    /// Whether any page may be in swap space.
    #[inline(always)]
    pub fn has_swap(&self) -> bool {
        self.swap.load(Relaxed) != 0
    }
}

impl Default for Rss {
    fn default() -> Self {
        Self::new()
    }
}
