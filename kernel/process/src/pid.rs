// SPDX-License-Identifier: GPL-2.0
//! Process numbers: handing them out, and finding threads, process groups and sessions by them.
//!
//! A number stays taken while a thread, a group or a session uses it: each holds a [`PidNr`], and the last one gives the number
//! back. Locks: `NUMBERS` (innermost) and `TABLE`, both short; `TABLE` may be held over `NUMBERS`, not the other way round.

use crate::group::{ProcessGroup, Session};
use containers::{HashMap, IdPool, XArray};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use errno::Result;
use errno::code::{EAGAIN, EEXIST, EINVAL, EPERM};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec};
use locking::{LazyLock, RwSpinLock, SpinLock};
use task::Task;

/// First number after a wrap (`RESERVED_PIDS`).
const RESERVED: u32 = 300;
/// Numbers are below this at first (`/proc/sys/kernel/pid_max`).
pub const PID_MAX: u32 = 32768;
/// The largest and the least that it can be set to.
const PID_MAX_MOST: u32 = 1 << 22;
const PID_MAX_LEAST: u32 = RESERVED + 1;

static PID_LIMIT: AtomicU32 = AtomicU32::new(PID_MAX);

/// New numbers are below this.
pub fn pid_max() -> u32 {
    PID_LIMIT.load(Ordering::Relaxed)
}

/// Sets [`pid_max`]. `EINVAL`.
pub fn set_pid_max(limit: u32) -> Result {
    if !(PID_MAX_LEAST..=PID_MAX_MOST).contains(&limit) {
        return Err(EINVAL);
    }
    PID_LIMIT.store(limit, Ordering::Relaxed);
    Ok(())
}

/// Threads in the table.
static THREADS: AtomicU32 = AtomicU32::new(0);
/// Numbers ever handed out.
static FORKS: AtomicU64 = AtomicU64::new(0);

struct Numbers {
    pool: IdPool,
    cursor: u32,
    wrapped: bool,
}

static NUMBERS: LazyLock<SpinLock<Numbers>> =
    LazyLock::new(|| SpinLock::new(Numbers { pool: IdPool::new(), cursor: 1, wrapped: false }));

/// A process number in use.
///
/// # Invariants
/// The number is taken in `NUMBERS`, by this value alone; dropping the value frees it.
pub struct PidNr(u32);

impl PidNr {
    /// Takes the next number, cyclically. `EAGAIN` when all are in use.
    pub fn alloc() -> Result<Arc<Self>> {
        let mut numbers = NUMBERS.lock();
        let numbers = &mut *numbers;
        let min = if numbers.wrapped { RESERVED } else { 1 };
        let before = numbers.cursor;
        let number = numbers.pool.alloc_cyclic(&mut numbers.cursor, min, pid_max(), GFP_ATOMIC).map_err(|_| EAGAIN)?;
        if number < before {
            numbers.wrapped = true;
        }
        match Arc::new(Self(number), GFP_ATOMIC) {
            Ok(nr) => {
                FORKS.fetch_add(1, Ordering::Relaxed);
                Ok(nr)
            }
            Err(error) => {
                numbers.pool.free(number);
                Err(error.into())
            }
        }
    }

    /// Takes this very number. `EEXIST` if it is in use.
    pub(crate) fn take(number: u32) -> Result<Arc<Self>> {
        let mut numbers = NUMBERS.lock();
        if numbers.pool.is_used(number) {
            return Err(EEXIST);
        }
        numbers.pool.take(number, GFP_ATOMIC)?;
        match Arc::new(Self(number), GFP_ATOMIC) {
            Ok(nr) => {
                FORKS.fetch_add(1, Ordering::Relaxed);
                Ok(nr)
            }
            Err(error) => {
                numbers.pool.free(number);
                Err(error.into())
            }
        }
    }

    /// Number 0: the kernel's own group and session, which no process is named after.
    pub(crate) fn zero() -> Result<Arc<Self>> {
        Ok(Arc::new(Self(0), GFP_KERNEL)?)
    }

    /// The number.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0
    }
}

impl Drop for PidNr {
    fn drop(&mut self) {
        if self.0 != 0 {
            NUMBERS.lock().pool.free(self.0);
        }
    }
}

/// The number handed out last (`/proc/loadavg`).
pub fn last_pid() -> u32 {
    NUMBERS.lock().cursor.saturating_sub(1)
}

/// The next number will be the first free one above `last` (`/proc/sys/kernel/ns_last_pid`). `EPERM`, `EINVAL`.
pub fn set_last_pid(last: u32) -> Result {
    if !cred::capable(cred::CAP_CHECKPOINT_RESTORE) && !cred::capable(cred::CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    if last > pid_max() {
        return Err(EINVAL);
    }
    NUMBERS.lock().cursor = last + 1;
    Ok(())
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
    task.set_tid(number);
    let gone = table.threads.erase(u64::from(own));
    drop(table);
    match (&old, &gone) {
        (Some(_), Some(_)) => THREADS.fetch_sub(1, Ordering::Relaxed),
        (None, None) => THREADS.fetch_add(1, Ordering::Relaxed),
        _ => 0,
    };
    Ok(())
}

/// Threads there are, zombies included (`/proc/loadavg`).
pub fn thread_count() -> u32 {
    THREADS.load(Ordering::Relaxed)
}

/// Threads made since boot (`/proc/stat`, `processes`).
pub fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// The thread with this number.
pub fn find_thread(tid: u32) -> Option<Arc<Task>> {
    TABLE.read().threads.load(u64::from(tid)).cloned()
}

/// The number `id`, if a thread, a group or a session has it.
pub(crate) fn find_number(id: u32) -> Option<Arc<PidNr>> {
    let table = TABLE.read();
    let thread = table.threads.load(u64::from(id)).and_then(|task| crate::thread::thread_of(task)?.nr());
    let group = || table.groups.get(&id).map(|group| group.nr().clone());
    thread.or_else(group).or_else(|| table.sessions.get(&id).map(|session| session.nr().clone()))
}

/// The first thread whose number is at least `from`; for listing (`/proc`, `kill(-1)`).
pub fn next_thread(from: u32) -> Option<(u32, Arc<Task>)> {
    let table = TABLE.read();
    let (index, task) = table.threads.find(u64::from(from))?;
    Some((u32::try_from(index).ok()?, task.clone()))
}

pub(crate) fn publish_group(group: Arc<ProcessGroup>) -> Result {
    TABLE.write().groups.insert(group.id(), group)?;
    Ok(())
}

/// The process group with this number.
pub fn find_group(id: u32) -> Option<Arc<ProcessGroup>> {
    TABLE.read().groups.get(&id).cloned()
}

pub(crate) fn forget_group(id: u32) {
    let gone = TABLE.write().groups.remove(&id);
    drop(gone);
}

pub(crate) fn publish_session(session: Arc<Session>) -> Result {
    TABLE.write().sessions.insert(session.id(), session)?;
    Ok(())
}

/// The session with this number.
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
        if crate::thread::thread_of(&task).is_some_and(|t| t.process().pid() == tid) {
            all.push(task, GFP_KERNEL)?;
        }
    }
    Ok(all)
}
