// SPDX-License-Identifier: GPL-2.0
//! Which transaction a buffer belongs to. A buffer that the committing transaction still needs for the log is copied (frozen)
//! before the running one may change it, so neither waits for the other.

use crate::Tid;
use crate::format::INCOMPAT_REVOKE;
use crate::handle::Handle;
use crate::state::{Head, List, State};
use crate::system::{Buffer, Claim, LogBuf, Monitor, OrderedRange, System};
use errno::Result;
use errno::code::{EINVAL, ENOSPC};
use kalloc::flags::GFP_NOFS;

/// What must happen before access can be given.
enum Access {
    Given,
    /// The buffer is being written home.
    Busy,
    /// Memory for the frozen copy is needed.
    Memory,
}

impl<S: System> Handle<S> {
    /// The buffer is about to be changed. Waits while it is being written home, never for a commit.
    /// `EROFS` if the journal is aborted, `ENOMEM`.
    pub fn get_write_access(&mut self, buf: &S::Buf) -> Result {
        self.access(buf, false)
    }

    /// As `get_write_access`, for a block allocated in this handle whose old content does not matter.
    pub fn get_create_access(&mut self, buf: &S::Buf) -> Result {
        self.access(buf, true)
    }

    fn access(&mut self, buf: &S::Buf, create: bool) -> Result {
        self.check()?;
        if buf.mark().has_access(self.tid) {
            return Ok(());
        }
        let journal = &*self.journal;
        let mut spare = None;
        loop {
            let access = journal.state.with(|state| give_access(state, self.tid, buf, create, &mut spare))?;
            match access {
                Access::Given => return Ok(()),
                Access::Busy => buf.wait_written(),
                Access::Memory => spare = Some(journal.sys.log_buf(1)?),
            }
        }
    }

    /// The buffer was changed, and belongs to the transaction. `EINVAL` without access, `ENOSPC` without a credit left: both
    /// are the caller's mistakes.
    pub fn dirty_metadata(&mut self, buf: &S::Buf) -> Result {
        self.check()?;
        if buf.mark().is_dirty(self.tid) {
            return Ok(());
        }
        let tid = self.tid;
        let credits = &mut self.credits;
        self.journal.state.with(|state| {
            let head = state.heads.get_mut(&buf.block()).ok_or(EINVAL)?;
            let fresh = if head.owner == Some(tid) {
                head.list = List::Metadata;
                !core::mem::replace(&mut head.modified, true)
            } else if head.next {
                !core::mem::replace(&mut head.next_modified, true)
            } else {
                return Err(EINVAL);
            };
            head.dirty = true;
            head.freed = false;
            if fresh {
                *credits = credits.checked_sub(1).ok_or(ENOSPC)?;
            }
            buf.mark().set_dirty(tid);
            Ok(())
        })
    }

    /// The block, which held metadata or journalled data, is freed: neither is its buffer written, nor is it replayed from an
    /// older transaction. `buf` is its buffer if it is in memory.
    pub fn revoke(&mut self, block: u64, buf: Option<&S::Buf>) -> Result {
        self.check()?;
        if self.journal.features.has(INCOMPAT_REVOKE) {
            let revokes = &mut self.revokes;
            self.journal.state.with(|state| {
                if state.revoked.insert(block, ())?.is_none() {
                    *revokes = revokes.checked_sub(1).ok_or(ENOSPC)?;
                }
                Ok::<(), errno::Error>(())
            })?;
        }
        match buf {
            Some(buf) => self.forget(buf),
            None => Ok(()),
        }
    }

    /// The buffer leaves the transaction without a revoke record: it was not in any transaction before this one.
    pub fn forget(&mut self, buf: &S::Buf) -> Result {
        self.check()?;
        let (tid, credits) = (self.tid, &mut self.credits);
        while !self.journal.state.with(|state| forget(state, tid, buf, credits))? {
            buf.wait_written();
        }
        Ok(())
    }

