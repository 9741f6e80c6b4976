// SPDX-License-Identifier: GPL-2.0
//! Time: clock sources and the clocks they drive, high-resolution timers on one-shot event devices, sleeping, and the system
//! calls about them. Drivers hand their hardware in through `clock_hw`; everybody above asks [`now_ns`] and starts
//! [`HrTimer`]s. There is no periodic tick: an idle CPU has no timer unless somebody waits for one.
//!
//! Start-up: [`init`] (first, registers the hooks), [`init_cpu`] on each CPU before its event device registers,
//! [`set_boot_realtime`] once the wall clock is read, [`source::watch_wrap`] when tasks run.
//!
//! Locks: `hrtimer::BASE` of a CPU, inside it a timer's node; `source::CHANGE`, inside it the time keeper's. None is held
//! while a callback runs.

#![no_std]
#![forbid(unsafe_code)]
// Methods on `&Arc<HrTimer>`, as R4L has them.
#![feature(arbitrary_self_types)]

pub mod event;
pub mod freeze;
pub mod hrtimer;
pub mod sleep;
pub mod source;
pub mod timekeeper;

pub use hrtimer::{Clock, HrTimer, Restart};
pub use sleep::{delay_ns, sleep_ns, sleep_until};
pub use timekeeper::{
    NSEC_PER_SEC, boottime_ns, now_ns, raw_ns, real_coarse_ns, real_ns, sched_clock, set_sched_clock, tai_ns,
};

use clock_hw::{ClockEvent, ClockSource, TimeKeeping};
use printk::LogClock;
use task::hooks::SleepTimer;

struct Time;

impl TimeKeeping for Time {
    fn register_source(&self, source: &'static dyn ClockSource) {
        source::register(source);
    }
    fn mark_unstable(&self, source: &'static dyn ClockSource, why: &'static str) {
        source::mark_unstable(source, why);
    }
    fn register_event(&self, device: &'static dyn ClockEvent) {
        event::register(device);
    }
    fn event_interrupt(&self) {
        event::interrupt();
    }
}

/// Registers the hooks that clock drivers, sleeping locks and the log use. Once, on the boot CPU, before clocks are probed.
pub fn init() {
    static TIME: &dyn TimeKeeping = &Time;
    static SLEEP: &dyn SleepTimer = &sleep::Sleep;
    static LOG: &dyn LogClock = &timekeeper::LogTime;
    clock_hw::TIMEKEEPING.set(&TIME);
    task::hooks::SLEEP_TIMER.set(&SLEEP);
    printk::CLOCK.set(&LOG);
    init_cpu();
}

/// Prepares the calling CPU's timers: on each CPU before its event device registers, interrupts off. ([`init`] does it for the
/// boot CPU.)
pub fn init_cpu() {
    hrtimer::init_cpu();
}

/// Sets the wall clock from what the machine's own clock said at boot (nanoseconds since 1970).
pub fn set_boot_realtime(ns: u64) {
    timekeeper::set_real_ns(ns);
}
