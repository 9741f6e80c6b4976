// SPDX-License-Identifier: GPL-2.0
//! Locks around values: `kernel::sync::lock`. A back end says how to lock; `Lock` and `Guard` are the same for all.
//!
//! ```
//! use kernel::new_mutex;
//!
//! let numbers = KBox::pin_init(new_mutex!(KVec::<u32>::new(), "numbers"), GFP_KERNEL)?;
//! numbers.lock().push(1, GFP_KERNEL)?;
//! assert!(numbers.try_lock().is_some_and(|numbers| numbers.len() == 1));
//! # Ok::<(), Error>(())
//! ```

pub mod global;
pub mod mutex;
pub mod spinlock;

pub use global::{GlobalGuard, GlobalLock, GlobalLockBackend, GlobalLockedBy};

use super::LockClassKey;
use crate::types::{NotThreadSafe, Opaque};
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::marker::PhantomPinned;
use core::panic::Location;
use core::pin::Pin;
use pin_init::{PinInit, pin_data, pin_init_from_closure};

/// How a kind of lock locks.
///
/// # Safety
/// Between `lock` (or a `try_lock` that succeeded) and `unlock` nobody else gets the lock.
pub unsafe trait Backend {
    /// The lock itself.
    type State;

    /// What the holder must keep to unlock.
    type GuardState;

    /// A free lock whose class is `place`.
    fn new_state(place: &'static Location<'static>) -> Self::State;

    /// Takes the lock.
    ///
    /// # Safety
    /// The state is initialized, and stays in place while the lock is held.
    #[must_use]
    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState;

    /// Takes the lock if it is free.
    ///
    /// # Safety
    /// As for `lock`.
    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState>;

    /// Gives the lock back.
    ///
    /// # Safety
    /// The caller holds it, and `guard_state` is what taking it gave; it is not used for another `unlock`.
    unsafe fn unlock(ptr: *mut Self::State, guard_state: &mut Self::GuardState);

    /// Takes the lock again after `unlock`.
    ///
    /// # Safety
    /// `guard_state` was used for `unlock`; it is new afterwards.
    unsafe fn relock(ptr: *mut Self::State, guard_state: &mut Self::GuardState) {
        // SAFETY: The state was initialized when it was locked before.
        *guard_state = unsafe { Self::lock(ptr) };
    }
}

/// A value that the holder of a lock may touch.
///
/// # Invariants
/// `state` is initialized; `data` is touched by the lock's holder alone.
#[repr(C)]
#[pin_data]
pub struct Lock<T: ?Sized, B: Backend> {
    #[pin]
    state: Opaque<B::State>,
    #[pin]
    _pin: PhantomPinned,
    #[pin]
    pub(crate) data: UnsafeCell<T>,
}

// SAFETY: One holder at a time has the value, so sending it between threads is all it needs.
unsafe impl<T: ?Sized + Send, B: Backend> Send for Lock<T, B> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Send, B: Backend> Sync for Lock<T, B> {}

impl<T, B: Backend> Lock<T, B> {
    /// A free lock around what `t` builds. Use `new_mutex!` and its kin.
    pub fn new<E>(
        t: impl PinInit<T, E>,
        _name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self, E> {
        let place = key.place();
        let build = move |slot: *mut Self| {
            // SAFETY: The slot is memory for a lock that stays where it is. The value is built last: an error of its
            // initializer leaves only the state, which needs no drop (it owns nothing while nobody waits).
            unsafe {
                (&raw mut (*slot).state).write(Opaque::new(B::new_state(place)));
                t.__pinned_init((&raw mut (*slot).data).cast::<T>())
            }
        };
        // SAFETY: Both fields with content are built, or an error is returned and nothing needs to be dropped.
        unsafe { pin_init_from_closure(build) }
    }
}

impl<T: ?Sized, B: Backend> Lock<T, B> {
    /// Takes the lock; the value is there until the guard goes.
    pub fn lock(&self) -> Guard<'_, T, B> {
        // SAFETY: The state is initialized by the type invariant; the lock does not move: it is pinned.
        let state = unsafe { B::lock(self.state.get()) };
        // SAFETY: Just taken.
        unsafe { Guard::new(self, state) }
    }

    /// Takes the lock if it is free.
    #[must_use = "the lock is given back at once if the guard is not kept"]
    pub fn try_lock(&self) -> Option<Guard<'_, T, B>> {
        // SAFETY: As in `lock`.
        let state = unsafe { B::try_lock(self.state.get()) }?;
        // SAFETY: Just taken.
        Some(unsafe { Guard::new(self, state) })
    }
}

/// Holds a lock.
///
/// # Invariants
/// The lock is held, and `state` is what taking it gave.
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct Guard<'a, T: ?Sized, B: Backend> {
    pub(crate) lock: &'a Lock<T, B>,
    pub(crate) state: B::GuardState,
    _not_send: NotThreadSafe,
}

// SAFETY: Sharing a guard shares `&T` only.
unsafe impl<T: Sync + ?Sized, B: Backend> Sync for Guard<'_, T, B> {}

impl<'a, T: ?Sized, B: Backend> Guard<'a, T, B> {
    /// A guard for a lock that was taken.
    ///
    /// # Safety
    /// The caller holds the lock, and `state` is what taking it gave.
    pub unsafe fn new(lock: &'a Lock<T, B>, state: B::GuardState) -> Self {
        Self { lock, state, _not_send: NotThreadSafe }
    }

    /// The lock that is held.
    pub fn lock_ref(&self) -> &'a Lock<T, B> {
        self.lock
    }

    /// Calls `cb` with what lets the lock go, which it does before it waits for something; then takes the lock again.
    #[doc(hidden)]
    pub fn do_unlocking<U>(&mut self, cb: impl FnOnce(&mut dyn FnMut()) -> U) -> U {
        let (lock, state, mut held) = (self.lock, &mut self.state, true);
        let result = cb(&mut || {
            if core::mem::take(&mut held) {
                // SAFETY: The lock is held by the type invariant, and given back once.
                unsafe { B::unlock(lock.state.get(), state) };
            }
        });
        if !held {
            // SAFETY: Given back above.
            unsafe { B::relock(self.lock.state.get(), &mut self.state) };
        }
        result
    }

    /// The value, pinned.
    pub fn as_mut(&mut self) -> Pin<&mut T> {
        // SAFETY: The value of a lock is pinned as the lock is.
        unsafe { Pin::new_unchecked(&mut *self.lock.data.get()) }
    }
}

impl<T: ?Sized, B: Backend> core::ops::Deref for Guard<'_, T, B> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The lock is held.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized + Unpin, B: Backend> core::ops::DerefMut for Guard<'_, T, B> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The lock is held, and `&mut self` makes the borrow unique.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized, B: Backend> Drop for Guard<'_, T, B> {
    fn drop(&mut self) {
        // SAFETY: The lock is held by the type invariant, and given back once.
        unsafe { B::unlock(self.lock.state.get(), &mut self.state) };
    }
}
