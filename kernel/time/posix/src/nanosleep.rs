// SPDX-License-Identifier: GPL-2.0
//! `nanosleep(2)` and `clock_nanosleep(2)`. An interrupted relative sleep goes on through the restart block; an absolute one by
//! itself.

use crate::clock::{ClockId, clock};
use crate::user::{get_timespec, put_timespec};
use errno::Result;
use errno::code::{EINVAL, EOPNOTSUPP, ERESTART_RESTARTBLOCK, ERESTARTNOHAND};
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

/// Sleeps until monotonic `deadline`; on a signal says what is left and how to go on.
fn sleep_relative(deadline: u64, remaining_at: u64) -> Result<usize> {
    if sleep(Clock::Monotonic, deadline) {
        return Ok(0);
    }
    let left = deadline.saturating_sub(ktime::now_ns());
    if left == 0 {
        return Ok(0);
    }
    if remaining_at != 0 {
        put_timespec(remaining_at as usize, left)?;
    }
    restart::set(go_on, [deadline, remaining_at, 0, 0, 0, 0]);
    Err(ERESTART_RESTARTBLOCK)
}

fn go_on(args: &[u64; 6]) -> Result<usize> {
    let [deadline, remaining_at, ..] = *args;
    sleep_relative(deadline, remaining_at)
}

/// `nanosleep(2)`.
pub fn sys_nanosleep(regs: &PtRegs) -> Result<usize> {
    let ns = get_timespec(regs.arg0())?;
    sleep_relative(ktime::now_ns().saturating_add(ns), regs.arg1() as u64)
}

/// `clock_nanosleep(2)`.
pub fn sys_clock_nanosleep(regs: &PtRegs) -> Result<usize> {
    let id = clock(regs.arg0() as i32)?;
    let (flags, request, remaining) = (regs.arg1(), regs.arg2(), regs.arg3());
    if matches!(&id, ClockId::Thread(task) if core::ptr::eq(&**task, &*current())) {
        return Err(EINVAL);
    }
    let clock = id.timer_clock().ok_or(EOPNOTSUPP)?;
    let ns = get_timespec(request)?;
    if flags & TIMER_ABSTIME == 0 {
        // Setting real time does not change how long a relative sleep takes.
        return sleep_relative(ktime::now_ns().saturating_add(ns), remaining as u64);
    }
    if sleep(clock, ns) { Ok(0) } else { Err(ERESTARTNOHAND) }
}
