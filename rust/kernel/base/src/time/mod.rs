// SPDX-License-Identifier: GPL-2.0
//! Spans of time and their units.
//!
//! ```
//! use kernel::time::{Delta, Instant, Monotonic, delay::fsleep};
//!
//! let start = Instant::<Monotonic>::now();
//! fsleep(Delta::from_micros(300));
//! assert!(start.elapsed() >= Delta::from_micros(300));
//! assert_eq!(Delta::from_nanos(1_001).as_micros_ceil(), 2);
//! assert_eq!(Delta::from_nanos(-1_999).as_micros_ceil(), -1);
//! assert_eq!(Delta::from_nanos(i64::MAX).as_millis_ceil(), i64::MAX / 1_000_000 + 1);
//! ```

pub mod delay;
mod delta;
#[doc(hidden)]
pub mod hrtimer_mode;
#[doc(hidden)]
pub mod hrtimer_raw;
mod instant;

pub use delta::{Delta, Jiffy, Nsec, TimeUnit};
pub use instant::Instant;
pub use kernel_raw::clock::{BootTime, ClockSource, Monotonic, RealTime, Tai};

/// Nanoseconds of a microsecond.
pub const NSEC_PER_USEC: i64 = 1_000;
/// Nanoseconds of a millisecond.
pub const NSEC_PER_MSEC: i64 = 1_000_000;
/// Nanoseconds of a second.
pub const NSEC_PER_SEC: i64 = 1_000_000_000;

/// Ticks a second: of units alone, as there is no tick.
pub const HZ: u64 = 250;
const NSEC_PER_JIFFY: u64 = NSEC_PER_SEC as u64 / HZ;

/// A number of ticks.
pub type Jiffies = crate::ffi::c_ulong;
/// A number of milliseconds.
pub type Msecs = crate::ffi::c_uint;

/// Milliseconds as ticks, rounded up.
pub fn msecs_to_jiffies(msecs: Msecs) -> Jiffies {
    u64::from(msecs).saturating_mul(HZ).div_ceil(1000) as Jiffies
}

/// Ticks as nanoseconds.
#[doc(hidden)]
pub fn jiffies_to_nsecs(jiffies: Jiffies) -> u64 {
    (jiffies as u64).saturating_mul(NSEC_PER_JIFFY)
}

/// Nanoseconds as ticks, rounded up.
#[doc(hidden)]
pub fn nsecs_to_jiffies_ceil(nsecs: u64) -> Jiffies {
    nsecs.div_ceil(NSEC_PER_JIFFY) as Jiffies
}
