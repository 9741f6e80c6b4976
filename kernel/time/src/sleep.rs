// SPDX-License-Identifier: GPL-2.0
//! Sleeping until a time: the `SleepTimer` behind every wait with a deadline, and plain sleeps.

use crate::hrtimer::{Clock, HrTimer, Restart};
use crate::timekeeper;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SetOnce;
use task::{State, Task, TaskLocal, current};

/// Each task's own timers for its sleeps, made at the first one: one that follows real time, one that does not, and, if there
/// ever was a sleep on such a clock, those for a machine that sleeps.
struct Sleeper {
    monotonic: Arc<HrTimer>,
    realtime: Arc<HrTimer>,
    rare: [SetOnce<Arc<HrTimer>>; 3],
}

/// Which of [`Sleeper::rare`] is for `clock`.
fn rare(clock: Clock) -> Option<usize> {
    [Clock::Boottime, Clock::BoottimeAlarm, Clock::RealtimeAlarm].iter().position(|&its| its == clock)
}

fn new_sleeper() -> errno::Result<KBox<Sleeper>> {
    let (monotonic, realtime) = (wake_timer(Clock::Monotonic)?, wake_timer(Clock::Realtime)?);
    Ok(KBox::new(Sleeper { monotonic, realtime, rare: [const { SetOnce::new() }; 3] }, GFP_KERNEL)?)
}

/// Makes what a sleep on `clock` needs and the task does not have. `ENOMEM`. May sleep.
fn prepare(task: &Task, clock: Clock) -> errno::Result {
    if SLEEPER.get(task).is_none() {
        // Only this task sets its own slot, so it cannot be taken.
        drop(SLEEPER.set(task, new_sleeper()?));
    }
    if let (Some(sleeper), Some(at)) = (SLEEPER.get(task), rare(clock))
        && let Some(slot) = sleeper.rare.get(at).filter(|slot| slot.get().is_none())
    {
        // As above.
        let _ = slot.set(wake_timer(clock)?);
    }
    Ok(())
}

/// The timer for a sleep on `clock` until `deadline`, and what it is to be started with.
fn timer_of(task: &Task, clock: Clock, deadline: u64) -> Option<(&Arc<HrTimer>, u64)> {
    let sleeper = SLEEPER.get(task)?;
    Some(match clock {
        Clock::Monotonic => (&sleeper.monotonic, deadline),
        Clock::Boottime | Clock::BoottimeAlarm | Clock::RealtimeAlarm => {
            (sleeper.rare.get(rare(clock)?)?.get()?, deadline)
        }
        Clock::Realtime => (&sleeper.realtime, deadline),
        Clock::Tai => (&sleeper.realtime, deadline.saturating_add_signed(-timekeeper::tai_offset_ns())),
    })
}

static SLEEPER: TaskLocal<Sleeper> = TaskLocal::new();

pub(crate) struct Sleep;

impl task::hooks::SleepTimer for Sleep {
    fn schedule_until(&self, deadline_ns: u64) -> bool {
        schedule_until(Clock::Monotonic, deadline_ns)
    }

    fn sleep(&self, ns: u64) {
        sleep_ns(ns);
    }
}

fn wake_timer(clock: Clock) -> errno::Result<Arc<HrTimer>> {
    // The task owns the timer, so the timer must not keep the task.
    let sleeper = Arc::downgrade(&current().to_arc());
    HrTimer::new(clock, move |_: &Arc<HrTimer>| {
        if let Some(task) = sleeper.upgrade() {
            task.wake(State::NORMAL);
        }
        Restart::No
    })
}

/// `schedule()` with a wake-up when `clock` reaches `deadline`. The caller has set its state. True when the deadline passed.
pub fn schedule_until(clock: Clock, deadline: u64) -> bool {
    let task = current();
    if deadline == u64::MAX {
        task::schedule();
        return false;
    }
    if clock.now_ns() >= deadline {
        task.set_state(State::RUNNING);
        return true;
    }
    let Some((timer, at)) = timer_of(&task, clock, deadline) else {
        // Allocating may sleep, and a wake-up that comes meanwhile finds nobody asleep: the caller looks at its condition again.
        task.set_state(State::RUNNING);
        if prepare(&task, clock).is_ok() {
            return false;
        }
        // No memory for a timer: give the CPU away once and look again.
        task::schedule();
        return clock.now_ns() >= deadline;
    };
    timer.start(at);
    task::schedule();
    // Not queued any more: it fired.
    !timer.cancel()
}

/// Sleeps until monotonic time `deadline`, whatever signals come. May sleep.
pub fn sleep_until(deadline_ns: u64) {
    task::might_sleep();
    while timekeeper::now_ns() < deadline_ns {
        task::set_current_state(State::UNINTERRUPTIBLE);
        schedule_until(Clock::Monotonic, deadline_ns);
    }
    task::set_current_state(State::RUNNING);
}

/// Sleeps for `ns`, whatever signals come (`msleep`, `fsleep`). May sleep.
pub fn sleep_ns(ns: u64) {
    sleep_until(timekeeper::now_ns().saturating_add(ns));
}

/// Spins for `ns` (`udelay`). Any context; for hardware that needs microseconds.
pub fn delay_ns(ns: u64) {
    let start = timekeeper::sched_clock();
    while timekeeper::sched_clock().wrapping_sub(start) < ns {
        x86_cpu::asm::cpu_relax();
    }
}
