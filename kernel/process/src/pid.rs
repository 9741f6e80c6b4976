// SPDX-License-Identifier: GPL-2.0
//! Finding threads, process groups and sessions by their numbers.
//!
//! A number stays taken while a thread, a group or a session uses it: each holds a [`PidNr`], and the last one gives the number
//! back. The tables here are by numbers of the first name space; what a program says is looked up in its own (`*_here`). Locks: `TABLE`,
//! short; it may be held over those of `pid_namespace`, not the other way round.

use crate::group::{ProcessGroup, Session};
use crate::thread::{Process, thread_of};
use containers::{HashMap, XArray};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use errno::Result;
use errno::code::EPERM;
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec};
use locking::{LazyLock, RwSpinLock};
use task::Task;

pub use pid_namespace::{PID_MAX, PidName, PidNr, PidNs, forks, pid_max, set_pid_max};

/// Threads in the table.
static THREADS: AtomicU32 = AtomicU32::new(0);

/// The number handed out last in the current task's name space (`/proc/loadavg`).
pub fn last_pid() -> u32 {
    pid_namespace::here().last_pid()
}

/// Whether the current task may say which number is given next. `EPERM`.
pub(crate) fn may_choose() -> Result {
    let may = cred::capable(cred::CAP_CHECKPOINT_RESTORE) || cred::capable(cred::CAP_SYS_ADMIN);
    if may { Ok(()) } else { Err(EPERM) }
}

/// The next number in the current task's name space will be the first free one above `last` (`/proc/sys/kernel/ns_last_pid`). `EPERM`,
/// `EINVAL`.
pub fn set_last_pid(last: u32) -> Result {
    may_choose()?;
    pid_namespace::here().set_last_pid(last)
}

pub(crate) struct Table {
    threads: XArray<Arc<Task>>,
    groups: HashMap<u32, Arc<ProcessGroup>>,
    sessions: HashMap<u32, Arc<Session>>,
}

static TABLE: LazyLock<RwSpinLock<Table>> = LazyLock::new(|| {
    RwSpinLock::new(Table { threads: XArray::new(), groups: HashMap::new(), sessions: HashMap::new() })
});

/// Threads that were ever made findable.
static PUBLISHED: AtomicU64 = AtomicU64::new(0);

/// How often a thread became findable: who looked at all of them by [`next_thread`] and finds this unchanged has missed none.
pub fn published() -> u64 {
    let _table = TABLE.read();
    PUBLISHED.load(Ordering::Relaxed)
}

