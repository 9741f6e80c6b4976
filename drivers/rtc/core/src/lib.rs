// SPDX-License-Identifier: GPL-2.0
//! Real-time clocks: `/dev/rtc0`, `/sys/class/rtc`, `/proc/driver/rtc`. A driver gives what reads and sets the clock and its one alarm
//! ([`RtcOps`]); alarms of programs, interrupts with each second and periodic ones are made here, the latter two of the alarm and of a
//! timer, as in Linux. Called by drivers (`drivers/rtc/cmos`) and by programs through the VFS.
//!
//! | file | what |
//! |---|---|
//! | `alarm` | what waits for the alarm, and in which order |
//! | `rtc` | [`Rtc`]: a clock; what programs can ask of it |
//! | `dev` | the device node |
//! | `show` | files in sysfs and proc |
//!
//! Locks: `CLOCKS` (sleeping), the list; a clock's `state` (sleeping), around the driver's operations; inside of that the driver's own
//! locks, and `Events::data`, which interrupts take. Source: `rtc(4)`, Linux's `Documentation/admin-guide/rtc.rst` and
//! `Documentation/ABI/testing/sysfs-class-rtc`.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod alarm;
mod dev;
mod rtc;
mod show;

pub use rtc::Rtc;
pub use rtc_lib::{Alarm, Time};

use errno::Result;
use vfs::SeqBuf;

/// What a driver does. All may sleep; one call at a time.
pub trait RtcOps: Send + Sync {
    /// Reads the clock.
    fn read_time(&self) -> Result<Time>;

    /// Sets the clock to a valid time.
    fn set_time(&self, time: &Time) -> Result;

    /// Whether it has an alarm.
    fn has_alarm(&self) -> bool;

    /// The alarm as it is set; what the clock does not compare is -1.
    fn read_alarm(&self) -> Result<Alarm>;

    /// Sets the alarm, and switches it on or off. `EINVAL`: it is too far away for this clock.
    fn set_alarm(&self, alarm: &Alarm) -> Result;

    /// Switches the alarm on or off.
    fn enable_alarm(&self, on: bool) -> Result;

    /// Lines of its own in `/proc/driver/rtc`; `rate`: periodic interrupts a second.
    fn show(&self, rate: u32, out: &mut SeqBuf) -> Result {
        let _ = (rate, out);
        Ok(())
    }
}

/// Takes device numbers. Once, at boot, in a task.
pub fn init() -> Result {
    dev::init()
}
