// SPDX-License-Identifier: GPL-2.0
//! Getting space in the log back: when all blocks of the oldest transactions are home, recovery does not need them any more, and
//! the tail moves. The journal's thread brings them home when half the log is taken, or when they have waited as long as dirty
//! pages do; a handle that finds no room does it itself.

use crate::Tid;
use crate::journal::Journal;
use crate::state::State;
use crate::system::{Buffer, Monitor, System};
use errno::Result;
use errno::code::{EIO, ENOMEM, ENOSPC};
use kalloc::flags::GFP_NOFS;
use kalloc::{KVVec, KVec};

/// Buffers that are written home at once.
const AT_ONCE: usize = 64;

/// What one step of checkpointing found.
enum Step {
    /// There is enough space (or nothing is left to write home).
    Done,
    /// Some was written: look again.
    Again,
    /// This transaction must be committed first: it has changed a buffer that an older one waits for.
    Commit(Tid),
}

/// What the oldest transaction waits for.
enum Todo<S: System> {
    Nothing,
    Write(KVec<S::Buf>),
    Commit(Tid),
    Failed,
}

impl<S: System> Journal<S> {
    /// Makes room in the log for a transaction. `EIO` if the journal gets aborted meanwhile.
    pub(crate) fn make_space(&self) -> Result {
        self.checkpoint(false)
    }

    /// Writes home all that is committed.
    pub(crate) fn checkpoint_all(&self) -> Result {
        self.checkpoint(true)
    }

    fn checkpoint(&self, all: bool) -> Result {
        loop {
            match self.checkpointing.with(|()| self.checkpoint_step(all))? {
                Step::Done => return Ok(()),
                Step::Again => {}
                // Without the lock: the one who commits may need it.
                Step::Commit(tid) => self.commit_upto(tid)?,
            }
        }
    }

    fn checkpoint_step(&self, all: bool) -> Result<Step> {
        let (todo, space) = self.state.with(|state| {
            state.check_kept()?;
            let space = !all && state.space_left() >= self.max_transaction;
            Ok::<_, errno::Error>((if space { Todo::Nothing } else { oldest_todo(state)? }, space))
        })?;
        if space {
            return Ok(Step::Done);
        }
        match todo {
            Todo::Write(buffers) => {
                self.write_home(&buffers)?;
                Ok(Step::Again)
            }
            Todo::Failed => {
                self.abort(EIO);
                Err(EIO)
            }
            Todo::Commit(tid) => {
                // What the older ones gave free may do already.
                if self.advance_tail()? { Ok(Step::Again) } else { Ok(Step::Commit(tid)) }
            }
            Todo::Nothing => {
                if self.advance_tail()? {
                    return Ok(Step::Again);
                }
                if all {
                    return Ok(Step::Done);
                }
                let holder = self.state.with(|state| {
                    let running = state.running.as_ref().map(|running| running.tid);
                    state.committing.map(|committing| committing.tid).or(running)
                });
                // With nothing in the log there must be space.
                holder.map(Step::Commit).ok_or(ENOSPC)
            }
        }
    }

    /// When the thread is to bring older transactions home: at once with half the log taken. Under the lock.
    pub(crate) fn home_time(&self, state: &State<S>) -> u64 {
        let Some(oldest) = state.checkpoints.first() else { return u64::MAX };
        if state.home_after == Some(state.committed) || state.abort.is_some() {
            return u64::MAX;
        }
        if state.is_half_full() { 0 } else { oldest.since_ns.saturating_add(self.sys.expire_ns()) }
    }

    /// A step of bringing older transactions home, by the thread. What the running transaction has changed again waits for its
    /// commit. An error aborts the journal.
    pub(crate) fn bring_home(&self) {
        let _ = self.checkpointing.with(|()| self.home_step());
    }

    fn home_step(&self) -> Result {
        let todo = self.state.with(oldest_todo).inspect_err(|_| self.rest_until_commit())?;
        match todo {
            Todo::Write(buffers) => self.write_home(&buffers).inspect_err(|_| self.rest_until_commit()),
            Todo::Failed => {
                self.abort(EIO);
                Err(EIO)
            }
            Todo::Commit(_) | Todo::Nothing => {
                self.rest_until_commit();
                // Each move of the tail is a flush of the device: only when it gives much.
                let worth = self.state.with(|state| {
                    let freed = state.area.distance(state.tail, state.oldest().1);
                    freed != 0 && (state.is_half_full() || freed >= self.max_transaction) && !state.flushed
                });
                if worth { self.advance_tail().map(drop) } else { Ok(()) }
            }
        }
    }

