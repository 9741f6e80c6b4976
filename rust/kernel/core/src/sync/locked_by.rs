// SPDX-License-Identifier: GPL-2.0
//! `LockedBy`: a value that a lock elsewhere guards.
//!
//! ```
//! use kernel::new_mutex;
//! use kernel::sync::LockedBy;
//!
//! /// What the lock guards by itself.
//! struct Total(u32);
//!
//! let total = KBox::pin_init(new_mutex!(Total(0)), GFP_KERNEL)?;
//! let part = LockedBy::new(&total, 5);
//! let mut guard = total.lock();
//! *part.access_mut(&mut guard) += 1;
//! guard.0 += *part.access(&guard);
//! assert_eq!(guard.0, 6);
//! # Ok::<(), Error>(())
//! ```

use super::lock::{Backend, Lock};
use core::cell::UnsafeCell;

/// A value that is reached with what another lock guards: whoever has that has this too.
///
/// # Invariants
/// `owner` is the address of the value that the lock guards.
pub struct LockedBy<T: ?Sized, U: ?Sized> {
    owner: *const U,
    data: UnsafeCell<T>,
}

// SAFETY: The value is reached under the lock alone; `owner` is only compared.
unsafe impl<T: ?Sized + Send, U: ?Sized> Send for LockedBy<T, U> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Send, U: ?Sized> Sync for LockedBy<T, U> {}

impl<T, U> LockedBy<T, U> {
    /// A value guarded by `owner`.
    pub fn new<B: Backend>(owner: &Lock<U, B>, data: T) -> Self {
        const { assert!(size_of::<U>() > 0, "a value without size has no address of its own") };
        Self { owner: owner.data.get(), data: UnsafeCell::new(data) }
    }
}

impl<T: ?Sized, U> LockedBy<T, U> {
    /// The value. Panics if `owner` is guarded by another lock.
    pub fn access<'a>(&'a self, owner: &'a U) -> &'a T
    where
        T: Sync,
    {
        assert!(core::ptr::eq(owner, self.owner), "mismatched owners");
        // SAFETY: Whoever has a reference to what the lock guards has the lock (or it is shared, and `T` is `Sync`).
        unsafe { &*self.data.get() }
    }

    /// The value, mutably. Panics if `owner` is guarded by another lock.
    pub fn access_mut<'a>(&'a self, owner: &'a mut U) -> &'a mut T {
        assert!(core::ptr::eq(owner, self.owner), "mismatched owners");
        // SAFETY: Whoever has a mutable reference to what the lock guards has it alone.
        unsafe { &mut *self.data.get() }
    }
}
