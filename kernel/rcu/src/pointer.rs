// SPDX-License-Identifier: GPL-2.0
//! `RcuArc<T>`: a shared pointer that readers follow without a lock while writers replace it.

use crate::{ReadGuard, defer_drop};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicPtr, Ordering};
use kalloc::{Arc, ArcBorrow};

/// An optional `Arc<T>` under RCU. Readers take a plain reference for the length of a read section ([`Self::load`]) or a
/// counted one ([`Self::get`]); writers [`Self::replace`] it, serialised by a lock of theirs if they depend on the old value.
///
/// # Invariants
/// The pointer is null or came from `Arc::into_raw`; the reference that it stands for is given up only after a grace period.
pub struct RcuArc<T: Send + Sync + 'static> {
    pointer: AtomicPtr<T>,
    owns: PhantomData<Arc<T>>,
}

fn into_pointer<T>(value: Option<Arc<T>>) -> *mut T {
    value.map_or(core::ptr::null_mut(), |arc| Arc::into_raw(arc).cast_mut())
}

impl<T: Send + Sync + 'static> RcuArc<T> {
    /// An empty pointer.
    pub const fn null() -> Self {
        Self { pointer: AtomicPtr::new(core::ptr::null_mut()), owns: PhantomData }
    }

    /// A pointer to `value`.
    pub fn new(value: Option<Arc<T>>) -> Self {
        Self { pointer: AtomicPtr::new(into_pointer(value)), owns: PhantomData }
    }

    /// The value, for as long as the read section lasts.
    #[inline(always)]
    pub fn load<'g>(&self, _section: &'g ReadGuard) -> Option<&'g T> {
        // SAFETY: By the type invariant the object lives for a grace period from when it is replaced, so at least until the
        // end of the section that is going on.
        unsafe { self.pointer.load(Ordering::Acquire).as_ref() }
    }

    /// The value, for as long as the read section lasts, with the way to a counted reference (`Arc::from`).
    #[inline(always)]
    pub fn borrow<'g>(&self, _section: &'g ReadGuard) -> Option<ArcBorrow<'g, T>> {
        let pointer = self.pointer.load(Ordering::Acquire);
        if pointer.is_null() {
            return None;
        }
        // SAFETY: As in `load`.
        Some(unsafe { Arc::borrow_raw(pointer) })
    }

    /// The address of the value, for comparing only.
    #[inline(always)]
    pub fn as_ptr(&self) -> *const T {
        self.pointer.load(Ordering::Relaxed)
    }

    /// A counted reference to the value.
    #[inline]
    pub fn get(&self) -> Option<Arc<T>> {
        let _section = crate::read_lock();
        let pointer = self.pointer.load(Ordering::Acquire);
        if pointer.is_null() {
            return None;
        }
        // SAFETY: As in `load`, this pointer's own reference is still there; `ManuallyDrop` leaves it, the clone adds one.
        let borrowed = ManuallyDrop::new(unsafe { Arc::from_raw(pointer.cast_const()) });
        Some(Arc::clone(&borrowed))
    }

    /// Whether it is empty at this moment.
    #[inline(always)]
    pub fn is_null(&self) -> bool {
        self.pointer.load(Ordering::Acquire).is_null()
    }

    /// Puts `value` in; the old one is dropped after a grace period. Any context but NMI.
    pub fn replace(&self, value: Option<Arc<T>>) {
        let old = self.pointer.swap(into_pointer(value), Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: The pointer's own reference came out with the swap, so it is given up once.
            defer_drop(unsafe { Arc::from_raw(old.cast_const()) });
        }
    }

    /// Puts `value` in and returns a counted reference to the old one (which readers may still see for a grace period).
    pub fn exchange(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        let old = self.pointer.swap(into_pointer(value), Ordering::AcqRel);
        if old.is_null() {
            return None;
        }
        // SAFETY: As in `replace`.
        let old = unsafe { Arc::from_raw(old.cast_const()) };
        defer_drop(old.clone());
        Some(old)
    }
}

impl<T: Send + Sync + 'static> Drop for RcuArc<T> {
    fn drop(&mut self) {
        let old = *self.pointer.get_mut();
        if !old.is_null() {
            // SAFETY: As in `replace`. A reader cannot look through this pointer any more, but may have its target.
            defer_drop(unsafe { Arc::from_raw(old.cast_const()) });
        }
    }
}

impl<T: Send + Sync + 'static> Default for RcuArc<T> {
    fn default() -> Self {
        Self::null()
    }
}
