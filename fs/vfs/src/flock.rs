// SPDX-License-Identifier: GPL-2.0
//! Locks on files: `flock(2)` (of an open file), POSIX record locks (of a process's table) and open-file-description locks.
//! All advisory.
//!
//! Locks: one spin lock an inode (`LockState`), `LISTED` for the list of such inodes, and `WAITING` for the graph of who waits for
//! whom; the last two are taken alone.
//! Source: `flock(2)`, `fcntl(2)`.

use crate::file::{File, RemoteLock};
use crate::inode::Inode;
use crate::lease::Lease;
use core::sync::atomic::AtomicU32;
use errno::{Result, code::*};
use kalloc::flags::GFP_ATOMIC;
use kalloc::{Arc, KVec, WeakArc};
use locking::SpinLock;
use sync::WaitQueue;

/// What a lock allows others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Others may share it.
    Shared,
    /// Nobody else.
    Exclusive,
}

/// A locked stretch of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    /// Who holds it: the address of a file (flock, OFD) or of a descriptor table (POSIX).
    pub(crate) owner: usize,
    /// The address of the file through which it was set, to show it there.
    pub(crate) through: usize,
    /// As `F_GETLK` shows it; -1 for OFD locks.
    pub(crate) pid: i32,
    pub(crate) kind: Kind,
    pub(crate) start: i64,
    /// Last byte, `i64::MAX` for "to the end whatever it is".
    pub(crate) end: i64,
    /// A `flock`, which conflicts only with others of its kind.
    pub(crate) flock: bool,
    /// Greater than that of the holders who had a lock before this one had any.
    pub(crate) rank: u64,
}

impl Range {
    pub(crate) fn conflicts(&self, other: &Range) -> bool {
        self.flock == other.flock
            && self.owner != other.owner
            && self.start <= other.end
            && other.start <= self.end
            && (self.kind == Kind::Exclusive || other.kind == Kind::Exclusive)
    }

    fn is_ofd(&self) -> bool {
        !self.flock && self.pid == -1
    }

    fn same_holder(&self, other: &Range) -> bool {
        self.flock == other.flock && self.owner == other.owner
    }
}

/// Somebody who waits, as `/proc/locks` shows him.
#[derive(Clone, Copy)]
pub(crate) enum Waiter {
    /// For a lock.
    Lock(Range),
    /// For leases to be given back: what he wants, and his process.
    Breaker(Kind, i32),
}

/// What there is on one file.
pub(crate) struct Held {
    pub(crate) ranges: KVec<Range>,
    pub(crate) leases: KVec<Lease>,
    pub(crate) waiting: KVec<(u64, Waiter)>,
    next_waiter: u64,
    next_rank: u64,
}

impl Held {
    /// The lock that keeps `wanted` from being set: of the holder who was first, that with the lowest place.
    fn conflict(&self, wanted: &Range) -> Option<Range> {
        let conflicts = self.ranges.iter().filter(|held| held.conflicts(wanted));
        conflicts.min_by_key(|held| (held.rank, held.start)).copied()
    }
}

/// The locks on one file.
pub(crate) struct LockState {
    pub(crate) held: SpinLock<Held>,
    pub(crate) waiters: WaitQueue,
    /// How many leases there are, for a look without the lock.
    pub(crate) leases: AtomicU32,
    _listed: Listed,
}

/// Shows a waiter while it lives.
pub(crate) struct Shown<'a> {
    state: &'a LockState,
    number: u64,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let mut held = self.state.held.lock();
        if let Some(index) = held.waiting.iter().position(|waiter| waiter.0 == self.number) {
            let _ = held.waiting.remove(index);
        }
    }
}

impl LockState {
    /// Nothing yet, of the file `inode`. May sleep.
    pub(crate) fn new(inode: &Arc<Inode>) -> Result<Self> {
        let (ranges, leases, waiting) = (KVec::new(), KVec::new(), KVec::new());
        let held = Held { ranges, leases, waiting, next_waiter: 0, next_rank: 0 };
        Ok(Self {
            held: SpinLock::new(held),
            waiters: WaitQueue::new(),
            leases: AtomicU32::new(0),
            _listed: Listed::add(inode)?,
        })
    }

