// SPDX-License-Identifier: GPL-2.0
//! Wait queues: tasks sleep until a condition holds; others make it true and wake them. Who is on a queue: `wait_list`.

use crate::PollMask;
use errno::Result;
use errno::code::ERESTARTSYS;
use task::state::TaskFlags;
use task::{State, Task};
use wait_list::Waiters;

wait_list::queue! {
    /// A queue of waiters. `const`-constructible; a queue that can be polled lives in an `Arc` (see [`Registration`]).
    pub struct WaitQueue;
}

/// A callback on a queue; takes itself off when dropped.
pub type Registration = wait_list::Registration<WaitQueue>;

impl WaitQueue {
    /// An empty queue.
    #[track_caller]
    pub const fn new() -> Self {
        Self(Waiters::new())
    }

    /// Whether anybody waits at this moment.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.0.is_active()
    }

    /// Wakes one exclusive waiter and all that are not exclusive. Any context.
    #[inline]
    pub fn wake_up(&self) {
        self.0.wake(1, PollMask::ALL, State::NORMAL);
    }

    /// Wakes up to `n` exclusive waiters.
    #[inline]
    pub fn wake_up_nr(&self, n: usize) {
        self.0.wake(n, PollMask::ALL, State::NORMAL);
    }

    /// Wakes everybody.
    #[inline]
    pub fn wake_up_all(&self) {
        self.0.wake(usize::MAX, PollMask::ALL, State::NORMAL);
    }

    /// Wakes waiters, telling callbacks (epoll) which events occurred.
    #[inline]
    pub fn wake_up_poll(&self, events: PollMask) {
        self.0.wake(1, events, State::NORMAL);
    }

    /// Wakes only interruptible sleepers (`wake_up_interruptible`).
    #[inline]
    pub fn wake_up_interruptible(&self) {
        self.0.wake(1, PollMask::ALL, State::INTERRUPTIBLE);
    }

    /// Sleeps until `condition` holds. Not interruptible by signals. May sleep.
    #[inline]
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        task::might_sleep();
        if condition() {
            return;
        }
        // Uninterruptible sleep without a deadline ends only by the condition.
        let _ = self.wait(State::UNINTERRUPTIBLE, false, None, &mut condition);
    }

    /// As [`Self::wait_until`] for a kernel thread that has nothing to do: does not count in the load average.
    pub fn wait_idle(&self, mut condition: impl FnMut() -> bool) {
        task::might_sleep();
        if !condition() {
            // As in `wait_until`.
            let _ = self.wait(State::IDLE, false, None, &mut condition);
        }
    }

    /// As [`Self::wait_idle`], counted by a wake-up of one, with an optional deadline; false if it passed first.
    pub fn wait_idle_exclusive(&self, deadline_ns: Option<u64>, mut condition: impl FnMut() -> bool) -> bool {
        task::might_sleep();
        condition() || self.wait(State::IDLE, true, deadline_ns, &mut condition).unwrap_or(false)
    }

    /// Sleeps until `condition` holds or a signal comes (`ERESTARTSYS`). May sleep.
    #[inline]
    pub fn wait_interruptible(&self, mut condition: impl FnMut() -> bool) -> Result {
        task::might_sleep();
        if condition() {
            return Ok(());
        }
        self.wait(State::INTERRUPTIBLE, false, None, &mut condition).map(|_| ())
    }

    /// As [`Self::wait_interruptible`], but a wake-up of one counts this waiter.
    #[inline]
    pub fn wait_interruptible_exclusive(&self, mut condition: impl FnMut() -> bool) -> Result {
        task::might_sleep();
        if condition() {
            return Ok(());
        }
        self.wait(State::INTERRUPTIBLE, true, None, &mut condition).map(|_| ())
    }

    /// Sleeps until `condition` holds or a fatal signal comes (`ERESTARTSYS`). May sleep.
    pub fn wait_killable(&self, mut condition: impl FnMut() -> bool) -> Result {
        task::might_sleep();
        if condition() {
            return Ok(());
        }
        self.wait(State::KILLABLE, false, None, &mut condition).map(|_| ())
    }

    /// As [`Self::wait_until`] with a deadline on the monotonic clock; false if it passed first.
    pub fn wait_until_deadline(&self, deadline_ns: u64, mut condition: impl FnMut() -> bool) -> bool {
        task::might_sleep();
        if condition() {
            return true;
        }
        self.wait(State::UNINTERRUPTIBLE, false, Some(deadline_ns), &mut condition).unwrap_or(false)
    }

    /// As [`Self::wait_interruptible`] with an optional deadline; `Ok(false)` if it passed first.
    pub fn wait_interruptible_deadline(
        &self,
        deadline_ns: Option<u64>,
        mut condition: impl FnMut() -> bool,
    ) -> Result<bool> {
        task::might_sleep();
        if condition() {
            return Ok(true);
        }
        self.wait(State::INTERRUPTIBLE, false, deadline_ns, &mut condition)
    }

    /// Sleeps until it is woken once (a wake-up of one counts this waiter): `release` runs when the task is on the queue already,
    /// so no wake-up that follows it is lost. `interruptible`: a signal ends the sleep too; so does the deadline. What ended it
    /// is not told: the caller looks. May sleep; `release` must not.
    pub fn wait_released(&self, interruptible: bool, deadline_ns: Option<u64>, release: impl FnOnce()) {
        task::might_sleep();
        let state = if interruptible { State::INTERRUPTIBLE } else { State::UNINTERRUPTIBLE };
        let mut release = Some(release);
        // The first look releases and sleeps; any later one comes after a wake-up. An error says the same.
        let _ = self.wait(state, true, deadline_ns, &mut || match release.take() {
            Some(release) => {
                release();
                false
            }
            None => true,
        });
    }

    /// Sleeps in `state` until `condition` holds, or ends with `ERESTARTSYS` for what `state` says of signals; `Ok(false)` if the deadline
    /// passed first. `condition` is called on the queue already. For locks, which look themselves before.
    pub fn wait(
        &self,
        state: State,
        exclusive: bool,
        deadline_ns: Option<u64>,
        condition: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        self.0.enter(exclusive, |waiting| {
            let mut expired = false;
            loop {
                waiting.prepare(state);
                if condition() {
                    return Ok(true);
                }
                if expired || interrupted(waiting.task(), state) {
                    // A wake-up of one may have chosen this waiter meanwhile; nobody else hears of it. So off the queue first, where
                    // no wake-up finds it any more, and then a last look.
                    waiting.leave();
                    return match (condition(), expired) {
                        (true, _) => Ok(true),
                        (false, true) => Ok(false),
                        (false, false) => Err(ERESTARTSYS),
                    };
                }
                match deadline_ns {
                    None => task::schedule(),
                    Some(deadline) => expired = sleep_until(deadline),
                }
            }
        })
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a sleep in `state` must end for a signal.
fn interrupted(task: &Task, state: State) -> bool {
    if !task.test_flags(TaskFlags::SIGPENDING) {
        return false;
    }
    state.intersects(State::INTERRUPTIBLE)
        || (state.intersects(State::WAKEKILL) && task::hooks::SIGNALS.get().is_some_and(|s| s.fatal_pending(task)))
}

/// `schedule()` until woken or until the deadline; true when it passed.
pub fn sleep_until(deadline_ns: u64) -> bool {
    match task::hooks::SLEEP_TIMER.get() {
        Some(timer) => timer.schedule_until(deadline_ns),
        None => {
            task::schedule();
            false
        }
    }
}
