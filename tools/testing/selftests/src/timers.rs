// SPDX-License-Identifier: GPL-2.0
//! Timers that expire faster than anybody can follow: they must not stop the machine, and their counts must be right.

use crate::util::*;
use crate::{Test, c, ck, eq};

pub const TESTS: &[Test] = &[
    ("timers.fast_timerfd", fast_timerfd),
    ("timers.timerfd_count", timerfd_count),
    ("timers.timerfd_gettime", timerfd_gettime),
    ("timers.fast_silent", fast_silent),
    ("timers.fast_ignored", fast_ignored),
    ("timers.fast_itimer", fast_itimer),
    ("timers.overrun", overrun),
    ("timers.one_signal_each", one_signal_each),
    ("timers.interval_goes_with_value", interval_goes_with_value),
    ("timers.cpu_time_over", cpu_time_over),
    ("timers.cpu_time_replaced", cpu_time_replaced),
];

const NS: i64 = 1_000_000_000;
const MS: i64 = 1_000_000;

fn now() -> Result<i64, String> {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    c!(libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts));
    Ok(ts.tv_sec * NS + ts.tv_nsec)
}

/// Computes for `ns`.
fn spin(ns: i64) -> Outcome {
    let end = now()? + ns;
    while now()? < end {
        std::hint::spin_loop();
    }
    Ok(())
}

fn spec(interval: i64, value: i64) -> libc::itimerspec {
    let ts = |ns: i64| libc::timespec { tv_sec: ns / NS, tv_nsec: ns % NS };
    libc::itimerspec { it_interval: ts(interval), it_value: ts(value) }
}

fn nanos(ts: &libc::timespec) -> i64 {
    ts.tv_sec * NS + ts.tv_nsec
}

fn timerfd(interval: i64, value: i64) -> Result<i32, String> {
    let fd = c!(libc::timerfd_create(libc::CLOCK_MONOTONIC, 0));
    c!(libc::timerfd_settime(fd, 0, &spec(interval, value), core::ptr::null_mut()));
    Ok(fd)
}

fn expirations(fd: i32) -> Result<u64, String> {
    let mut count = 0u64;
    eq!(c!(libc::read(fd, (&raw mut count).cast(), 8)), 8);
    Ok(count)
}

fn fast_timerfd() -> Outcome {
    let fd = timerfd(1, 1)?;
    spin(20 * MS)?;
    let count = expirations(fd)?;
    ck!(count >= 20 * MS as u64, "{count} expirations of a nanosecond in 20 ms");
    // It runs on.
    spin(MS)?;
    let count = expirations(fd)?;
    ck!(count >= MS as u64, "{count} expirations of a nanosecond in 1 ms");
    Ok(())
}

fn timerfd_count() -> Outcome {
    let start = now()?;
    let fd = timerfd(MS, MS)?;
    spin(50 * MS)?;
    let count = expirations(fd)? as i64;
    let passed = (now()? - start) / MS;
    ck!((50..=passed).contains(&count), "{count} expirations of a millisecond in {passed} ms");
    Ok(())
}

/// To ask for the time left counts what has passed, and moves the timer on.
fn timerfd_gettime() -> Outcome {
    let fd = timerfd(10 * MS, 10 * MS)?;
    spin(25 * MS)?;
    let mut left = spec(0, 0);
    c!(libc::timerfd_gettime(fd, &mut left));
    let value = nanos(&left.it_value);
    ck!(value > 0 && value <= 10 * MS, "{value} ns left of 10 ms");
    eq!(nanos(&left.it_interval), 10 * MS);
    ck!(expirations(fd)? >= 2);
    Ok(())
}

fn create(notify: i32, signal: i32) -> Result<i32, String> {
    create_on(libc::CLOCK_MONOTONIC, notify, signal)
}

fn create_on(clock: i32, notify: i32, signal: i32) -> Result<i32, String> {
    let mut event = [0u64; 8];
    event[0] = 77;
    event[1] = signal as u64 | (notify as u64) << 32;
    let mut id = 0i32;
    c!(libc::syscall(libc::SYS_timer_create, clock, event.as_ptr(), &raw mut id));
    Ok(id)
}

