// SPDX-License-Identifier: GPL-2.0
//! Handles: the part of a transaction that belongs to one operation. A handle reserves room in the log (credits) before it
//! changes anything, so that a commit never lacks it.

use crate::Tid;
use crate::journal::Journal;
use crate::state::{State, Transaction};
use crate::system::{Monitor, System};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EIO, ENOSPC, EROFS};
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KVVec};

/// An open handle. While it lives its transaction cannot commit. Dropping it stops it.
pub struct Handle<S: System> {
    pub(crate) journal: Arc<Journal<S>>,
    pub(crate) tid: Tid,
    /// Buffers that it may still dirty.
    pub(crate) credits: u32,
    /// Blocks that it may still revoke.
    pub(crate) revokes: u32,
    pub(crate) sync: bool,
    open: bool,
}

/// What one who wants to join a transaction must do first.
enum Join {
    Joined(Tid),
    /// Make room in the log.
    Space,
    /// Have this transaction committed (there is no thread that does).
    Commit(Tid),
}

impl<S: System> Journal<S> {
    /// A handle that may dirty `credits` buffers and revoke `revokes` blocks. Sleeps for a commit or for space in the log.
    /// `EROFS` if the journal is aborted, `ENOSPC` if no transaction can be so large.
    pub fn start(journal: &Arc<Self>, credits: u32, revokes: u32) -> Result<Handle<S>> {
        let tid = journal.join(credits, revokes)?;
        Ok(Handle { journal: journal.clone(), tid, credits, revokes, sync: false, open: true })
    }

    /// How many blocks of revoke records there are for so many numbers.
    pub(crate) fn revoke_blocks(&self, revokes: u32) -> u32 {
        revokes.div_ceil(self.features.revokes_per_block(self.block_size).max(1) as u32)
    }

    fn join(&self, credits: u32, revokes: u32) -> Result<Tid> {
        if credits.saturating_add(self.revoke_blocks(revokes)) > self.max_credits {
            return Err(ENOSPC);
        }
        // When it began to wait, if it had to.
        let mut began = None;
        loop {
            let join = self.state.wait(|state| {
                let join = self.try_join(state, credits, revokes);
                match (&join, began) {
                    (None, None) => began = Some(self.sys.clock_ns()),
                    (Some(Ok(Join::Joined(_))), Some(began)) => {
                        state.stats.wait += self.sys.clock_ns().saturating_sub(began);
                    }
                    _ => {}
                }
                state.joining |= join.is_none();
                join
            });
            match join? {
                Join::Joined(tid) => return Ok(tid),
                Join::Space => self.make_space()?,
                Join::Commit(tid) => self.commit_upto(tid)?,
            }
        }
    }

    /// One attempt, under the lock; `None` to sleep.
    fn try_join(&self, state: &mut State<S>, credits: u32, revokes: u32) -> Option<Result<Join>> {
        if state.abort.is_some() {
            return Some(Err(EROFS));
        }
        if state.barriers != 0 {
            return None;
        }
        let space = state.space_left() >= self.max_transaction;
        if state.running.is_none() {
            if !space {
                return Some(Ok(Join::Space));
            }
            if let Err(error) = self.begin(state) {
                return Some(Err(error));
            }
        }
        let threaded = state.threaded;
        let running = state.running.as_mut()?;
        if running.locked {
            return if threaded || state.busy { None } else { Some(Ok(Join::Commit(running.tid))) };
        }
        let wanted = running.credits + credits + self.revoke_blocks(running.revokes + revokes);
        if wanted > self.max_credits {
            let tid = running.tid;
            if !threaded {
                return Some(Ok(Join::Commit(tid)));
            }
            self.request(state, tid);
            return None;
        }
        if !space {
            return Some(Ok(Join::Space));
        }
        running.updates += 1;
        running.handles += 1;
        running.credits += credits;
        running.revokes += revokes;
        Some(Ok(Join::Joined(running.tid)))
    }

