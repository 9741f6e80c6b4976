// SPDX-License-Identifier: GPL-2.0
//! Time stands still while all CPUs idle in a machine that sleeps (Linux's `tick_freeze`). Each CPU's timer is off meanwhile, so
//! that none of them wakes it, but for an alarm's; the last CPU that comes stops the clocks, the first that goes starts them. An
//! interrupt that wakes a CPU is handled before that: it sees the clocks stand.
//!
//! Lock: `IDLE` (spin, interrupts off), around the time keeper's and the CMOS clock's.

use crate::{event, hrtimer, timekeeper};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use locking::SpinLock;

/// CPUs that idle so.
static IDLE: SpinLock<u32> = SpinLock::new(0);

/// When the machine is to wake, in boot time; 0: no alarm.
static ALARM: AtomicU64 = AtomicU64::new(0);

/// The machine is to wake when boot time is `at`, at the latest.
pub fn set_alarm(at: Option<u64>) {
    ALARM.store(at.map_or(0, |at| at.max(1)), SeqCst);
}

fn alarm() -> Option<u64> {
    Some(ALARM.load(SeqCst)).filter(|&at| at != 0)
}

/// The calling CPU, one of `online`, idles from here on. Interrupts are off.
pub fn enter(online: u32) {
    event::shut_down();
    let mut idle = IDLE.lock();
    *idle += 1;
    if *idle == online {
        let left = alarm().map(|at| at.saturating_sub(timekeeper::boottime_ns()));
        timekeeper::suspend();
        if let Some(left) = left {
            // One that is farther away than this CPU's timer reaches wakes it in between: it comes here again.
            event::program_in(left);
        }
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
    if alarm().is_some_and(|at| timekeeper::boottime_ns() >= at) {
        wakeup::system_wakeup();
    }
    hrtimer::reprogram();
}
