// SPDX-License-Identifier: GPL-2.0
//! Work that is queued by a timer.

use crate::Work;
use errno::Result;
use kalloc::Arc;
use ktime::{Clock, HrTimer, Restart};

/// A [`Work`] with a timer.
pub struct DelayedWork {
    work: Arc<Work>,
    timer: Arc<HrTimer>,
}

impl DelayedWork {
    /// An item that runs `function`. May sleep.
    pub fn new(function: impl Fn() + Send + Sync + 'static) -> Result<Self> {
        let work = Work::new(function)?;
        let queue = work.clone();
        let timer = HrTimer::new(Clock::Monotonic, move |_: &Arc<HrTimer>| {
            queue.queue();
            Restart::No
        })?;
        Ok(Self { work, timer })
    }

    /// (Re)starts the timer: the item is queued `delay_ns` from now. Any context but NMI.
    pub fn queue_after(&self, delay_ns: u64) {
        if delay_ns == 0 {
            self.timer.cancel();
            self.work.queue();
        } else {
            self.timer.start_after(delay_ns);
        }
    }

    /// Stops the timer; an item that is queued already stays so. Any context but NMI and the item itself. Whether it was running.
    pub fn cancel(&self) -> bool {
        self.timer.cancel()
    }

    /// Stops the timer, takes the item off its queue, and waits for it if it runs. May sleep.
    pub fn cancel_sync(&self) {
        self.timer.cancel();
        self.work.cancel_sync();
    }

    /// Queues at once what the timer would queue later, and waits for it. May sleep.
    pub fn flush(&self) {
        if self.timer.cancel() {
            self.work.queue();
        }
        self.work.flush();
    }
}

impl Drop for DelayedWork {
    fn drop(&mut self) {
        self.timer.cancel();
    }
}
