// SPDX-License-Identifier: GPL-2.0
//! The position of an open file: whoever reads or writes there has it for as long as that takes, which is not long: nobody who has it
//! waits for other programs. Anybody may look.
//!
//! Lock: the turn, which sleeps; it is taken first, before all that file systems and texts take. Looking takes none: a text may
//! tell the position of the file that it is read from (`/proc/PID/fdinfo/N`).

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};
use sync::{Mutex, MutexGuard};

/// A position in bytes.
pub(crate) struct Position {
    turn: Mutex<()>,
    value: AtomicI64,
}

impl Position {
    /// The start.
    pub(crate) fn new() -> Self {
        Self { turn: Mutex::new(()), value: AtomicI64::new(0) }
    }

    /// Waits for the turn. What is done with the guard shows when it is dropped.
    #[inline]
    pub(crate) fn lock(&self) -> PositionGuard<'_> {
        let turn = self.turn.lock();
        PositionGuard { value: self.value.load(Relaxed), of: self, _turn: turn }
    }

    /// Sets it without a turn, as Linux where something at the other end may be waited for (`sendfile`, `splice`): of two who do so at a
    /// time, or beside who has the turn, one is the last.
    #[inline]
    pub(crate) fn set(&self, value: i64) {
        self.value.store(value, Relaxed);
    }

    /// Where it stands, or stood before what is done now.
    #[inline]
    pub(crate) fn now(&self) -> i64 {
        self.value.load(Relaxed)
    }
}

/// The turn at a position.
pub(crate) struct PositionGuard<'a> {
    value: i64,
    of: &'a Position,
    _turn: MutexGuard<'a, ()>,
}

impl Deref for PositionGuard<'_> {
    type Target = i64;

    #[inline]
    fn deref(&self) -> &i64 {
        &self.value
    }
}

impl DerefMut for PositionGuard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut i64 {
        &mut self.value
    }
}

impl Drop for PositionGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // Before the turn is given up, which the field does.
        self.of.value.store(self.value, Relaxed);
    }
}
