// SPDX-License-Identifier: GPL-2.0
//! `Request`: a request that a driver has.

use super::Operations;
use super::driver::Slot;
use crate::sync::aref::{ARef, AlwaysRefCounted};
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A request of the driver `T`.
///
/// # Invariants
/// It is a slot of a disk of `T`'s, and lives as long as that disk. Every `ARef` of it owns one of the slot's counts.
#[repr(transparent)]
pub struct Request<T>(Slot, PhantomData<fn() -> T>);

impl<T: Operations> Request<T> {
    /// Ends it without an error. Gives the reference back if it is not the only one.
    pub fn end_ok(this: ARef<Self>) -> Result<(), ARef<Self>> {
        let Some(request) = this.0.take() else { return Err(this) };
        // The count was given up by `take`.
        let _ = ARef::into_raw(this);
        request.complete(Ok(()));
        Ok(())
    }

    /// The hardware is done with it: has [`Operations::complete`] called, which ends it. Here that is at once, on the CPU of the caller.
    pub fn complete(this: ARef<Self>) {
        T::complete(this);
    }
}

// SAFETY: A `&Request` is a count and nothing else; the request inside is reached by whoever wins the count alone.
unsafe impl<T: Operations> Send for Request<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for Request<T> {}

// SAFETY: The slot lives as long as the disk, which waits for its requests; the count is not 0 while the driver has the request.
unsafe impl<T: Operations> AlwaysRefCounted for Request<T> {
    fn inc_ref(&self) {
        self.0.inc();
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller owns a count, so the slot is there.
        unsafe { obj.as_ref() }.0.dec();
    }
}
