// SPDX-License-Identifier: GPL-2.0
//! `Delta`: a span of time.

use super::{NSEC_PER_MSEC, NSEC_PER_SEC, NSEC_PER_USEC};
use core::ops;

/// A span of time, forward or back, in nanoseconds.
#[derive(Copy, Clone, PartialEq, PartialOrd, Eq, Ord, Debug)]
pub struct Delta {
    nanos: i64,
}

impl Delta {
    /// None.
    pub const ZERO: Self = Self { nanos: 0 };

    /// So many nanoseconds.
    #[inline]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self { nanos }
    }

    /// So many microseconds; what is out of range is the end of the range.
    #[inline]
    pub const fn from_micros(micros: i64) -> Self {
        Self { nanos: micros.saturating_mul(NSEC_PER_USEC) }
    }

    /// So many milliseconds; what is out of range is the end of the range.
    #[inline]
    pub const fn from_millis(millis: i64) -> Self {
        Self { nanos: millis.saturating_mul(NSEC_PER_MSEC) }
    }

    /// So many seconds; what is out of range is the end of the range.
    #[inline]
    pub const fn from_secs(secs: i64) -> Self {
        Self { nanos: secs.saturating_mul(NSEC_PER_SEC) }
    }

    /// Whether there is none.
    #[inline]
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it goes back.
    #[inline]
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// As nanoseconds.
    #[inline]
    pub const fn as_nanos(self) -> i64 {
        self.nanos
    }

    /// As microseconds, rounded up.
    pub fn as_micros_ceil(self) -> i64 {
        self.nanos.saturating_add(NSEC_PER_USEC - 1) / NSEC_PER_USEC
    }

    /// As milliseconds, rounded to zero.
    pub fn as_millis(self) -> i64 {
        self.nanos / NSEC_PER_MSEC
    }

    /// As milliseconds, rounded up.
    pub fn as_millis_ceil(self) -> i64 {
        self.nanos.saturating_add(NSEC_PER_MSEC - 1) / NSEC_PER_MSEC
    }

    /// The rest of the division by `dividend` nanoseconds.
    pub fn rem_nanos(self, dividend: i32) -> Self {
        Self { nanos: self.nanos.wrapping_rem(i64::from(dividend)) }
    }
}

impl ops::Add for Delta {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { nanos: self.nanos + other.nanos }
    }
}

impl ops::AddAssign for Delta {
    fn add_assign(&mut self, other: Self) {
        self.nanos += other.nanos;
    }
}

impl ops::Sub for Delta {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { nanos: self.nanos - other.nanos }
    }
}

impl ops::SubAssign for Delta {
    fn sub_assign(&mut self, other: Self) {
        self.nanos -= other.nanos;
    }
}

impl ops::Mul<i64> for Delta {
    type Output = Self;

    fn mul(self, factor: i64) -> Self {
        Self { nanos: self.nanos * factor }
    }
}

impl ops::MulAssign<i64> for Delta {
    fn mul_assign(&mut self, factor: i64) {
        self.nanos *= factor;
    }
}

impl ops::Div for Delta {
    type Output = i64;

    fn div(self, other: Self) -> i64 {
        self.nanos / other.nanos
    }
}
