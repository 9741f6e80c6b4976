// SPDX-License-Identifier: GPL-2.0
//! Where tasks come to rest while the machine sleeps (`kernel/power` says when). A program's threads rest on their way to user mode, where
//! they hold no lock, and in stops; a kernel thread that is [`set_freezable`] rests where it calls [`try_to_freeze`] or sleeps by
//! [`freezable`]. All other kernel threads go on.
//!
//! Who rests is in state `FROZEN`, which no signal and no wake-up but [`thaw`]'s ends. One that sleeps by [`freezable`] is left
//! alone: should what it waits for come, it rests before it does anything with it.
//!
//! No locks. The order of things: the freezer says that it freezes, then looks at a task; a task says that it goes on, then looks
//! whether the freezer freezes. So one of the two sees the other.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};
use task::{State, Task, TaskFlags, current};

/// Programs are to rest.
static PROGRAMS: AtomicBool = AtomicBool::new(false);
/// Kernel threads are to rest, too.
static THREADS: AtomicBool = AtomicBool::new(false);

/// Who is to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Threads of programs.
    Programs,
    /// Kernel threads that are freezable.
    Threads,
}

impl Whom {
    fn flag(self) -> &'static AtomicBool {
        match self {
            Self::Programs => &PROGRAMS,
            Self::Threads => &THREADS,
        }
    }

    /// Whether `task` is one of them.
    pub fn includes(self, task: &Task) -> bool {
        match self {
            Self::Programs => !task.is_kthread() && !task.test_flags(TaskFlags::SUSPENDS),
            Self::Threads => task.is_kthread() && task.test_flags(TaskFlags::FREEZABLE),
        }
    }
}

/// From here on those tasks rest wherever they can (`true`), or no more ([`thaw`] follows for each). For `kernel/power`.
pub fn set_freezing(whom: Whom, freeze: bool) {
    whom.flag().store(freeze, SeqCst);
    fence(SeqCst);
}

/// Whether `task` is to rest.
#[inline]
pub fn is_freezing(task: &Task) -> bool {
    let programs = PROGRAMS.load(SeqCst) && Whom::Programs.includes(task);
    programs || (THREADS.load(SeqCst) && Whom::Threads.includes(task))
}

/// Whether `task` rests, or sleeps where it would rest first if it were woken: by [`freezable`], or stopped.
pub fn is_frozen(task: &Task) -> bool {
    let rests = State(State::FROZEN.0 | State::STOPPED.0 | State::TRACED.0);
    task.state().intersects(rests) || task.test_flags(TaskFlags::FREEZER_SKIP)
}

/// Lets `task` go on. After [`set_freezing`] of false.
pub fn thaw(task: &Task) {
    task.wake(State::FROZEN);
}

/// The current task rests if it is to; whether it did. It holds no lock that one needs who is not at rest yet. May sleep.
#[inline]
pub fn try_to_freeze() -> bool {
    let task = current();
    is_freezing(&task) && refrigerator(&task)
}

#[cold]
fn refrigerator(task: &Task) -> bool {
    let mut rested = false;
    loop {
        task.set_state(State::FROZEN);
        // After the state was set: either this sees the end of it, or who ends it sees the state.
        if !is_freezing(task) {
            break;
        }
        rested = true;
        task::schedule();
    }
    task.set_state(State::RUNNING);
    rested
}

/// Calls `sleep`, in which the current task, without locks, waits for what others do that may be frozen; it counts as frozen meanwhile,
/// and rests afterwards if it is to. What `sleep` does besides waiting must do no harm while devices sleep. May sleep.
pub fn freezable<R>(sleep: impl FnOnce() -> R) -> R {
    let task = current();
    task.set_flags(TaskFlags::FREEZER_SKIP);
    let result = sleep();
    task.clear_flags(TaskFlags::FREEZER_SKIP);
    try_to_freeze();
    result
}

/// The current kernel thread takes part: it rests by [`try_to_freeze`] or [`freezable`] soon after it is asked to.
pub fn set_freezable() {
    current().set_flags(TaskFlags::FREEZABLE);
    try_to_freeze();
}
