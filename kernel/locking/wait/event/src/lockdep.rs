// SPDX-License-Identifier: GPL-2.0
//! What sleeping locks tell the lock-order checker (`locking::lockdep`); empty in other builds.

/// The class of a lock and its notes. A zero-sized nothing unless the checker is configured.
pub struct Notes {
    #[cfg(CONFIG_LOCKDEP)]
    class: locking::lockdep::Class,
}

impl Notes {
    /// The class of the caller's place.
    #[track_caller]
    pub const fn here() -> Self {
        Self {
            #[cfg(CONFIG_LOCKDEP)]
            class: locking::lockdep::Class::here(),
        }
    }

    /// The class of `place`.
    pub const fn at(_place: &'static core::panic::Location<'static>) -> Self {
        Self {
            #[cfg(CONFIG_LOCKDEP)]
            class: locking::lockdep::Class::at(_place),
        }
    }

    /// The lock is about to be waited for.
    #[inline(always)]
    pub fn acquire(&self) {
        self.note(false);
    }

    /// The lock was taken without waiting.
    #[inline(always)]
    pub fn acquired(&self) {
        self.note(true);
    }

    #[inline(always)]
    fn note(&self, _trying: bool) {
        #[cfg(CONFIG_LOCKDEP)]
        if let Some(task) = task::try_current() {
            task.lockdep.acquire(self.class, core::ptr::from_ref(self).addr(), _trying);
        }
    }

    /// The lock is about to be given back, or the wait for it failed.
    #[inline(always)]
    pub fn release(&self) {
        #[cfg(CONFIG_LOCKDEP)]
        if let Some(task) = task::try_current() {
            task.lockdep.release(core::ptr::from_ref(self).addr());
        }
    }
}
