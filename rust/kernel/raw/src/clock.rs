// SPDX-License-Identifier: GPL-2.0
//! The clocks that points in time are on: a part of `kernel::time`.

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
