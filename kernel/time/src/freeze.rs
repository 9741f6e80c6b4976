// SPDX-License-Identifier: GPL-2.0
//! Time stands still while all CPUs idle in a machine that sleeps (Linux's `tick_freeze`). Each CPU's timer is off meanwhile, so that none of
//! them wakes it; the last CPU that comes stops the clocks, the first that goes starts them. An interrupt that wakes a CPU is handled
//! before that: it sees the clocks stand.
//!
//! Lock: `IDLE` (spin, interrupts off), around the time keeper's and the CMOS clock's.

use crate::{event, hrtimer, timekeeper};
use locking::SpinLock;

/// CPUs that idle so.
static IDLE: SpinLock<u32> = SpinLock::new(0);

/// The calling CPU, one of `online`, idles from here on. Interrupts are off.
pub fn enter(online: u32) {
    event::shut_down();
    let mut idle = IDLE.lock();
    *idle += 1;
    if *idle == online {
        timekeeper::suspend();
    }
}

/// It does not any more. Interrupts are off.
pub fn leave() {
    {
        let mut idle = IDLE.lock();
        *idle = idle.saturating_sub(1);
        // If the clocks stand.
        timekeeper::resume();
    }
    hrtimer::reprogram();
}