    fn show_waiter(&self, waiter: Waiter) -> Result<Shown<'_>> {
        let mut held = self.held.lock();
        let number = held.next_waiter;
        held.next_waiter = number.wrapping_add(1);
        held.waiting.push((number, waiter), GFP_ATOMIC).map_err(|_| ENOLCK)?;
        drop(held);
        Ok(Shown { state: self, number })
    }

    /// The current process waits for leases, wanting `kind`.
    pub(crate) fn show_breaker(&self, kind: Kind) -> Result<Shown<'_>> {
        self.show_waiter(Waiter::Breaker(kind, crate::hooks::current_pid() as i32))
    }

    /// The first lock that keeps `wanted` from being set.
    pub(crate) fn conflict(&self, wanted: &Range) -> Option<Range> {
        self.held.lock().conflict(wanted)
    }

    /// Sets `wanted` if nothing conflicts; gives the conflict back else. `ENOLCK` without memory.
    fn try_set(&self, wanted: &Range) -> Result<Option<Range>> {
        let mut state = self.held.lock();
        if let Some(held) = state.conflict(wanted) {
            return Ok(Some(held));
        }
        let mut wanted = *wanted;
        wanted.rank = match state.ranges.iter().find(|held| held.same_holder(&wanted)) {
            Some(held) => held.rank,
            None => {
                state.next_rank += 1;
                state.next_rank
            }
        };
        let ranges = &mut state.ranges;
        // At most two pieces of a split lock and the new one; room first, so that nothing is lost on failure.
        ranges.reserve(2, GFP_ATOMIC).map_err(|_| ENOLCK)?;
        cut(ranges, &wanted);
        merge(ranges, wanted);
        drop(state);
        // A lock may have become weaker.
        self.waiters.wake_up_all();
        Ok(None)
    }

    /// Whether the range's holder has a lock of its kind.
    pub(crate) fn holds(&self, range: &Range) -> bool {
        self.held.lock().ranges.iter().any(|held| held.same_holder(range))
    }

    /// Whether there are locks of the other kind (`flock` or not) that a server takes for the same process's.
    fn has_other_kind(&self, range: &Range) -> bool {
        let held = self.held.lock();
        held.ranges
            .iter()
            .any(|held| held.flock != range.flock && (held.pid == range.pid || held.pid == -1 || range.pid == -1))
    }

    /// Takes away what `owner` holds within the range.
    pub(crate) fn unset(&self, range: &Range) -> Result {
        let mut state = self.held.lock();
        let ranges = &mut state.ranges;
        if !ranges.iter().any(|held| held.same_holder(range)) {
            return Ok(());
        }
        ranges.reserve(1, GFP_ATOMIC).map_err(|_| ENOLCK)?;
        cut(ranges, range);
        drop(state);
        self.waiters.wake_up_all();
        Ok(())
    }

    /// Takes away all that `owner` holds, of one kind; whose it was (as [`Range::pid`]) if there was any. Needs no memory: nothing is cut.
    fn unset_all(&self, owner: usize, flock: bool) -> Option<i32> {
        let mut state = self.held.lock();
        let mut gone = None;
        state.ranges.retain(|held| {
            let stays = held.owner != owner || held.flock != flock;
            if !stays {
                gone = Some(held.pid);
            }
            stays
        });
        drop(state);
        if gone.is_some() {
            self.waiters.wake_up_all();
        }
        gone
    }

    /// Sets `wanted`, waiting for what conflicts if `wait`. `EAGAIN`, `EDEADLK`, `ERESTARTSYS`. May sleep.
    pub(crate) fn set(&self, wanted: &Range, wait: bool) -> Result {
        loop {
            let Some(held) = self.try_set(wanted)? else { return Ok(()) };
            if !wait {
                return Err(EAGAIN);
            }
            let _shown = self.show_waiter(Waiter::Lock(*wanted))?;
            let _edge = if wanted.flock { None } else { Edge::add(wanted, &held)? };
            self.waiters.wait_interruptible(|| {
                let now = self.conflict(wanted);
                now.is_none_or(|now| now.owner != held.owner)
            })?;
        }
    }
}

/// Removes the holder's locks within `range`, cutting those that reach over its ends. There is room for one piece more.
fn cut(ranges: &mut KVec<Range>, range: &Range) {
    let mut extra = None;
    ranges.retain(|held| {
        if !held.same_holder(range) || held.start > range.end || held.end < range.start {
            return true;
        }
        let before = held.start < range.start;
        let after = held.end > range.end;
        let whole = *held;
        if before {
            held.end = range.start - 1;
            if after {
                extra = Some(Range { start: range.end + 1, ..whole });
            }
            return true;
        }
        if after {
            held.start = range.end + 1;
        }
        after
    });
    if let Some(extra) = extra {
        // The caller made room.
        let _ = ranges.push_within_capacity(extra);
    }
}

/// Adds `range`, joined with the holder's neighbours of the same kind. There is room for it.
fn merge(ranges: &mut KVec<Range>, mut range: Range) {
    ranges.retain(|held| {
        let touches = held.same_holder(&range)
            && held.kind == range.kind
            && held.start <= range.end.saturating_add(1)
            && range.start <= held.end.saturating_add(1);
        if touches {
            range.start = range.start.min(held.start);
            range.end = range.end.max(held.end);
        }
        !touches
    });
    // The caller made room.
    let _ = ranges.push_within_capacity(range);
}

/// Who waits for whom.
static WAITING: SpinLock<KVec<(usize, usize)>> = SpinLock::new(KVec::new());

/// One wait in the graph; taken back when it ends.
struct Edge {
    waiter: usize,
    holder: usize,
}

