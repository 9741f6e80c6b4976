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
    /// Whether the callback runs in a thread and not in the interrupt.
    const SOFT: bool;
    /// On which clock.
    type Clock: ClockSource;
    /// As what.
    type Expires: HrTimerExpires;
}

macro_rules! modes {
    ($($(#[$doc:meta])* $name:ident $relative:literal $soft:literal $expires:ident;)*) => { $(
        $(#[$doc])*
        pub struct $name<C: ClockSource>(PhantomData<C>);

        impl<C: ClockSource> sealed::Sealed for $name<C> {}

        impl<C: ClockSource> HrTimerMode for $name<C> {
            const RELATIVE: bool = $relative;
            const SOFT: bool = $soft;
            type Clock = C;
            type Expires = modes!(@ $expires C);
        }
    )* };
    (@ Instant $clock:ident) => { Instant<$clock> };
    (@ Delta $clock:ident) => { Delta };
}
// A timer expires on the CPU that started it: "pinned" says no more. Without a word for it, it is in the interrupt.
modes! {
    /// At a point in time.
    AbsoluteMode false false Instant;
    /// After a span of time.
    RelativeMode true false Delta;
    /// At a point in time, on the CPU that started it.
    AbsolutePinnedMode false false Instant;
    /// After a span of time, on the CPU that started it.
    RelativePinnedMode true false Delta;
    /// At a point in time, in the interrupt.
    AbsoluteHardMode false false Instant;
    /// After a span of time, in the interrupt.
    RelativeHardMode true false Delta;
    /// At a point in time, in the interrupt of the CPU that started it.
    AbsolutePinnedHardMode false false Instant;
    /// After a span of time, in the interrupt of the CPU that started it.
    RelativePinnedHardMode true false Delta;
    /// At a point in time, in a thread.
    AbsoluteSoftMode false true Instant;
    /// After a span of time, in a thread.
    RelativeSoftMode true true Delta;
    /// At a point in time, in a thread on the CPU that started it.
    AbsolutePinnedSoftMode false true Instant;
    /// After a span of time, in a thread on the CPU that started it.
    RelativePinnedSoftMode true true Delta;
}
