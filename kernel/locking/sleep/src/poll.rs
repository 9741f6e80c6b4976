// SPDX-License-Identifier: GPL-2.0
//! How `poll(2)`, `select(2)` and `epoll(7)` register with the wait queues behind a file.
//!
//! A file's `poll` method adds its queues to the table it is given and returns what is ready now. Tables differ in what a
//! wake-up does: [`PollTable::for_task`] wakes the polling task; [`PollTable::for_callback`] calls back (epoll).

use core::sync::atomic::{AtomicBool, Ordering};
use errno::{Error, Result};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use task::{State, Task, current};
use wait_queue::WaitQueue;
use wait_queue::wait::{Registration, sleep_until};

pub use wait_queue::{PollMask, WakeCallback};

enum Mode {
    /// Collect what is ready; register nothing (a second pass, or nobody waits).
    Query,
    /// Wake a task.
    Task(Arc<PollWakeup>),
    /// Call back.
    Callback { callback: Arc<dyn WakeCallback>, exclusive: bool },
}

struct PollWakeup {
    task: Arc<Task>,
    triggered: AtomicBool,
    key: u32,
}

impl WakeCallback for PollWakeup {
    fn wake(&self, events: PollMask) -> bool {
        if events.0 & self.key == 0 {
            return false;
        }
        self.triggered.store(true, Ordering::SeqCst);
        self.task.wake(State::NORMAL)
    }
}

/// Collects registrations of one `poll` pass; dropping it takes them all back.
pub struct PollTable {
    mode: Mode,
    registering: bool,
    registrations: KVec<Registration>,
    error: Option<Error>,
}

impl PollTable {
    /// Registers nothing: for asking what is ready now.
    pub fn query() -> Self {
        Self { mode: Mode::Query, registering: false, registrations: KVec::new(), error: None }
    }

    /// Wakes the current task at any event.
    pub fn for_task() -> Result<Self> {
        let wakeup = PollWakeup { task: current().to_arc(), triggered: AtomicBool::new(false), key: u32::MAX };
        let wakeup = Arc::new(wakeup, GFP_KERNEL)?;
        Ok(Self { mode: Mode::Task(wakeup), registering: true, registrations: KVec::new(), error: None })
    }

    /// Calls `callback` back until the table is dropped.
    pub fn for_callback(callback: Arc<dyn WakeCallback>, exclusive: bool) -> Self {
        Self {
            mode: Mode::Callback { callback, exclusive },
            registering: true,
            registrations: KVec::new(),
            error: None,
        }
    }

    /// Registers with `queue`. Called by `poll` methods; an allocation failure is kept for [`Self::error`].
    #[inline]
    pub fn add(&mut self, queue: &Arc<WaitQueue>) {
        if !self.registering {
            return;
        }
        if let Err(error) = self.try_add(queue) {
            self.error = Some(error);
        }
    }

    fn try_add(&mut self, queue: &Arc<WaitQueue>) -> Result {
        let (callback, exclusive) = match &self.mode {
            Mode::Query => return Ok(()),
            Mode::Task(wakeup) => (wakeup.clone() as Arc<dyn WakeCallback>, false),
            Mode::Callback { callback, exclusive } => (callback.clone(), *exclusive),
        };
        self.registrations.reserve(1, GFP_KERNEL)?;
        self.registrations.push(Registration::new(queue, callback, exclusive)?, GFP_KERNEL)?;
        Ok(())
    }

    /// Whether later `add`s would register anything (a `poll` method may skip work if not).
    pub fn is_waiting(&self) -> bool {
        self.registering
    }

    /// From now on registers nothing: something is ready, or everything is registered.
    pub fn stop(&mut self) {
        self.registering = false;
    }

    /// The first failure of an `add`.
    pub fn error(&self) -> Option<Error> {
        self.error
    }

    /// Sleeps, interruptibly, until a registered queue was woken since the last call, a signal comes, or the deadline
    /// (monotonic) passes. True if the deadline passed. The caller looks at signals and readiness again.
    pub fn wait(&self, deadline_ns: Option<u64>) -> bool {
        let Mode::Task(wakeup) = &self.mode else { return false };
        let task = current();
        task.set_state(State::INTERRUPTIBLE);
        let mut expired = false;
        if !wakeup.triggered.load(Ordering::SeqCst) && !task.signal_pending() {
            match deadline_ns {
                None => task::schedule(),
                Some(deadline) => expired = sleep_until(deadline),
            }
        }
        task.set_state(State::RUNNING);
        wakeup.triggered.store(false, Ordering::SeqCst);
        expired
    }
}
