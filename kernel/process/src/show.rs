// SPDX-License-Identifier: GPL-2.0
//! What `/proc` shows of a thread that lies in this crate's private fields. Locks: those of the fields, one at a time.

use crate::signal::SigSet;
use crate::thread::{Process, Thread};
use core::sync::atomic::Ordering::Relaxed;
use kalloc::{Arc, KVec};

/// Signals of a thread and of its process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignalView {
    /// Pending for the thread.
    pub pending: SigSet,
    /// Pending for the process.
    pub shared: SigSet,
    /// Blocked by the thread.
    pub blocked: SigSet,
    /// Ignored by the process.
    pub ignored: SigSet,
    /// Caught by the process.
    pub caught: SigSet,
    /// Queued for all tasks of the thread's real user id.
    pub queued: u64,
}

impl Thread {
    /// The thread's signals at this moment.
    pub fn signal_view(&self) -> SignalView {
        let process = self.process();
        let actions = process.actions.lock_irqsave().clone();
        let (ignored, caught) = actions.summary();
        let queued = self.user.lock_irqsave().as_ref().map_or(0, |user| user.signals.load(Relaxed));
        SignalView {
            pending: SigSet(self.pending_set.load(Relaxed)),
            shared: SigSet(process.shared_set.load(Relaxed)),
            blocked: self.blocked(),
            ignored,
            caught,
            queued,
        }
    }

    /// `prctl(PR_GET_NO_NEW_PRIVS)`.
    pub fn no_new_privs(&self) -> bool {
        self.no_new_privs.load(Relaxed)
    }

    /// The status it will end or has ended with, in `wait(2)`'s encoding.
    pub fn exit_code(&self) -> i32 {
        self.exit_code.load(Relaxed)
    }
}

impl Process {
    /// `prctl(PR_GET_DUMPABLE)`: whether others of the same user may look inside.
    pub fn is_dumpable(&self) -> bool {
        self.dumpable.load(Relaxed) == 1
    }

    /// `/proc/PID/coredump_filter`.
    pub fn coredump_filter(&self) -> u32 {
        self.coredump_filter.load(Relaxed)
    }

    /// Changes it; bits that mean nothing are dropped.
    pub fn set_coredump_filter(&self, filter: u32) {
        self.coredump_filter.store(filter & crate::coredump::FILTER_MASK, Relaxed);
    }

    /// The auxiliary vector that its program was started with.
    pub fn auxv(&self) -> Option<Arc<KVec<u64>>> {
        self.auxv.lock().clone()
    }

    /// `personality(2)`.
    pub fn personality(&self) -> u32 {
        self.personality.load(Relaxed)
    }

    /// Whether its core file is being written.
    pub fn is_dumping_core(&self) -> bool {
        self.signals.lock_irqsave().core.is_some()
    }

    /// The signal that its parent gets when it ends.
    pub fn exit_signal(&self) -> i32 {
        self.exit_signal.load(Relaxed)
    }

    /// `/proc` made names of it: [`crate::hooks::Released`] is to be told of its end.
    pub fn set_shown(&self) {
        self.shown.store(true, Relaxed);
    }

    /// Whether it has called `execve` since its fork.
    pub fn did_exec(&self) -> bool {
        self.did_exec.load(Relaxed)
    }
}
