// SPDX-License-Identifier: GPL-2.0
//! `RwSemaphore<T>`: many readers or one writer, sleeping. A waiting writer keeps new readers out.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use errno::Result;
use raw_sleep::RawRwSemaphore;

/// A value with shared and exclusive access; waiters sleep.
///
/// # Invariants
/// `value` is written only by who has `raw` for writing, and read by who has it.
pub struct RwSemaphore<T: ?Sized> {
    raw: RawRwSemaphore,
    value: UnsafeCell<T>,
}

// SAFETY: Readers share `&T`, a writer has it alone.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwSemaphore<T> {}
// SAFETY: Owning the semaphore is owning the value.
unsafe impl<T: ?Sized + Send> Send for RwSemaphore<T> {}

impl<T> RwSemaphore<T> {
    /// A free semaphore. The caller's place is its class for the lock-order checker.
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self { raw: RawRwSemaphore::new(), value: UnsafeCell::new(value) }
    }
}

impl<T: ?Sized> RwSemaphore<T> {
    // Guards are made by `then`, not `then_some`: one that is made and dropped gives back what another holds.
    #[inline(always)]
    fn reader(&self) -> RwReadGuard<'_, T> {
        RwReadGuard { lock: self, not_send: PhantomData }
    }

    /// The guard of a writer that `raw` has let in.
    #[inline(always)]
    pub(crate) fn writer(&self) -> RwWriteGuard<'_, T> {
        RwWriteGuard { lock: self, not_send: PhantomData }
    }

    /// Takes it for reading; sleeps while a writer has it or waits for it.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> RwReadGuard<'_, T> {
        self.raw.read();
        self.reader()
    }

    /// Takes it for reading if that needs no waiting.
    #[inline]
    pub fn try_read(&self) -> Option<RwReadGuard<'_, T>> {
        self.raw.try_read().then(|| self.reader())
    }

    /// Takes it for reading if no writer has it, whoever waits. For those on whom readers wait: a writer that waits for such a reader
    /// must not keep them out. To be held briefly.
    pub fn try_read_beside(&self) -> Option<RwReadGuard<'_, T>> {
        self.raw.try_read_beside().then(|| self.reader())
    }

    /// Takes it for writing; sleeps while anybody has it.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> RwWriteGuard<'_, T> {
        self.raw.write();
        self.writer()
    }

    /// As [`Self::write`], for the second of two of a kind whose order something else makes sure of (Linux's `down_write_nested`):
    /// the checks of the order of locks do not learn from it.
    pub fn write_nested(&self) -> RwWriteGuard<'_, T> {
        self.raw.write_nested();
        self.writer()
    }

    /// Takes it for writing if that needs no waiting.
    #[inline]
    pub fn try_write(&self) -> Option<RwWriteGuard<'_, T>> {
        self.raw.try_write().then(|| self.writer())
    }

    /// As [`Self::write`], but a fatal signal ends the wait with `ERESTARTSYS`.
    #[inline]
    #[track_caller]
    pub fn write_killable(&self) -> Result<RwWriteGuard<'_, T>> {
        self.raw.write_killable()?;
        Ok(self.writer())
    }

    /// Who has it and who waits.
    #[inline(always)]
    pub(crate) fn raw(&self) -> &RawRwSemaphore {
        &self.raw
    }

    /// The value.
    ///
    /// # Safety
    /// No writer has it as long as the reference is used.
    #[inline(always)]
    pub(crate) unsafe fn value(&self) -> &T {
        // SAFETY: As the caller promises.
        unsafe { &*self.value.get() }
    }

    /// The value, through exclusive access.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Whether a writer holds it at this moment.
    pub fn is_write_locked(&self) -> bool {
        self.raw.is_write_locked()
    }
}

/// Shared access.
#[must_use]
pub struct RwReadGuard<'a, T: ?Sized> {
    lock: &'a RwSemaphore<T>,
    not_send: PhantomData<*mut ()>,
}

/// Exclusive access.
#[must_use]
pub struct RwWriteGuard<'a, T: ?Sized> {
    lock: &'a RwSemaphore<T>,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: Sharing a guard shares `&T` only.
unsafe impl<T: ?Sized + Sync> Sync for RwReadGuard<'_, T> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Sync> Sync for RwWriteGuard<'_, T> {}

impl<T: ?Sized> Deref for RwReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: This reader is counted, so no writer is in.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwWriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: This guard is the writer's.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: This guard is the writer's, alone.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.read_done();
    }
}

impl<T: ?Sized> Drop for RwWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.write_done();
    }
}

impl<'a, T: ?Sized> RwWriteGuard<'a, T> {
    /// Turns exclusive access into shared access without letting a writer in between.
    pub fn downgrade(self) -> RwReadGuard<'a, T> {
        let lock = self.lock;
        core::mem::forget(self);
        lock.raw.downgrade();
        lock.reader()
    }
}