fn settime(id: i32, interval: i64, value: i64) -> Outcome {
    let spec = spec(interval, value);
    c!(libc::syscall(libc::SYS_timer_settime, id, 0, &raw const spec, 0usize));
    Ok(())
}

fn gettime(id: i32) -> Result<libc::itimerspec, String> {
    let mut left = spec(0, 0);
    c!(libc::syscall(libc::SYS_timer_gettime, id, &raw mut left));
    Ok(left)
}

/// SIGEV_NONE: nobody is told, but the time left is true.
fn fast_silent() -> Outcome {
    let id = create(libc::SIGEV_NONE, 0)?;
    settime(id, 1, 1)?;
    spin(20 * MS)?;
    ck!(nanos(&gettime(id)?.it_interval) == 1);
    settime(id, 0, 10 * NS)?;
    let left = nanos(&gettime(id)?.it_value);
    ck!(left > 9 * NS && left <= 10 * NS, "{left} ns of 10 s are left");
    settime(id, 0, MS)?;
    spin(2 * MS)?;
    eq!(nanos(&gettime(id)?.it_value), 0);
    Ok(())
}

fn block(signal: i32) -> Result<libc::sigset_t, String> {
    // SAFETY: a plain structure, filled in by sigemptyset.
    let mut set: libc::sigset_t = unsafe { core::mem::zeroed() };
    c!(libc::sigemptyset(&mut set));
    c!(libc::sigaddset(&mut set, signal));
    c!(libc::sigprocmask(libc::SIG_BLOCK, &set, core::ptr::null_mut()));
    Ok(set)
}

/// Waits for a signal of `set` for two seconds: what came with it, as words of 32 bits.
fn wait(set: &libc::sigset_t) -> Result<[i32; 32], String> {
    let mut info = [0i32; 32];
    let limit = libc::timespec { tv_sec: 2, tv_nsec: 0 };
    c!(libc::sigtimedwait(set, info.as_mut_ptr().cast(), &limit));
    Ok(info)
}

fn fast_ignored() -> Outcome {
    let signal = libc::SIGRTMIN() + 3;
    c!(libc::signal(signal, libc::SIG_IGN));
    let id = create(libc::SIGEV_SIGNAL, signal)?;
    settime(id, 1, 1)?;
    spin(20 * MS)?;
    // It still expires when somebody wants to know.
    let set = block(signal)?;
    c!(libc::signal(signal, libc::SIG_DFL));
    eq!(wait(&set)?[0], signal);
    Ok(())
}

fn fast_itimer() -> Outcome {
    let set = block(libc::SIGALRM)?;
    let value = [0i64, 1, 0, 1];
    c!(libc::syscall(libc::SYS_setitimer, 0, value.as_ptr(), 0usize));
    spin(20 * MS)?;
    // Each one taken starts the next.
    for _ in 0..20 {
        eq!(wait(&set)?[0], libc::SIGALRM);
    }
    let off = [0i64; 4];
    c!(libc::syscall(libc::SYS_setitimer, 0, off.as_ptr(), 0usize));
    Ok(())
}

fn overrun() -> Outcome {
    let signal = libc::SIGRTMIN() + 4;
    let set = block(signal)?;
    let start = now()?;
    let id = create(libc::SIGEV_SIGNAL, signal)?;
    settime(id, MS, MS)?;
    spin(50 * MS)?;
    let info = wait(&set)?;
    let passed = ((now()? - start) / MS) as i32;
    // si_code, si_tid, si_overrun, si_value.
    eq!(info[2], -2);
    eq!(info[4], id);
    eq!(info[6], 77);
    ck!((49..passed).contains(&info[5]), "{} overruns of a millisecond in {passed} ms", info[5]);
    eq!(c!(libc::syscall(libc::SYS_timer_getoverrun, id)) as i32, info[5]);
    // It runs on, and its next signal counts anew.
    let info = wait(&set)?;
    ck!(info[5] < 40, "{} overruns at once", info[5]);
    c!(libc::syscall(libc::SYS_timer_delete, id));
    Ok(())
}

