// SPDX-License-Identifier: GPL-2.0
//! Rings that poll (`IORING_SETUP_IOPOLL`): whoever waits for results asks the files' devices whether something has ended, where those have
//! queues without interrupts ([`vfs::FileOps::poll_direct`]). A ring remembers which files it has requests for.
//!
//! Lock: the list's own, with interrupts on, taken alone.

use crate::ring::Ring;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use kalloc::flags::GFP_ATOMIC;
use kalloc::{Arc, KVec};
use locking::SpinLock;
use vfs::File;

/// How long a ring that nobody has open waits between two looks.
const PAUSE_NS: u64 = 1_000_000;

/// Files with polled requests.
pub(crate) struct Polled(SpinLock<KVec<Arc<File>>>);

impl Polled {
    #[track_caller]
    pub(crate) const fn new() -> Self {
        Self(SpinLock::new(KVec::new()))
    }

    /// A request for `file`, which is counted as active, is about to be sent. False without memory.
    pub(crate) fn note(&self, file: &Arc<File>) -> bool {
        let mut files = self.0.lock();
        files.iter().any(|other| Arc::ptr_eq(other, file)) || files.push(file.clone(), GFP_ATOMIC).is_ok()
    }

    /// With no request active, none of its files is needed any more. May sleep.
    pub(crate) fn forget(&self, active: &AtomicU32) {
        let gone = {
            let mut files = self.0.lock();
            // Under the lock: who notes a file has counted its request before.
            if files.is_empty() || active.load(SeqCst) != 0 {
                return;
            }
            core::mem::take(&mut *files)
        };
        drop(gone);
    }

    fn get(&self, index: usize) -> Option<Arc<File>> {
        self.0.lock().get(index).cloned()
    }
}

impl Ring {
    /// Looks for the end of polled requests: how many ended. `None` if no device of theirs has a queue for that: they end by themselves.
    /// May sleep.
    pub(crate) fn poll_files(&self) -> Option<usize> {
        let (mut found, mut index) = (None, 0);
        while let Some(file) = self.polled.get(index) {
            if let Some(ended) = file.ops().poll_direct(&file) {
                found = Some(found.unwrap_or(0) + ended);
            }
            index += 1;
        }
        found
    }

    /// Nobody has the ring open: a worker looks for what is still on its way, which nobody else would. May sleep.
    pub(crate) fn reap(self: &Arc<Self>) {
        if !self.polls() || self.active.load(SeqCst) == 0 {
            return;
        }
        let ring = self.clone();
        let look = move || {
            while ring.active.load(SeqCst) != 0 {
                ring.poll_files();
                ktime::sleep_ns(PAUSE_NS);
            }
            ring.drop_spent();
        };
        // Without memory for that, the device's time-outs look.
        let _ = workqueue::spawn(look);
    }
}
