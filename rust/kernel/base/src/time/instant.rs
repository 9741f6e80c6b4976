// SPDX-License-Identifier: GPL-2.0
//! Points in time.

use super::{ClockSource, Delta};
use core::marker::PhantomData;
use core::ops;

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
    #[doc(hidden)]
    pub const fn from_nanos(inner: i64) -> Self {
        Self { inner, _c: PhantomData }
    }

    /// Nanoseconds since the clock's start.
    #[doc(hidden)]
    pub const fn to_nanos(self) -> i64 {
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
