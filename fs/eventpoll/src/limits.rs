// SPDX-License-Identifier: GPL-2.0
//! How many files each user may watch (`fs.epoll.max_user_watches`). An epoll counts for whoever made it. Locks: `USERS`, short.

use containers::HashMap;
use core::sync::atomic::{AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, WeakArc};
use locking::{LazyLock, SpinLock};

/// Most watched files of a user.
pub static MAX_USER_WATCHES: AtomicU64 = AtomicU64::new(1 << 16);

/// What a watched file is taken to cost.
const COST: u64 = 192;

/// Sets the limit: their cost may be a twenty-fifth of memory. Once, at boot.
pub fn init() {
    let memory = mm::meminfo().total.saturating_mul(mm_alloc::PAGE_SIZE as u64);
    MAX_USER_WATCHES.store(memory / 25 / COST, Ordering::Relaxed);
}

/// The watched files of a user.
pub(crate) struct User(AtomicU64);

static USERS: LazyLock<SpinLock<HashMap<u32, WeakArc<User>>>> = LazyLock::new(|| SpinLock::new(HashMap::new()));

impl User {
    /// The current one. May sleep.
    pub(crate) fn current() -> Result<Arc<Self>> {
        let uid = cred::current_cred()?.uid;
        let fresh = Arc::new(Self(AtomicU64::new(0)), GFP_KERNEL)?;
        let mut users = USERS.lock();
        if let Some(user) = users.get(&uid).and_then(WeakArc::upgrade) {
            return Ok(user);
        }
        // Whoever has no epoll any more is forgotten when somebody comes.
        users.retain(|_, user| user.strong_count() != 0);
        users.insert(uid, Arc::downgrade(&fresh))?;
        Ok(fresh)
    }
}

/// One watched file that counts, as long as it lives.
pub(crate) struct Charge(Arc<User>);

impl Charge {
    /// `ENOSPC`.
    pub(crate) fn new(user: &Arc<User>) -> Result<Self> {
        let most = MAX_USER_WATCHES.load(Ordering::Relaxed);
        if user.0.fetch_add(1, Ordering::Relaxed) >= most {
            user.0.fetch_sub(1, Ordering::Relaxed);
            return Err(ENOSPC);
        }
        Ok(Self(user.clone()))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
