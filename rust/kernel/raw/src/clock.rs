// SPDX-License-Identifier: GPL-2.0
//! The clocks that points in time are on: a part of `kernel::time`.

/// A clock.
///
/// # Safety
/// `ktime_get` gives times that are not negative.
pub unsafe trait ClockSource {
    /// Its number (`clockid_t`).
    const ID: i32;
    /// The clock of the level below.
    const CLOCK: ktime::Clock;

    /// Its time now, in nanoseconds.
    fn ktime_get() -> i64;
}

macro_rules! clocks {
    ($($(#[$doc:meta])* $name:ident $id:literal $clock:ident $get:ident;)*) => { $(
        $(#[$doc])*
        pub struct $name;

        // SAFETY: No clock comes near to the end of what an `i64` has within three hundred years.
        unsafe impl ClockSource for $name {
            const ID: i32 = $id;
            const CLOCK: ktime::Clock = ktime::Clock::$clock;

            fn ktime_get() -> i64 {
                ktime::$get().cast_signed()
            }
        }
    )* };
}
clocks! {
    /// Time since boot; never set.
    Monotonic 1 Monotonic now_ns;
    /// The time of day; may be set.
    RealTime 0 Realtime real_ns;
    /// Time since boot, sleeps included; never set.
    BootTime 7 Boottime boottime_ns;
    /// Atomic time.
    Tai 11 Tai tai_ns;
}
