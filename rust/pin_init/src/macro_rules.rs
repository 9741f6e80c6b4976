// SPDX-License-Identifier: GPL-2.0
//! `pin_init!` and `init!` with Linux's syntax: an error type may follow, and a default be given in front of them.

/// Builds a pinned value in place: `pin_init!(Type { field: value, pinned <- initializer })`, perhaps with `? Error` at the end.
#[macro_export]
macro_rules! pin_init {
    (#[default_error($default:ty)] $(&$this:ident in)? $t:ident $(::<$($generics:ty),* $(,)?>)? { $($fields:tt)* }) => {
        $crate::__macros::try_pin_init!($(&$this in)? $t $(::<$($generics),*>)? { $($fields)* }? $default)
    };
    (#[default_error($default:ty)] $(&$this:ident in)? $t:ident $(::<$($generics:ty),* $(,)?>)? { $($fields:tt)* }? $err:ty) => {
        $crate::__macros::try_pin_init!($(&$this in)? $t $(::<$($generics),*>)? { $($fields)* }? $err)
    };
    ($(&$this:ident in)? $t:ident $(::<$($generics:ty),* $(,)?>)? { $($fields:tt)* }) => {
        $crate::__macros::try_pin_init!(
            $(&$this in)? $t $(::<$($generics),*>)? { $($fields)* }? ::core::convert::Infallible
        )
    };
    ($(&$this:ident in)? $t:ident $(::<$($generics:ty),* $(,)?>)? { $($fields:tt)* }? $err:ty) => {
        $crate::__macros::try_pin_init!($(&$this in)? $t $(::<$($generics),*>)? { $($fields)* }? $err)
    };
}

/// Builds a value in place: as [`pin_init!`], for values that may move.
#[macro_export]
macro_rules! init {
    (#[default_error($default:ty)] $(&$this:ident in)? $t:ident $(::<$($generics:ty),* $(,)?>)? { $($fields:tt)* }) => {
        $crate::__macros::try_init!($(&$this in)? $t $(::<$($generics),*>)? { $($fields)* }? $default)
    };
    (#[default_error($default:ty)] $(&$this:ident in)? $t:ident $(::<$($generics:ty),* $(,)?>)? { $($fields:tt)* }? $err:ty) => {
        $crate::__macros::try_init!($(&$this in)? $t $(::<$($generics),*>)? { $($fields)* }? $err)
    };
    ($(&$this:ident in)? $t:ident $(::<$($generics:ty),* $(,)?>)? { $($fields:tt)* }) => {
        $crate::__macros::try_init!($(&$this in)? $t $(::<$($generics),*>)? { $($fields)* }? ::core::convert::Infallible)
    };
    ($(&$this:ident in)? $t:ident $(::<$($generics:ty),* $(,)?>)? { $($fields:tt)* }? $err:ty) => {
        $crate::__macros::try_init!($(&$this in)? $t $(::<$($generics),*>)? { $($fields)* }? $err)
    };
}
