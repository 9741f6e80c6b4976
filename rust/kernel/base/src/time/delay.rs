// SPDX-License-Identifier: GPL-2.0
//! Waiting for a span of time: `kernel::time::delay`.

use super::Delta;

/// Sleeps for at least `delta` (a negative one is none). May sleep.
pub fn fsleep(delta: Delta) {
    ktime::sleep_ns(u64::try_from(delta.as_nanos()).unwrap_or(0));
}

/// Spins for at least `delta`, which is a millisecond at most (else it is taken as that). Any context.
pub fn udelay(delta: Delta) {
    let most = super::NSEC_PER_MSEC;
    ktime::delay_ns(delta.as_nanos().clamp(0, most).cast_unsigned());
}
