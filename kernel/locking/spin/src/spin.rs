// SPDX-License-Identifier: GPL-2.0
//! `SpinLock<T>`: a value behind a ticket lock, with guards that keep preemption (and interrupts) off.

use crate::raw::RawSpinLock;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::preempt::{PreemptGuard, preempt_disable};

/// A value that one CPU at a time may touch.
///
/// # Invariants
/// `value` is accessed only by the holder of `raw`.
pub struct SpinLock<T: ?Sized> {
    raw: RawSpinLock,
    #[cfg(CONFIG_LOCKDEP)]
    class: crate::lockdep::Class,
    value: UnsafeCell<T>,
}

// SAFETY: The lock hands out access to one CPU at a time, so sending the value between threads is all it needs.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}
// SAFETY: Owning the lock is owning the value.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// An unlocked lock around `value`. The caller's place is the lock's class for the lock-order checker.
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self {
            raw: RawSpinLock::new(),
            #[cfg(CONFIG_LOCKDEP)]
            class: crate::lockdep::Class::here(),
            value: UnsafeCell::new(value),
        }
    }

    /// As [`Self::new`], with another place as the lock's class.
    pub const fn new_at(value: T, _place: &'static core::panic::Location<'static>) -> Self {
        Self {
            raw: RawSpinLock::new(),
            #[cfg(CONFIG_LOCKDEP)]
            class: crate::lockdep::Class::at(_place),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the value out; no lock is needed, the caller owns it.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Tells the lock-order checker that the lock is about to be taken; nothing in other builds.
    #[inline(always)]
    fn note_acquire(&self, _trying: bool) {
        #[cfg(CONFIG_LOCKDEP)]
        crate::lockdep::spin_acquire(self.class, (&raw const self.raw).addr(), _trying);
    }

    /// The other end of [`Self::note_acquire`].
    #[inline(always)]
    fn note_release(&self) {
        #[cfg(CONFIG_LOCKDEP)]
        crate::lockdep::spin_release((&raw const self.raw).addr());
    }

    /// Takes the raw lock if it is free.
    #[inline(always)]
    fn raw_try_lock(&self) -> bool {
        self.note_acquire(true);
        let taken = self.raw.try_lock();
        if !taken {
            self.note_release();
        }
        taken
    }

    /// Takes the lock with preemption off. Not for locks that interrupt handlers take.
    #[inline(always)]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        let preempt = preempt_disable();
        self.note_acquire(false);
        self.raw.lock();
        SpinGuard { lock: self, _preempt: preempt, not_send: PhantomData }
    }

    /// Takes the lock if it is free.
    #[inline(always)]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        let preempt = preempt_disable();
        // Not `then_some`: a guard that is made and dropped gives back what another holds.
        self.raw_try_lock().then(|| SpinGuard { lock: self, _preempt: preempt, not_send: PhantomData })
    }

    /// Takes the lock with interrupts off, restoring the earlier state when the guard drops.
    #[inline(always)]
    pub fn lock_irqsave(&self) -> SpinIrqGuard<'_, T> {
        let irq = IrqGuard::new();
        let preempt = preempt_disable();
        self.note_acquire(false);
        self.raw.lock();
        SpinIrqGuard { lock: self, _preempt: preempt, _irq: irq, not_send: PhantomData }
    }

    /// As [`Self::lock_irqsave`], if the lock is free.
    #[inline(always)]
    pub fn try_lock_irqsave(&self) -> Option<SpinIrqGuard<'_, T>> {
        let irq = IrqGuard::new();
        let preempt = preempt_disable();
        // As in `try_lock`.
        self.raw_try_lock().then(|| SpinIrqGuard { lock: self, _preempt: preempt, _irq: irq, not_send: PhantomData })
    }

    /// The value, through exclusive access to the lock itself.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Whether some CPU holds the lock at this moment (for assertions and reports).
    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }
}

macro_rules! guard {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty),* }) => {
        $(#[$doc])*
        #[must_use]
        pub struct $name<'a, T: ?Sized> {
            lock: &'a SpinLock<T>,
            $($field: $ty,)*
            not_send: PhantomData<*mut ()>,
        }

        // SAFETY: Sharing a guard shares `&T` only.
        unsafe impl<T: ?Sized + Sync> Sync for $name<'_, T> {}

        impl<T: ?Sized> Deref for $name<'_, T> {
            type Target = T;
            #[inline(always)]
            fn deref(&self) -> &T {
                // SAFETY: The guard exists, so this CPU holds the lock.
                unsafe { &*self.lock.value.get() }
            }
        }

        impl<T: ?Sized> DerefMut for $name<'_, T> {
            #[inline(always)]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: The guard exists, so this CPU holds the lock; `&mut self` makes the borrow unique.
                unsafe { &mut *self.lock.value.get() }
            }
        }

        impl<T: ?Sized> Drop for $name<'_, T> {
            #[inline(always)]
            fn drop(&mut self) {
                self.lock.note_release();
                // SAFETY: The guard was made by taking the lock and gives it back once. Fields drop afterwards, in the order
                // declared.

                unsafe { self.lock.raw.unlock() };
            }
        }
    };
}

guard! {
    /// Holds a [`SpinLock`] with preemption off.
    SpinGuard { _preempt: PreemptGuard }
}
guard! {
    /// Holds a [`SpinLock`] with interrupts and preemption off. Interrupts come back before preemption is checked, so that a
    /// reschedule that became due runs at once.
    SpinIrqGuard { _irq: IrqGuard, _preempt: PreemptGuard }
}

impl<T: Default> Default for SpinLock<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}
