// SPDX-License-Identifier: GPL-2.0
//! Watches the TSC: `kernel/time` calls [`check`] (through the clock source's `verify`) once a second while the TSC is in use, and
//! the TSC is marked unstable when it drifts from the reference by more than the threshold. One caller at a time.

use crate::tsc;
use clock_hw::ClockSource;
use locking::{SetOnce, SpinLock};
use x86_cpu::tsc::rdtsc_ordered;

/// Largest difference over one interval: 62.5 ms (Linux's half of 1/8 s).
const THRESHOLD_NS: u64 = 62_500_000;

static REFERENCE: SetOnce<&'static dyn ClockSource> = SetOnce::new();
static LAST: SpinLock<Option<(u64, u64)>> = SpinLock::new(None);

/// Sets what the TSC is compared with.
pub(crate) fn init(reference: Option<&'static dyn ClockSource>) {
    if let Some(reference) = reference {
        // First and only call.
        let _ = REFERENCE.set(reference);
    }
}

/// Compares the progress of the TSC since the last call with the reference's. Calls must be closer together than the reference
/// wraps (the PM timer: 4.6 s); one that comes later, or was delayed between its two readings, only starts anew. Returns whether
/// there is a reason to call again. Any context but NMI.
pub(crate) fn check() -> bool {
    let Some(reference) = REFERENCE.get() else { return false };
    if tsc::is_unstable() || tsc::is_reliable() || tsc::khz() == 0 {
        return false;
    }
    let mut last = LAST.lock_irqsave();
    let before = rdtsc_ordered();
    let now = reference.read();
    let tsc = rdtsc_ordered();
    let hz = u128::from(tsc::hz());
    let delay_ns = u128::from(tsc - before) * 1_000_000_000 / hz;
    let Some((old_tsc, old)) = last.replace((tsc, now)) else { return true };
    let reference_ns = u128::from(now.wrapping_sub(old) & reference.mask()) * 1_000_000_000
        / u128::from(reference.frequency_hz().max(1));
    let tsc_ns = u128::from(tsc.wrapping_sub(old_tsc)) * 1_000_000_000 / hz;
    let wrap_ns = u128::from(reference.mask()) * 1_000_000_000 / u128::from(reference.frequency_hz().max(1));
    // A slow reading, or an interval in which the reference may have wrapped, says nothing.
    if delay_ns > 100_000 || tsc_ns > wrap_ns / 2 {
        *last = None;
        return true;
    }
    if tsc_ns.abs_diff(reference_ns) > u128::from(THRESHOLD_NS) {
        drop(last);
        tsc::set_unstable("clocksource watchdog");
        return false;
    }
    true
}
