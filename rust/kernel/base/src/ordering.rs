// SPDX-License-Identifier: GPL-2.0
//! Memory orders as types.

use core::sync::atomic::Ordering as Core;

/// No order but that of the value itself.
pub struct Relaxed;
/// What follows is after.
pub struct Acquire;
/// What precedes is before.
pub struct Release;
/// All that precedes is before all that follows.
pub struct Full;

/// Which order it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderingType {
    /// [`Relaxed`].
    Relaxed,
    /// [`Acquire`].
    Acquire,
    /// [`Release`].
    Release,
    /// [`Full`].
    Full,
}

impl OrderingType {
    #[doc(hidden)]
    #[inline(always)]
    pub const fn for_load(self) -> Core {
        match self {
            Self::Relaxed => Core::Relaxed,
            _ => Core::Acquire,
        }
    }

    #[doc(hidden)]
    #[inline(always)]
    pub const fn for_store(self) -> Core {
        match self {
            Self::Relaxed => Core::Relaxed,
            _ => Core::Release,
        }
    }

    #[doc(hidden)]
    #[inline(always)]
    pub const fn for_update(self) -> Core {
        match self {
            Self::Relaxed => Core::Relaxed,
            Self::Acquire => Core::Acquire,
            Self::Release => Core::Release,
            Self::Full => Core::SeqCst,
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// An order.
pub trait Ordering: sealed::Sealed {
    /// Which.
    const TYPE: OrderingType;
}

/// An order that a read can have.
pub trait AcquireOrRelaxed: Ordering {}
/// An order that a write can have.
pub trait ReleaseOrRelaxed: Ordering {}

macro_rules! orders {
    ($($name:ident)*) => { $(
        impl sealed::Sealed for $name {}
        impl Ordering for $name {
            const TYPE: OrderingType = OrderingType::$name;
        }
    )* };
}
orders!(Relaxed Acquire Release Full);

impl AcquireOrRelaxed for Acquire {}
impl AcquireOrRelaxed for Relaxed {}
impl ReleaseOrRelaxed for Release {}
impl ReleaseOrRelaxed for Relaxed {}
