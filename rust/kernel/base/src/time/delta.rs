// SPDX-License-Identifier: GPL-2.0
//! `Delta`: a span of time.

use super::{NSEC_PER_MSEC, NSEC_PER_SEC, NSEC_PER_USEC};
use core::{fmt, ops};

/// Divided by a positive number, rounded up.
fn div_ceil(value: i64, by: i64) -> i64 {
    // Negative ones are rounded up by the division itself.
    if value > 0 { (value - 1) / by + 1 } else { value / by }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Nsec {}
    impl Sealed for super::Jiffy {}
}

/// What a span of time is counted in.
pub trait TimeUnit: sealed::Sealed {
    /// The count.
    type Repr: Copy + Clone + PartialEq + PartialOrd + Eq + Ord + fmt::Debug;
}

/// Nanoseconds.
#[derive(Copy, Clone, PartialEq, PartialOrd, Eq, Ord, Debug)]
pub enum Nsec {}

impl TimeUnit for Nsec {
    type Repr = i64;
}

/// Ticks.
#[derive(Copy, Clone, PartialEq, PartialOrd, Eq, Ord, Debug)]
pub enum Jiffy {}

impl TimeUnit for Jiffy {
    type Repr = isize;
}

/// A span of time, forward or back; in nanoseconds, if nothing else is said.
#[derive(Copy, Clone, PartialEq, PartialOrd, Eq, Ord, Debug)]
pub struct Delta<U: TimeUnit = Nsec> {
    value: U::Repr,
}

impl Delta<Jiffy> {
    /// So many ticks.
    #[inline]
    pub const fn from_jiffies(jiffies: isize) -> Self {
        Self { value: jiffies }
    }

    /// As ticks.
    #[inline]
    pub const fn as_jiffies(self) -> isize {
        self.value
    }
}

impl Delta {
    /// None.
    pub const ZERO: Self = Self { value: 0 };

    /// So many nanoseconds.
    #[inline]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self { value: nanos }
    }

    /// So many microseconds; what is out of range is the end of the range.
    #[inline]
    pub const fn from_micros(micros: i64) -> Self {
        Self { value: micros.saturating_mul(NSEC_PER_USEC) }
    }

    /// So many milliseconds; what is out of range is the end of the range.
    #[inline]
    pub const fn from_millis(millis: i64) -> Self {
        Self { value: millis.saturating_mul(NSEC_PER_MSEC) }
    }

    /// So many seconds; what is out of range is the end of the range.
    #[inline]
    pub const fn from_secs(secs: i64) -> Self {
        Self { value: secs.saturating_mul(NSEC_PER_SEC) }
    }

    /// Whether there is none.
    #[inline]
    pub fn is_zero(self) -> bool {
        self.value == 0
    }

    /// Whether it goes back.
    #[inline]
    pub fn is_negative(self) -> bool {
        self.value < 0
    }

    /// As nanoseconds.
    #[inline]
    pub const fn as_nanos(self) -> i64 {
        self.value
    }

    /// As microseconds, rounded up.
    pub fn as_micros_ceil(self) -> i64 {
        div_ceil(self.value, NSEC_PER_USEC)
    }

    /// As milliseconds, rounded to zero.
    pub fn as_millis(self) -> i64 {
        self.value / NSEC_PER_MSEC
    }

    /// As milliseconds, rounded up.
    pub fn as_millis_ceil(self) -> i64 {
        div_ceil(self.value, NSEC_PER_MSEC)
    }

    /// The rest of the division by `dividend` nanoseconds.
    pub fn rem_nanos(self, dividend: i32) -> Self {
        Self { value: self.value.wrapping_rem(i64::from(dividend)) }
    }
}

impl ops::Add for Delta {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value }
    }
}

impl ops::AddAssign for Delta {
    fn add_assign(&mut self, other: Self) {
        self.value += other.value;
    }
}

impl ops::Sub for Delta {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { value: self.value - other.value }
    }
}

impl ops::SubAssign for Delta {
    fn sub_assign(&mut self, other: Self) {
        self.value -= other.value;
    }
}

impl ops::Mul<i64> for Delta {
    type Output = Self;

    fn mul(self, factor: i64) -> Self {
        Self { value: self.value * factor }
    }
}

impl ops::MulAssign<i64> for Delta {
    fn mul_assign(&mut self, factor: i64) {
        self.value *= factor;
    }
}

impl ops::Div for Delta {
    type Output = i64;

    fn div(self, other: Self) -> i64 {
        self.value / other.value
    }
}
