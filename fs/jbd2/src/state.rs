// SPDX-License-Identifier: GPL-2.0
//! What a journal knows: its transactions, and for each buffer which of them it belongs to. All under one monitor.

use crate::Tid;
use crate::journal::Area;
use crate::system::{Buffer, OrderedRange, System};
use containers::HashMap;
use core::sync::atomic::{AtomicU64, Ordering};
use errno::code::{EIO, EROFS};
use errno::{Error, Result};
use kalloc::KVVec;
use kalloc::flags::GFP_NOFS;

/// The journal's mark in a buffer: for which transaction the buffer may be written and is dirty. Lets the usual repeated
/// access pass without a lock; it is only a hint, and the state decides what it does not answer.
#[derive(Default, Debug)]
pub struct Mark {
    access: AtomicU64,
    dirty: AtomicU64,
}

const VALID: u64 = 1 << 32;

impl Mark {
    /// A mark that answers nothing.
    pub const fn new() -> Self {
        Self { access: AtomicU64::new(0), dirty: AtomicU64::new(0) }
    }
    pub(crate) fn has_access(&self, tid: Tid) -> bool {
        self.access.load(Ordering::Acquire) == VALID | u64::from(tid)
    }
    pub(crate) fn is_dirty(&self, tid: Tid) -> bool {
        self.dirty.load(Ordering::Acquire) == VALID | u64::from(tid)
    }
    pub(crate) fn set_access(&self, tid: Tid) {
        self.access.store(VALID | u64::from(tid), Ordering::Release);
    }
    pub(crate) fn set_dirty(&self, tid: Tid) {
        self.dirty.store(VALID | u64::from(tid), Ordering::Release);
    }
    pub(crate) fn clear(&self) {
        self.access.store(0, Ordering::Release);
        self.dirty.store(0, Ordering::Release);
    }
}

/// What a transaction does with a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum List {
    /// Access was asked for; nothing was changed yet.
    Reserved,
    /// Goes to the log.
    Metadata,
    /// Does not go to the log, but older content of it must stay replayable until the commit.
    Forget,
}

/// A buffer that a transaction has, or that still must be written home.
pub(crate) struct Head<S: System> {
    pub(crate) buf: S::Buf,
    /// The running or the committing transaction.
    pub(crate) owner: Option<Tid>,
    pub(crate) list: List,
    /// Changed by the owner (a credit was taken for it).
    pub(crate) modified: bool,
    /// The committing transaction owns it, and the running one has access too, ...
    pub(crate) next: bool,
    /// ... and has changed it.
    pub(crate) next_modified: bool,
    /// The content for the committing transaction, if the running one may have changed it.
    pub(crate) frozen: Option<S::LogBuf>,
    /// The committing transaction has its copy: no need to freeze.
    pub(crate) copied: bool,
    /// To be marked dirty when no transaction has it any more.
    pub(crate) dirty: bool,
    /// Freed by the transaction that has it last.
    pub(crate) freed: bool,
    /// The committed transaction whose log space waits for it to be written home.
    pub(crate) checkpoint: Option<Tid>,
}

impl<S: System> Head<S> {
    pub(crate) fn new(buf: S::Buf) -> Self {
        Self {
            buf,
            owner: None,
            list: List::Reserved,
            modified: false,
            next: false,
            next_modified: false,
            frozen: None,
            copied: false,
            dirty: false,
            freed: false,
            checkpoint: None,
        }
    }

    /// Whether nobody needs it any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.owner.is_none() && self.checkpoint.is_none()
    }
}

/// A transaction that handles may join, or wait to be written.
pub(crate) struct Transaction<S: System> {
    pub(crate) tid: Tid,
    /// No new handles; those that there are end.
    pub(crate) locked: bool,
    /// Open handles.
    pub(crate) updates: u32,
    /// Blocks of log that it has used or may use.
    pub(crate) credits: u32,
    /// Revoke records that it has or may have.
    pub(crate) revokes: u32,
    /// Buffers in the order in which they came. Some may have left again, or come twice: the heads decide.
    pub(crate) buffers: KVVec<S::Buf>,
    pub(crate) ordered: KVVec<OrderedRange>,
    pub(crate) started_ns: u64,
    /// When it is committed though nobody asked for it.
    pub(crate) expires_ns: u64,
    /// When a commit was first asked for.
    pub(crate) requested_ns: u64,
    pub(crate) handles: u32,
    /// Somebody waits for it.
    pub(crate) sync: bool,
}

/// The transaction that is being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committing {
    pub(crate) tid: Tid,
    /// Where it begins in the log.
    pub(crate) log_start: u32,
    /// Blocks of log that it may still take.
    pub(crate) credits: u32,
}

/// A committed transaction whose blocks are not all home.
pub(crate) struct Checkpoint<S: System> {
    pub(crate) tid: Tid,
    pub(crate) log_start: u32,
    /// When it was committed.
    pub(crate) since_ns: u64,
    pub(crate) buffers: KVVec<S::Buf>,
}

