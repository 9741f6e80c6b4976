// SPDX-License-Identifier: GPL-2.0
//! How many pages the pipes of one user may have together (`/proc/sys/fs/pipe-user-pages-soft`, `-hard`). A pipe counts for who
//! made it, its capacity whether it is filled or not. Source: `pipe(7)`.
//!
//! Locks: `USERS`, innermost.

use containers::HashMap;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use cred::{CAP_SYS_ADMIN, CAP_SYS_RESOURCE};
use errno::Result;
use errno::code::ENOMEM;
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::{LazyLock, SpinLock};

/// Above so many pages an unprivileged user's new pipes are small; 0 for no limit.
static SOFT: AtomicUsize = AtomicUsize::new(16 * 1024);
/// Above so many an unprivileged user gets no more pipes; 0 for no limit.
static HARD: AtomicUsize = AtomicUsize::new(0);

/// `pipe-user-pages-soft`.
pub fn user_pages_soft() -> usize {
    SOFT.load(Relaxed)
}

/// `pipe-user-pages-hard`.
pub fn user_pages_hard() -> usize {
    HARD.load(Relaxed)
}

/// Sets [`user_pages_soft`].
pub fn set_user_pages_soft(pages: usize) {
    SOFT.store(pages, Relaxed);
}

/// Sets [`user_pages_hard`].
pub fn set_user_pages_hard(pages: usize) {
    HARD.store(pages, Relaxed);
}

/// Pages of the pipes of each user that has any.
static USERS: LazyLock<SpinLock<HashMap<u32, Arc<AtomicUsize>>>> = LazyLock::new(|| SpinLock::new(HashMap::new()));

fn of_user(uid: u32) -> Result<Arc<AtomicUsize>> {
    {
        let users = USERS.lock();
        if let Some(known) = users.get(&uid) {
            return Ok(known.clone());
        }
    }
    let fresh = Arc::new(AtomicUsize::new(0), GFP_KERNEL)?;
    let mut users = USERS.lock();
    if let Some(known) = users.get(&uid) {
        return Ok(known.clone());
    }
    // Those of users whose pipes are all gone.
    users.retain(|_, pages| Arc::strong_count(pages) > 1);
    users.insert(uid, fresh.clone()).map_err(|_| ENOMEM)?;
    Ok(fresh)
}

/// Pages that count for a user, until this is dropped.
pub(crate) struct UserPages {
    user: Arc<AtomicUsize>,
    pages: AtomicUsize,
}

impl UserPages {
    /// Counts `pages` for the current user. May sleep. `ENOMEM`.
    pub(crate) fn new(pages: usize) -> Result<Self> {
        let user = of_user(cred::current_cred()?.uid)?;
        user.fetch_add(pages, Relaxed);
        Ok(Self { user, pages: AtomicUsize::new(pages) })
    }

    /// Counts `pages` instead. The pipe's ring is locked, or nobody else knows it.
    pub(crate) fn set(&self, pages: usize) {
        let before = self.pages.swap(pages, Relaxed);
        self.user.fetch_add(pages, Relaxed);
        self.user.fetch_sub(before, Relaxed);
    }

    /// Whether the user has too many by the soft limit, and the caller must keep it.
    pub(crate) fn above_soft(&self) -> bool {
        self.above(user_pages_soft())
    }

    /// Whether the user has too many by the hard limit, and the caller must keep it.
    pub(crate) fn above_hard(&self) -> bool {
        self.above(user_pages_hard())
    }

    fn above(&self, limit: usize) -> bool {
        limit != 0
            && self.user.load(Relaxed) > limit
            && !cred::capable(CAP_SYS_RESOURCE)
            && !cred::capable(CAP_SYS_ADMIN)
    }
}

impl Drop for UserPages {
    fn drop(&mut self) {
        self.set(0);
    }
}