    /// Data of a file that must be on the disk before the transaction commits.
    pub fn order_data(&mut self, range: OrderedRange) -> Result {
        self.check()?;
        self.journal.state.with(|state| {
            let Some(running) = &mut state.running else { return Err(EINVAL) };
            // Writers come to the same file again and again: the last few entries have it.
            let known = running.ordered.iter_mut().rev().take(16).find(|known| known.ino == range.ino);
            if let Some(known) = known {
                known.from = known.from.min(range.from);
                known.to = known.to.max(range.to);
                return Ok(());
            }
            Ok(running.ordered.push(range, GFP_NOFS)?)
        })
    }
}

/// Gives access, under the lock, or says what is missing.
fn give_access<S: System>(
    state: &mut State<S>,
    tid: Tid,
    buf: &S::Buf,
    create: bool,
    spare: &mut Option<S::LogBuf>,
) -> Result<Access> {
    state.check_alive()?;
    let block = buf.block();
    if !state.heads.contains_key(&block) {
        state.heads.insert(block, Head::new(buf.clone()))?;
    }
    // Room first: nothing may fail between here and the end.
    if let Some(running) = &mut state.running {
        running.buffers.reserve(1, GFP_NOFS)?;
    }
    let Some(head) = state.heads.get_mut(&block) else { return Err(EINVAL) };
    let file = match head.owner {
        Some(owner) if owner == tid => {
            if create && head.list == List::Forget {
                head.list = List::Reserved;
            }
            head.freed &= !create;
            false
        }
        Some(_) => {
            if !head.next && head.list == List::Metadata && !head.copied && head.frozen.is_none() {
                let Some(mut copy) = spare.take() else { return Ok(Access::Memory) };
                head.buf.copy_to(copy.block_mut(0));
                head.frozen = Some(copy);
            }
            head.freed &= !create;
            let new = !core::mem::replace(&mut head.next, true);
            if new {
                head.next_modified = false;
            }
            new
        }
        None => match head.buf.claim() {
            Claim::Busy => return Ok(Access::Busy),
            Claim::Claimed(dirty) => {
                head.dirty = dirty && !create;
                (head.owner, head.list, head.modified, head.freed) = (Some(tid), List::Reserved, false, false);
                true
            }
        },
    };
    buf.mark().set_access(tid);
    // The block is in use as metadata (again): what this transaction revoked is not to be held against its new content.
    state.revoked.remove(&block);
    if file {
        state.file(buf)?;
    }
    Ok(Access::Given)
}

/// Takes a freed buffer out of the transaction, under the lock. False if it is being written home just now: that write must
/// have ended before the block can get another use.
fn forget<S: System>(state: &mut State<S>, tid: Tid, buf: &S::Buf, credits: &mut u32) -> Result<bool> {
    // Room first: a head that says whose the buffer is, without being in that one's list, would never be let go of.
    if let Some(running) = &mut state.running {
        running.buffers.reserve(1, GFP_NOFS)?;
    }
    let block = buf.block();
    let claim = if state.heads.get(&block).is_none_or(|head| head.owner.is_none()) { Some(buf.claim()) } else { None };
    if claim == Some(Claim::Busy) {
        return Ok(false);
    }
    buf.mark().clear();
    let Some(head) = state.heads.get_mut(&block) else {
        buf.forget();
        return Ok(true);
    };
    let mut file = false;
    if head.owner == Some(tid) {
        if core::mem::replace(&mut head.modified, false) {
            *credits += 1;
        }
        head.dirty = false;
        if head.checkpoint.is_some() {
            // Older content must stay in the log until this transaction is there.
            (head.list, head.freed) = (List::Forget, true);
        } else {
            (head.owner, head.list) = (None, List::Reserved);
        }
        buf.forget();
    } else if head.owner.is_some() {
        // The committing transaction still needs it.
        head.freed = true;
        file = !core::mem::replace(&mut head.next, true);
        if core::mem::replace(&mut head.next_modified, false) {
            *credits += 1;
        }
    } else {
        if claim == Some(Claim::Claimed(true)) && head.checkpoint.is_some() {
            // Not home yet: what the log has of it goes when this transaction is committed, not before.
            (head.owner, head.list, head.freed, head.modified) = (Some(tid), List::Forget, true, false);
            file = true;
        } else {
            head.checkpoint = None;
        }
        buf.forget();
    }
    if file {
        state.file(buf)?;
    }
    state.release(block);
    Ok(true)
}
