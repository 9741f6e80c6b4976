// SPDX-License-Identifier: GPL-2.0
//! `RLIMIT_SIGPENDING`: how many causes are queued for all tasks of a real user id. Source: `getrlimit(2)`, `sigqueue(3)`.

use crate::nproc::User;
use core::sync::atomic::Ordering::Relaxed;
use errno::Result;
use errno::code::EAGAIN;
use kalloc::Arc;

/// One cause that is counted, until this is dropped.
pub struct Charge(Arc<User>);

impl Charge {
    /// Counts one for `user`, of whom the limit allows `limit`.
    pub(crate) fn new(user: Arc<User>, limit: u64) -> Option<Self> {
        let charge = Self(user);
        // What is refused is dropped again.
        if charge.0.signals.fetch_add(1, Relaxed) < limit { Some(charge) } else { None }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.0.signals.fetch_sub(1, Relaxed);
    }
}

/// Counts the cause that a timer of the current process sends again and again. `EAGAIN` over the limit.
pub fn charge_timer() -> Result<Charge> {
    let limit = rlimit::current(uapi::RLIMIT_SIGPENDING);
    let user = crate::thread::with_thread(|thread| thread.user.lock_irqsave().clone()).flatten();
    Charge::new(user.ok_or(EAGAIN)?, limit).ok_or(EAGAIN)
}
