// SPDX-License-Identifier: GPL-2.0
//! The links in a value.

use crate::types::Opaque;
use core::cell::UnsafeCell;
use pin_init::PinInit;

/// The neighbours' links; null if the value is in no list.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Fields {
    pub(super) next: *mut Fields,
    pub(super) prev: *mut Fields,
}

impl Fields {
    pub(super) const NONE: Self = Self { next: core::ptr::null_mut(), prev: core::ptr::null_mut() };
}

/// What a value has for being in a list.
///
/// # Invariants
/// Both links are null as long as the value is in no list; else the list alone accesses them.
#[repr(transparent)]
pub struct ListLinks<const ID: u64 = 0> {
    inner: Opaque<Fields>,
}

// SAFETY: Only the list that the value is in changes the links, and it sees to what threads it is on.
unsafe impl<const ID: u64> Send for ListLinks<ID> {}
// SAFETY: As above.
unsafe impl<const ID: u64> Sync for ListLinks<ID> {}

impl<const ID: u64> ListLinks<ID> {
    /// Links of a value that is in no list.
    pub fn new() -> impl PinInit<Self> {
        Self { inner: Opaque::new(Fields::NONE) }
    }

    /// # Safety
    /// `me` is one.
    #[inline(always)]
    pub(super) unsafe fn fields(me: *mut Self) -> *mut Fields {
        // SAFETY: The caller's contract.
        Opaque::cast_into(unsafe { &raw const (*me).inner })
    }

    /// # Safety
    /// `me` came from [`Self::fields`].
    #[inline(always)]
    pub(super) unsafe fn from_fields(me: *mut Fields) -> *mut Self {
        me.cast()
    }
}

/// Links, and where the value is that they are in: for lists of values of different types behind a trait.
#[repr(C)]
pub struct ListLinksSelfPtr<T: ?Sized, const ID: u64 = 0> {
    /// The links.
    pub inner: ListLinks<ID>,
    value: UnsafeCell<Option<*const T>>,
}

// SAFETY: The list that the value is in is one of `T`s, and it alone accesses the pointer.
unsafe impl<T: ?Sized + Send, const ID: u64> Send for ListLinksSelfPtr<T, ID> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Sync, const ID: u64> Sync for ListLinksSelfPtr<T, ID> {}

impl<T: ?Sized, const ID: u64> ListLinksSelfPtr<T, ID> {
    /// Links of a value that is in no list.
    pub fn new() -> impl PinInit<Self> {
        Self { inner: ListLinks { inner: Opaque::new(Fields::NONE) }, value: UnsafeCell::new(None) }
    }

    /// Remembers the value.
    ///
    /// # Safety
    /// `me` is in it, and the caller has its `ListArc`, by which it is in no list.
    #[doc(hidden)]
    pub unsafe fn set(me: *const Self, value: *const T) {
        // SAFETY: By the contract nobody else accesses it.
        unsafe { *(*me).value.get() = Some(value) };
    }

    /// The value.
    ///
    /// # Safety
    /// `links` are those of one that [`Self::set`] was called for, and nobody calls it meanwhile.
    #[doc(hidden)]
    #[inline]
    pub unsafe fn value_of(links: *mut ListLinks<ID>) -> *const T {
        // SAFETY: The links are its first field; the rest is the caller's contract.
        match unsafe { *(*links.cast::<Self>()).value.get() } {
            Some(value) => value,
            // A list calls `set` before.
            None => unreachable!(),
        }
    }
}
