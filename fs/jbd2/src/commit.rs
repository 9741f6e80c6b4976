// SPDX-License-Identifier: GPL-2.0
//! Committing a transaction: keep new handles out, wait for the open ones, let the next transaction begin, write data that
//! must be first, then the log, then the commit block between two flushes; at last hand the buffers to write-back.

use crate::Tid;
use crate::format::INCOMPAT_ASYNC_COMMIT;
use crate::journal::Journal;
use crate::log::LogWriter;
use crate::state::{Checkpoint, Committing, List, State, Transaction};
use crate::system::{Buffer, LogBuf, Monitor, System, WriteFlags};
use containers::HashMap;
use errno::Result;
use errno::code::EIO;

/// Buffers that are dealt with under one hold of the lock.
const AT_ONCE: usize = 32;

/// A transaction taken out of the state to be written.
struct Taken<S: System> {
    transaction: Transaction<S>,
    revoked: HashMap<u64, ()>,
    log_start: u32,
}

impl<S: System> Journal<S> {
    /// Commits the running transaction, if there is one, in this task. Only one commit runs at a time: waits for another
    /// first. Errors abort the journal; they are seen by those who wait for the commit.
    pub(crate) fn commit_running(&self) {
        let Some((tid, began)) = self.state.wait(|state| self.claim_running(state)) else { return };
        self.start_log();
        let locked = self.sys.clock_ns();
        let (mut taken, joining) = self.state.wait(|state| {
            let taken = take(state, tid)?;
            Some((taken, core::mem::take(&mut state.joining)))
        });
        // Who waits for the commit itself need not look yet.
        if joining {
            self.state.wake();
        }
        let flushing = self.sys.clock_ns();
        let logged = match self.write_transaction(&mut taken) {
            Ok(blocks) => blocks,
            Err(error) => {
                self.abort(error);
                0
            }
        };
        let logging = self.sys.clock_ns();
        self.hand_over(&mut taken);
        let Taken { transaction, log_start, .. } = taken;
        let (started, handles, blocks) = (transaction.started_ns, transaction.handles, transaction.buffers.len());
        let requested = transaction.requested_ns;
        self.state.with(|state| {
            if !transaction.buffers.is_empty() {
                // Room was made when the transaction began.
                let done = Checkpoint { tid, log_start, since_ns: logging, buffers: transaction.buffers };
                let _ = state.checkpoints.push_within_capacity(done);
            }
            state.committing = None;
            state.committed = tid;
            state.busy = false;
            let stats = &mut state.stats;
            stats.commits += 1;
            stats.request_delay += if requested == 0 { 0 } else { began.saturating_sub(requested) };
            stats.running += began.saturating_sub(started);
            stats.locked += flushing.saturating_sub(locked);
            stats.logging += logging.saturating_sub(flushing);
            stats.handles += u64::from(handles);
            stats.blocks += blocks as u64;
            stats.logged += logged;
            let took = logging.saturating_sub(began);
            stats.average_commit = if stats.average_commit == 0 { took } else { (took + stats.average_commit * 3) / 4 };
        });
        self.sys.committed(tid);
        self.state.wake();
        self.tidy();
    }

    /// Under the lock: becomes the one who commits. `Some(None)` if there is nothing to commit.
    #[allow(clippy::option_option)]
    fn claim_running(&self, state: &mut State<S>) -> Option<Option<(Tid, u64)>> {
        if state.busy {
            return None;
        }
        let Some(running) = &mut state.running else { return Some(None) };
        running.locked = true;
        state.busy = true;
        Some(Some((running.tid, self.sys.clock_ns())))
    }

    /// If the superblock on the disk says that the log is empty, it must say where this transaction begins before that is
    /// there.
    fn start_log(&self) {
        self.checkpointing.with(|()| {
            let (flushed, tid, tail) = self.state.with(|state| (state.flushed, state.tail_tid, state.tail));
            if flushed {
                // An error has aborted the journal, and the commit goes on only to let go of its buffers.
                let _ = self.write_tail(tid, Some(tail));
            }
        });
    }

    /// Writes data, log and commit block. Returns how many blocks went to the log.
    fn write_transaction(&self, taken: &mut Taken<S>) -> Result<u64> {
        if self.is_aborted() {
            return Err(EIO);
        }
        let transaction = &taken.transaction;
        // Failed data writes are the business of who calls fsync on the file; the log must go on.
        let began = self.sys.clock_ns();
        let _ = self.sys.write_ordered(&transaction.ordered);
        let flushing = self.sys.clock_ns().saturating_sub(began);
        self.state.with(|state| state.stats.flushing += flushing);
        let mut buf = self.writer.with(Option::take).ok_or(EIO)?;
        let done = self.write_blocks(taken, &mut buf);
        self.writer.with(|writer| *writer = Some(buf));
        done
    }

