// SPDX-License-Identifier: GPL-2.0
//! How many tasks there may be: of one real user id (`RLIMIT_NPROC`), and in all (`/proc/sys/kernel/threads-max`). Source:
//! `getrlimit(2)`, `fork(2)`, `execve(2)`.
//!
//! A task counts from its fork until it has been waited for. Locks: `USERS`, and a thread's `user` (interrupts off) and `counted`;
//! nothing is taken inside either.

use crate::pid;
use crate::signal::syscalls::this;
use crate::thread::Thread;
use containers::HashMap;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use cred::{CAP_SYS_ADMIN, CAP_SYS_RESOURCE, Cred};
use errno::Result;
use errno::code::{EAGAIN, EINVAL, ENOMEM};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::{LazyLock, SpinLock};

/// What the tasks of one real user id have in use.
pub(crate) struct User {
    uid: u32,
    /// Causes queued for them, for `RLIMIT_SIGPENDING`.
    pub(crate) signals: AtomicU64,
    /// The tasks.
    tasks: AtomicU64,
}

/// The users of tasks.
static USERS: LazyLock<SpinLock<HashMap<u32, Arc<User>>>> = LazyLock::new(|| SpinLock::new(HashMap::new()));

/// The counts of `uid`; no lock for the current task's own. May sleep. `ENOMEM`.
pub(crate) fn of_user(uid: u32) -> Result<Arc<User>> {
    let own = crate::thread::with_thread(|thread| thread.user.lock_irqsave().clone()).flatten();
    if let Some(own) = own.filter(|user| user.uid == uid) {
        return Ok(own);
    }
    let fresh = Arc::new(User { uid, signals: AtomicU64::new(0), tasks: AtomicU64::new(0) }, GFP_KERNEL)?;
    let mut users = USERS.lock();
    if let Some(known) = users.get(&uid) {
        return Ok(known.clone());
    }
    // Those of users that have neither tasks nor signals any more.
    users.retain(|_, user| Arc::strong_count(user) > 1);
    users.insert(uid, fresh.clone()).map_err(|_| ENOMEM)?;
    Ok(fresh)
}

/// A task that is counted, until this is dropped.
pub(crate) struct Counted(Arc<User>);

impl Counted {
    fn new(user: Arc<User>) -> Self {
        user.tasks.fetch_add(1, Relaxed);
        Self(user)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Relaxed);
    }
}

/// Whether a user's limit does not hold for `cred`.
fn exempt(cred: &Cred) -> bool {
    cred.uid == 0 || cred.capable(CAP_SYS_RESOURCE) || cred.capable(CAP_SYS_ADMIN)
}

/// Counts one more task for the user of the current one. `EAGAIN` over a limit.
pub(crate) fn count() -> Result<Counted> {
    let cred = cred::current_cred()?;
    let counted = Counted::new(of_user(cred.uid)?);
    if counted.0.tasks.load(Relaxed) > rlimit::current(uapi::RLIMIT_NPROC) && !exempt(&cred) {
        return Err(EAGAIN);
    }
    this(|_, thread| {
        thread.nproc_exceeded.store(false, Relaxed);
        Ok(())
    })?;
    may_add()?;
    Ok(counted)
}

/// Whether there may be one task more, of whatever kind. `EAGAIN`.
pub(crate) fn may_add() -> Result {
    if pid::thread_count() < threads_max() { Ok(()) } else { Err(EAGAIN) }
}

/// The task of `thread` is gone for good, although somebody may still hold it for a while.
pub(crate) fn forget(thread: &Thread) {
    let counted = thread.counted.lock().take();
    drop(counted);
}

/// The new user of a task that changes its real user id.
pub(crate) struct Move(Option<Arc<User>>);

impl Move {
    /// What may fail, before the credentials are committed. May sleep. `EAGAIN` without memory.
    pub(crate) fn prepare(from: u32, to: u32) -> Result<Self> {
        if from == to {
            return Ok(Self(None));
        }
        let user = of_user(to).map_err(|_| EAGAIN)?;
        Ok(Self(Some(user)))
    }

    /// The credentials are the current task's: it counts for its new user, and it may not `execve` while that one has too many.
    pub(crate) fn commit(self) {
        let Some(user) = self.0 else { return };
        crate::thread::with_thread(|thread| {
            // Those that the user had without this one.
            let exceeded = user.uid != 0 && user.tasks.load(Relaxed) > rlimit::current(uapi::RLIMIT_NPROC);
            thread.nproc_exceeded.store(exceeded, Relaxed);
            let old = thread.user.lock_irqsave().replace(user.clone());
            drop(old);
            let mut counted = thread.counted.lock();
            let old = counted.is_some().then(|| counted.replace(Counted::new(user)));
            drop(counted);
            drop(old);
        });
    }
}

/// `execve` after a [`Move`]: `EAGAIN` while the user has too many tasks.
pub(crate) fn may_exec() -> Result {
    this(|_, thread| {
        if !thread.nproc_exceeded.load(Relaxed) {
            return Ok(());
        }
        let user = thread.user.lock_irqsave().clone();
        if user.is_some_and(|user| user.tasks.load(Relaxed) > rlimit::current(uapi::RLIMIT_NPROC)) {
            return Err(EAGAIN);
        }
        thread.nproc_exceeded.store(false, Relaxed);
        Ok(())
    })
}

/// The least and the largest that memory makes of the limit at boot, and the largest it may be set to.
const LEAST: u64 = 20;
const MOST: u32 = 0x3fff_ffff;

static THREADS_MAX: AtomicU32 = AtomicU32::new(MOST);

/// Most tasks in all.
pub fn threads_max() -> u32 {
    THREADS_MAX.load(Relaxed)
}

/// Sets [`threads_max`]. `EINVAL`.
pub fn set_threads_max(most: u32) -> Result {
    if !(1..=MOST).contains(&most) {
        return Err(EINVAL);
    }
    THREADS_MAX.store(most, Relaxed);
    Ok(())
}

/// Sets [`threads_max`] so that stacks take an eighth of `pages` of memory, and gives it.
pub(crate) fn set_boot_default(pages: u64) -> u32 {
    const STACK_PAGES: u64 = 4;
    let most = (pages / (STACK_PAGES * 8)).clamp(LEAST, u64::from(MOST)) as u32;
    THREADS_MAX.store(most, Relaxed);
    most
}
