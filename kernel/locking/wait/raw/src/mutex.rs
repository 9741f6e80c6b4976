// SPDX-License-Identifier: GPL-2.0
//! `RawMutex`: free to take and give back with one atomic operation each when nobody waits.

use core::sync::atomic::{AtomicU32, Ordering};
use errno::Result;
use task::State;
use wait_event::Notes;
use wait_queue::WaitQueue;

const FREE: u32 = 0;
const LOCKED: u32 = 1;
/// Locked, and somebody may wait.
const CONTENDED: u32 = 2;

/// What one task at a time has; waiters sleep.
pub struct RawMutex {
    state: AtomicU32,
    waiters: WaitQueue,
    notes: Notes,
}

impl RawMutex {
    /// A free one. The caller's place is its class for the lock-order checker.
    #[expect(clippy::new_without_default, reason = "made in constants, with a place")]
    #[track_caller]
    pub const fn new() -> Self {
        Self { state: AtomicU32::new(FREE), waiters: WaitQueue::new(), notes: Notes::here() }
    }

    /// As [`Self::new`], with another place as its class.
    pub const fn new_at(place: &'static core::panic::Location<'static>) -> Self {
        Self { state: AtomicU32::new(FREE), waiters: WaitQueue::new(), notes: Notes::at(place) }
    }

    #[inline(always)]
    fn take(&self) -> bool {
        self.state.compare_exchange(FREE, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes it; sleeps while another task has it.
    #[inline]
    #[track_caller]
    pub fn lock(&self) {
        task::might_sleep();
        self.notes.acquire();
        if !self.take() {
            // Without signals or a deadline the wait ends only with the lock taken.
            let _ = self.lock_slow(State::UNINTERRUPTIBLE);
        }
    }

    /// As [`Self::lock`], but a signal ends the wait with `ERESTARTSYS`.
    #[inline]
    #[track_caller]
    pub fn lock_interruptible(&self) -> Result {
        task::might_sleep();
        self.notes.acquire();
        if !self.take() {
            self.lock_slow(State::INTERRUPTIBLE).inspect_err(|_| self.notes.release())?;
        }
        Ok(())
    }

    /// As [`Self::lock`], but a fatal signal ends the wait with `ERESTARTSYS`: where who has it may wait for a program.
    #[inline]
    #[track_caller]
    pub fn lock_killable(&self) -> Result {
        task::might_sleep();
        self.notes.acquire();
        if !self.take() {
            self.lock_slow(State::KILLABLE).inspect_err(|_| self.notes.release())?;
        }
        Ok(())
    }

    /// Takes it if it is free. Any context but hard interrupts.
    #[inline]
    pub fn try_lock(&self) -> bool {
        let taken = self.take();
        if taken {
            self.notes.acquired();
        }
        taken
    }

    #[cold]
    fn lock_slow(&self, state: State) -> Result {
        self.waiters.wait(state, true, None, &mut || self.state.swap(CONTENDED, Ordering::Acquire) == FREE)?;
        Ok(())
    }

    /// Gives it back. By who has it.
    #[inline]
    pub fn unlock(&self) {
        self.notes.release();
        if self.state.swap(FREE, Ordering::Release) == CONTENDED {
            self.waiters.wake_up();
        }
    }

    /// Whether some task has it at this moment.
    pub fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) != FREE
    }
}
