// SPDX-License-Identifier: GPL-2.0
//! `CondVar`: waiting for a condition that a lock guards. `kernel::sync::CondVar`, over the wait queues of `kernel/locking/sleep`.
//!
//! ```
//! use kernel::sync::{Arc, CondVar, Mutex};
//! use kernel::{new_condvar, new_mutex, workqueue};
//!
//! #[pin_data]
//! struct Mail {
//!     #[pin]
//!     letters: Mutex<u32>,
//!     #[pin]
//!     came: CondVar,
//! }
//!
//! let mail = Arc::pin_init(pin_init!(Mail { letters <- new_mutex!(0), came <- new_condvar!() }), GFP_KERNEL)?;
//! let sender = mail.clone();
//! workqueue::system().try_spawn(GFP_KERNEL, move || {
//!     *sender.letters.lock() += 1;
//!     sender.came.notify_one();
//! })?;
//! let mut letters = mail.letters.lock();
//! while *letters == 0 {
//!     mail.came.wait(&mut letters);
//! }
//! assert_eq!(*letters, 1);
//! # Ok::<(), Error>(())
//! ```

use super::LockClassKey;
use super::lock::{Backend, Guard};
use crate::time::{self, Jiffies};
use ::sync::{PollMask, PollTable};
use core::ffi::CStr;
use core::marker::PhantomPinned;
use core::pin::Pin;
use errno::{Result, code::ENOMEM};
use kalloc::Arc;
use kalloc::flags::GFP_NOWAIT;
use locking::SetOnce;
use pin_init::{PinInit, pin_data, pin_init};

/// A condition variable, in place: `new_condvar!()` or `new_condvar!("name")`.
#[macro_export]
macro_rules! new_condvar {
    ($($name:literal)?) => {
        $crate::sync::CondVar::new($crate::optional_name!($($name)?), $crate::static_lock_class!())
    };
}

/// A queue of tasks that wait for a condition. A wait may end without reason: the condition is looked at again.
#[pin_data]
pub struct CondVar {
    #[pin]
    queue: ::sync::WaitQueue,
    /// Those who wait by `poll(2)`; made when the first does.
    polled: SetOnce<Arc<::sync::WaitQueue>>,
    #[pin]
    _pin: PhantomPinned,
}

/// How a wait with a limit ended.
pub enum CondVarTimeoutResult {
    /// The time was over.
    Timeout,
    /// Somebody woke the task.
    Woken {
        /// What was left of the time.
        jiffies: Jiffies,
    },
    /// A signal came.
    Signal {
        /// What was left of the time.
        jiffies: Jiffies,
    },
}

impl CondVar {
    /// A variable nobody waits for. Use `new_condvar!`.
    pub fn new(_name: &'static CStr, _key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self { queue: ::sync::WaitQueue::new(), polled: SetOnce::new(), _pin: PhantomPinned })
    }

    fn wait_internal<T: ?Sized, B: Backend>(&self, guard: &mut Guard<'_, T, B>, signals: bool, deadline: Option<u64>) {
        guard.do_unlocking(|unlock| self.queue.wait_released(signals, deadline, unlock));
    }

    /// Gives the lock up, sleeps until woken, and takes the lock again. May sleep.
    pub fn wait<T: ?Sized, B: Backend>(&self, guard: &mut Guard<'_, T, B>) {
        self.wait_internal(guard, false, None);
    }

    /// As [`Self::wait`]; a signal ends the sleep too. Whether one is pending.
    #[must_use = "tells of a signal"]
    pub fn wait_interruptible<T: ?Sized, B: Backend>(&self, guard: &mut Guard<'_, T, B>) -> bool {
        self.wait_internal(guard, true, None);
        task::current().signal_pending()
    }

    /// As [`Self::wait_interruptible`], in a kernel that can suspend: this one cannot yet.
    #[must_use = "tells of a signal"]
    pub fn wait_interruptible_freezable<T: ?Sized, B: Backend>(&self, guard: &mut Guard<'_, T, B>) -> bool {
        self.wait_interruptible(guard)
    }

    /// As [`Self::wait_interruptible`], for `jiffies` at most.
    #[must_use = "tells how it ended"]
    pub fn wait_interruptible_timeout<T: ?Sized, B: Backend>(
        &self,
        guard: &mut Guard<'_, T, B>,
        jiffies: Jiffies,
    ) -> CondVarTimeoutResult {
        let deadline = ktime::now_ns().saturating_add(time::jiffies_to_nsecs(jiffies));
        self.wait_internal(guard, true, Some(deadline));
        let left = time::nsecs_to_jiffies_ceil(deadline.saturating_sub(ktime::now_ns()));
        match (left, task::current().signal_pending()) {
            (jiffies, true) => CondVarTimeoutResult::Signal { jiffies },
            (0, false) => CondVarTimeoutResult::Timeout,
            (jiffies, false) => CondVarTimeoutResult::Woken { jiffies },
        }
    }

    fn wake(&self, all: bool) {
        if all {
            self.queue.wake_up_all();
        } else {
            self.queue.wake_up();
        }
        if let Some(queue) = self.polled.get() {
            queue.wake_up_all();
        }
    }

    /// Wakes one; the caller is about to sleep itself. Any context but NMI.
    pub fn notify_sync(&self) {
        self.wake(false);
    }

    /// Wakes one task that waits, if there is any. Any context but NMI.
    pub fn notify_one(&self) {
        self.wake(false);
    }

    /// Wakes all that wait. Any context but NMI.
    pub fn notify_all(&self) {
        self.wake(true);
    }

    /// Adds the variable to a poll. `ENOMEM`.
    pub(crate) fn poll(&self, table: &mut PollTable) -> Result {
        if self.polled.get().is_none() {
            // Another CPU may have been faster; its queue stays.
            let _ = self.polled.set(Arc::new(::sync::WaitQueue::new(), GFP_NOWAIT)?);
        }
        table.add(self.polled.get().ok_or(ENOMEM)?);
        Ok(())
    }

    /// Tells those who poll that nothing will come any more.
    pub(crate) fn hang_up(&self) {
        if let Some(queue) = self.polled.get() {
            queue.wake_up_poll(PollMask::HUP | PollMask::ALL);
        }
    }
}