impl Edge {
    /// `EDEADLK` if the holder waits, directly or not, for the waiter. As in Linux, locks of open files, which are no process's, are
    /// never refused, and nobody's wait for one counts (`None`).
    fn add(wanted: &Range, held: &Range) -> Result<Option<Self>> {
        let (waiter, holder) = (wanted.owner, held.owner);
        let mut waiting = WAITING.lock();
        let mut at = holder;
        for _ in 0..waiting.len() + 1 {
            if wanted.is_ofd() {
                break;
            }
            if at == waiter {
                return Err(EDEADLK);
            }
            match waiting.iter().find(|edge| edge.0 == at) {
                Some(edge) => at = edge.1,
                None => break,
            }
        }
        if held.is_ofd() {
            return Ok(None);
        }
        waiting.push((waiter, holder), GFP_ATOMIC).map_err(|_| ENOLCK)?;
        Ok(Some(Self { waiter, holder }))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let mut waiting = WAITING.lock();
        if let Some(index) = waiting.iter().position(|edge| *edge == (self.waiter, self.holder)) {
            waiting.swap_remove(index);
        }
    }
}

/// The last reference to `file` is gone: its own locks go.
#[inline]
pub(crate) fn release_file(file: &File) {
    if let Some(state) = file.inode().locks() {
        let owner = core::ptr::from_ref(file).addr();
        for flock in [true, false] {
            if let Some(pid) = state.unset_all(owner, flock) {
                unlock_remote(file, pid);
            }
        }
        crate::lease::release_file(state, owner);
    }
}

/// A descriptor of `file` was closed: POSIX locks of the table go, whichever descriptor they were made through.
#[inline]
pub(crate) fn release_owner(file: &File, owner: usize) {
    if let Some(state) = file.inode().locks()
        && let Some(pid) = state.unset_all(owner, false)
    {
        unlock_remote(file, pid);
    }
}

/// All locks of somebody on `file` are gone: on a server, too. `pid`: who set them, which need not be who closes an inherited file last.
#[cold]
fn unlock_remote(file: &File, pid: i32) {
    if file.ops().has_remote_locks() {
        let pid = if pid > 0 { pid } else { crate::hooks::current_pid() as i32 };
        let all = RemoteLock { kind: uapi::F_UNLCK, start: 0, end: i64::MAX, pid, wait: false };
        // There is nobody left to tell.
        let _ = file.ops().lock(file, &all);
    }
}

/// What was done to `range` here is done on the server of `file`, if it has one. An error of setting undoes it here, and there: the server
/// may have granted it before the caller was killed, or still have what the caller had before. (A server knows one kind of locks: those of
/// the other kind that the process has stay.)
pub(crate) fn follow_remote(file: &File, state: &LockState, range: &Range, set: bool, wait: bool) -> Result {
    if !file.ops().has_remote_locks() {
        return Ok(());
    }
    let kind = match (set, range.kind) {
        (false, _) => uapi::F_UNLCK,
        (true, Kind::Shared) => uapi::F_RDLCK,
        (true, Kind::Exclusive) => uapi::F_WRLCK,
    };
    let lock = RemoteLock { kind, start: range.start, end: range.end, pid: crate::hooks::current_pid() as i32, wait };
    let result = file.ops().lock(file, &lock);
    if set && result.is_err() {
        // The first error is the one to tell.
        let _ = state.unset(range);
        if !state.has_other_kind(range) {
            let _ = file.ops().lock(file, &RemoteLock { kind: uapi::F_UNLCK, wait: false, ..lock });
        }
    }
    result
}

/// The inodes that have a lock state, each with a number; numbers grow.
static LISTED: SpinLock<KVec<(u64, WeakArc<Inode>)>> = SpinLock::new(KVec::new());

/// An inode's place in [`LISTED`].
struct Listed(u64);

impl Listed {
    fn add(inode: &Arc<Inode>) -> Result<Self> {
        let mut listed = LISTED.lock();
        let number = listed.last().map_or(1, |last| last.0.wrapping_add(1));
        listed.push((number, Arc::downgrade(inode)), GFP_ATOMIC).map_err(|_| ENOLCK)?;
        Ok(Self(number))
    }

    /// The inode with the greatest number below `below`, and its number.
    fn before(below: u64) -> Option<(u64, Arc<Inode>)> {
        let listed = LISTED.lock();
        let end = listed.partition_point(|entry| entry.0 < below);
        listed.get(..end)?.iter().rev().find_map(|(number, inode)| Some((*number, inode.upgrade()?)))
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let gone = {
            let mut listed = LISTED.lock();
            let index = listed.binary_search_by_key(&self.0, |entry| entry.0);
            index.ok().and_then(|index| listed.remove(index).ok())
        };
        drop(gone);
    }
}

/// Calls `f` for each inode that may have locks, the latest first. May sleep.
pub(crate) fn for_each_locked(mut f: impl FnMut(&Arc<Inode>, &LockState) -> Result) -> Result {
    let mut below = u64::MAX;
    while let Some((number, inode)) = Listed::before(below) {
        if let Some(state) = inode.locks() {
            f(&inode, state)?;
        }
        below = number;
    }
    Ok(())
}