    /// Writes buffers home. An error aborts the journal, but for want of memory: what could not be tried stays dirty.
    fn write_home(&self, buffers: &[S::Buf]) -> Result {
        self.sys.write_back(buffers).inspect_err(|error| {
            if *error != ENOMEM {
                self.abort(*error);
            }
        })
    }

    /// There is nothing to bring home until another transaction is committed.
    fn rest_until_commit(&self) {
        self.state.with(|state| state.home_after = Some(state.committed));
    }

    /// Moves the tail to the oldest transaction that recovery needs; the caller holds `checkpointing`. Whether it moved.
    fn advance_tail(&self) -> Result<bool> {
        let (tid, start, old) = self.state.with(|state| {
            let (tid, start) = state.oldest();
            (tid, start, state.tail_tid)
        });
        if tid == old {
            return Ok(false);
        }
        // What was written home must be there before the log's copy can be overwritten.
        if self.barrier() {
            // What was written home may be lost now.
            self.sys.fs().flush().inspect_err(|error| self.abort(*error))?;
        }
        self.write_tail(tid, Some(start))?;
        self.state.with(|state| {
            state.free += state.area.distance(state.tail, start);
            (state.tail, state.tail_tid) = (start, tid);
        });
        self.state.wake();
        Ok(true)
    }

    /// After a commit: drops what write-back has brought home, and moves the tail if that gives much.
    pub(crate) fn tidy(&self) {
        let worth = self.state.with(|state| {
            drop_clean(state);
            let freed = state.area.distance(state.tail, state.oldest().1);
            state.abort.is_none() && freed >= self.max_transaction && !state.flushed
        });
        if worth {
            // An error has aborted the journal; the next user sees that.
            let _ = self.checkpointing.with(|()| self.advance_tail());
        }
    }
}

/// Drops transactions from the old end whose buffers are all home.
fn drop_clean<S: System>(state: &mut State<S>) {
    while let Some(oldest) = state.checkpoints.first_mut() {
        let tid = oldest.tid;
        let mut buffers = core::mem::take(&mut oldest.buffers);
        // The usual case is that none is home, or all: the first that is not ends it.
        while let Some(buf) = buffers.pop() {
            if !state.try_clean(tid, &buf) {
                let _ = buffers.push_within_capacity(buf);
                break;
            }
        }
        let empty = buffers.is_empty();
        if let Some(oldest) = state.checkpoints.first_mut() {
            oldest.buffers = buffers;
        }
        if !empty {
            break;
        }
        let _ = state.checkpoints.remove(0);
    }
}

/// What must be done for the oldest transaction to go.
fn oldest_todo<S: System>(state: &mut State<S>) -> Result<Todo<S>> {
    loop {
        drop_clean(state);
        let Some(oldest) = state.checkpoints.first_mut() else { return Ok(Todo::Nothing) };
        let tid = oldest.tid;
        let mut buffers = core::mem::take(&mut oldest.buffers);
        let todo = sort_out(state, tid, &mut buffers);
        let empty = buffers.is_empty();
        if let Some(oldest) = state.checkpoints.first_mut() {
            oldest.buffers = buffers;
        }
        if !empty {
            return todo;
        }
    }
}

/// Drops the buffers that are home from a transaction's, and says what the rest waits for.
fn sort_out<S: System>(state: &mut State<S>, tid: Tid, buffers: &mut KVVec<S::Buf>) -> Result<Todo<S>> {
    let mut write = KVec::new();
    let (mut owner, mut failed, mut error) = (None, false, None);
    buffers.retain(|buf| {
        if write.len() >= AT_ONCE || error.is_some() {
            return true;
        }
        if state.try_clean(tid, buf) {
            return false;
        }
        let Some(head) = state.heads.get(&buf.block()) else { return false };
        match head.owner {
            Some(tid) => owner = Some(tid),
            // One that came home since `try_clean` looked is no failure: writing it does nothing, and the next look drops it.
            None if buf.has_failed() && !buf.is_busy() => failed = true,
            None => error = write.push(buf.clone(), GFP_NOFS).err(),
        }
        true
    });
    if let (Some(error), true) = (error, write.is_empty()) {
        return Err(error.into());
    }
    Ok(match owner {
        _ if failed => Todo::Failed,
        _ if !write.is_empty() => Todo::Write(write),
        Some(tid) => Todo::Commit(tid),
        None => Todo::Nothing,
    })
}
