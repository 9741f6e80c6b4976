// SPDX-License-Identifier: GPL-2.0
//! `RwSemaphore<T>`: many readers or one writer, sleeping. A waiting writer keeps new readers out.

use crate::wait::WaitQueue;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};
use errno::Result;
use task::State;
use wait_event::Notes;

const WRITER: u32 = 1;
/// Somebody waits: the fast paths are closed, and who gives back wakes.
const WAITERS: u32 = 2;
const READER: u32 = 4;

/// A value with shared and exclusive access; waiters sleep.
///
/// # Invariants
/// `state` has `WRITER` set, or counts readers in units of `READER`; `value` is written only by the holder of `WRITER`.
pub struct RwSemaphore<T: ?Sized> {
    state: AtomicU32,
    /// Writers that wait; readers hold back while it is not zero.
    writers_waiting: AtomicU32,
    waiters: WaitQueue,
    notes: Notes,
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
        Self {
            state: AtomicU32::new(0),
            writers_waiting: AtomicU32::new(0),
            waiters: WaitQueue::new(),
            notes: Notes::here(),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> RwSemaphore<T> {
    /// Takes it for reading; sleeps while a writer has it or waits for it.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> RwReadGuard<'_, T> {
        task::might_sleep();
        self.notes.acquire();
        if !self.try_read_fast() {
            // Without signals or a deadline the wait ends only with the lock taken.
            let _ = self.waiters.wait(State::UNINTERRUPTIBLE, false, None, &mut || self.try_read_slow());
        }
        RwReadGuard { lock: self, not_send: PhantomData }
    }

    /// [`Self::read`] without a guard; whether it had to wait. The caller owes [`Self::put_reader`].
    #[inline(always)]
    #[track_caller]
    pub(crate) fn read_counted(&self) -> bool {
        task::might_sleep();
        self.notes.acquire();
        if self.try_read_fast() {
            return false;
        }
        // As in `read`.
        let _ = self.waiters.wait(State::UNINTERRUPTIBLE, false, None, &mut || self.try_read_slow());
        true
    }

    /// Takes it for reading if that needs no waiting.
    #[inline]
    pub fn try_read(&self) -> Option<RwReadGuard<'_, T>> {
        let taken = self.try_read_fast();
        if taken {
            self.notes.acquired();
        }
        // Not `then_some`: a guard that is made and dropped gives back what another holds.
        taken.then(|| RwReadGuard { lock: self, not_send: PhantomData })
    }

