// SPDX-License-Identifier: GPL-2.0
//! Values that can be taken away while others use them: `kernel::revocable`. A look takes no lock: it is an RCU section.
//!
//! ```
//! use kernel::revocable::Revocable;
//!
//! let value = KBox::pin_init(Revocable::new(42), GFP_KERNEL)?;
//! assert_eq!(value.try_access().map(|value| *value), Some(42));
//! assert!(value.revoke());
//! assert!(value.try_access().is_none());
//! # Ok::<(), Error>(())
//! ```

use crate::sync::rcu;
use crate::types::Opaque;
use core::marker::PhantomData;
use core::ops::Deref;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use pin_init::{PinInit, Wrapper, pin_data, pin_init, pinned_drop};

/// A value that can be revoked.
///
/// # Invariants
/// `data` is initialized as long as `is_available` is set, and until a grace period after it was cleared.
#[pin_data(PinnedDrop)]
pub struct Revocable<T> {
    is_available: AtomicBool,
    #[pin]
    data: Opaque<T>,
}

// SAFETY: It owns its value, as a field would.
unsafe impl<T: Send> Send for Revocable<T> {}
// SAFETY: It shares its value, and any thread may be the one to drop that.
unsafe impl<T: Sync + Send> Sync for Revocable<T> {}

impl<T> Revocable<T> {
    /// A value that is there.
    pub fn new<E>(data: impl PinInit<T, E>) -> impl PinInit<Self, E> {
        pin_init!(Self { is_available: AtomicBool::new(true), data <- Opaque::pin_init(data) }? E)
    }

    /// The value, for a short time; `None` if it was revoked. Nothing sleeps meanwhile.
    pub fn try_access(&self) -> Option<RevocableGuard<'_, T>> {
        let guard = rcu::read_lock();
        if self.is_available.load(Ordering::Acquire) {
            return Some(RevocableGuard { data: self.data.get(), _rcu: guard, _p: PhantomData });
        }
        None
    }

    /// As [`Self::try_access`] in a section that the caller has.
    pub fn try_access_with_guard<'a>(&'a self, _guard: &'a rcu::Guard) -> Option<&'a T> {
        if self.is_available.load(Ordering::Acquire) {
            // SAFETY: It is there, and stays until the section ends, which `_guard` is.
            return Some(unsafe { &*self.data.get() });
        }
        None
    }

    /// Calls `f` with the value; `None` if it was revoked. `f` does not sleep.
    pub fn try_access_with<R, F: FnOnce(&T) -> R>(&self, f: F) -> Option<R> {
        self.try_access().map(|value| f(&value))
    }

    /// The value, without looking.
    ///
    /// # Safety
    /// It is not revoked during the life of the reference.
    pub unsafe fn access(&self) -> &T {
        // SAFETY: The caller's contract.
        unsafe { &*self.data.get() }
    }

    fn revoke_internal(&self, wait: bool) -> bool {
        if !self.is_available.swap(false, Ordering::AcqRel) {
            return false;
        }
        if wait {
            rcu::synchronize_rcu();
        }
        // SAFETY: Nobody comes to it any more, and those who had it are done; the flag makes it happen once.
        unsafe { self.data.get().drop_in_place() };
        true
    }

    /// Takes the value away and drops it when nobody uses it; false: it was gone. May sleep.
    pub fn revoke(&self) -> bool {
        self.revoke_internal(true)
    }

    /// As [`Self::revoke`], without waiting.
    ///
    /// # Safety
    /// Nobody uses the value.
    pub unsafe fn revoke_nosync(&self) -> bool {
        self.revoke_internal(false)
    }
}

#[pinned_drop]
impl<T> PinnedDrop for Revocable<T> {
    fn drop(self: Pin<&mut Self>) {
        self.revoke_internal(false);
    }
}

/// The value of a [`Revocable`], for a short time.
///
/// # Invariants
/// The pointer is valid as long as the section is.
pub struct RevocableGuard<'a, T> {
    data: *const T,
    _rcu: rcu::Guard,
    _p: PhantomData<&'a ()>,
}

impl<T> Deref for RevocableGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant.
        unsafe { &*self.data }
    }
}