/// Sums over all commits, as `/proc/fs/jbd2/<device>/info` shows their averages. Times in nanoseconds.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Transactions committed.
    pub commits: u64,
    /// Of them asked for.
    pub requested: u64,
    /// From the request to the start of the commit.
    pub request_delay: u64,
    /// Waiting of handles for a transaction.
    pub wait: u64,
    /// Running.
    pub running: u64,
    /// Waiting for handles to end.
    pub locked: u64,
    /// Writing data before the commit.
    pub flushing: u64,
    /// Writing the log.
    pub logging: u64,
    /// Handles.
    pub handles: u64,
    /// Buffers.
    pub blocks: u64,
    /// Blocks written to the log.
    pub logged: u64,
    /// Running average of a commit's length.
    pub average_commit: u64,
}

/// The journal's state.
pub(crate) struct State<S: System> {
    pub(crate) area: Area,
    /// Next block of the log to write.
    pub(crate) head: u32,
    /// Oldest block that recovery may need, and its transaction; the superblock says the same or something older.
    pub(crate) tail: u32,
    pub(crate) tail_tid: Tid,
    /// Blocks of the log that are free.
    pub(crate) free: u32,
    pub(crate) next_tid: Tid,
    pub(crate) committed: Tid,
    pub(crate) requested: Tid,
    pub(crate) running: Option<Transaction<S>>,
    pub(crate) committing: Option<Committing>,
    /// Oldest first.
    pub(crate) checkpoints: KVVec<Checkpoint<S>>,
    pub(crate) heads: HashMap<u64, Head<S>>,
    /// Blocks revoked in the running transaction.
    pub(crate) revoked: HashMap<u64, ()>,
    pub(crate) abort: Option<Error>,
    /// How many keep new handles out.
    pub(crate) barriers: u32,
    /// Somebody waits for the running transaction to be taken: to join the next, or for the end of all handles.
    pub(crate) joining: bool,
    /// When the thread looks for work though nobody wakes it.
    pub(crate) looks_ns: u64,
    /// The superblock on the disk says that the log is empty.
    pub(crate) flushed: bool,
    /// A thread commits; without one, those who wait do.
    pub(crate) threaded: bool,
    pub(crate) stopping: bool,
    /// A commit is under way (from its first step to its last).
    pub(crate) busy: bool,
    pub(crate) last_sync_task: u64,
    /// The thread found nothing to bring home when this was the last transaction committed.
    pub(crate) home_after: Option<Tid>,
    pub(crate) stats: Stats,
}

impl<S: System> State<S> {
    pub(crate) fn new(area: Area, next_tid: Tid) -> Self {
        let before = next_tid.wrapping_sub(1);
        Self {
            area,
            head: area.first,
            tail: area.first,
            tail_tid: next_tid,
            free: area.last - area.first,
            next_tid,
            committed: before,
            requested: before,
            running: None,
            committing: None,
            checkpoints: KVVec::new(),
            heads: HashMap::new(),
            revoked: HashMap::new(),
            abort: None,
            barriers: 0,
            joining: false,
            looks_ns: u64::MAX,
            flushed: true,
            threaded: false,
            stopping: false,
            busy: false,
            last_sync_task: 0,
            home_after: None,
            stats: Stats::default(),
        }
    }

    /// `EROFS` once aborted: what all get who want to change something.
    pub(crate) fn check_alive(&self) -> Result {
        if self.abort.is_some() { Err(EROFS) } else { Ok(()) }
    }

    /// `EIO` once aborted: what those get who wait for what was lost.
    pub(crate) fn check_kept(&self) -> Result {
        if self.abort.is_some() { Err(EIO) } else { Ok(()) }
    }

    /// Blocks of the log that transactions to come may take.
    pub(crate) fn space_left(&self) -> u32 {
        let held = self.committing.map_or(0, |committing| committing.credits);
        self.free.saturating_sub(32).saturating_sub(held)
    }

    /// Whether more than half of the log is taken.
    pub(crate) fn is_half_full(&self) -> bool {
        self.free < (self.area.last - self.area.first) / 2
    }

    /// Puts a buffer into the running transaction's list.
    pub(crate) fn file(&mut self, buf: &S::Buf) -> Result {
        if let Some(running) = &mut self.running {
            running.buffers.push(buf.clone(), GFP_NOFS)?;
        }
        Ok(())
    }

    /// Drops the head of a block if nobody needs it.
    pub(crate) fn release(&mut self, block: u64) {
        if self.heads.get(&block).is_some_and(Head::is_idle) {
            self.heads.remove(&block);
        }
    }

    /// The oldest transaction that recovery needs, and where it begins.
    pub(crate) fn oldest(&self) -> (Tid, u32) {
        if let Some(oldest) = self.checkpoints.first() {
            return (oldest.tid, oldest.log_start);
        }
        if let Some(committing) = self.committing {
            return (committing.tid, committing.log_start);
        }
        (self.running.as_ref().map_or(self.next_tid, |running| running.tid), self.head)
    }

    /// A buffer that was written home leaves its checkpoint. True if it has left (or was not in `tid`'s).
    pub(crate) fn try_clean(&mut self, tid: Tid, buf: &S::Buf) -> bool {
        let block = buf.block();
        let Some(head) = self.heads.get_mut(&block) else { return true };
        if head.checkpoint != Some(tid) {
            return true;
        }
        if head.owner.is_some() || head.buf.is_busy() || head.buf.has_failed() {
            return false;
        }
        head.checkpoint = None;
        self.release(block);
        true
    }
}
