// SPDX-License-Identifier: GPL-2.0
//! Work that is queued by a timer.

use crate::Work;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, WeakArc};
use ktime::{Clock, HrTimer, Restart};
use locking::SetOnce;

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

    /// An item that runs `function`, and again after as many nanoseconds as that returns. May sleep.
    pub fn new_again(function: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Result<Self> {
        let again: Arc<SetOnce<WeakArc<HrTimer>>> = Arc::new(SetOnce::new(), GFP_KERNEL)?;
        let timer = again.clone();
        let this = Self::new(move || {
            if let Some(ns) = function()
                && let Some(timer) = timer.get().and_then(WeakArc::upgrade)
            {
                timer.start_after(ns.max(1));
            }
        })?;
        // Fresh, so nobody has set it.
        let _ = again.set(Arc::downgrade(&this.timer));
        Ok(this)
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
