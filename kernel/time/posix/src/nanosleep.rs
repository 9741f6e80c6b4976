// SPDX-License-Identifier: GPL-2.0
//! `nanosleep(2)` and `clock_nanosleep(2)`. An interrupted relative sleep goes on through the restart block; an absolute one by
//! itself.

use crate::clock::{ClockId, clock, meant_by};
use crate::cpu_timer::{CpuTimer, Source};
use crate::user::{get_timespec, put_timespec};
use errno::Result;
use errno::code::{EINVAL, EOPNOTSUPP, ERESTART_RESTARTBLOCK, ERESTARTNOHAND};
use kalloc::Arc;
use ktime::{Clock, sleep::schedule_until};
use task::{State, current, restart};
use x86_cpu::regs::PtRegs;

const TIMER_ABSTIME: usize = 1;

/// Sleeps until `clock` reaches `deadline`; false if a signal came first.
fn sleep(clock: Clock, deadline: u64) -> bool {
    let task = current();
    loop {
        task.set_state(State::INTERRUPTIBLE);
        if clock.now_ns() >= deadline {
            task.set_state(State::RUNNING);
            return true;
        }
        if task.signal_pending() {
            task.set_state(State::RUNNING);
            return false;
        }
        schedule_until(clock, deadline);
    }
}

/// The clocks of relative sleeps. Setting real time does not change how long one takes: it is on none of these.
const RELATIVE: [Clock; 3] = [Clock::Monotonic, Clock::Boottime, Clock::BoottimeAlarm];

/// Sleeps until `deadline` on clock `at` of [`RELATIVE`]; on a signal says what is left and how to go on.
fn sleep_relative(at: u64, deadline: u64, remaining_at: u64) -> Result<usize> {
    let clock = RELATIVE.get(at as usize).copied().unwrap_or(Clock::Monotonic);
    if sleep(clock, deadline) {
        return Ok(0);
    }
    let left = deadline.saturating_sub(clock.now_ns());
    if left == 0 {
        return Ok(0);
    }
    if remaining_at != 0 {
        put_timespec(remaining_at as usize, left)?;
    }
    restart::set(go_on, [at, deadline, remaining_at, 0, 0, 0]);
    Err(ERESTART_RESTARTBLOCK)
}

fn go_on(args: &[u64; 6]) -> Result<usize> {
    let [at, deadline, remaining_at, ..] = *args;
    sleep_relative(at, deadline, remaining_at)
}

/// Sleeps until the CPU time behind `id` (numbered `number`) reaches `deadline`; a relative sleep says what is left and goes on.
fn sleep_cpu(id: &ClockId, number: i32, deadline: u64, relative: Option<usize>) -> Result<usize> {
    let source = match id {
        ClockId::Process(task) => Source::Process(Arc::downgrade(&process::process_of(task).ok_or(EINVAL)?)),
        ClockId::Thread(task) => Source::Thread(Arc::downgrade(task)),
        _ => return Err(EOPNOTSUPP),
    };
    let sleeper = current().to_arc();
    let timer = CpuTimer::new(source, move |_| {
        sleeper.wake(State::NORMAL);
    })?;
    timer.start_at(deadline.max(1), 0);
    let task = current();
    let woken = loop {
        task.set_state(State::INTERRUPTIBLE);
        // It fired, or whose time it was is gone.
        if timer.state().1.is_none() || id.now_ns() >= deadline {
            break true;
        }
        if task.signal_pending() {
            break false;
        }
        task::schedule();
    };
    task.set_state(State::RUNNING);
    timer.stop();
    let left = deadline.saturating_sub(id.now_ns());
    if woken || left == 0 {
        return Ok(0);
    }
    let Some(remaining_at) = relative else { return Err(ERESTARTNOHAND) };
    if remaining_at != 0 {
        put_timespec(remaining_at, left)?;
    }
    restart::set(go_on_cpu, [deadline, remaining_at as u64, number as u64, 0, 0, 0]);
    Err(ERESTART_RESTARTBLOCK)
}

fn go_on_cpu(args: &[u64; 6]) -> Result<usize> {
    let [deadline, remaining_at, number, ..] = *args;
    sleep_cpu(&clock(number as i32)?, number as i32, deadline, Some(remaining_at as usize))
}

/// `nanosleep(2)`.
pub fn sys_nanosleep(regs: &PtRegs) -> Result<usize> {
    let ns = get_timespec(regs.arg0())?;
    sleep_relative(0, ktime::now_ns().saturating_add(ns), regs.arg1() as u64)
}

/// `clock_nanosleep(2)`.
pub fn sys_clock_nanosleep(regs: &PtRegs) -> Result<usize> {
    let id = clock(regs.arg0() as i32)?;
    let (flags, request, remaining) = (regs.arg1(), regs.arg2(), regs.arg3());
    let alarm = matches!(id, ClockId::RealtimeAlarm | ClockId::BoottimeAlarm);
    if matches!(id, ClockId::Thread(_)) && regs.arg0() as i32 >= 0 {
        return Err(EOPNOTSUPP);
    }
    if matches!(&id, ClockId::Thread(task) if core::ptr::eq(&**task, &*current())) {
        return Err(EINVAL);
    }
    if let ClockId::Process(_) | ClockId::Thread(_) = &id {
        let ns = get_timespec(request)?;
        let relative = flags & TIMER_ABSTIME == 0;
        let deadline = if relative { id.now_ns().saturating_add(ns) } else { ns };
        return sleep_cpu(&id, regs.arg0() as i32, deadline, relative.then_some(remaining));
    }
    let clock = id.timer_clock().ok_or(EOPNOTSUPP)?;
    id.check_alarm()?;
    let ns = get_timespec(request)?;
    if alarm && flags & !TIMER_ABSTIME != 0 {
        return Err(EINVAL);
    }
    if flags & TIMER_ABSTIME == 0 {
        let at = match clock {
            Clock::Boottime => 1,
            Clock::BoottimeAlarm | Clock::RealtimeAlarm => 2,
            _ => 0,
        };
        let now = RELATIVE.get(at).map_or(0, |clock| clock.now_ns());
        return sleep_relative(at as u64, now.saturating_add(ns), remaining as u64);
    }
    if sleep(clock, meant_by(regs.arg0() as i32, ns)) { Ok(0) } else { Err(ERESTARTNOHAND) }
}
