// SPDX-License-Identifier: GPL-2.0
//! A reader-writer spin lock for short, mostly read sections that RCU does not fit. Writers have priority over new readers.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};
use x86_cpu::asm::cpu_relax;
use x86_cpu::preempt::{PreemptGuard, preempt_disable};

const WRITER: u32 = 1 << 31;
const WAITING: u32 = 1 << 30;

/// A value that many readers or one writer may hold. Task context only (interrupt handlers must not take it).
///
/// # Invariants
/// `state` has `WRITER` set, or counts the readers; `value` is written only by the holder of `WRITER`.
pub struct RwSpinLock<T: ?Sized> {
    state: AtomicU32,
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
            state: AtomicU32::new(0),
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
        crate::lockdep::spin_acquire(self.class, (&raw const self.state).addr(), false);
    }

    /// The other end of [`Self::note_acquire`].
    #[inline(always)]
    fn note_release(&self) {
        #[cfg(CONFIG_LOCKDEP)]
        crate::lockdep::spin_release((&raw const self.state).addr());
    }

    /// Takes the lock for reading.
    #[inline]
    pub fn read(&self) -> RwSpinReadGuard<'_, T> {
        let preempt = preempt_disable();
        self.note_acquire();
        loop {
            let s = self.state.load(Ordering::Relaxed);
            if s & (WRITER | WAITING) == 0
                && self.state.compare_exchange_weak(s, s + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return RwSpinReadGuard { lock: self, _preempt: preempt };
            }
            cpu_relax();
        }
    }

    /// Takes the lock for writing.
    #[inline]
    pub fn write(&self) -> RwSpinWriteGuard<'_, T> {
        let preempt = preempt_disable();
        self.note_acquire();
        loop {
            let s = self.state.load(Ordering::Relaxed);
            if s & !WAITING == 0 {
                if self.state.compare_exchange_weak(s, WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return RwSpinWriteGuard { lock: self, _preempt: preempt };
                }
            } else if s & WAITING == 0 {
                self.state.fetch_or(WAITING, Ordering::Relaxed);
            }
            cpu_relax();
        }
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
        // SAFETY: This guard holds `WRITER`.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwSpinWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: This guard holds `WRITER`, alone.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwSpinReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.note_release();
        self.lock.state.fetch_sub(1, Ordering::Release);
    }
}

impl<T: ?Sized> Drop for RwSpinWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.note_release();
        self.lock.state.fetch_and(!WRITER, Ordering::Release);
    }
}