    /// Begins a transaction.
    fn begin(&self, state: &mut State<S>) -> Result {
        // For this one's checkpoint and that of the one being committed: a commit must not need memory.
        state.checkpoints.reserve(2, GFP_NOFS)?;
        let now = self.sys.clock_ns();
        let tid = state.next_tid;
        state.next_tid = tid.wrapping_add(1);
        state.running = Some(Transaction {
            tid,
            locked: false,
            updates: 0,
            credits: 0,
            revokes: 0,
            buffers: KVVec::new(),
            ordered: KVVec::new(),
            started_ns: now,
            expires_ns: now.saturating_add(self.config().commit_interval_ns),
            requested_ns: 0,
            handles: 0,
            sync: false,
        });
        // The thread's next wake-up is this transaction's, unless it looks before that by itself.
        if state.running.as_ref().is_some_and(|running| running.expires_ns < state.looks_ns) {
            self.state.wake();
        }
        Ok(())
    }

    /// Asks for a commit of the running transaction; the caller holds the lock. True if that was news.
    pub(crate) fn request(&self, state: &mut State<S>, tid: Tid) -> bool {
        let now = self.sys.clock_ns();
        let Some(running) = state.running.as_mut().filter(|running| running.tid == tid) else { return false };
        if running.requested_ns == 0 {
            running.requested_ns = now;
        }
        if state.requested == tid {
            return false;
        }
        state.requested = tid;
        state.stats.requested += 1;
        self.state.wake();
        true
    }

    /// Takes a handle's part out of the running transaction. Returns whether to wake those who wait for that.
    fn leave(&self, state: &mut State<S>, handle: &mut Handle<S>) -> bool {
        let barriers = state.barriers != 0;
        let Some(running) = state.running.as_mut().filter(|running| running.tid == handle.tid) else { return false };
        running.credits = running.credits.saturating_sub(handle.credits);
        running.revokes = running.revokes.saturating_sub(handle.revokes);
        (handle.credits, handle.revokes) = (0, 0);
        running.updates = running.updates.saturating_sub(1);
        running.sync |= handle.sync;
        running.updates == 0 && (running.locked || barriers)
    }
}

impl<S: System> Handle<S> {
    /// Number of the transaction.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Buffers that the handle may still dirty.
    pub fn credits(&self) -> u32 {
        self.credits
    }

    /// The changes shall be on the disk when the handle is stopped.
    pub fn set_sync(&mut self) {
        self.sync = true;
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<Journal<S>> {
        &self.journal
    }

    pub(crate) fn check(&self) -> Result {
        if self.journal.dead.load(Ordering::Relaxed) { Err(EROFS) } else { Ok(()) }
    }

    /// More credits; false if the transaction has no room for them or is about to commit. Does not sleep for a commit.
    pub fn extend(&mut self, credits: u32, revokes: u32) -> Result<bool> {
        self.check()?;
        let journal = &self.journal;
        let granted = journal.state.with(|state| {
            let Some(running) = state.running.as_mut().filter(|running| running.tid == self.tid && !running.locked)
            else {
                return false;
            };
            let wanted = running.credits.saturating_add(credits);
            if wanted.saturating_add(journal.revoke_blocks(running.revokes + revokes)) > journal.max_credits {
                return false;
            }
            running.credits += credits;
            running.revokes += revokes;
            true
        });
        if granted {
            self.credits += credits;
            self.revokes += revokes;
        }
        Ok(granted)
    }

    /// Leaves the transaction, which is asked to commit, and joins the running one with new credits. Sleeps as `start` does.
    /// After an error the handle may only be stopped.
    pub fn restart(&mut self, credits: u32, revokes: u32) -> Result {
        self.check()?;
        let journal = self.journal.clone();
        let wake = journal.state.with(|state| {
            let wake = journal.leave(state, self);
            journal.request(state, self.tid);
            wake
        });
        self.open = false;
        if wake {
            journal.state.wake();
        }
        self.tid = journal.join(credits, revokes)?;
        (self.credits, self.revokes, self.open) = (credits, revokes, true);
        Ok(())
    }

    /// Ends the handle; with `set_sync`, waits for the commit: `EIO` if that fails.
    pub fn stop(mut self) -> Result {
        self.finish()
    }

    fn finish(&mut self) -> Result {
        if !core::mem::replace(&mut self.open, false) {
            return Ok(());
        }
        let journal = self.journal.clone();
        if self.sync {
            journal.let_others_join();
        }
        let wake = journal.state.with(|state| {
            let wake = journal.leave(state, self);
            if self.sync {
                journal.request(state, self.tid);
            }
            wake
        });
        if wake {
            journal.state.wake();
        }
        if self.sync {
            return journal.wait_commit(self.tid);
        }
        if journal.is_aborted() { Err(EIO) } else { Ok(()) }
    }
}

impl<S: System> Drop for Handle<S> {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}
