// SPDX-License-Identifier: GPL-2.0
//! Counters of a disk or partition, as `/proc/diskstats` and `/sys/block/*/stat` show them. Each CPU has its own; a reader adds them
//! up. No locks. Source: Linux's `Documentation/admin-guide/iostats.rst`.

use crate::types::{Op, SECTOR_SHIFT};
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use errno::Result;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use x86_cpu::cpu_id;

/// Groups: read, write, discard, flush.
const GROUPS: usize = 4;

#[repr(align(64))]
#[derive(Default)]
struct CpuStats {
    ios: [AtomicU64; GROUPS],
    merges: [AtomicU64; GROUPS],
    sectors: [AtomicU64; GROUPS],
    nsecs: [AtomicU64; GROUPS],
    /// Reads, writes. One CPU's may be negative: I/O may end on another.
    in_flight: [AtomicI64; 2],
}

/// The counters.
pub struct DiskStats {
    cpus: KVec<CpuStats>,
    /// Nanoseconds with something in flight.
    busy_ns: AtomicU64,
    /// When `busy_ns` was last brought up to date.
    stamp: AtomicU64,
}

/// The counters of all CPUs, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatTotals {
    /// Done, by group: read, write, discard, flush.
    pub ios: [u64; GROUPS],
    /// Joined with a neighbour before they were sent.
    pub merges: [u64; GROUPS],
    /// Sectors.
    pub sectors: [u64; GROUPS],
    /// Time from start to end.
    pub nsecs: [u64; GROUPS],
    /// Reads and writes now in flight.
    pub in_flight: [u64; 2],
    /// Time with something in flight.
    pub busy_ns: u64,
}

/// Granularity of `busy_ns`: a stamp is not moved more often (Linux counts in jiffies).
const TICK_NS: u64 = 1_000_000;

impl DiskStats {
    /// All zero. ENOMEM.
    pub fn new() -> Result<Self> {
        let count = 64 - x86::smp::possible().leading_zeros().min(63);
        let mut cpus = KVec::with_capacity(count as usize, GFP_KERNEL)?;
        for _ in 0..count {
            cpus.push(CpuStats::default(), GFP_KERNEL)?;
        }
        Ok(Self { cpus, busy_ns: AtomicU64::new(0), stamp: AtomicU64::new(0) })
    }

    #[inline]
    fn this_cpu(&self) -> Option<&CpuStats> {
        // Any CPU's place will do; this one's is in its cache.
        self.cpus.get(cpu_id() as usize)
    }

    fn busy(&self, now: u64, end: bool) {
        let stamp = self.stamp.load(Relaxed);
        if now < stamp.saturating_add(TICK_NS) || self.stamp.compare_exchange(stamp, now, Relaxed, Relaxed).is_err() {
            return;
        }
        if end || self.total_in_flight() > 0 {
            self.busy_ns.fetch_add(if end { now - stamp } else { TICK_NS }, Relaxed);
        }
    }

    fn total_in_flight(&self) -> i64 {
        self.cpus.iter().flat_map(|cpu| cpu.in_flight.iter()).map(|n| n.load(Relaxed)).sum()
    }

    /// A request begins at `now` nanoseconds.
    #[inline]
    pub fn start(&self, op: Op, now: u64) {
        self.busy(now, false);
        if let Some(cpu) = self.this_cpu()
            && let Some(n) = cpu.in_flight.get(usize::from(op.is_write()))
        {
            n.fetch_add(1, Relaxed);
        }
    }

    /// A request that began at `start` ends at `now`.
    #[inline]
    pub fn end(&self, op: Op, bytes: u64, start: u64, now: u64) {
        self.busy(now, true);
        let group = op.stat_group();
        let Some(cpu) = self.this_cpu() else { return };
        if let (Some(ios), Some(sectors), Some(nsecs)) =
            (cpu.ios.get(group), cpu.sectors.get(group), cpu.nsecs.get(group))
        {
            ios.fetch_add(1, Relaxed);
            sectors.fetch_add(bytes >> SECTOR_SHIFT, Relaxed);
            nsecs.fetch_add(now.saturating_sub(start), Relaxed);
        }
        if let Some(n) = cpu.in_flight.get(usize::from(op.is_write())) {
            n.fetch_sub(1, Relaxed);
        }
    }

    /// A bio was joined with a request.
    #[inline]
    pub fn merged(&self, op: Op) {
        if let Some(n) = self.this_cpu().and_then(|cpu| cpu.merges.get(op.stat_group())) {
            n.fetch_add(1, Relaxed);
        }
    }

    /// All CPUs' counters. What goes on meanwhile may be half seen.
    pub fn totals(&self, now: u64) -> StatTotals {
        if self.total_in_flight() > 0 {
            self.busy(now, true);
        }
        let mut totals = StatTotals { busy_ns: self.busy_ns.load(Relaxed), ..StatTotals::default() };
        let add = |to: &mut [u64; GROUPS], from: &[AtomicU64; GROUPS]| {
            for (to, from) in to.iter_mut().zip(from) {
                *to = to.wrapping_add(from.load(Relaxed));
            }
        };
        let mut in_flight = [0i64; 2];
        for cpu in self.cpus.iter() {
            add(&mut totals.ios, &cpu.ios);
            add(&mut totals.merges, &cpu.merges);
            add(&mut totals.sectors, &cpu.sectors);
            add(&mut totals.nsecs, &cpu.nsecs);
            for (to, from) in in_flight.iter_mut().zip(&cpu.in_flight) {
                *to += from.load(Relaxed);
            }
        }
        totals.in_flight = in_flight.map(|n| n.max(0).cast_unsigned());
        totals
    }
}
