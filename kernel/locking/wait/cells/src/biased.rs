// SPDX-License-Identifier: GPL-2.0
//! `BiasedRwSemaphore<T>`: an [`RwSemaphore`] for locks that many CPUs take for reading at once and few for writing (address spaces).
//! How: `raw_sleep::Bias`.

use crate::rwsem::{RwSemaphore, RwWriteGuard};
use core::marker::PhantomData;
use core::ops::Deref;
use raw_sleep::{Bias, Ticket};

/// A value with shared and exclusive access; waiters sleep.
///
/// # Invariants
/// `bias` lets readers and writers in, all of them of `inner`.
pub struct BiasedRwSemaphore<T> {
    inner: RwSemaphore<T>,
    bias: Bias,
}

impl<T> BiasedRwSemaphore<T> {
    /// A free semaphore. The caller's place is its class for the lock-order checker.
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self { inner: RwSemaphore::new(value), bias: Bias::new() }
    }

    #[inline(always)]
    fn reader(&self, ticket: Ticket) -> BiasedReadGuard<'_, T> {
        BiasedReadGuard { lock: self, ticket, not_send: PhantomData }
    }

    /// Takes it for reading; sleeps while a writer has it or waits for it.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> BiasedReadGuard<'_, T> {
        self.reader(self.bias.read(self.inner.raw()))
    }

    /// As [`Self::read`], by the count in any case, for who can do without the semaphore if that is worth it: `often` is called, with
    /// the semaphore held, when readers have met often or waited for writers.
    #[inline]
    #[track_caller]
    pub fn read_counted(&self, often: impl FnOnce(&T)) -> BiasedReadGuard<'_, T> {
        let (ticket, is_often) = self.bias.read_counted(self.inner.raw());
        let guard = self.reader(ticket);
        if is_often {
            often(&guard);
        }
        guard
    }

    /// Takes it for reading if that needs no waiting.
    #[inline]
    pub fn try_read(&self) -> Option<BiasedReadGuard<'_, T>> {
        self.bias.try_read(self.inner.raw()).map(|ticket| self.reader(ticket))
    }

    /// As [`RwSemaphore::try_read_beside`]: writers that wait keep nobody out here.
    pub fn try_read_beside(&self) -> Option<BiasedReadGuard<'_, T>> {
        self.bias.try_read_beside(self.inner.raw()).map(|ticket| self.reader(ticket))
    }

    /// Takes it for writing; sleeps while anybody has it.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> RwWriteGuard<'_, T> {
        self.bias.write(self.inner.raw());
        self.inner.writer()
    }

    /// The value, through exclusive access.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    /// Whether readers leave the count alone at the moment.
    pub fn is_biased(&self) -> bool {
        self.bias.is_biased()
    }
}

/// Shared access.
#[must_use]
pub struct BiasedReadGuard<'a, T> {
    lock: &'a BiasedRwSemaphore<T>,
    ticket: Ticket,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: Sharing a guard shares `&T` only.
unsafe impl<T: Sync> Sync for BiasedReadGuard<'_, T> {}

impl<T> Deref for BiasedReadGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: This reader was let in and has its ticket still, so no writer is in.
        unsafe { self.lock.inner.value() }
    }
}

impl<T> Drop for BiasedReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.bias.read_done(self.lock.inner.raw(), self.ticket);
    }
}
