// SPDX-License-Identifier: GPL-2.0
//! Settings below `/proc/sys`: what they change, and what they refuse.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("sysctl.bounds", bounds),
    ("sysctl.dmesg_restrict", dmesg_restrict),
    ("sysctl.rr_timeslice", rr_timeslice),
    ("sysctl.rt_runtime", rt_runtime),
    ("sysctl.epoll_watches", epoll_watches),
    ("sysctl.mount_max", mount_max),
    ("sysctl.pty_max", pty_max),
    ("sysctl.watermarks", watermarks),
    ("sysctl.last_pid", last_pid),
];

fn path(name: &str) -> String {
    format!("/proc/sys/{name}")
}

fn get(name: &str) -> Result<String, String> {
    Ok(text(&path(name))?.trim().to_string())
}

fn put(name: &str, value: &str) -> Result<(), i32> {
    std::fs::write(path(name), value).map_err(|e| e.raw_os_error().unwrap_or(0))
}

/// Runs `body` with a setting that is put back afterwards, also if it fails.
fn with(name: &str, value: &str, body: impl FnOnce() -> Outcome) -> Outcome {
    let before = get(name)?;
    eq!(put(name, value), Ok(()));
    let outcome = body();
    eq!(put(name, &before), Ok(()));
    outcome
}

/// What is out of bounds changes nothing.
fn bounds() -> Outcome {
    eq!(get("kernel/arch").unwrap_or("x86_64".into()), "x86_64");
    for (name, wrong, right) in [
        ("kernel/dmesg_restrict", "2", "1"),
        ("kernel/sched_rt_period_us", "0", "2000000"),
        ("kernel/sched_rt_period_us", "900000", "950000"),
        ("kernel/sched_rt_runtime_us", "-2", "-1"),
        ("kernel/sched_rt_runtime_us", "1000001", "1000000"),
        ("vm/legacy_va_layout", "-1", "1"),
        ("vm/mmap_rnd_bits", "27", "30"),
        ("vm/mmap_rnd_bits", "33", "32"),
        ("vm/watermark_scale_factor", "0", "20"),
        ("vm/watermark_scale_factor", "3001", "3000"),
        ("vm/vfs_cache_pressure", "-1", "50"),
        ("fs/mount-max", "0", "99999"),
        ("kernel/pty/max", "-1", "1048577"),
        ("kernel/ctrl-alt-del", "x", "0"),
    ] {
        let before = get(name)?;
        eq!((name, put(name, wrong)), (name, Err(libc::EINVAL)));
        eq!(get(name)?, before);
        with(name, right, || {
            eq!(get(name)?, right);
            Ok(())
        })?;
    }
    in_child(|| {
        c!(libc::setuid(1000));
        ck!(put("kernel/dmesg_restrict", "0").is_err(), "a user may write");
        fails!(libc::open(cstr(&path("vm/mmap_rnd_bits")).as_ptr(), libc::O_RDONLY), libc::EACCES);
        Ok(())
    })
}

/// Whether a user may read the log by either way.
fn user_reads_log(expected: bool) -> Outcome {
    in_child(|| {
        c!(libc::setuid(1000));
        let mut room = [0_u8; 64];
        // SAFETY: the buffer is live.
        let by_call = unsafe { libc::syscall(libc::SYS_syslog, 3, room.as_mut_ptr(), room.len()) } >= 0;
        eq!(by_call, expected);
        if std::path::Path::new("/dev/kmsg").exists() {
            // SAFETY: a plain call.
            let fd = unsafe { libc::open(c"/dev/kmsg".as_ptr(), libc::O_RDONLY | libc::O_NONBLOCK) };
            eq!(fd >= 0, expected);
        }
        Ok(())
    })
}

fn dmesg_restrict() -> Outcome {
    with("kernel/dmesg_restrict", "0", || user_reads_log(true))?;
    with("kernel/dmesg_restrict", "1", || user_reads_log(false))
}

