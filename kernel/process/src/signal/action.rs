// SPDX-License-Identifier: GPL-2.0
//! Dispositions: what a process does with each signal. Source: `sigaction(2)`.

use super::{NSIG, SigSet};
use locking::SpinLock;

/// Default disposition.
pub const SIG_DFL: u64 = 0;
/// Ignored.
pub const SIG_IGN: u64 = 1;

/// One disposition, as the ABI's `struct sigaction` has it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigAction {
    /// Handler address, or `SIG_DFL`, `SIG_IGN`.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where the handler returns to (with `SA_RESTORER`).
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: u64,
}

/// A process's dispositions, shared by `CLONE_SIGHAND`.
pub struct SigActions(SpinLock<[SigAction; NSIG as usize]>);

impl SigActions {
    /// All default.
    pub fn new() -> Self {
        Self(SpinLock::new([SigAction::default(); NSIG as usize]))
    }

    /// A copy (fork without `CLONE_SIGHAND`).
    pub fn duplicate(&self) -> Self {
        Self(SpinLock::new(*self.0.lock_irqsave()))
    }

    /// The disposition of `signal`.
    #[inline]
    pub fn get(&self, signal: u32) -> SigAction {
        let index = signal.wrapping_sub(1) as usize;
        self.0.lock_irqsave().get(index).copied().unwrap_or_default()
    }

    /// Replaces the disposition of `signal`; returns the old one.
    #[inline]
    pub fn set(&self, signal: u32, action: SigAction) -> SigAction {
        let index = signal.wrapping_sub(1) as usize;
        match self.0.lock_irqsave().get_mut(index) {
            Some(slot) => core::mem::replace(slot, action),
            None => SigAction::default(),
        }
    }

    /// After `execve`: caught signals become default, ignored ones stay ignored.
    pub fn reset_for_exec(&self) {
        for action in self.0.lock_irqsave().iter_mut() {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = SigAction { handler, ..SigAction::default() };
        }
    }

    /// `CLONE_CLEAR_SIGHAND`: everything but ignored signals becomes default.
    pub fn clear_handlers(&self) {
        self.reset_for_exec();
    }

    /// Whether `signal` would be thrown away if it were not blocked.
    pub fn ignores(&self, signal: u32) -> bool {
        match self.get(signal).handler {
            SIG_IGN => true,
            SIG_DFL => SigSet::IGNORED.has(signal),
            _ => false,
        }
    }

    /// The sets of ignored and of caught signals (`/proc/PID/status`).
    pub fn summary(&self) -> (SigSet, SigSet) {
        let mut ignored = SigSet::EMPTY;
        let mut caught = SigSet::EMPTY;
        for (index, action) in self.0.lock_irqsave().iter().enumerate() {
            let signal = SigSet(1 << index);
            match action.handler {
                SIG_DFL => {}
                SIG_IGN => ignored = ignored.or(signal),
                _ => caught = caught.or(signal),
            }
        }
        (ignored, caught)
    }
}

impl Default for SigActions {
    fn default() -> Self {
        Self::new()
    }
}
