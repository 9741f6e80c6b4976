// SPDX-License-Identifier: GPL-2.0
//! How `poll(2)`, `select(2)` and `epoll(7)` register with the wait queues behind a file.
//!
//! A file's `poll` method adds its queues to the table it is given and returns what is ready now. Tables differ in what a
//! wake-up does: [`PollTable::for_task`] wakes the polling task; [`PollTable::for_callback`] calls back (epoll).

use crate::wait::{EntryCell, WaitQueue, Wakee};
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use errno::{Error, Result};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use task::{State, Task, current};

/// Poll events; bits as `EPOLL*` (and `POLL*`) of the ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PollMask(pub u32);

impl PollMask {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Data to read.
    pub const IN: Self = Self(0x001);
    /// Exceptional condition.
    pub const PRI: Self = Self(0x002);
    /// Writing will not block.
    pub const OUT: Self = Self(0x004);
    /// Error; always reported.
    pub const ERR: Self = Self(0x008);
    /// Hang-up; always reported.
    pub const HUP: Self = Self(0x010);
    /// Invalid descriptor.
    pub const NVAL: Self = Self(0x020);
    /// Normal data to read.
    pub const RDNORM: Self = Self(0x040);
    /// Priority band data to read.
    pub const RDBAND: Self = Self(0x080);
    /// Normal data may be written.
    pub const WRNORM: Self = Self(0x100);
    /// Priority data may be written.
    pub const WRBAND: Self = Self(0x200);
    /// The peer shut down its writing half.
    pub const RDHUP: Self = Self(0x2000);
    /// Every event (a wake-up that does not say).
    pub const ALL: Self = Self(u32::MAX);
    /// What a regular file always reports.
    pub const DEFAULT: Self = Self(0x001 | 0x004 | 0x040 | 0x100);

    /// Whether the two have an event in common.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl core::ops::BitOr for PollMask {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl core::ops::BitOrAssign for PollMask {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl core::ops::BitAnd for PollMask {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// Called by a wake-up on a queue it was registered with.
pub trait WakeCallback: Send + Sync {
    /// `events` occurred ([`PollMask::ALL`] if the waker did not say). Runs with the queue's lock held and interrupts off:
    /// must not sleep, nor touch the same queue. Returns whether it took the wake-up (for exclusive registrations).
    fn wake(&self, events: PollMask) -> bool;
}

/// One registration; takes itself off the queue when dropped.
pub(crate) struct Registration {
    queue: Arc<WaitQueue>,
    cell: Pin<KBox<EntryCell>>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.queue.unlink(self.cell.as_ref());
    }
}

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
        let cell = KBox::pin(EntryCell::new(Wakee::Callback { callback, exclusive }), GFP_KERNEL)?;
        self.registrations.reserve(1, GFP_KERNEL)?;
        queue.link(cell.as_ref(), exclusive);
        self.registrations.push(Registration { queue: queue.clone(), cell }, GFP_KERNEL)?;
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
                Some(deadline) => expired = crate::wait::sleep_until(deadline),
            }
        }
        task.set_state(State::RUNNING);
        wakeup.triggered.store(false, Ordering::SeqCst);
        expired
    }
}