fn interval() -> Result<i64, String> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    c!(libc::sched_rr_get_interval(0, &mut time));
    Ok(time.tv_sec * 1000 + time.tv_nsec / 1_000_000)
}

/// The slice of `SCHED_RR` can be set; `SCHED_FIFO` has none.
fn rr_timeslice() -> Outcome {
    in_child(|| {
        let priority = libc::sched_param { sched_priority: 1 };
        c!(libc::sched_setscheduler(0, libc::SCHED_RR, &priority));
        with("kernel/sched_rr_timeslice_ms", "40", || {
            eq!(interval()?, 40);
            Ok(())
        })?;
        with("kernel/sched_rr_timeslice_ms", "-1", || {
            eq!(interval()?, 100);
            Ok(())
        })?;
        c!(libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority));
        eq!(interval()?, 0);
        Ok(())
    })
}

fn stay_on_first_cpu() -> Outcome {
    // SAFETY: all zeroes is an empty set.
    let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: a live set.
    unsafe { libc::CPU_SET(0, &mut cpus) };
    c!(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &cpus));
    Ok(())
}

/// A process that spins as `SCHED_FIFO` leaves others on its CPU some of the time.
fn rt_runtime() -> Outcome {
    in_child(|| {
        stay_on_first_cpu()?;
        let (ready, tell) = pipe()?;
        let start = std::time::Instant::now();
        let child = c!(libc::fork());
        if child == 0 {
            let priority = libc::sched_param { sched_priority: 1 };
            // SAFETY: a live structure; a byte of a live array.
            let good = unsafe {
                libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) == 0
                    && libc::write(tell, b"x".as_ptr().cast(), 1) == 1
            };
            while good && start.elapsed().as_secs() < 10 {
                std::hint::spin_loop();
            }
            // SAFETY: ends this process.
            unsafe { libc::_exit(i32::from(!good)) };
        }
        let mut byte = [0u8];
        c!(libc::read(ready, byte.as_mut_ptr().cast(), 1));
        // It has its CPU for 0.95 s of the first second; we are here in the rest of it or later, before it ends by itself.
        let early = start.elapsed().as_secs() < 8;
        c!(libc::kill(child, libc::SIGKILL));
        let mut status = 0;
        c!(libc::waitpid(child, &mut status, 0));
        eq!((early, status), (true, libc::SIGKILL));
        Ok(())
    })
}

/// A user may watch so many files and no more, in all its epolls; files that are closed do not count.
fn epoll_watches() -> Outcome {
    with("fs/epoll/max_user_watches", "5", || {
        in_child(|| {
            c!(libc::setuid(54_321));
            let epolls = [c!(libc::epoll_create1(0)), c!(libc::epoll_create1(0))];
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
            let files: Vec<i32> = (0..6).map(|_| pipe().map_or(-1, |ends| ends.0)).collect();
            for (at, file) in files.iter().take(5).enumerate() {
                c!(libc::epoll_ctl(epolls[at % 2], libc::EPOLL_CTL_ADD, *file, &mut event));
            }
            fails!(libc::epoll_ctl(epolls[0], libc::EPOLL_CTL_ADD, files[5], &mut event), libc::ENOSPC);
            c!(libc::epoll_ctl(epolls[1], libc::EPOLL_CTL_DEL, files[1], &mut event));
            c!(libc::epoll_ctl(epolls[0], libc::EPOLL_CTL_ADD, files[5], &mut event));
            close(files[0]);
            c!(libc::epoll_ctl(epolls[0], libc::EPOLL_CTL_ADD, files[1], &mut event));
            fails!(libc::epoll_ctl(epolls[1], libc::EPOLL_CTL_ADD, files[5], &mut event), libc::ENOSPC);
            close(epolls[0]);
            c!(libc::epoll_ctl(epolls[1], libc::EPOLL_CTL_ADD, files[5], &mut event));
            Ok(())
        })
    })
}

