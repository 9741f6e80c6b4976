// SPDX-License-Identifier: GPL-2.0
//! `RcuArc`: one place that holds an `Arc` or nothing.

use crate::defer::{RcuGuard, defer_drop};
use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, Ordering};
use kalloc::{Arc, ArcBorrow};

/// A place for an `Option<Arc<T>>` that readers borrow from.
///
/// # Invariants
/// The pointer is null or came from `Arc::into_raw`; the place owns that reference. A reference that leaves the place (by
/// `swap` or by dropping the place) is dropped after a grace period only.
pub struct RcuArc<T: Send + Sync + 'static> {
    pointer: AtomicPtr<T>,
    owns: PhantomData<Arc<T>>,
}

// SAFETY: Readers get `&T` and can make `Arc<T>`s of it on any thread.
unsafe impl<T: Send + Sync> Send for RcuArc<T> {}
// SAFETY: As above; the pointer is atomic.
unsafe impl<T: Send + Sync> Sync for RcuArc<T> {}

fn into_pointer<T>(value: Option<Arc<T>>) -> *mut T {
    value.map_or(core::ptr::null_mut(), |arc| Arc::into_raw(arc).cast_mut())
}

impl<T: Send + Sync + 'static> RcuArc<T> {
    /// An empty place.
    pub const fn empty() -> Self {
        Self { pointer: AtomicPtr::new(core::ptr::null_mut()), owns: PhantomData }
    }

    /// A place that holds `value`.
    pub fn new(value: Option<Arc<T>>) -> Self {
        Self { pointer: AtomicPtr::new(into_pointer(value)), owns: PhantomData }
    }

    /// What is there now, borrowed for as long as the section lasts (even if the place itself goes away meanwhile).
    #[inline(always)]
    pub fn load<'g>(&self, _section: &'g RcuGuard) -> Option<ArcBorrow<'g, T>> {
        let pointer = self.pointer.load(Ordering::Acquire);
        if pointer.is_null() {
            return None;
        }
        // SAFETY: By the type invariant the place owned this reference when it was read, inside the section, and gives it up
        // only after the section has ended.
        Some(unsafe { Arc::borrow_raw(pointer) })
    }

    /// A counted copy of what is there now.
    #[inline]
    pub fn get(&self) -> Option<Arc<T>> {
        let section = crate::read_lock();
        self.load(&section).map(Arc::from)
    }

    /// The address of what is there, for comparing only.
    #[inline(always)]
    pub fn as_ptr(&self) -> *const T {
        self.pointer.load(Ordering::Relaxed)
    }

    /// Puts `value` there. What was there is dropped after a grace period.
    pub fn set(&self, value: Option<Arc<T>>) {
        let old = self.pointer.swap(into_pointer(value), Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: The place owned `old` and has just given it up.
            defer_drop(unsafe { Arc::from_raw(old.cast_const()) });
        }
    }

    /// Puts `value` there and gives a counted copy of what was there, whose own reference is dropped after a grace period.
    pub fn replace(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        let old = self.pointer.swap(into_pointer(value), Ordering::AcqRel);
        if old.is_null() {
            return None;
        }
        // SAFETY: The place owned `old` and has just given it up.
        let old = unsafe { Arc::from_raw(old.cast_const()) };
        let copy = old.clone();
        defer_drop(old);
        Some(copy)
    }
}

impl<T: Send + Sync + 'static> Drop for RcuArc<T> {
    fn drop(&mut self) {
        let pointer = *self.pointer.get_mut();
        if !pointer.is_null() {
            // SAFETY: The place owned the reference. A reader may have borrowed it through this place just before the place was
            // dropped, hence the grace period.
            defer_drop(unsafe { Arc::from_raw(pointer.cast_const()) });
        }
    }
}

impl<T: Send + Sync + 'static> Default for RcuArc<T> {
    fn default() -> Self {
        Self::empty()
    }
}
