// SPDX-License-Identifier: GPL-2.0
//! Calls that move no data: entry and exit, signals, clocks.

use crate::{Figure, Row, measure, smallest, sys, sys::check};

pub const ROWS: &[Row] = &[
    Row { name: "null", run: null },
    Row { name: "getpid", run: getpid },
    Row { name: "gettid", run: gettid },
    Row { name: "sigaction", run: sigaction },
    Row { name: "sigprocmask", run: sigprocmask },
    Row { name: "signal", run: signal },
    Row { name: "clock_gettime_vdso", run: clock_vdso },
    Row { name: "clock_gettime_call", run: clock_call },
    Row { name: "getcpu_vdso", run: getcpu },
    Row { name: "sched_yield", run: sched_yield },
    Row { name: "nanosleep_overshoot", run: nanosleep },
];

fn null() -> Figure {
    Ok(measure(2000, || {
        sys!(libc::SYS_getppid);
    }))
}

fn getpid() -> Figure {
    Ok(measure(2000, || {
        sys!(libc::SYS_getpid);
    }))
}

fn gettid() -> Figure {
    Ok(measure(2000, || {
        sys!(libc::SYS_gettid);
    }))
}

extern "C" fn nothing(_: i32) {}

fn handler() -> libc::sigaction {
    // SAFETY: all zero is a valid sigaction (default action, empty mask).
    let mut act: libc::sigaction = unsafe { core::mem::zeroed() };
    act.sa_sigaction = nothing as *const () as usize;
    act
}

/// Sets a handler through the bare call (struct kernel_sigaction: handler, flags, restorer, mask).
fn sigaction() -> Figure {
    let act: [usize; 4] = [nothing as *const () as usize, 0x0400_0000, nothing as *const () as usize, 0];
    let set = || sys!(libc::SYS_rt_sigaction, libc::SIGUSR2, act.as_ptr(), 0, 8);
    check(set())?;
    Ok(measure(2000, || {
        set();
    }))
}

fn sigprocmask() -> Figure {
    let mask = 1u64 << (libc::SIGUSR1 - 1);
    let call = |how: i32| sys!(libc::SYS_rt_sigprocmask, how, &raw const mask, 0, 8);
    check(call(libc::SIG_BLOCK))?;
    Ok(measure(1000, || {
        call(libc::SIG_BLOCK);
        call(libc::SIG_UNBLOCK);
    }) / 2.0)
}

/// kill() of itself, the handler, and the return from it.
fn signal() -> Figure {
    let act = handler();
    // SAFETY: `act` is a complete sigaction whose handler does nothing.
    if unsafe { libc::sigaction(libc::SIGUSR1, &act, core::ptr::null_mut()) } != 0 {
        return Err(-38);
    }
    let me = check(sys!(libc::SYS_getpid))?;
    Ok(measure(1000, || {
        sys!(libc::SYS_kill, me, libc::SIGUSR1);
    }))
}

fn clock_vdso() -> Figure {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(measure(2000, || {
        // SAFETY: `ts` outlives the call.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    }))
}

fn clock_call() -> Figure {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let at = &raw mut ts;
    Ok(measure(2000, || {
        sys!(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, at);
    }))
}

fn getcpu() -> Figure {
    Ok(measure(2000, || {
        // SAFETY: takes nothing.
        unsafe { libc::sched_getcpu() };
    }))
}

/// Nobody else wants to run.
fn sched_yield() -> Figure {
    check(sys!(libc::SYS_sched_yield))?;
    Ok(measure(2000, || {
        sys!(libc::SYS_sched_yield);
    }))
}

/// How late a sleep of 1 ms ends, with a timer slack of 1 ns: nanoseconds (= instructions).
fn nanosleep() -> Figure {
    check(sys!(libc::SYS_prctl, libc::PR_SET_TIMERSLACK, 1, 0, 0, 0))?;
    let ts = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    smallest(20, || {
        let start = sys::start();
        check(sys!(libc::SYS_nanosleep, &raw const ts, 0))?;
        Ok(sys::stop(start).saturating_sub(1_000_000))
    })
}
