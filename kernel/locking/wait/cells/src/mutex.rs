// SPDX-License-Identifier: GPL-2.0
//! `Mutex<T>`: a sleeping lock.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use errno::Result;
use raw_sleep::RawMutex;

/// A value that one task at a time may use; waiters sleep.
///
/// # Invariants
/// `value` is accessed only by the task that has `raw`.
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    value: UnsafeCell<T>,
}

// SAFETY: One task at a time has access.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: Owning the mutex is owning the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// A free mutex. The caller's place is its class for the lock-order checker.
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self { raw: RawMutex::new(), value: UnsafeCell::new(value) }
    }

    /// As [`Self::new`], with another place as its class.
    pub const fn new_at(value: T, place: &'static core::panic::Location<'static>) -> Self {
        Self { raw: RawMutex::new_at(place), value: UnsafeCell::new(value) }
    }

    /// Takes the value out.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the mutex; sleeps while another task has it.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.raw.lock();
        MutexGuard { mutex: self, not_send: PhantomData }
    }

    /// As [`Self::lock`], but a signal ends the wait with `ERESTARTSYS`.
    #[inline]
    #[track_caller]
    pub fn lock_interruptible(&self) -> Result<MutexGuard<'_, T>> {
        self.raw.lock_interruptible()?;
        Ok(MutexGuard { mutex: self, not_send: PhantomData })
    }

    /// As [`Self::lock`], but a fatal signal ends the wait with `ERESTARTSYS`: where who has the mutex may wait for a program.
    #[inline]
    #[track_caller]
    pub fn lock_killable(&self) -> Result<MutexGuard<'_, T>> {
        self.raw.lock_killable()?;
        Ok(MutexGuard { mutex: self, not_send: PhantomData })
    }

    /// Takes the mutex if it is free. Any context but hard interrupts.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        // Not `then_some`: a guard that is made and dropped gives back what another holds.
        self.raw.try_lock().then(|| MutexGuard { mutex: self, not_send: PhantomData })
    }

    /// The value, through exclusive access to the mutex.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Whether some task holds the mutex at this moment.
    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }
}

/// Holds a [`Mutex`].
#[must_use]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: Sharing a guard shares `&T` only.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: The guard exists, so this task holds the mutex.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The guard exists, so this task holds the mutex; `&mut self` makes the borrow unique.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.raw.unlock();
    }
}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}
