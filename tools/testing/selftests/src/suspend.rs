// SPDX-License-Identifier: GPL-2.0
//! The machine sleeps: what clocks, timers and sleeps make of it, and what those who wait do not notice. Only with `SUSPEND` in the
//! environment (`tools/testing/drivers/suspend.py`): other tests are not to be put to sleep.

use crate::util::*;
use crate::{Test, c, ck, eq};
use core::ptr::null_mut;

pub const TESTS: &[Test] = &[
    ("suspend.alarms", alarms),
    ("suspend.boottime", boottime),
    ("suspend.waits", waits),
    ("suspend.stopped", stopped),
    ("suspend.vfork", vforked),
];

const POWER: &str = "/sys/power";
/// The clock stands still for at least this long of a sleep of 1.5 seconds.
const STOOD_NS: i64 = 500_000_000;

fn wanted() -> Outcome {
    match std::env::var_os("SUSPEND") {
        Some(_) => Ok(()),
        None => Err(format!("{SKIP}the machine is not to sleep")),
    }
}

fn put(name: &str, text: &str) -> Outcome {
    let fd = open(&format!("{POWER}/{name}"), libc::O_WRONLY)?;
    let written = write(fd, text.as_bytes());
    close(fd);
    eq!(written?, text.len());
    Ok(())
}

/// Tasks come to rest, and go on at once.
fn freeze_tasks() -> Outcome {
    put("pm_test", "freezer")?;
    let fd = open("/sys/module/suspend/parameters/pm_test_delay", libc::O_WRONLY)?;
    write(fd, b"0")?;
    close(fd);
    let slept = put("state", "freeze");
    put("pm_test", "none")?;
    slept
}

fn now(clock: i32) -> Result<i64, String> {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    c!(libc::clock_gettime(clock, &mut at));
    Ok(at.tv_sec * 1_000_000_000 + at.tv_nsec)
}

fn spec(ms: i64) -> libc::timespec {
    libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 }
}

/// Sleeps by an alarm on `clock`; how long boot time, monotonic and real time took it to be.
fn sleep_by(clock: i32) -> Result<[i64; 3], String> {
    let fd = c!(libc::timerfd_create(clock, 0));
    let when = libc::itimerspec { it_interval: spec(0), it_value: spec(1500) };
    let before = [now(libc::CLOCK_BOOTTIME)?, now(libc::CLOCK_MONOTONIC)?, now(libc::CLOCK_REALTIME)?];
    c!(libc::timerfd_settime(fd, 0, &when, null_mut()));
    put("state", "freeze")?;
    let after = [now(libc::CLOCK_BOOTTIME)?, now(libc::CLOCK_MONOTONIC)?, now(libc::CLOCK_REALTIME)?];
    eq!(count_of(fd)?, 1);
    close(fd);
    Ok([after[0] - before[0], after[1] - before[1], after[2] - before[2]])
}

fn alarms() -> Outcome {
    wanted()?;
    for clock in [libc::CLOCK_BOOTTIME_ALARM, libc::CLOCK_REALTIME_ALARM] {
        let [boot, mono, real] = sleep_by(clock)?;
        ck!(boot >= 1_400_000_000, "boot time went on by {boot} ns");
        ck!(boot - mono >= STOOD_NS, "monotonic time went on by {mono} of {boot} ns");
        ck!((boot - real).abs() < 100_000_000, "real time went on by {real}, boot time by {boot} ns");
    }
    Ok(())
}

/// A sleep in boot time takes the machine's sleep into account, one in monotonic time does not.
fn boottime() -> Outcome {
    wanted()?;
    let start = |clock: i32| {
        child(move || {
            let at = spec(2500);
            // SAFETY: a live structure.
            let slept = unsafe { libc::clock_nanosleep(clock, 0, &at, null_mut()) };
            if slept == 0 { 0 } else { 1 }
        })
    };
    let begin = now(libc::CLOCK_MONOTONIC)?;
    let (boot, mono) = (start(libc::CLOCK_BOOTTIME)?, start(libc::CLOCK_MONOTONIC)?);
    asleep(boot)?;
    asleep(mono)?;
    sleep_by(libc::CLOCK_BOOTTIME_ALARM)?;
    eq!(exit_of(boot)?, 0);
    let took = now(libc::CLOCK_MONOTONIC)? - begin;
    ck!(took < 2_500_000_000 - STOOD_NS / 2, "a sleep in boot time took {took} ns");
    eq!(exit_of(mono)?, 0);
    let took = now(libc::CLOCK_MONOTONIC)? - begin;
    ck!(took >= 2_500_000_000, "one in monotonic time took {took} ns");
    Ok(())
}

/// Who waits goes on waiting.
fn waits() -> Outcome {
    wanted()?;
    let (reader, writer) = pipe()?;
    let reads = child(|| i32::from(read(reader, 1).is_ok_and(|got| got == b"x")))?;
    let polls = child(|| {
        let mut fd = libc::pollfd { fd: reader, events: libc::POLLHUP, revents: 0 };
        // SAFETY: a live structure.
        unsafe { libc::poll(&mut fd, 1, 700) + 1 }
    })?;
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    let signals = child(|| {
        // SAFETY: live structures.
        unsafe { i32::from(libc::sigtimedwait(&set(&[libc::SIGUSR1]), null_mut(), &spec(10_000)) == libc::SIGUSR1) }
    })?;
    let pauses = child(|| {
        // SAFETY: takes nothing.
        unsafe { libc::pause() }
    })?;
    for pid in [reads, polls, signals, pauses] {
        asleep(pid)?;
    }
    for _ in 0..3 {
        freeze_tasks()?;
    }
    for pid in [reads, signals, pauses] {
        // They go back to where they were in their own time.
        asleep(pid)?;
    }
    write(writer, b"x")?;
    eq!(exit_of(reads)?, 1);
    eq!(exit_of(polls)?, 1);
    c!(libc::kill(signals, libc::SIGUSR1));
    eq!(exit_of(signals)?, 1);
    c!(libc::kill(pauses, libc::SIGKILL));
    eq!(signal_of(pauses)?, libc::SIGKILL);
    Ok(())
}

/// A stopped program is stopped afterwards, and goes on by SIGCONT.
fn stopped() -> Outcome {
    wanted()?;
    let pid = child(|| {
        // SAFETY: takes nothing.
        unsafe { libc::raise(libc::SIGSTOP) };
        7
    })?;
    until("stop", || state(pid) == 'T')?;
    freeze_tasks()?;
    eq!(state(pid), 'T');
    c!(libc::kill(pid, libc::SIGCONT));
    eq!(exit_of(pid)?, 7);
    Ok(())
}

/// What a child without a stack of its own may do: it rests, and ends.
extern "C" fn ends_soon(_: *mut libc::c_void) -> i32 {
    // SAFETY: takes a number.
    unsafe { libc::usleep(500_000) };
    0
}

/// One that waits for its child as after `vfork`, and the child rests.
fn vforked() -> Outcome {
    wanted()?;
    let pid = child(|| {
        let mut stack = vec![0u64; 8192];
        let top = stack.as_mut_ptr_range().end;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the stack is the child's alone until it has ended, which this waits for.
        let inner = unsafe { libc::clone(ends_soon, top.cast(), flags, null_mut()) };
        i32::from(inner > 0)
    })?;
    until("vfork", || state(pid) == 'D')?;
    freeze_tasks()?;
    eq!(exit_of(pid)?, 1);
    Ok(())
}
