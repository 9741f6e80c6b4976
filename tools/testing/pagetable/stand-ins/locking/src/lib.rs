// SPDX-License-Identifier: GPL-2.0
//! The kernel's locks, by the standard library's.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

pub struct SpinLock<T>(Mutex<T>);

impl<T> SpinLock<T> {
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct SetOnce<T>(OnceLock<T>);

impl<T> SetOnce<T> {
    #[allow(clippy::new_without_default, reason = "as the kernel's")]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }

    pub fn set(&self, value: T) -> Result<(), T> {
        self.0.set(value)
    }
}
