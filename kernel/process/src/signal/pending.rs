// SPDX-License-Identifier: GPL-2.0
//! A queue of pending signals: a set, and the causes in the order of arrival. Standard signals queue once, real-time signals
//! as often as they are sent (`signal(7)`).

use super::{SigInfo, SigSet};
use errno::Result;
use errno::code::EAGAIN;
use kalloc::KVec;
use kalloc::flags::GFP_ATOMIC;

/// First real-time signal.
const SIGRTMIN: u32 = 32;

/// Pending signals of a thread or a process. Whoever holds its lock keeps the set's copy (`pending_set`, `shared_set`) true.
pub(crate) struct Pending {
    set: SigSet,
    queue: KVec<SigInfo>,
}

impl Pending {
    pub(crate) const fn new() -> Self {
        Self { set: SigSet::EMPTY, queue: KVec::new() }
    }

    /// What is pending.
    pub(crate) fn set(&self) -> SigSet {
        self.set
    }

    /// Number of queued causes.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Adds a signal; `false` if a standard signal was pending already. `EAGAIN` when a real-time signal that a user sent with
    /// data cannot be queued; others stay pending without their cause.
    pub(crate) fn push(&mut self, info: SigInfo, limit: usize) -> Result<bool> {
        if info.signo < SIGRTMIN && self.set.has(info.signo) {
            return Ok(false);
        }
        let fits = self.queue.len() < limit || info.signo < SIGRTMIN;
        if !fits || self.queue.push(info, GFP_ATOMIC).is_err() {
            if info.signo >= SIGRTMIN && info.from_user() && info.code != uapi::SI_USER as i32 {
                return Err(EAGAIN);
            }
        }
        self.set = self.set.or(SigSet::of(info.signo));
        Ok(true)
    }

    /// Makes signals pending without a cause.
    pub(crate) fn mark(&mut self, set: SigSet) {
        self.set = self.set.or(set);
    }

    /// The cause at a position of the queue.
    pub(crate) fn nth(&self, position: usize) -> Option<SigInfo> {
        self.queue.get(position).copied()
    }

    /// Takes the oldest entry of `signal`, which must be in the set.
    pub(crate) fn take(&mut self, signal: u32) -> SigInfo {
        let position = self.queue.iter().position(|info| info.signo == signal);
        let info = match position.and_then(|at| self.queue.remove(at)) {
            Some(info) => info,
            // Its cause could not be queued: as from `kill` by nobody.
            None => SigInfo::user(signal, uapi::SI_USER as i32, 0, 0),
        };
        if signal < SIGRTMIN || !self.queue.iter().any(|other| other.signo == signal) {
            self.set = self.set.without(SigSet::of(signal));
        }
        info
    }

    /// Drops all pending signals of `set`.
    pub(crate) fn flush(&mut self, set: SigSet) {
        if self.set.and(set).is_empty() {
            return;
        }
        self.set = self.set.without(set);
        self.queue.retain(|info| !set.has(info.signo));
    }
}
