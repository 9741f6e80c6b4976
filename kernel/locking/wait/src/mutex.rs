// SPDX-License-Identifier: GPL-2.0
//! `Mutex<T>`: a sleeping lock. Free to take and give back with one atomic operation each when nobody waits.

use crate::wait::WaitQueue;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};
use errno::Result;
use task::State;
use wait_event::Notes;

const FREE: u32 = 0;
const LOCKED: u32 = 1;
/// Locked, and somebody may wait.
const CONTENDED: u32 = 2;

/// A value that one task at a time may use; waiters sleep.
///
/// # Invariants
/// `value` is accessed only by the task that moved `state` away from `FREE`.
pub struct Mutex<T: ?Sized> {
    state: AtomicU32,
    waiters: WaitQueue,
    notes: Notes,
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
        Self {
            state: AtomicU32::new(FREE),
            waiters: WaitQueue::new(),
            notes: Notes::here(),
            value: UnsafeCell::new(value),
        }
    }

    /// As [`Self::new`], with another place as its class.
    pub const fn new_at(value: T, place: &'static core::panic::Location<'static>) -> Self {
        Self {
            state: AtomicU32::new(FREE),
            waiters: WaitQueue::new(),
            notes: Notes::at(place),
            value: UnsafeCell::new(value),
        }
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
        task::might_sleep();
        self.notes.acquire();
        if self.state.compare_exchange(FREE, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_err() {
            // Without signals or a deadline the wait ends only with the lock taken.
            let _ = self.lock_slow(State::UNINTERRUPTIBLE);
        }
        MutexGuard { mutex: self, not_send: PhantomData }
    }

    /// As [`Self::lock`], but a signal ends the wait with `ERESTARTSYS`.
    #[track_caller]
    pub fn lock_interruptible(&self) -> Result<MutexGuard<'_, T>> {
        task::might_sleep();
        self.notes.acquire();
        if self.state.compare_exchange(FREE, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_slow(State::INTERRUPTIBLE).inspect_err(|_| self.notes.release())?;
        }
        Ok(MutexGuard { mutex: self, not_send: PhantomData })
    }

    /// As [`Self::lock`], but a fatal signal ends the wait with `ERESTARTSYS`: where who has the mutex may wait for a program.
    #[track_caller]
    pub fn lock_killable(&self) -> Result<MutexGuard<'_, T>> {
        task::might_sleep();
        self.notes.acquire();
        if self.state.compare_exchange(FREE, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_slow(State::KILLABLE).inspect_err(|_| self.notes.release())?;
        }
        Ok(MutexGuard { mutex: self, not_send: PhantomData })
    }

    /// Takes the mutex if it is free. Any context but hard interrupts.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let taken = self.state.compare_exchange(FREE, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if taken {
            self.notes.acquired();
        }
        // Not `then_some`: a guard that is made and dropped gives back what another holds.
        taken.then(|| MutexGuard { mutex: self, not_send: PhantomData })
    }

    #[cold]
    fn lock_slow(&self, state: State) -> Result {
        self.waiters.wait(state, true, None, &mut || self.state.swap(CONTENDED, Ordering::Acquire) == FREE)?;
        Ok(())
    }

    /// The value, through exclusive access to the mutex.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Whether some task holds the mutex at this moment.
    pub fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) != FREE
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
        self.mutex.notes.release();
        if self.mutex.state.swap(FREE, Ordering::Release) == CONTENDED {
            self.mutex.waiters.wake_up();
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}
