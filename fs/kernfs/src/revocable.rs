// SPDX-License-Identifier: GPL-2.0
//! `Revocable`: what a module gives to files that may stay open longer than the module. Locks: a spin lock around the pointer;
//! nothing is held while what is behind it runs, so it may itself take others back.

use kalloc::Arc;
use locking::SpinLock;
use sync::WaitQueue;

/// A value that can be used until its owner takes it back.
pub struct Revocable<T: ?Sized> {
    value: SpinLock<Option<Arc<T>>>,
    /// The owner waits here for the last user.
    used: WaitQueue,
}

impl<T: ?Sized> Revocable<T> {
    /// A value that can be used.
    pub fn new(value: Arc<T>) -> Self {
        Self { value: SpinLock::new(Some(value)), used: WaitQueue::new() }
    }

    /// Calls `f` with the value; `None`: it was taken back.
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        let value = self.value.lock().clone()?;
        let result = f(&value);
        // Never the last reference: the owner has one until it has seen ours go.
        drop(value);
        self.used.wake_up_all();
        Some(result)
    }

    /// Takes the value back: waits for those who use it, and drops it. Not from inside of `with`. May sleep.
    pub fn revoke(&self) {
        let taken = self.value.lock().take();
        if let Some(value) = taken {
            self.used.wait_until(|| Arc::strong_count(&value) == 1);
        }
    }

    /// Whether the value was not taken back.
    pub fn is_there(&self) -> bool {
        self.value.lock().is_some()
    }
}
