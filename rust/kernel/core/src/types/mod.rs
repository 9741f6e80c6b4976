// SPDX-License-Identifier: GPL-2.0
//! Small types that abstractions share: `kernel::types`.

mod for_lt;
mod foreign;
mod opaque;
mod owned_foreign;

pub use crate::sync::aref::{ARef, AlwaysRefCounted};
pub use for_lt::{CovariantForLt, ForLt};
#[doc(hidden)]
pub use for_lt::{UnsafeForLtImpl, WithLt};
pub use foreign::ForeignOwnable;
pub use opaque::Opaque;
#[doc(hidden)]
pub use owned_foreign::OwnedForeign;

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

/// A field of this type makes a type stay in its thread.
pub type NotThreadSafe = PhantomData<*mut ()>;
/// The value of [`NotThreadSafe`].
#[allow(non_upper_case_globals, reason = "named as the type it is the only value of")]
pub const NotThreadSafe: NotThreadSafe = PhantomData;

/// Runs a function when it is dropped, unless [`ScopeGuard::dismiss`] was called.
///
/// # Invariants
/// The pair is taken out only when the guard goes.
#[derive(Debug)]
pub struct ScopeGuard<T, F: FnOnce(T)>(ManuallyDrop<(T, F)>);

impl<T, F: FnOnce(T)> ScopeGuard<T, F> {
    /// A guard with data.
    pub fn new_with_data(data: T, cleanup: F) -> Self {
        Self(ManuallyDrop::new((data, cleanup)))
    }

    /// Gives the data back; nothing is run.
    pub fn dismiss(self) -> T {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never used or dropped again, so the pair is taken once.
        let (data, _) = unsafe { ManuallyDrop::take(&mut this.0) };
        data
    }
}

impl ScopeGuard<(), fn(())> {
    /// A guard without data.
    pub fn new(cleanup: impl FnOnce()) -> ScopeGuard<(), impl FnOnce(())> {
        ScopeGuard::new_with_data((), move |()| cleanup())
    }
}

impl<T, F: FnOnce(T)> Deref for ScopeGuard<T, F> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.0
    }
}

impl<T, F: FnOnce(T)> DerefMut for ScopeGuard<T, F> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0.0
    }
}

impl<T, F: FnOnce(T)> Drop for ScopeGuard<T, F> {
    fn drop(&mut self) {
        // SAFETY: The guard is being dropped: the pair is taken once, and not used again.
        let (data, cleanup) = unsafe { ManuallyDrop::take(&mut self.0) };
        cleanup(data);
    }
}

/// One of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<L, R> {
    /// The first.
    Left(L),
    /// The second.
    Right(R),
}
