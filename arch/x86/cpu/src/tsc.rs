// SPDX-License-Identifier: GPL-2.0
//! The time-stamp counter.

use core::arch::x86_64::_rdtsc;

/// The counter, not ordered with other instructions.
#[inline(always)]
pub fn rdtsc() -> u64 {
    // SAFETY: Every x86-64 CPU has RDTSC, and ring 0 may always execute it.
    unsafe { _rdtsc() }
}

/// The counter after all earlier loads are done (`lfence; rdtsc`).
#[inline(always)]
pub fn rdtsc_ordered() -> u64 {
    // SAFETY: LFENCE is part of SSE2, which every x86-64 CPU has; RDTSC as above.
    unsafe {
        core::arch::asm!("lfence", options(nostack, preserves_flags));
        _rdtsc()
    }
}
