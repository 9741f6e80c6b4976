// SPDX-License-Identifier: GPL-2.0
//! `RLIMIT_SIGPENDING`: how many causes are queued for all tasks of a real user id. Source: `getrlimit(2)`, `sigqueue(3)`.
//!
//! Locks: `USERS`, and a thread's `signal_user` (interrupts off); nothing is taken inside either.

use crate::thread::Thread;
use containers::HashMap;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use errno::Result;
use errno::code::{EAGAIN, ENOMEM};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::{LazyLock, SpinLock};

/// Causes queued for the tasks of one user.
pub(crate) type UserSignals = Arc<AtomicU64>;

/// The users of tasks.
static USERS: LazyLock<SpinLock<HashMap<u32, UserSignals>>> = LazyLock::new(|| SpinLock::new(HashMap::new()));

/// The count of `uid`. May sleep.
pub(crate) fn of_user(uid: u32) -> Result<UserSignals> {
    let fresh = Arc::new(AtomicU64::new(0), GFP_KERNEL)?;
    let mut users = USERS.lock();
    if let Some(known) = users.get(&uid) {
        return Ok(known.clone());
    }
    // Those of users that have neither tasks nor signals any more.
    users.retain(|_, count| Arc::strong_count(count) > 1);
    users.insert(uid, fresh.clone()).map_err(|_| ENOMEM)?;
    Ok(fresh)
}

/// The current thread's real user id changes. May sleep.
pub(crate) fn move_user(thread: &Thread, uid: u32) {
    // Without memory its signals still count for the old one.
    if let Ok(count) = of_user(uid) {
        let old = thread.signal_user.lock_irqsave().replace(count);
        drop(old);
    }
}

/// One cause that is counted, until this is dropped.
pub struct Charge(UserSignals);

impl Charge {
    /// Counts one for `user`, of whom the limit allows `limit`.
    pub(crate) fn new(user: UserSignals, limit: u64) -> Option<Self> {
        let charge = Self(user);
        // What is refused is dropped again.
        if charge.0.fetch_add(1, Relaxed) < limit { Some(charge) } else { None }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Counts the cause that a timer of the current process sends again and again. `EAGAIN` over the limit.
pub fn charge_timer() -> Result<Charge> {
    let limit = rlimit::current(uapi::RLIMIT_SIGPENDING);
    let user = crate::thread::with_thread(|thread| thread.signal_user.lock_irqsave().clone()).flatten();
    Charge::new(user.ok_or(EAGAIN)?, limit).ok_or(EAGAIN)
}
