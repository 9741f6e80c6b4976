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

/// At a point in time.
pub struct AbsoluteMode<C: ClockSource>(PhantomData<C>);
/// After a span of time.
pub struct RelativeMode<C: ClockSource>(PhantomData<C>);

impl<C: ClockSource> sealed::Sealed for AbsoluteMode<C> {}
impl<C: ClockSource> sealed::Sealed for RelativeMode<C> {}

impl<C: ClockSource> HrTimerMode for AbsoluteMode<C> {
    const RELATIVE: bool = false;
    type Clock = C;
    type Expires = Instant<C>;
}

impl<C: ClockSource> HrTimerMode for RelativeMode<C> {
    const RELATIVE: bool = true;
    type Clock = C;
    type Expires = Delta;
}
