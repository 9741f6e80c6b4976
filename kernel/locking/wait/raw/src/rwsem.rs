// SPDX-License-Identifier: GPL-2.0
//! `RawRwSemaphore`: many readers or one writer, sleeping. A waiting writer keeps new readers out.

use core::sync::atomic::{AtomicU32, Ordering};
use errno::Result;
use task::State;
use wait_event::Notes;
use wait_queue::WaitQueue;

const WRITER: u32 = 1;
/// Somebody waits: the fast paths are closed, and who gives back wakes.
const WAITERS: u32 = 2;
const READER: u32 = 4;

/// Shared and exclusive access; waiters sleep.
///
/// # Invariants
/// `state` has `WRITER` set, or counts readers in units of `READER`.
pub struct RawRwSemaphore {
    state: AtomicU32,
    /// Writers that wait; readers hold back while it is not zero.
    writers_waiting: AtomicU32,
    waiters: WaitQueue,
    notes: Notes,
}

impl RawRwSemaphore {
    /// A free one. The caller's place is its class for the lock-order checker.
    #[expect(clippy::new_without_default, reason = "made in constants, with a place")]
    #[track_caller]
    pub const fn new() -> Self {
        Self {
            state: AtomicU32::new(0),
            writers_waiting: AtomicU32::new(0),
            waiters: WaitQueue::new(),
            notes: Notes::here(),
        }
    }

    /// Takes it for reading; sleeps while a writer has it or waits for it.
    #[inline]
    #[track_caller]
    pub fn read(&self) {
        task::might_sleep();
        self.notes.acquire();
        if !self.try_read_fast() {
            // Without signals or a deadline the wait ends only with the lock taken.
            let _ = self.waiters.wait(State::UNINTERRUPTIBLE, false, None, &mut || self.try_read_slow());
        }
    }

    /// As [`Self::read`]; whether it had to wait.
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
    pub fn try_read(&self) -> bool {
        let taken = self.try_read_fast();
        if taken {
            self.notes.acquired();
        }
        taken
    }

    /// Takes it for reading if no writer has it, whoever waits. For those on whom readers wait: a writer that waits for such a reader
    /// must not keep them out. To be held briefly.
    pub fn try_read_beside(&self) -> bool {
        let beside = |state: u32| (state & WRITER == 0).then(|| state.checked_add(READER)).flatten();
        let taken = self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, beside).is_ok();
        if taken {
            self.notes.acquired();
        }
        taken
    }

    #[inline(always)]
    fn try_write_fast(&self) -> bool {
        self.state.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes it for writing; sleeps while anybody has it.
    #[inline]
    #[track_caller]
    pub fn write(&self) {
        task::might_sleep();
        self.notes.acquire();
        self.write_noted();
    }

    /// [`Self::write`], of which the checks know already.
    #[inline(always)]
    pub fn write_noted(&self) {
        if !self.try_write_fast() {
            // As in `read`.
            let _ = self.write_slow(State::UNINTERRUPTIBLE);
        }
    }

    /// As [`Self::write`], for the second of two of a kind whose order something else makes sure of (Linux's `down_write_nested`):
    /// the checks of the order of locks do not learn from it.
    pub fn write_nested(&self) {
        task::might_sleep();
        self.write_noted();
        self.notes.acquired();
    }

    /// Takes it for writing if that needs no waiting.
    #[inline]
    pub fn try_write(&self) -> bool {
        let taken = self.try_write_fast();
        if taken {
            self.notes.acquired();
        }
        taken
    }

    /// As [`Self::write`], but a fatal signal ends the wait with `ERESTARTSYS`.
    #[inline]
    #[track_caller]
    pub fn write_killable(&self) -> Result {
        task::might_sleep();
        self.notes.acquire();
        if !self.try_write_fast() {
            self.write_slow(State::KILLABLE).inspect_err(|_| self.notes.release())?;
        }
        Ok(())
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
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Whether readers besides the caller, who is one, are counted at this moment.
    #[inline(always)]
    pub fn is_shared(&self) -> bool {
        self.state.load(Ordering::Relaxed) >= 2 * READER
    }

    /// Whether anybody waits.
    #[inline(always)]
    pub fn is_awaited(&self) -> bool {
        self.state.load(Ordering::Relaxed) & WAITERS != 0
    }

    /// Gives shared access back. By a reader.
    #[inline]
    pub fn read_done(&self) {
        self.notes.release();
        self.put_reader();
    }

    /// [`Self::read_done`], of which the checks know already.
    #[inline(always)]
    pub fn put_reader(&self) {
        let old = self.state.fetch_sub(READER, Ordering::Release);
        if old & WAITERS != 0 && old & !WAITERS == READER {
            self.wake_waiters();
        }
    }

    /// Gives exclusive access back. By the writer.
    #[inline]
    pub fn write_done(&self) {
        self.notes.release();
        if self.state.fetch_and(!WRITER, Ordering::Release) & WAITERS != 0 {
            self.wake_waiters();
        }
    }

    /// Turns exclusive access into shared access without letting a writer in between. By the writer.
    pub fn downgrade(&self) {
        self.state.fetch_add(READER.wrapping_sub(WRITER), Ordering::Release);
        if self.state.load(Ordering::Relaxed) & WAITERS != 0 {
            self.wake_waiters();
        }
    }

    #[cold]
    fn wake_waiters(&self) {
        // Those that still must wait set the flag again.
        self.state.fetch_and(!WAITERS, Ordering::SeqCst);
        self.waiters.wake_up_all();
    }

    /// Whether a writer has it at this moment.
    pub fn is_write_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & WRITER != 0
    }
}
