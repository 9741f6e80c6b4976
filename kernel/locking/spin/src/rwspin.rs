// SPDX-License-Identifier: GPL-2.0
//! A reader-writer spin lock for short, mostly read sections that RCU does not fit. Writers have priority over new readers.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use raw_spin::RawRwSpinLock;
use x86_cpu::preempt::{PreemptGuard, preempt_disable};

/// A value that many readers or one writer may hold. Task context only (interrupt handlers must not take it).
///
/// # Invariants
/// `value` is written only by who has `raw` for writing, and read by who has it.
pub struct RwSpinLock<T: ?Sized> {
    raw: RawRwSpinLock,
    #[cfg(CONFIG_LOCKDEP)]
    class: crate::lockdep::Class,
    value: UnsafeCell<T>,
}

// SAFETY: Readers share `&T`, a writer has it alone.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwSpinLock<T> {}
// SAFETY: Owning the lock is owning the value.
unsafe impl<T: ?Sized + Send> Send for RwSpinLock<T> {}

impl<T> RwSpinLock<T> {
    /// An unlocked lock. The caller's place is the lock's class for the lock-order checker.
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self {
            raw: RawRwSpinLock::new(),
            #[cfg(CONFIG_LOCKDEP)]
            class: crate::lockdep::Class::here(),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> RwSpinLock<T> {
    /// Tells the lock-order checker that the lock is about to be taken; nothing in other builds.
    #[inline(always)]
    fn note_acquire(&self) {
        #[cfg(CONFIG_LOCKDEP)]
        crate::lockdep::spin_acquire(self.class, (&raw const self.raw).addr(), false);
    }

    /// The other end of [`Self::note_acquire`].
    #[inline(always)]
    fn note_release(&self) {
        #[cfg(CONFIG_LOCKDEP)]
        crate::lockdep::spin_release((&raw const self.raw).addr());
    }

    /// Takes the lock for reading.
    #[inline]
    pub fn read(&self) -> RwSpinReadGuard<'_, T> {
        let preempt = preempt_disable();
        self.note_acquire();
        self.raw.read();
        RwSpinReadGuard { lock: self, _preempt: preempt }
    }

    /// Takes the lock for writing.
    #[inline]
    pub fn write(&self) -> RwSpinWriteGuard<'_, T> {
        let preempt = preempt_disable();
        self.note_acquire();
        self.raw.write();
        RwSpinWriteGuard { lock: self, _preempt: preempt }
    }
}

/// Read access.
#[must_use]
pub struct RwSpinReadGuard<'a, T: ?Sized> {
    lock: &'a RwSpinLock<T>,
    _preempt: PreemptGuard,
}

/// Write access.
#[must_use]
pub struct RwSpinWriteGuard<'a, T: ?Sized> {
    lock: &'a RwSpinLock<T>,
    _preempt: PreemptGuard,
}

impl<T: ?Sized> Deref for RwSpinReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: A reader is counted, so no writer holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwSpinWriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: This guard is the writer's.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwSpinWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: This guard is the writer's, alone.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwSpinReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.note_release();
        self.lock.raw.read_done();
    }
}

impl<T: ?Sized> Drop for RwSpinWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.note_release();
        self.lock.raw.write_done();
    }
}
