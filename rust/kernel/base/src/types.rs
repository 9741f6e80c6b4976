// SPDX-License-Identifier: GPL-2.0
//! Small types that abstractions share: a part of `kernel::types`.
//!
//! ```
//! use core::cell::Cell;
//! use kernel::types::ScopeGuard;
//!
//! let undone = Cell::new(false);
//! drop(ScopeGuard::new(|| undone.set(true)));
//! assert!(undone.take());
//! // It went well: there is nothing to undo.
//! ScopeGuard::new(|| undone.set(true)).dismiss();
//! assert!(!undone.get());
//! ```

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A field of this type makes a type stay in its thread.
pub type NotThreadSafe = PhantomData<*mut ()>;
/// The value of [`type@NotThreadSafe`].
#[allow(non_upper_case_globals, reason = "named as the type it is the only value of")]
pub const NotThreadSafe: NotThreadSafe = PhantomData;

/// Runs a function when it is dropped, unless [`ScopeGuard::dismiss`] was called.
///
/// # Invariants
/// The pair is taken out only when the guard goes.
#[derive(Debug)]
pub struct ScopeGuard<T, F: FnOnce(T)>(Option<(T, F)>);

/// The pair is taken when the guard is dismissed or dropped, which nothing follows.
#[cold]
fn gone() -> ! {
    unreachable!("a guard has its data until it goes")
}

impl<T, F: FnOnce(T)> ScopeGuard<T, F> {
    /// A guard with data.
    pub fn new_with_data(data: T, cleanup: F) -> Self {
        Self(Some((data, cleanup)))
    }

    /// Gives the data back; nothing is run.
    pub fn dismiss(mut self) -> T {
        match self.0.take() {
            Some((data, _)) => data,
            None => gone(),
        }
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
        match &self.0 {
            Some((data, _)) => data,
            None => gone(),
        }
    }
}

impl<T, F: FnOnce(T)> DerefMut for ScopeGuard<T, F> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.0 {
            Some((data, _)) => data,
            None => gone(),
        }
    }
}

impl<T, F: FnOnce(T)> Drop for ScopeGuard<T, F> {
    fn drop(&mut self) {
        // Else it was dismissed.
        if let Some((data, cleanup)) = self.0.take() {
            cleanup(data);
        }
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
