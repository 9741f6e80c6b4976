// SPDX-License-Identifier: GPL-2.0
//! Building values in place, under the name that Rust-for-Linux's modules use: `pin_init`. It is the registry's `pinned-init` and
//! what Linux's own copy has beyond it. No locks.

#![no_std]

pub use pinned_init::{
    InPlaceWrite, Init, MaybeZeroable, PinInit, PinnedDrop, Wrapper, ZeroableOption, assert_pinned, init_array_from_fn,
    init_from_closure, init_zeroed, pin_data, pin_init_array_from_fn, pin_init_from_closure, pinned_drop,
    stack_pin_init, stack_try_pin_init, uninit, zeroed,
};
// What the macros expand to.
#[doc(hidden)]
pub use pinned_init::{__internal, __pin_data, __pinned_drop, macros};

// The registry's trait, and the derive macro that takes fields without names too.
pub use zeroable::Zeroable;

use core::convert::Infallible;

mod macro_rules;

mod zeroable {
    pub use ::macros::Zeroable;
    // A name of its own wins over that of a glob: of `Zeroable` this gives the trait alone.
    pub use pinned_init::*;
}

/// The registry's macros, which want the error type said.
#[doc(hidden)]
pub mod __macros {
    pub use pinned_init::{try_init, try_pin_init};
}

/// Builds a value at `slot`.
///
/// # Safety
/// `slot` is valid memory for a `T`, which is not moved until it is dropped.
pub unsafe fn raw_init<T>(slot: *mut T, init: impl PinInit<T>) {
    // SAFETY: The caller's contract.
    match unsafe { init.__pinned_init(slot) } {
        Ok(()) => {}
        Err(never) => {
            let never: Infallible = never;
            match never {}
        }
    }
}

/// Builds a value at `slot`; on an error nothing is there.
///
/// # Safety
/// As for [`raw_init`].
pub unsafe fn raw_try_init<T, E>(slot: *mut T, init: impl PinInit<T, E>) -> Result<(), E> {
    // SAFETY: The caller's contract.
    unsafe { init.__pinned_init(slot) }
}

/// An initializer that is made when the value is built: `make_init` may do work, and fail, first.
pub fn pin_init_scope<T, E, F, I>(make_init: F) -> impl PinInit<T, E>
where
    F: FnOnce() -> Result<I, E>,
    I: PinInit<T, E>,
{
    let build = move |slot| {
        let init = make_init()?;
        // SAFETY: The slot is what we were given, under the same contract.
        unsafe { init.__pinned_init(slot) }
    };
    // SAFETY: The inner initializer builds the value or leaves nothing behind; so does this one.
    unsafe { pin_init_from_closure(build) }
}

/// As [`pin_init_scope`], for values that may move.
pub fn init_scope<T, E, F, I>(make_init: F) -> impl Init<T, E>
where
    F: FnOnce() -> Result<I, E>,
    I: Init<T, E>,
{
    let build = move |slot| {
        let init = make_init()?;
        // SAFETY: The slot is what we were given, under the same contract.
        unsafe { init.__init(slot) }
    };
    // SAFETY: The inner initializer builds the value or leaves nothing behind; so does this one.
    unsafe { init_from_closure(build) }
}

/// A value that is made when its place is there.
pub fn init_with<T, E>(make: impl FnOnce() -> Result<T, E>) -> impl Init<T, E> {
    let build = move |slot: *mut T| {
        let value = make()?;
        // SAFETY: The slot is memory for a `T`.
        unsafe { slot.write(value) };
        Ok(())
    };
    // SAFETY: The value is written, or there is an error and nothing was.
    unsafe { init_from_closure(build) }
}
