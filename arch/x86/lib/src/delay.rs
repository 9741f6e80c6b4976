// SPDX-License-Identifier: GPL-2.0
//! Busy waiting by the TSC, or, before its frequency is known, by the time that port accesses take. Any context.

use crate::khz;
use x86_cpu::asm::cpu_relax;
use x86_cpu::io::io_delay;
use x86_cpu::tsc::rdtsc;

/// Waits at least `us` microseconds.
pub fn udelay(us: u32) {
    ndelay(u64::from(us) * 1000);
}

/// Waits at least `ms` milliseconds. Long: for boot and the end of the world only.
pub fn mdelay(ms: u32) {
    for _ in 0..ms {
        udelay(1000);
    }
}

/// Waits at least `ns` nanoseconds.
pub fn ndelay(ns: u64) {
    let khz = u64::from(khz());
    if khz == 0 {
        // A read of an unused port of the ISA bus takes about a microsecond, on emulators at least some time.
        for _ in 0..ns.div_ceil(1000) {
            io_delay();
        }
        return;
    }
    let cycles = ns.saturating_mul(khz) / 1_000_000 + 1;
    let start = rdtsc();
    while rdtsc().wrapping_sub(start) < cycles {
        cpu_relax();
    }
}