/// Makes a thread findable. Room must be found: `ENOMEM` otherwise.
pub(crate) fn publish_thread(tid: u32, task: Arc<Task>) -> Result {
    let mut table = TABLE.write();
    PUBLISHED.fetch_add(1, Ordering::Relaxed);
    let old = table.threads.store(u64::from(tid), task, GFP_ATOMIC)?;
    drop(table);
    if old.is_none() {
        THREADS.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Takes a thread out of the table.
pub(crate) fn unpublish_thread(tid: u32) -> Option<Arc<Task>> {
    let old = TABLE.write().threads.erase(u64::from(tid));
    if old.is_some() {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
    old
}

/// `task`, whose number was `own`, is to be found by `number` in place of who is, and by `own` no more: nobody who looks finds neither.
/// `exchange` moves what the threads themselves keep of their numbers: who looks finds both changed, or none.
pub(crate) fn take_number(task: &Arc<Task>, own: u32, number: u32, exchange: impl FnOnce()) -> Result {
    let mut table = TABLE.write();
    // Without an entry there, room must be found.
    let old = table.threads.store(u64::from(number), task.clone(), GFP_ATOMIC)?;
    exchange();
    take_ids(task);
    let gone = table.threads.erase(u64::from(own));
    drop(table);
    match (&old, &gone) {
        (Some(_), Some(_)) => THREADS.fetch_sub(1, Ordering::Relaxed),
        (None, None) => THREADS.fetch_add(1, Ordering::Relaxed),
        _ => 0,
    };
    Ok(())
}

/// The numbers that `task` has are those that it is known by.
pub(crate) fn take_ids(task: &Task) {
    if let Some(nr) = thread_of(task).and_then(|thread| thread.nr()) {
        task.set_tid(nr.get(), nr.name().own());
    }
}

/// Threads there are, zombies included (`/proc/loadavg`).
pub fn thread_count() -> u32 {
    THREADS.load(Ordering::Relaxed)
}

/// The thread with this number in the first name space.
pub fn find_thread(tid: u32) -> Option<Arc<Task>> {
    TABLE.read().threads.load(u64::from(tid)).cloned()
}

/// The number `id` of the first name space, if a thread, a group or a session has it.
pub(crate) fn find_number(id: u32) -> Option<Arc<PidNr>> {
    let table = TABLE.read();
    let thread = table.threads.load(u64::from(id)).and_then(|task| thread_of(task)?.nr());
    let group = || table.groups.get(&id).map(|group| group.nr().clone());
    thread.or_else(group).or_else(|| table.sessions.get(&id).map(|session| session.nr().clone()))
}

/// What is called `id` in the first name space is called in that of the current task; 0 if it has no number there.
pub fn number_here(id: u32) -> u32 {
    if pid_namespace::here_is_first() { id } else { number_in(id, &pid_namespace::here()) }
}

/// What is called `id` in the first name space is called in `ns`; 0 if it has no number there.
pub fn number_in(id: u32, ns: &PidNs) -> u32 {
    if ns.is_first() { id } else { find_number(id).map_or(0, |nr| nr.name().number_in(ns)) }
}

/// What the current task calls `id`, by its number in the first name space; a number that nothing ever has if it calls nothing so (0 is the
/// group and session of the first process).
pub(crate) fn first_of(id: u32) -> u32 {
    const NOTHING: u32 = i32::MAX as u32;
    if pid_namespace::here_is_first() { id } else { pid_namespace::here().to_first(id).unwrap_or(NOTHING) }
}

/// The thread that the current task calls `id`.
pub fn find_thread_here(id: u32) -> Option<Arc<Task>> {
    if pid_namespace::here_is_first() { find_thread(id) } else { find_thread_in(&pid_namespace::here(), id) }
}

/// The thread that is called `id` in `ns`.
pub fn find_thread_in(ns: &PidNs, id: u32) -> Option<Arc<Task>> {
    let task = find_thread(ns.to_first(id)?)?;
    // The number may be somebody else's by now.
    (ns.is_first() || number_of(&task, ns) == id).then_some(task)
}

/// What `task` is called in `ns`; 0 if it has no number there, or is gone.
pub fn number_of(task: &Task, ns: &PidNs) -> u32 {
    if ns.is_first() {
        return task.tid();
    }
    thread_of(task).and_then(|thread| thread.nr()).map_or(0, |nr| nr.name().number_in(ns))
}

/// What the current task calls the thread `task`; 0 if it cannot.
#[inline]
pub fn thread_number_here(task: &Task) -> u32 {
    if pid_namespace::here_is_first() { task.tid() } else { number_of(task, &pid_namespace::here()) }
}

/// What `viewer` calls the thread `task`; 0 for one that it cannot name.
pub(crate) fn number_for(task: &Task, viewer: &Process) -> u32 {
    if viewer.name().is_first() {
        return task.tid();
    }
    thread_of(task).and_then(|thread| thread.nr()).map_or(0, |nr| nr.name().seen_by(viewer.name()))
}

/// The first thread whose number is at least `from`; for listing all.
pub fn next_thread(from: u32) -> Option<(u32, Arc<Task>)> {
    let table = TABLE.read();
    let (index, task) = table.threads.find(u64::from(from))?;
    Some((u32::try_from(index).ok()?, task.clone()))
}

/// The first thread whose number in `ns` is at least `from`, and that number; for listing (`/proc`, `kill(-1)`).
pub fn next_thread_in(ns: &PidNs, mut from: u32) -> Option<(u32, Arc<Task>)> {
    if ns.is_first() {
        return next_thread(from);
    }
    loop {
        let (number, first) = ns.next(from)?;
        // Others are of groups and sessions.
        if let Some(task) = find_thread(first).filter(|task| number_of(task, ns) == number) {
            return Some((number, task));
        }
        from = number.checked_add(1)?;
    }
}

pub(crate) fn publish_group(group: Arc<ProcessGroup>) -> Result {
    TABLE.write().groups.insert(group.id(), group)?;
    Ok(())
}

/// The process group with this number in the first name space.
pub fn find_group(id: u32) -> Option<Arc<ProcessGroup>> {
    TABLE.read().groups.get(&id).cloned()
}

/// The process group that the current task calls `id`.
pub fn find_group_here(id: u32) -> Option<Arc<ProcessGroup>> {
    if pid_namespace::here_is_first() {
        return find_group(id);
    }
    let ns = pid_namespace::here();
    // The number may be another group's by now.
    find_group(ns.to_first(id)?).filter(|group| group.nr().name().number_in(&ns) == id)
}

pub(crate) fn forget_group(id: u32) {
    let gone = TABLE.write().groups.remove(&id);
    drop(gone);
}

pub(crate) fn publish_session(session: Arc<Session>) -> Result {
    TABLE.write().sessions.insert(session.id(), session)?;
    Ok(())
}

/// The session with this number in the first name space.
pub fn find_session(id: u32) -> Option<Arc<Session>> {
    TABLE.read().sessions.get(&id).cloned()
}

pub(crate) fn forget_session(id: u32) {
    let gone = TABLE.write().sessions.remove(&id);
    drop(gone);
}

/// Every thread-group leader there is now. May sleep.
pub fn all_processes() -> Result<KVec<Arc<Task>>> {
    let mut all = KVec::new();
    let mut from = 1;
    while let Some((tid, task)) = next_thread(from) {
        from = tid.saturating_add(1);
        if thread_of(&task).is_some_and(|t| t.process().pid() == tid) {
            all.push(task, GFP_KERNEL)?;
        }
    }
    Ok(all)
}
