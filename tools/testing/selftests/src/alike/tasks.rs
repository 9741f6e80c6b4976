// SPDX-License-Identifier: GPL-2.0
//! Priorities, timers, process groups, sockets and memory.

use crate::util::{Outcome, in_child};
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("alike.keep_params", keep_params),
    ("alike.slice", slice),
    ("alike.io_priority_of_root", io_priority_of_root),
    ("alike.timer_off_remembers", timer_off_remembers),
    ("alike.group_before_pid", group_before_pid),
    ("alike.least_send_buffer", least_send_buffer),
    ("alike.lock_without_access", lock_without_access),
    ("alike.unlock_joins_nothing", unlock_joins_nothing),
    ("alike.remove_beyond_hole", remove_beyond_hole),
];

/// `SCHED_FLAG_KEEP_PARAMS` keeps the policy, too.
fn keep_params() -> Outcome {
    in_child(|| {
        // Size and policy (idle), flags, nice.
        let attr = [48_u32, 5, 0x10, 0, 7, 0, 0, 0, 0, 0, 0, 0];
        c!(libc::syscall(libc::SYS_sched_setattr, 0, &attr, 0));
        eq!(c!(libc::sched_getscheduler(0)), 0);
        eq!(c!(libc::getpriority(libc::PRIO_PROCESS, 0)), 0);
        Ok(())
    })
}

/// A fair task may ask for a slice: since Linux 6.12 it is kept within bounds and shown, before it is ignored.
fn slice() -> Outcome {
    in_child(|| {
        let set = |policy: u32, runtime: u32| [48_u32, policy, 0, 0, 0, 0, runtime, 0, 0, 0, 0, 0];
        let shown = || {
            let mut attr = [0_u32; 12];
            c!(libc::syscall(libc::SYS_sched_getattr, 0, &mut attr, 48, 0));
            Ok::<_, String>((attr[1], attr[6]))
        };
        for (policy, asked, given) in [(0, 200_000, 200_000), (3, 1, 100_000), (0, 900_000_000, 100_000_000)] {
            c!(libc::syscall(libc::SYS_sched_setattr, 0, &set(policy, asked), 0));
            let (now, runtime) = shown()?;
            eq!(now, policy);
            ck!(runtime == given || runtime == 0, "{runtime}");
        }
        // SCHED_IDLE has none.
        c!(libc::syscall(libc::SYS_sched_setattr, 0, &set(5, 200_000), 0));
        eq!(shown()?.0, 5);
        Ok(())
    })
}

/// For `ioprio_set` user 0 is root.
fn io_priority_of_root() -> Outcome {
    in_child(|| {
        c!(libc::setresuid(1000, 1000, 1000));
        fails!(libc::syscall(libc::SYS_ioprio_set, 3, 0, 2 << 13 | 3), libc::EPERM);
        c!(libc::syscall(libc::SYS_ioprio_set, 3, 1000, 2 << 13 | 3));
        eq!(c!(libc::syscall(libc::SYS_ioprio_get, 3, 0)), 2 << 13 | 3);
        Ok(())
    })
}

/// A timer that tells nobody shows what is left of its last arming even when it is off.
fn timer_off_remembers() -> Outcome {
    // SAFETY: may be all zeroes.
    let mut event: libc::sigevent = unsafe { core::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_NONE;
    let mut id = core::ptr::null_mut();
    c!(libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut id));
    let time = |sec| libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: sec, tv_nsec: 0 },
    };
    let mut old = time(0);
    c!(libc::timer_gettime(id, &mut old));
    eq!((old.it_value.tv_sec, old.it_value.tv_nsec), (0, 0));
    c!(libc::timer_settime(id, 0, &time(1000), core::ptr::null_mut()));
    c!(libc::timer_settime(id, 0, &time(0), core::ptr::null_mut()));
    c!(libc::timer_gettime(id, &mut old));
    eq!(old.it_value.tv_sec, 999);
    Ok(())
}

fn group_before_pid() -> Outcome {
    fails!(libc::setpgid(99_999, -1), libc::EINVAL);
    fails!(libc::setpgid(99_999, 0), libc::ESRCH);
    Ok(())
}