    /// Takes it for reading if no writer has it, whoever waits. For those on whom readers wait: a writer that waits for such a reader
    /// must not keep them out. To be held briefly.
    pub fn try_read_beside(&self) -> Option<RwReadGuard<'_, T>> {
        let beside = |state: u32| (state & WRITER == 0).then(|| state.checked_add(READER)).flatten();
        self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, beside).ok()?;
        self.notes.acquired();
        Some(RwReadGuard { lock: self, not_send: PhantomData })
    }

    /// Takes it for writing; sleeps while anybody has it.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> RwWriteGuard<'_, T> {
        task::might_sleep();
        self.notes.acquire();
        self.write_noted()
    }

    /// [`Self::write`], of which the checks know already.
    #[inline(always)]
    pub(crate) fn write_noted(&self) -> RwWriteGuard<'_, T> {
        if self.state.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_err() {
            // As in `read`.
            let _ = self.write_slow(State::UNINTERRUPTIBLE);
        }
        RwWriteGuard { lock: self, not_send: PhantomData }
    }

    /// As [`Self::write`], for the second of two of a kind whose order something else makes sure of (Linux's `down_write_nested`):
    /// the checks of the order of locks do not learn from it.
    pub fn write_nested(&self) -> RwWriteGuard<'_, T> {
        task::might_sleep();
        let guard = self.write_noted();
        self.notes.acquired();
        guard
    }

    /// Takes it for writing if that needs no waiting.
    #[inline]
    pub fn try_write(&self) -> Option<RwWriteGuard<'_, T>> {
        let taken = self.state.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if taken {
            self.notes.acquired();
        }
        // As in `try_read`.
        taken.then(|| RwWriteGuard { lock: self, not_send: PhantomData })
    }

    /// As [`Self::write`], but a fatal signal ends the wait with `ERESTARTSYS`.
    #[track_caller]
    pub fn write_killable(&self) -> Result<RwWriteGuard<'_, T>> {
        task::might_sleep();
        self.notes.acquire();
        if self.state.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.write_slow(State::KILLABLE).inspect_err(|_| self.notes.release())?;
        }
        Ok(RwWriteGuard { lock: self, not_send: PhantomData })
    }

    #[inline(always)]
    fn try_read_fast(&self) -> bool {
        let old = self.state.fetch_add(READER, Ordering::Acquire);
        if old & (WRITER | WAITERS) == 0 {
            return true;
        }
        self.put_reader();
        false
    }

    fn try_read_slow(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & WRITER != 0 || self.writers_waiting.load(Ordering::Relaxed) != 0 {
                // Make sure that the holder will wake us.
                let with = state | WAITERS;
                match self.state.compare_exchange(state, with, Ordering::SeqCst, Ordering::Relaxed) {
                    // Free, but a writer was seen waiting: it may have come and gone between the two looks, and then nobody
                    // will see the flag.
                    Ok(_) if state & !WAITERS == 0 && self.writers_waiting.load(Ordering::SeqCst) == 0 => state = with,
                    Ok(_) => return false,
                    Err(now) => state = now,
                }
                continue;
            }
            match self.state.compare_exchange(state, state + READER, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
    }

    #[cold]
    fn write_slow(&self, state: State) -> Result {
        self.writers_waiting.fetch_add(1, Ordering::SeqCst);
        let result = self.waiters.wait(state, true, None, &mut || self.try_write_slow());
        self.writers_waiting.fetch_sub(1, Ordering::SeqCst);
        if result.is_err() {
            // Readers may have held back for this writer alone.
            self.waiters.wake_up_all();
        }
        result.map(|_| ())
    }

    fn try_write_slow(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let (new, taken) = match state & !WAITERS {
                0 => (state | WRITER, true),
                _ => (state | WAITERS, false),
            };
            match self.state.compare_exchange(state, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return taken,
                Err(now) => state = now,
            }
        }
    }

    /// What the checks of the order of locks know of it.
    #[inline(always)]
    pub(crate) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Whether readers besides the caller, who is one, are counted at this moment.
    #[inline(always)]
    pub(crate) fn is_shared(&self) -> bool {
        self.state.load(Ordering::Relaxed) >= 2 * READER
    }

    /// Whether anybody waits.
    pub(crate) fn is_awaited(&self) -> bool {
        self.state.load(Ordering::Relaxed) & WAITERS != 0
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

    #[inline(always)]
    pub(crate) fn put_reader(&self) {
        let old = self.state.fetch_sub(READER, Ordering::Release);
        if old & WAITERS != 0 && old & !WAITERS == READER {
            self.wake_waiters();
        }
    }

    #[cold]
    fn wake_waiters(&self) {
        // Those that still must wait set the flag again.
        self.state.fetch_and(!WAITERS, Ordering::SeqCst);
        self.waiters.wake_up_all();
    }

    /// The value, through exclusive access.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Whether a writer holds it at this moment.
    pub fn is_write_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & WRITER != 0
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
        // SAFETY: This guard holds `WRITER`.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: This guard holds `WRITER`, alone.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.notes.release();
        self.lock.put_reader();
    }
}

impl<T: ?Sized> Drop for RwWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.notes.release();
        if self.lock.state.fetch_and(!WRITER, Ordering::Release) & WAITERS != 0 {
            self.lock.wake_waiters();
        }
    }
}

impl<'a, T: ?Sized> RwWriteGuard<'a, T> {
    /// Turns exclusive access into shared access without letting a writer in between.
    pub fn downgrade(self) -> RwReadGuard<'a, T> {
        let lock = self.lock;
        core::mem::forget(self);
        lock.state.fetch_add(READER.wrapping_sub(WRITER), Ordering::Release);
        if lock.state.load(Ordering::Relaxed) & WAITERS != 0 {
            lock.wake_waiters();
        }
        RwReadGuard { lock, not_send: PhantomData }
    }
}
