// SPDX-License-Identifier: GPL-2.0
//! How a timer's times are given: as points on a clock, or as spans from now.

use crate::time::{ClockSource, Delta, Instant};
use core::marker::PhantomData;

mod sealed {
    pub trait Sealed {}
}

/// A time to expire at.
pub trait HrTimerExpires {
    /// As nanoseconds.
    fn as_nanos(&self) -> i64;
}

impl<C: ClockSource> HrTimerExpires for Instant<C> {
    fn as_nanos(&self) -> i64 {
        self.to_nanos()
    }
}

impl HrTimerExpires for Delta {
    fn as_nanos(&self) -> i64 {
        Delta::as_nanos(*self)
    }
}

/// How times are given.
pub trait HrTimerMode: sealed::Sealed {
    /// Whether they are spans.
    const RELATIVE: bool;
    /// On which clock.
    type Clock: ClockSource;
    /// As what.
    type Expires: HrTimerExpires;
}

macro_rules! modes {
    ($($(#[$doc:meta])* $name:ident $relative:literal $expires:ident;)*) => { $(
        $(#[$doc])*
        pub struct $name<C: ClockSource>(PhantomData<C>);

        impl<C: ClockSource> sealed::Sealed for $name<C> {}

        impl<C: ClockSource> HrTimerMode for $name<C> {
            const RELATIVE: bool = $relative;
            type Clock = C;
            type Expires = modes!(@ $expires C);
        }
    )* };
    (@ Instant $clock:ident) => { Instant<$clock> };
    (@ Delta $clock:ident) => { Delta };
}
// A timer expires on the CPU that started it, in its interrupt, so that the ones below differ in their names alone. Linux's "soft" modes,
// whose callbacks may take locks that are not safe in an interrupt, are not there.
modes! {
    /// At a point in time.
    AbsoluteMode false Instant;
    /// After a span of time.
    RelativeMode true Delta;
    /// At a point in time, on the CPU that started it.
    AbsolutePinnedMode false Instant;
    /// After a span of time, on the CPU that started it.
    RelativePinnedMode true Delta;
    /// At a point in time, in the interrupt.
    AbsoluteHardMode false Instant;
    /// After a span of time, in the interrupt.
    RelativeHardMode true Delta;
    /// At a point in time, in the interrupt of the CPU that started it.
    AbsolutePinnedHardMode false Instant;
    /// After a span of time, in the interrupt of the CPU that started it.
    RelativePinnedHardMode true Delta;
}
