// SPDX-License-Identifier: GPL-2.0
//! Name spaces of clocks.

use super::{link, ns_file};
use crate::util::*;
use crate::{c, ck, eq, fails};
use libc::{CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME};

const NEWTIME: i32 = 0x80;
const DAY: i64 = 86_400;
const FILE: &str = "/proc/self/timens_offsets";

/// Seconds of a clock by the C library (the vDSO), and by the system call, which agree.
fn seconds(clock: i32) -> Result<i64, String> {
    let mut fast = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut slow = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    c!(libc::clock_gettime(clock, &mut fast));
    c!(libc::syscall(libc::SYS_clock_gettime, clock, &mut slow));
    ck!((0..3).contains(&(slow.tv_sec - fast.tv_sec)), "clock {clock}: {} and {}", fast.tv_sec, slow.tv_sec);
    Ok(slow.tv_sec)
}

fn near(value: i64, wanted: i64) -> bool {
    (wanted - 1..wanted + 10).contains(&value)
}

fn write_offsets(text: &str) -> Result<(), i32> {
    std::fs::write(FILE, text).map_err(|e| e.raw_os_error().unwrap_or(0))
}

/// In a child with a new name space for its children, with these offsets in days.
fn with_offsets(monotonic: i64, boottime: i64, body: impl FnOnce() -> Outcome) -> Outcome {
    if !std::path::Path::new("/proc/self/ns/time").exists() {
        return Err(format!("{SKIP}no time name spaces"));
    }
    in_child(|| {
        c!(libc::unshare(NEWTIME));
        let lines = format!("monotonic {} 0\nboottime {} 0\n", monotonic * DAY, boottime * DAY);
        eq!(write_offsets(&lines), Ok(()));
        body()
    })
}

pub(super) fn offsets() -> Outcome {
    let before: Vec<i64> =
        [CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME].into_iter().map(seconds).collect::<Result<_, _>>()?;
    let uptime = || -> Result<i64, String> {
        text("/proc/uptime")?.split('.').next().and_then(|n| n.parse().ok()).ok_or("uptime".into())
    };
    let booted = || -> Result<i64, String> {
        let all = text("/proc/stat")?;
        let line = all.lines().find_map(|line| line.strip_prefix("btime ")).ok_or("btime")?;
        line.parse().map_err(|_| "btime".into())
    };
    let (up, boot) = (uptime()?, booted()?);
    with_offsets(10, 20, || {
        ck!(link("self", "time")? != link("self", "time_for_children")?);
        eq!(text(FILE)?, format!("monotonic  {:10} {:9}\nboottime   {:10} {:9}\n", 10 * DAY, 0, 20 * DAY, 0));
        // Only its children have other clocks.
        ck!(near(seconds(CLOCK_MONOTONIC)?, before[0]));
        in_child(|| {
            eq!(link("self", "time")?, link("self", "time_for_children")?);
            for clock in [CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE] {
                ck!(near(seconds(clock)?, before[0] + 10 * DAY), "clock {clock}");
            }
            ck!(near(seconds(CLOCK_BOOTTIME)?, before[1] + 20 * DAY));
            ck!(near(seconds(CLOCK_REALTIME)?, before[2]));
            ck!(near(uptime()?, up + 20 * DAY));
            ck!((booted()? + 20 * DAY - boot).abs() <= 2);
            let mut info: libc::sysinfo = zero();
            c!(libc::sysinfo(&mut info));
            ck!(near(info.uptime, up + 20 * DAY));
            // Its own child is in the same.
            in_child(|| {
                ck!(near(seconds(CLOCK_MONOTONIC)?, before[0] + 10 * DAY));
                Ok(())
            })
        })?;
        // What has been entered stays as it is.
        eq!(write_offsets("monotonic 1 0\n"), Err(libc::EACCES));
        // A copy may be changed, and begins where it was made.
        c!(libc::unshare(NEWTIME));
        eq!(write_offsets("boottime 0 0\n"), Ok(()));
        in_child(|| {
            ck!(near(seconds(CLOCK_MONOTONIC)?, before[0] + 10 * DAY));
            ck!(near(seconds(CLOCK_BOOTTIME)?, before[1]));
            Ok(())
        })
    })
}

/// A structure of the C library's that may be all zero.
fn zero<T>() -> T {
    // SAFETY: only for such.
    unsafe { core::mem::zeroed() }
}

fn sleep_until(clock: i32, at: &libc::timespec) -> i32 {
    // SAFETY: live.
    unsafe { libc::clock_nanosleep(clock, libc::TIMER_ABSTIME, at, core::ptr::null_mut()) }
}

/// Milliseconds that `wait` takes, by real time.
fn takes(wait: impl FnOnce() -> Outcome) -> Result<i64, String> {
    let now = || {
        let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: live.
        unsafe { libc::clock_gettime(CLOCK_REALTIME, &mut at) };
        at.tv_sec * 1000 + at.tv_nsec / 1_000_000
    };
    let start = now();
    wait()?;
    Ok(now() - start)
}

/// The moment 100 milliseconds from now.
fn soon(clock: i32) -> Result<libc::timespec, String> {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    c!(libc::clock_gettime(clock, &mut at));
    at.tv_nsec += 100_000_000;
    if at.tv_nsec >= 1_000_000_000 {
        at.tv_sec += 1;
        at.tv_nsec -= 1_000_000_000;
    }
    Ok(at)
}

