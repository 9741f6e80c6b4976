// SPDX-License-Identifier: GPL-2.0
//! Building values in place: `kernel::init`, over `pin_init`. The macros here have the kernel's [`Error`](crate::error::Error) as
//! their error unless another follows.

pub use kalloc::InPlaceInit;
pub use pin_init::{Init, PinInit, Zeroable, init_scope, pin_init_scope, zeroed};

/// As `pin_init!`, and may fail.
#[macro_export]
macro_rules! try_pin_init {
    ($($args:tt)*) => { $crate::__private::pin_init::pin_init!(#[default_error($crate::error::Error)] $($args)*) };
}

/// As `init!`, and may fail.
#[macro_export]
macro_rules! try_init {
    ($($args:tt)*) => { $crate::__private::pin_init::init!(#[default_error($crate::error::Error)] $($args)*) };
}