/// Two timers with one standard signal are told apart: each has an entry of its own.
fn one_signal_each() -> Outcome {
    let set = block(libc::SIGUSR1)?;
    let ids = [create(libc::SIGEV_SIGNAL, libc::SIGUSR1)?, create(libc::SIGEV_SIGNAL, libc::SIGUSR1)?];
    for id in ids {
        settime(id, 0, MS)?;
    }
    spin(10 * MS)?;
    let mut got = [wait(&set)?[4], wait(&set)?[4]];
    got.sort_unstable();
    eq!(got, ids);
    Ok(())
}

/// A value of 0 stops the timer, whose interval is 0 from then on.
///
/// (A silent timer that is stopped still says how long it would have had, on Linux, too.)
fn interval_goes_with_value() -> Outcome {
    let _set = block(libc::SIGUSR1)?;
    let id = create(libc::SIGEV_SIGNAL, libc::SIGUSR1)?;
    settime(id, 5 * MS, NS)?;
    settime(id, 5 * MS, 0)?;
    let left = gettime(id)?;
    eq!((nanos(&left.it_interval), nanos(&left.it_value)), (0, 0));
    let value = [0i64, 5000, 0, 0];
    c!(libc::syscall(libc::SYS_setitimer, 0, value.as_ptr(), 0usize));
    let mut left = [1i64; 4];
    c!(libc::syscall(libc::SYS_getitimer, 0, left.as_mut_ptr()));
    eq!(left, [0; 4]);
    Ok(())
}

/// A CPU time that is over already expires at once; who is told nothing has one expiration, whatever its interval (as in Linux 6.1;
/// later ones show what is left of the next).
fn cpu_time_over() -> Outcome {
    let usr1 = block(libc::SIGUSR1)?;
    for clock in [libc::CLOCK_PROCESS_CPUTIME_ID, libc::CLOCK_THREAD_CPUTIME_ID] {
        let over = spec(5000 * NS, 1);
        let silent = create_on(clock, libc::SIGEV_NONE, 0)?;
        c!(libc::syscall(libc::SYS_timer_settime, silent, 1, &raw const over, 0usize));
        let left = gettime(silent)?;
        eq!((nanos(&left.it_interval), nanos(&left.it_value)), (5000 * NS, 0));
        let told = create_on(clock, libc::SIGEV_SIGNAL, libc::SIGUSR1)?;
        c!(libc::syscall(libc::SYS_timer_settime, told, 1, &raw const over, 0usize));
        let mut pending = set(&[]);
        c!(libc::sigpending(&mut pending));
        eq!(c!(libc::sigismember(&pending, libc::SIGUSR1)), 1);
        // So that the next one's is a new one.
        eq!(wait(&usr1)?[0], libc::SIGUSR1);
        for id in [silent, told] {
            c!(libc::syscall(libc::SYS_timer_delete, id));
        }
    }
    Ok(())
}

/// Who sets a timer on CPU time whose time is over, but has not been looked at, is told of its next expiration.
fn cpu_time_replaced() -> Outcome {
    let _set = block(libc::SIGUSR1)?;
    for (kind, interval, left) in [
        (libc::SIGEV_NONE, 5000 * NS, 4000 * NS..5001 * NS),
        (libc::SIGEV_SIGNAL, 5000 * NS, 4000 * NS..5001 * NS),
        (libc::SIGEV_NONE, 0, 1..2),
    ] {
        let id = create_on(libc::CLOCK_THREAD_CPUTIME_ID, kind, libc::SIGUSR1)?;
        let (over, off) = (spec(interval, 1), spec(0, 0));
        // It may be looked at just between the two.
        let mut told = spec(0, 0);
        for _ in 0..20 {
            c!(libc::syscall(libc::SYS_timer_settime, id, 0, &raw const over, 0usize));
            c!(libc::syscall(libc::SYS_timer_settime, id, 0, &raw const off, &raw mut told));
            if left.contains(&nanos(&told.it_value)) {
                break;
            }
        }
        ck!(left.contains(&nanos(&told.it_value)), "{} left of {interval}", nanos(&told.it_value));
        eq!(nanos(&told.it_interval), interval);
        c!(libc::syscall(libc::SYS_timer_delete, id));
    }
    Ok(())
}
