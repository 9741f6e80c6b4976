// SPDX-License-Identifier: GPL-2.0
//! Points in time and spans of it: `kernel::time`, over `kernel/time`.

pub mod hrtimer;

pub use kernel_base::time::{
    Delta, HZ, Jiffies, Msecs, NSEC_PER_MSEC, NSEC_PER_SEC, NSEC_PER_USEC, delay, msecs_to_jiffies,
};
pub(crate) use kernel_base::time::{jiffies_to_nsecs, nsecs_to_jiffies_ceil};

use core::marker::PhantomData;
use core::ops;

/// A clock.
///
/// # Safety
/// `ktime_get` gives times that are not negative.
pub unsafe trait ClockSource {
    /// The clock of the level below.
    const CLOCK: ktime::Clock;

    /// Its time now, in nanoseconds.
    fn ktime_get() -> i64;
}

macro_rules! clocks {
    ($($(#[$doc:meta])* $name:ident $clock:ident $get:ident;)*) => { $(
        $(#[$doc])*
        pub struct $name;

        // SAFETY: No clock comes near to the end of what an `i64` has within three hundred years.
        unsafe impl ClockSource for $name {
            const CLOCK: ktime::Clock = ktime::Clock::$clock;

            fn ktime_get() -> i64 {
                ktime::$get().cast_signed()
            }
        }
    )* };
}
clocks! {
    /// Time since boot; never set.
    Monotonic Monotonic now_ns;
    /// The time of day; may be set.
    RealTime Realtime real_ns;
    /// Time since boot, sleeps included; never set.
    BootTime Monotonic boottime_ns;
    /// Atomic time.
    Tai Tai tai_ns;
}

/// A point in time on the clock `C`.
#[repr(transparent)]
pub struct Instant<C: ClockSource> {
    inner: i64,
    _c: PhantomData<C>,
}

impl<C: ClockSource> Clone for Instant<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: ClockSource> Copy for Instant<C> {}

impl<C: ClockSource> PartialEq for Instant<C> {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl<C: ClockSource> Eq for Instant<C> {}

impl<C: ClockSource> PartialOrd for Instant<C> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<C: ClockSource> Ord for Instant<C> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.inner.cmp(&other.inner)
    }
}

impl<C: ClockSource> Instant<C> {
    /// The time now.
    #[inline]
    pub fn now() -> Self {
        Self { inner: C::ktime_get(), _c: PhantomData }
    }

    /// How long ago it was.
    pub fn elapsed(&self) -> Delta {
        Self::now() - *self
    }
}

impl<C: ClockSource> Instant<C> {
    /// The point so many nanoseconds after the clock's start.
    pub(crate) const fn from_nanos(inner: i64) -> Self {
        Self { inner, _c: PhantomData }
    }

    /// Nanoseconds since the clock's start.
    pub(crate) const fn to_nanos(self) -> i64 {
        self.inner
    }
}

impl<C: ClockSource> ops::Sub for Instant<C> {
    type Output = Delta;

    fn sub(self, other: Self) -> Delta {
        // Neither is negative, so the difference is in range.
        Delta::from_nanos(self.inner.wrapping_sub(other.inner))
    }
}

impl<C: ClockSource> ops::Add<Delta> for Instant<C> {
    type Output = Self;

    fn add(self, delta: Delta) -> Self {
        Self { inner: self.inner.saturating_add(delta.as_nanos()), _c: PhantomData }
    }
}

impl<C: ClockSource> ops::Sub<Delta> for Instant<C> {
    type Output = Self;

    fn sub(self, delta: Delta) -> Self {
        Self { inner: self.inner.saturating_sub(delta.as_nanos()), _c: PhantomData }
    }
}