/// A name space has so many mounts at most; what is moved counts once.
fn mount_max() -> Outcome {
    in_child(|| {
        c!(libc::unshare(libc::CLONE_NEWNS));
        let none = core::ptr::null();
        let root = c"/".as_ptr();
        c!(libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, none.cast()));
        let (one, other) = (format!("{}/one", dir()?), format!("{}/other", dir()?));
        for place in [&one, &other] {
            std::fs::create_dir(place).map_err(|e| e.to_string())?;
        }
        let (one, other) = (cstr(&one), cstr(&other));
        let tmpfs = c"tmpfs".as_ptr();
        c!(libc::mount(tmpfs, one.as_ptr(), tmpfs, 0, none.cast()));
        let there = text("/proc/self/mountinfo")?.lines().count();
        with("fs/mount-max", &(there - 1).to_string(), || {
            fails!(libc::mount(tmpfs, other.as_ptr(), tmpfs, 0, none.cast()), libc::ENOSPC);
            fails!(libc::mount(one.as_ptr(), other.as_ptr(), none, libc::MS_BIND, none.cast()), libc::ENOSPC);
            c!(libc::mount(one.as_ptr(), other.as_ptr(), none, libc::MS_MOVE, none.cast()));
            Ok(())
        })?;
        c!(libc::mount(tmpfs, one.as_ptr(), tmpfs, 0, none.cast()));
        Ok(())
    })
}

/// Masters of ptys are counted and limited.
fn pty_max() -> Outcome {
    let before: u32 = get("kernel/pty/nr")?.parse().map_err(|_| "kernel/pty/nr is no number")?;
    let first = open("/dev/ptmx", libc::O_RDWR)?;
    eq!(get("kernel/pty/nr")?, (before + 1).to_string());
    with("kernel/pty/max", &(before + 1).to_string(), || {
        fails!(libc::open(c"/dev/ptmx".as_ptr(), libc::O_RDWR), libc::ENOSPC);
        Ok(())
    })?;
    let second = open("/dev/ptmx", libc::O_RDWR)?;
    close(second);
    close(first);
    Ok(())
}

/// The sum of a mark of all zones.
fn mark(name: &str) -> Result<u64, String> {
    let zones = text("/proc/zoneinfo")?;
    let lines = zones.lines().map(str::trim).filter_map(|line| line.strip_prefix(name));
    Ok(lines.filter_map(|rest| rest.trim().parse::<u64>().ok()).sum())
}

/// A larger factor puts the marks further apart.
fn watermarks() -> Outcome {
    let far = |factor: &str| {
        let mut apart = 0;
        with("vm/watermark_scale_factor", factor, || {
            apart = mark("high ")? - mark("low ")?;
            Ok(())
        })?;
        Ok::<u64, String>(apart)
    };
    let (near, further) = (far("10")?, far("500")?);
    ck!(further > near, "{near} and {further}");
    Ok(())
}

/// The next process gets the first free number above what is written.
fn last_pid() -> Outcome {
    let name = "kernel/ns_last_pid";
    let most: i32 = get("kernel/pid_max")?.parse().map_err(|_| "kernel/pid_max is no number")?;
    eq!(put(name, &(most + 1).to_string()), Err(libc::EINVAL));
    // Others make processes meanwhile; and at the end the numbers begin again.
    let before: i32 = get(name)?.parse().map_err(|_| "it is no number")?;
    let wanted = if before + 3000 < most { before + 1000 } else { 1000 };
    eq!(put(name, &wanted.to_string()), Ok(()));
    let pid = child(|| 0)?;
    wait(pid)?;
    ck!((wanted + 1..wanted + 500).contains(&pid), "{pid} after {wanted}");
    in_child(|| {
        c!(libc::setuid(1000));
        eq!(put(name, "1000"), Err(libc::EPERM));
        Ok(())
    })
}