/// A send buffer is never smaller than what two small packets take; a receive buffer may be half of that.
fn least_send_buffer() -> Outcome {
    let mut fds = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, fds.as_mut_ptr()));
    for (name, least) in [(libc::SO_SNDBUF, 4608), (libc::SO_RCVBUF, 2304)] {
        let (mut size, mut len) = (1_i32, 4);
        c!(libc::setsockopt(fds[0], libc::SOL_SOCKET, name, (&raw const size).cast(), 4));
        c!(libc::getsockopt(fds[0], libc::SOL_SOCKET, name, (&raw mut size).cast(), &mut len));
        eq!(size, least);
    }
    eq!(c!(libc::send(fds[0], [0_u8; 4096].as_ptr().cast(), 4096, libc::MSG_DONTWAIT)), 4096);
    Ok(())
}

const PAGE: usize = 4096;

fn map(at: usize, len: usize, prot: i32, flags: i32) -> Result<usize, String> {
    let flags = flags | libc::MAP_ANONYMOUS | if at == 0 { 0 } else { libc::MAP_FIXED };
    Ok(c!(libc::mmap(at as *mut _, len, prot, flags, -1, 0)) as usize)
}

/// `mlock` brings pages in, and where nothing may be accessed it cannot.
fn lock_without_access() -> Outcome {
    let at = map(0, 3 * PAGE, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE)?;
    c!(libc::mprotect((at + PAGE) as *mut _, PAGE, libc::PROT_NONE));
    fails!(libc::mlock(at as *const _, 3 * PAGE), libc::ENOMEM);
    c!(libc::munlock(at as *const _, 3 * PAGE));
    c!(libc::mlock(at as *const _, PAGE));
    Ok(())
}

/// The mappings in `[at, at + len)`.
fn mappings(at: usize, len: usize) -> Result<usize, String> {
    let text = crate::util::text("/proc/self/maps")?;
    let starts = text.lines().filter_map(|line| usize::from_str_radix(line.split('-').next()?, 16).ok());
    Ok(starts.filter(|start| (at..at + len).contains(start)).count())
}

/// Mappings that are alike but were never joined stay apart when nothing is changed of them.
fn unlock_joins_nothing() -> Outcome {
    // A stack that grew down to its neighbour.
    let rw = libc::PROT_READ | libc::PROT_WRITE;
    let base = map(0, 1024 * PAGE, libc::PROT_NONE, libc::MAP_PRIVATE)?;
    c!(libc::munmap(base as *mut _, 1024 * PAGE));
    let (low, high) = (base, base + 2 * PAGE);
    for at in [low, high] {
        map(at, PAGE, rw, libc::MAP_PRIVATE | libc::MAP_GROWSDOWN)?;
    }
    // SAFETY: the page below the upper one, which grows; its neighbour below is a stack, too, so that there is no gap.
    unsafe { ((high - 8) as *mut u64).write_volatile(1) };
    eq!(mappings(low, 3 * PAGE)?, 2);
    c!(libc::munlock(low as *const _, 3 * PAGE));
    c!(libc::mprotect(low as *mut _, 3 * PAGE, rw));
    eq!(mappings(low, 3 * PAGE)?, 2);
    Ok(())
}

/// `MADV_REMOVE` goes on behind a hole, which is told at the end.
fn remove_beyond_hole() -> Outcome {
    let at = map(0, 4 * PAGE, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED)?;
    // SAFETY: in the mapping.
    unsafe { ((at + 3 * PAGE) as *mut u8).write_volatile(7) };
    c!(libc::munmap((at + PAGE) as *mut _, PAGE));
    fails!(libc::madvise(at as *mut _, 4 * PAGE, libc::MADV_REMOVE), libc::ENOMEM);
    // SAFETY: as above.
    eq!(unsafe { ((at + 3 * PAGE) as *const u8).read_volatile() }, 0);
    // Private memory has nothing to remove: that is told at once.
    map(at + 3 * PAGE, PAGE, libc::PROT_READ, libc::MAP_PRIVATE)?;
    fails!(libc::madvise(at as *mut _, 4 * PAGE, libc::MADV_REMOVE), libc::EINVAL);
    Ok(())
}