pub(super) fn waits() -> Outcome {
    with_offsets(30, 40, || {
        in_child(|| {
            for clock in [CLOCK_MONOTONIC, CLOCK_BOOTTIME] {
                let at = soon(clock)?;
                let ms = takes(|| {
                    eq!(sleep_until(clock, &at), 0);
                    Ok(())
                })?;
                ck!((80..10_000).contains(&ms), "sleep on {clock}: {ms}");
                let fd = c!(libc::timerfd_create(clock, 0));
                let at = soon(clock)?;
                let spec = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
                c!(libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &spec, core::ptr::null_mut()));
                let ms = takes(|| read(fd, 8).map(|_| ()))?;
                ck!((60..10_000).contains(&ms), "timerfd on {clock}: {ms}");
                let mut timer: libc::timer_t = core::ptr::null_mut();
                let mut event: libc::sigevent = zero();
                event.sigev_notify = libc::SIGEV_NONE;
                c!(libc::timer_create(clock, &mut event, &mut timer));
                let spec = libc::itimerspec {
                    it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
                    it_value: libc::timespec { tv_sec: soon(clock)?.tv_sec + 100, tv_nsec: 0 },
                };
                c!(libc::timer_settime(timer, libc::TIMER_ABSTIME, &spec, core::ptr::null_mut()));
                let mut left: libc::itimerspec = zero();
                c!(libc::timer_gettime(timer, &mut left));
                ck!((80..=101).contains(&left.it_value.tv_sec), "timer on {clock}: {}", left.it_value.tv_sec);
                close(fd);
            }
            // A futex, by absolute monotonic time.
            let word = 0u32;
            let at = soon(CLOCK_MONOTONIC)?;
            let ms = takes(|| {
                fails!(libc::syscall(libc::SYS_futex, &word, 9, 0, &at, 0, u32::MAX), libc::ETIMEDOUT);
                Ok(())
            })?;
            ck!((60..10_000).contains(&ms), "futex: {ms}");
            // What lies before the clock began is over.
            let early = libc::timespec { tv_sec: 1, tv_nsec: 0 };
            let ms = takes(|| {
                eq!(sleep_until(CLOCK_MONOTONIC, &early), 0);
                Ok(())
            })?;
            ck!(ms < 1000);
            Ok(())
        })
    })
}

pub(super) fn exec_and_setns() -> Outcome {
    let before = seconds(CLOCK_MONOTONIC)?;
    with_offsets(50, 50, || {
        let own = ns_file(std::process::id() as i32, "time")?;
        let new = ns_file(std::process::id() as i32, "time_for_children")?;
        let pid = child(|| {
            // A new program has the vDSO's data of its name space.
            let (name, flag) = (c"/proc/self/exe", c"--list");
            let args = [name.as_ptr(), flag.as_ptr(), core::ptr::null()];
            let null = open("/dev/null", libc::O_WRONLY).unwrap_or(-1);
            // SAFETY: live strings.
            unsafe {
                libc::dup2(null, 1);
                libc::execv(name.as_ptr(), args.as_ptr())
            }
        })?;
        eq!(exit_of(pid)?, 0);
        // And whoever goes there and back.
        for _ in 0..2 {
            c!(libc::setns(new, NEWTIME));
            ck!(near(seconds(CLOCK_MONOTONIC)?, before + 50 * DAY));
            eq!(link("self", "time")?, link("self", "time_for_children")?);
            c!(libc::setns(own, NEWTIME));
            ck!(near(seconds(CLOCK_MONOTONIC)?, before));
        }
        // Not with other threads.
        let (r, w) = pipe()?;
        let other = std::thread::spawn(move || read(r, 1).is_ok());
        fails!(libc::setns(new, NEWTIME), libc::EUSERS);
        write(w, b"x")?;
        ck!(other.join().unwrap_or(false));
        Ok(())
    })
}

pub(super) fn errors() -> Outcome {
    with_offsets(1, 1, || {
        for bad in
            ["", "monotonic", "monotonic 1", "clock 1 0", "monotonic 1 1000000000", "monotonic 1 -1", "realtime 1 0"]
        {
            eq!((bad, write_offsets(&format!("{bad}\n"))), (bad, Err(libc::EINVAL)));
        }
        for far in ["monotonic -1000000000 0", "boottime 9223372037 0", "boottime 5000000000 0"] {
            eq!((far, write_offsets(far)), (far, Err(libc::ERANGE)));
        }
        // Two lines count, and numbers stand for the clocks.
        eq!(write_offsets("1 7 5\n7 8 6\n"), Ok(()));
        eq!(text(FILE)?, format!("monotonic  {:10} {:9}\nboottime   {:10} {:9}\n", 7, 5, 8, 6));
        // Threads have the same clocks. (Newer ones than Linux 6.1 give them those of the one that makes them.)
        let old = text("/proc/sys/kernel/osrelease")?.starts_with("6.1.");
        ck!(!old || std::thread::Builder::new().spawn(|| ()).is_err());
        Ok(())
    })?;
    crate::sysvipc::as_user(|| {
        fails!(libc::unshare(NEWTIME), libc::EPERM);
        Ok(())
    })
}
