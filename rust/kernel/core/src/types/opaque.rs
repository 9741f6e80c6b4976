// SPDX-License-Identifier: GPL-2.0
//! `Opaque`: a value that the compiler assumes nothing of.

use core::cell::UnsafeCell;
use core::marker::PhantomPinned;
use core::mem::MaybeUninit;
use pin_init::{PinInit, Wrapper, Zeroable, pin_init_from_closure};

/// Memory for a `T` that may be uninitialized and change at any time. It is not dropped.
#[repr(transparent)]
pub struct Opaque<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    _pin: PhantomPinned,
}

// SAFETY: Memory that may be uninitialized may be all zeroes.
unsafe impl<T> Zeroable for Opaque<T> {}

impl<T> Opaque<T> {
    /// With this value.
    pub const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(MaybeUninit::new(value)), _pin: PhantomPinned }
    }

    /// Without a value.
    pub const fn uninit() -> Self {
        Self { value: UnsafeCell::new(MaybeUninit::uninit()), _pin: PhantomPinned }
    }

    /// All zeroes.
    pub const fn zeroed() -> Self {
        Self { value: UnsafeCell::new(MaybeUninit::zeroed()), _pin: PhantomPinned }
    }

    /// An initializer that has `init_func` fill the memory.
    pub fn ffi_init(init_func: impl FnOnce(*mut T)) -> impl PinInit<Self> {
        let build = move |slot: *mut Self| {
            init_func(Self::cast_into(slot));
            Ok(())
        };
        // SAFETY: Memory that may be uninitialized is built whatever the function did.
        unsafe { pin_init_from_closure(build) }
    }

    /// As [`Self::ffi_init`] with a function that can fail.
    pub fn try_ffi_init<E>(init_func: impl FnOnce(*mut T) -> Result<(), E>) -> impl PinInit<Self, E> {
        let build = move |slot: *mut Self| init_func(Self::cast_into(slot));
        // SAFETY: As above; on an error nothing needs to be dropped.
        unsafe { pin_init_from_closure(build) }
    }

    /// Where the value is.
    pub const fn get(&self) -> *mut T {
        UnsafeCell::get(&self.value).cast()
    }

    /// The pointer to the value, from one to this.
    pub const fn cast_into(this: *const Self) -> *mut T {
        UnsafeCell::raw_get(this.cast::<UnsafeCell<MaybeUninit<T>>>()).cast()
    }

    /// The other way.
    pub const fn cast_from(this: *const T) -> *const Self {
        this.cast()
    }
}

impl<T> Wrapper<T> for Opaque<T> {
    fn pin_init<E>(init: impl PinInit<T, E>) -> impl PinInit<Self, E> {
        Self::try_ffi_init(move |slot| {
            // SAFETY: The slot is memory for a `T` that stays where it is.
            unsafe { init.__pinned_init(slot) }
        })
    }
}
