// SPDX-License-Identifier: GPL-2.0
//! A queue of pending signals: a set, and the causes in the order of arrival. Standard signals queue once, real-time signals
//! as often as they are sent (`signal(7)`).

use super::quota::Charge;
use super::{SigInfo, SigSet};
use crate::nproc::User;
use errno::Result;
use errno::code::EAGAIN;
use kalloc::flags::GFP_ATOMIC;
use kalloc::{Arc, KVec};

/// First real-time signal.
const SIGRTMIN: u32 = 32;

/// Pending signals of a thread or a process. Whoever holds its lock keeps the set's copy (`pending_set`, `shared_set`) true.
pub(crate) struct Pending {
    set: SigSet,
    queue: KVec<Queued>,
}

/// A cause, and what counts it; a timer has been counted since it was made.
struct Queued {
    info: SigInfo,
    _charge: Option<Charge>,
}

impl Pending {
    pub(crate) const fn new() -> Self {
        Self { set: SigSet::EMPTY, queue: KVec::new() }
    }

    /// What is pending.
    pub(crate) fn set(&self) -> SigSet {
        self.set
    }

    /// Adds a signal; `false` if a standard signal was pending already. `EAGAIN` when a real-time signal with a
    /// cause of its own (data, a timer, a file) cannot be queued; others stay pending without their cause.
    /// It counts for `user`, of whom `limit` may be queued.
    pub(crate) fn push(&mut self, info: SigInfo, user: Option<Arc<User>>, limit: u64) -> Result<bool> {
        if info.timer_id().is_some() {
            return self.push_timer(info);
        }
        // Nobody asks why: it has no cause, and a zombie keeps none that counts.
        if info.signo == uapi::SIGKILL {
            let fresh = !self.set.has(info.signo);
            self.set = self.set.or(SigSet::of(info.signo));
            return Ok(fresh);
        }
        if info.signo < SIGRTMIN && self.set.has(info.signo) {
            return Ok(false);
        }
        // What the kernel and `kill` send by a standard signal is told even over the limit.
        let limit = if info.signo < SIGRTMIN && info.code >= 0 { u64::MAX } else { limit };
        let charge = user.and_then(|user| Charge::new(user, limit));
        let told = charge.is_some() && self.queue.push(Queued { info, _charge: charge }, GFP_ATOMIC).is_ok();
        let by_kill = [uapi::SI_USER as i32, uapi::SI_KERNEL as i32].contains(&info.code);
        if !told && info.signo >= SIGRTMIN && !by_kill {
            return Err(EAGAIN);
        }
        self.set = self.set.or(SigSet::of(info.signo));
        Ok(true)
    }

    /// A timer has at most one entry, which is of its last arming; no other keeps it out.
    fn push_timer(&mut self, info: SigInfo) -> Result<bool> {
        if let Some(queued) = self.queue.iter_mut().find(|queued| queued.info.same_timer(&info)) {
            queued.info = info;
            return Ok(false);
        }
        self.queue.push(Queued { info, _charge: None }, GFP_ATOMIC).map_err(|_| EAGAIN)?;
        self.set = self.set.or(SigSet::of(info.signo));
        Ok(true)
    }

    /// Drops what timers sent.
    pub(crate) fn flush_timers(&mut self) {
        let all =
            |queue: &KVec<Queued>| queue.iter().fold(SigSet::EMPTY, |set, one| set.or(SigSet::of(one.info.signo)));
        let before = all(&self.queue);
        self.queue.retain(|queued| queued.info.timer_id().is_none());
        self.set = self.set.without(before.without(all(&self.queue)));
    }

    /// Makes signals pending without a cause.
    pub(crate) fn mark(&mut self, set: SigSet) {
        self.set = self.set.or(set);
    }

    /// The cause at a position of the queue.
    pub(crate) fn nth(&self, position: usize) -> Option<SigInfo> {
        self.queue.get(position).map(|queued| queued.info)
    }

    /// Takes the oldest entry of `signal`, which must be in the set.
    pub(crate) fn take(&mut self, signal: u32) -> SigInfo {
        let position = self.queue.iter().position(|queued| queued.info.signo == signal);
        let info = match position.and_then(|at| self.queue.remove(at).ok()) {
            Some(queued) => queued.info,
            // Its cause could not be queued: as from `kill` by nobody.
            None => SigInfo::user(signal, uapi::SI_USER as i32, 0, 0),
        };
        if !self.queue.iter().any(|other| other.info.signo == signal) {
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
        self.queue.retain(|queued| !set.has(queued.info.signo));
    }
}
