// SPDX-License-Identifier: GPL-2.0
//! Points in time and spans of it: `kernel::time`, over `kernel/time`.

pub mod hrtimer;

pub use kernel_base::time::{
    BootTime, ClockSource, Delta, HZ, Instant, Jiffies, Jiffy, Monotonic, Msecs, NSEC_PER_MSEC, NSEC_PER_SEC,
    NSEC_PER_USEC, Nsec, RealTime, Tai, TimeUnit, delay, msecs_to_jiffies,
};
#[doc(hidden)]
pub use kernel_base::time::{jiffies_to_nsecs, nsecs_to_jiffies_ceil};
