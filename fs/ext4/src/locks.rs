// SPDX-License-Identifier: GPL-2.0
//! The kernel's locks as the pure crates below want them.

use core::sync::atomic::{AtomicU64, Ordering};
use errno::Result;
use ext4_store::{MutexLike, OnceLike};
use kernel::filesystem::locking::SetOnce;
use kernel::filesystem::sync::{Mutex, MutexGuard, WaitQueue};

/// A sleeping lock.
pub(crate) struct KMutex<T>(Mutex<T>);

impl<T: Send> MutexLike<T> for KMutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    #[track_caller]
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock()
    }

    #[inline]
    fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock()
    }
}

/// A set-once cell.
pub(crate) struct KOnce<T>(SetOnce<T>);

impl<T: Send + Sync> OnceLike<T> for KOnce<T> {
    fn new() -> Self {
        Self(SetOnce::new())
    }

    #[inline]
    fn get(&self) -> Option<&T> {
        self.0.get()
    }

    fn set(&self, value: T) -> Result<(), T> {
        self.0.set(value)
    }
}

/// A lock that one can sleep in until what it guards has changed.
pub(crate) struct KMonitor<T> {
    value: Mutex<T>,
    /// Counts wake-ups, so that none between the look and the sleep is lost.
    changes: AtomicU64,
    waiters: WaitQueue,
}

impl<T: Send> jbd2::Monitor<T> for KMonitor<T> {
    #[track_caller]
    fn new(value: T) -> Result<Self> {
        Ok(Self { value: Mutex::new(value), changes: AtomicU64::new(0), waiters: WaitQueue::new() })
    }

    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.value.lock())
    }

    fn wait<R>(&self, mut f: impl FnMut(&mut T) -> Option<R>) -> R {
        loop {
            let seen = self.changes.load(Ordering::Acquire);
            if let Some(value) = f(&mut self.value.lock()) {
                return value;
            }
            self.waiters.wait_until(|| self.changes.load(Ordering::Acquire) != seen);
        }
    }

    fn wait_until<R>(&self, deadline_ns: u64, mut f: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let deadline = (deadline_ns != u64::MAX).then_some(deadline_ns);
        loop {
            let seen = self.changes.load(Ordering::Acquire);
            if let Some(value) = f(&mut self.value.lock()) {
                return Some(value);
            }
            if !self.waiters.wait_idle_exclusive(deadline, || self.changes.load(Ordering::Acquire) != seen) {
                return None;
            }
        }
    }

    fn wake(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.waiters.wake_up_all();
    }
}
