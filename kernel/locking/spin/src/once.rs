// SPDX-License-Identifier: GPL-2.0
//! Cells that are set once and then only read.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU8, Ordering};
use x86_cpu::asm::cpu_relax;

const EMPTY: u8 = 0;
const BUSY: u8 = 1;
const READY: u8 = 2;

/// A value that is set at most once.
///
/// # Invariants
/// `value` is initialised, and never written again, once `state` is `READY`.
pub struct SetOnce<T> {
    state: AtomicU8,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: One thread writes (the one that moved the state to BUSY), others only read after READY.
unsafe impl<T: Send + Sync> Sync for SetOnce<T> {}
// SAFETY: Owning the cell is owning the value.
unsafe impl<T: Send> Send for SetOnce<T> {}

impl<T> SetOnce<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        Self { state: AtomicU8::new(EMPTY), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Sets the value; gives it back if the cell was set (or is being set) already.
    pub fn set(&self, value: T) -> Result<(), T> {
        if self.state.compare_exchange(EMPTY, BUSY, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return Err(value);
        }
        // SAFETY: This thread alone moved the state to BUSY, and readers wait for READY.
        unsafe { (*self.value.get()).write(value) };
        self.state.store(READY, Ordering::Release);
        Ok(())
    }

    /// The value, if set.
    #[inline(always)]
    pub fn get(&self) -> Option<&T> {
        if self.state.load(Ordering::Acquire) != READY {
            return None;
        }
        // SAFETY: READY, so by the type invariant the value is there and constant.
        Some(unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value, made by `make` if it is not there yet. Another caller that is just making it is waited for (spinning), so
    /// `make` must be short and must not call this again.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if self.state.load(Ordering::Acquire) == EMPTY {
            // A lost race gives the value back; it is dropped and the winner's is used.
            let _ = self.set(make());
        }
        loop {
            if let Some(value) = self.get() {
                return value;
            }
            cpu_relax();
        }
    }
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for SetOnce<T> {
    fn drop(&mut self) {
        if *self.state.get_mut() == READY {
            // SAFETY: READY, so the value is initialised, and nobody can read it any more.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}