    fn write_blocks(&self, taken: &Taken<S>, buf: &mut S::LogBuf) -> Result<u64> {
        let transaction = &taken.transaction;
        let mut writer = LogWriter::new(self, transaction.tid, buf);
        let mut numbers = taken.revoked.iter().map(|(block, ())| *block).peekable();
        while numbers.peek().is_some() {
            writer.revokes(&mut numbers)?;
        }
        let mut index = 0;
        while index < transaction.buffers.len() {
            if !writer.has_room() {
                writer.write(WriteFlags::default())?;
            }
            self.state.with(|state| {
                let end = (index + AT_ONCE).min(transaction.buffers.len());
                while index < end && writer.has_room() {
                    if let Some(buf) = transaction.buffers.get(index) {
                        copy_buffer(state, transaction.tid, buf, &mut writer);
                    }
                    index += 1;
                }
            });
        }
        let barrier = self.barrier();
        let asynchronous = self.features.has(INCOMPAT_ASYNC_COMMIT);
        if asynchronous {
            writer.commit()?;
        }
        writer.write(WriteFlags::default())?;
        let _ = self.sys.wait_ordered(&transaction.ordered);
        if self.sys.is_external() && barrier {
            // What ordered data reached lies behind another device's cache than the log's.
            self.sys.fs().flush()?;
        }
        if asynchronous {
            if barrier {
                self.sys.log().flush()?;
            }
        } else {
            writer.commit()?;
            writer.write(WriteFlags { preflush: barrier, fua: barrier })?;
        }
        if self.is_aborted() {
            return Err(EIO);
        }
        Ok(writer.written)
    }

    /// After the commit: each buffer goes to the running transaction, to write-back, or away. Those that log space waits for
    /// stay in the list.
    fn hand_over(&self, taken: &mut Taken<S>) {
        let tid = taken.transaction.tid;
        let buffers = &mut taken.transaction.buffers;
        let aborted = self.is_aborted();
        let (mut kept, mut index) = (0, 0);
        while index < buffers.len() {
            self.state.with(|state| {
                let end = (index + AT_ONCE).min(buffers.len());
                while index < end {
                    if buffers.get(index).is_some_and(|buf| hand_over_one(state, tid, buf, aborted)) {
                        buffers.swap(kept, index);
                        kept += 1;
                    }
                    index += 1;
                }
            });
        }
        buffers.truncate(kept);
    }
}

/// Under the lock: takes the running transaction when its handles have ended, and lets the next begin.
fn take<S: System>(state: &mut State<S>, tid: Tid) -> Option<Taken<S>> {
    if state.running.as_ref().is_some_and(|running| running.updates != 0) {
        return None;
    }
    let transaction = state.running.take()?;
    for buf in &transaction.buffers {
        let block = buf.block();
        let Some(head) = state.heads.get_mut(&block) else { continue };
        if head.owner == Some(tid) && head.list == List::Reserved {
            // Asked for and not changed: as it was before.
            head.owner = None;
            if core::mem::replace(&mut head.dirty, false) {
                head.buf.mark_dirty();
            }
            state.release(block);
        }
    }
    let log_start = state.head;
    // Whoever joins the next transaction must leave room for the rest of this one: its blocks, descriptors, commit block.
    let credits = transaction.credits + transaction.revokes / 64 + transaction.credits / 32 + 4;
    state.committing = Some(Committing { tid, log_start, credits });
    Some(Taken { transaction, revoked: core::mem::take(&mut state.revoked), log_start })
}

/// Under the lock: gives a buffer's content to the log.
fn copy_buffer<S: System>(state: &mut State<S>, tid: Tid, buf: &S::Buf, writer: &mut LogWriter<'_, S>) {
    let Some(head) = state.heads.get_mut(&buf.block()) else { return };
    if head.owner != Some(tid) || head.list != List::Metadata || head.copied {
        return;
    }
    head.copied = true;
    let frozen = head.frozen.take();
    writer.buffer(buf.block(), |to| match &frozen {
        Some(frozen) => {
            // Both are one block.
            if let Some(from) = frozen.block(0).get(..to.len()) {
                to.copy_from_slice(from);
            }
        }
        None => head.buf.copy_to(to),
    });
}

/// Under the lock: what becomes of a buffer after the commit. True if it has to be written home.
fn hand_over_one<S: System>(state: &mut State<S>, tid: Tid, buf: &S::Buf, aborted: bool) -> bool {
    let block = buf.block();
    let next_tid = state.running.as_ref().map(|running| running.tid);
    let Some(head) = state.heads.get_mut(&block) else { return false };
    if head.owner != Some(tid) {
        return false;
    }
    // Whatever older content waited for, this one replaces it.
    head.checkpoint = None;
    if head.freed && !head.next {
        head.dirty = false;
        head.freed = false;
    }
    let keep = head.dirty && !aborted;
    head.checkpoint = keep.then_some(tid);
    head.dirty &= keep;
    head.frozen = None;
    head.copied = false;
    if head.next {
        head.owner = next_tid;
        head.list = match (head.freed, head.next_modified) {
            (true, _) => List::Forget,
            (false, true) => List::Metadata,
            (false, false) => List::Reserved,
        };
        head.modified = head.next_modified;
        head.next = false;
        head.next_modified = false;
    } else {
        head.owner = None;
        head.list = List::Reserved;
        head.modified = false;
        if core::mem::replace(&mut head.dirty, false) {
            head.buf.mark_dirty();
        }
    }
    state.release(block);
    keep
}
