// SPDX-License-Identifier: GPL-2.0
//! Clocks, sleeps, timers, the vDSO, uname and sysinfo.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("time.monotonic", monotonic),
    ("time.monotonic_across_cpus", across_cpus),
    ("time.vdso_agrees_with_kernel", vdso_agrees),
    ("time.vdso_symbols", vdso_symbols),
    ("time.clocks", clocks),
    ("time.resolution", resolution),
    ("time.cpu_clocks", cpu_clocks),
    ("time.settime", settime),
    ("time.settime_errors", settime_errors),
    ("time.nanosleep", nanosleep),
    ("time.nanosleep_absolute", absolute),
    ("time.sleep_errors", sleep_errors),
    ("time.short_sleeps", short_sleeps),
    ("time.times", times),
    ("time.posix_timers", posix_timers),
    ("time.getcpu", getcpu),
    ("time.uname", uname),
    ("time.hostname", hostname),
    ("time.sysinfo", sysinfo),
    ("time.unknown_system_call", unknown),
    ("time.getrandom", getrandom),
    ("time.signal_timer_cpu", cpu_timer),
];

fn get(clock: i32) -> Result<i64, String> {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    c!(libc::clock_gettime(clock, &mut ts));
    ck!((0..1_000_000_000).contains(&ts.tv_nsec));
    Ok(ts.tv_sec * 1_000_000_000 + ts.tv_nsec)
}

fn get_raw(clock: i32) -> Result<i64, String> {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    c!(libc::syscall(libc::SYS_clock_gettime, clock, &raw mut ts));
    Ok(ts.tv_sec * 1_000_000_000 + ts.tv_nsec)
}

fn monotonic() -> Outcome {
    for clock in [libc::CLOCK_MONOTONIC, libc::CLOCK_MONOTONIC_RAW, libc::CLOCK_BOOTTIME, libc::CLOCK_MONOTONIC_COARSE]
    {
        let mut last = get(clock)?;
        for _ in 0..20_000 {
            let now = get(clock)?;
            ck!(now >= last, "clock {clock} went back by {}", last - now);
            last = now;
        }
    }
    Ok(())
}

fn across_cpus() -> Outcome {
    let last = std::sync::Arc::new(std::sync::Mutex::new(0i64));
    let all: Vec<_> = (0..4)
        .map(|_| {
            let last = last.clone();
            std::thread::spawn(move || {
                for _ in 0..3000 {
                    let Ok(mut last) = last.lock() else { return Err("poison".to_string()) };
                    let now = get(libc::CLOCK_MONOTONIC)?;
                    ck!(now >= *last, "back by {} ns", *last - now);
                    *last = now;
                }
                Ok(())
            })
        })
        .collect();
    for t in all {
        t.join().map_err(|_| "panic")??;
    }
    Ok(())
}

fn vdso_agrees() -> Outcome {
    for clock in
        [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_MONOTONIC_RAW, libc::CLOCK_BOOTTIME, libc::CLOCK_TAI]
    {
        for _ in 0..200 {
            let one = get(clock)?;
            let two = get_raw(clock)?;
            let three = get(clock)?;
            ck!(one <= two && two <= three, "clock {clock}: {one} {two} {three}");
        }
    }
    let mut tv = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let one = get_raw(libc::CLOCK_REALTIME)? / 1000;
    c!(libc::gettimeofday(&mut tv, core::ptr::null_mut()));
    let two = tv.tv_sec * 1_000_000 + tv.tv_usec;
    ck!(one <= two && two < one + 5_000_000);
    let seconds = c!(libc::time(core::ptr::null_mut()));
    ck!((seconds - tv.tv_sec).abs() <= 2);
    Ok(())
}

fn vdso_symbols() -> Outcome {
    // The image is an ELF with the names that glibc looks up.
    // SAFETY: a number; the kernel maps the image readable.
    let image = unsafe {
        let at = libc::getauxval(libc::AT_SYSINFO_EHDR) as *const u8;
        ck!(!at.is_null());
        core::slice::from_raw_parts(at, 4096)
    };
    eq!(&image[..4], b"\x7fELF");
    for name in ["__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_getcpu", "LINUX_2.6"] {
        ck!(
            image.windows(name.len() + 1).any(|w| &w[..name.len()] == name.as_bytes() && w[name.len()] == 0),
            "no {name}"
        );
    }
    ck!(text("/proc/self/maps")?.contains("[vdso]"));
    Ok(())
}

fn clocks() -> Outcome {
    let up = get(libc::CLOCK_BOOTTIME)?;
    ck!(up > 0 && up < 3600 * 1_000_000_000);
    let real = get(libc::CLOCK_REALTIME)?;
    ck!(real > 1_700_000_000 * 1_000_000_000, "the date is {real}");
    let coarse = get(libc::CLOCK_REALTIME_COARSE)?;
    ck!((real - coarse).abs() < 100_000_000, "coarse is {} ns off", real - coarse);
    fails!(libc::clock_gettime(77, &mut libc::timespec { tv_sec: 0, tv_nsec: 0 }), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_clock_gettime, 77, 0usize), libc::EINVAL);
    let uptime = text("/proc/uptime")?;
    let seconds: f64 = uptime.split(' ').next().and_then(|s| s.parse().ok()).unwrap_or(0.0);
    ck!((seconds - get(libc::CLOCK_BOOTTIME)? as f64 / 1e9).abs() < 1.0, "{uptime}");
    Ok(())
}

fn resolution() -> Outcome {
    let mut ts = libc::timespec { tv_sec: 9, tv_nsec: 9 };
    c!(libc::clock_getres(libc::CLOCK_MONOTONIC, &mut ts));
    eq!((ts.tv_sec, ts.tv_nsec), (0, 1));
    c!(libc::clock_getres(libc::CLOCK_REALTIME_COARSE, &mut ts));
    ck!(ts.tv_sec == 0 && (1_000_000..=10_000_000).contains(&ts.tv_nsec), "{}", ts.tv_nsec);
    fails!(libc::clock_getres(77, &mut ts), libc::EINVAL);
    Ok(())
}

fn cpu_clocks() -> Outcome {
    let before = get(libc::CLOCK_PROCESS_CPUTIME_ID)?;
    let start = now_ms();
    while now_ms() < start + 50 {}
    let spent = get(libc::CLOCK_PROCESS_CPUTIME_ID)? - before;
    ck!(spent > 5_000_000, "{spent} ns for 50 ms of spinning");
    let before = get(libc::CLOCK_THREAD_CPUTIME_ID)?;
    sleep_ms(50);
    let spent = get(libc::CLOCK_THREAD_CPUTIME_ID)? - before;
    ck!(spent < 40_000_000, "{spent} ns for 50 ms of sleep");
    Ok(())
}

fn settime() -> Outcome {
    let before = get(libc::CLOCK_REALTIME)?;
    let up = get(libc::CLOCK_MONOTONIC)?;
    let ts = libc::timespec { tv_sec: before / 1_000_000_000 + 5000, tv_nsec: 0 };
    c!(libc::clock_settime(libc::CLOCK_REALTIME, &ts));
    let now = get(libc::CLOCK_REALTIME)?;
    let moved = (now - before) / 1_000_000_000;
    ck!((4998..5010).contains(&moved), "moved by {moved} s");
    ck!(get(libc::CLOCK_MONOTONIC)? - up < 5_000_000_000);
    let back = libc::timespec { tv_sec: get(libc::CLOCK_REALTIME)? / 1_000_000_000 - 5000, tv_nsec: 0 };
    c!(libc::clock_settime(libc::CLOCK_REALTIME, &back));
    Ok(())
}

fn settime_errors() -> Outcome {
    let ts = libc::timespec { tv_sec: 5, tv_nsec: 1_000_000_000 };
    fails!(libc::clock_settime(libc::CLOCK_REALTIME, &ts), libc::EINVAL);
    let ts = libc::timespec { tv_sec: 1_800_000_000, tv_nsec: 0 };
    fails!(libc::clock_settime(libc::CLOCK_MONOTONIC, &ts), libc::EINVAL);
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(libc::clock_settime(libc::CLOCK_REALTIME, &ts), libc::EPERM);
        Ok(())
    })
}

fn nanosleep() -> Outcome {
    for ms in [1, 20, 100] {
        let start = get(libc::CLOCK_MONOTONIC)?;
        let ts = libc::timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
        c!(libc::nanosleep(&ts, core::ptr::null_mut()));
        let took = get(libc::CLOCK_MONOTONIC)? - start;
        ck!(took >= ms * 1_000_000, "slept {took} ns of {ms} ms");
        ck!(took < 15_000_000_000, "slept {took} ns of {ms} ms");
    }
    Ok(())
}

fn absolute() -> Outcome {
    for clock in [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME, libc::CLOCK_BOOTTIME] {
        let end = get(clock)? + 50_000_000;
        let ts = libc::timespec { tv_sec: end / 1_000_000_000, tv_nsec: end % 1_000_000_000 };
        // SAFETY: live.
        eq!(unsafe { libc::clock_nanosleep(clock, libc::TIMER_ABSTIME, &ts, core::ptr::null_mut()) }, 0);
        ck!(get(clock)? >= end);
        // In the past: at once.
        // SAFETY: live.
        eq!(unsafe { libc::clock_nanosleep(clock, libc::TIMER_ABSTIME, &ts, core::ptr::null_mut()) }, 0);
    }
    Ok(())
}

fn sleep_errors() -> Outcome {
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    fails!(libc::nanosleep(&bad, core::ptr::null_mut()), libc::EINVAL);
    let bad = libc::timespec { tv_sec: -1, tv_nsec: 0 };
    fails!(libc::nanosleep(&bad, core::ptr::null_mut()), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_nanosleep, 8usize, 0usize), libc::EFAULT);
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    c!(libc::nanosleep(&zero, core::ptr::null_mut()));
    // SAFETY: live.
    eq!(unsafe { libc::clock_nanosleep(77, 0, &zero, core::ptr::null_mut()) }, libc::EINVAL);
    Ok(())
}

fn short_sleeps() -> Outcome {
    // An idle CPU takes events by one-shot timers: 200 sleeps of 100 us end soon.
    let start = now_ms();
    let ts = libc::timespec { tv_sec: 0, tv_nsec: 100_000 };
    for _ in 0..200 {
        c!(libc::nanosleep(&ts, core::ptr::null_mut()));
    }
    let took = now_ms() - start;
    ck!((20..15_000).contains(&took), "{took} ms");
    Ok(())
}

fn times() -> Outcome {
    // SAFETY: all zero is valid.
    let mut t: libc::tms = unsafe { core::mem::zeroed() };
    let pid = child(|| {
        let end = now_ms() + 100;
        while now_ms() < end {}
        0
    })?;
    eq!(exit_of(pid)?, 0);
    let ticks = c!(libc::times(&mut t));
    ck!(ticks > 0);
    ck!(t.tms_cutime + t.tms_cstime > 1, "the child's time is not counted");
    Ok(())
}

fn posix_timers() -> Outcome {
    extern "C" fn nothing(_: i32) {}
    handle(libc::SIGUSR1, nothing as *const () as usize, 0)?;
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    let mut event = [0u64; 8];
    event[0] = 0x1234; // sigev_value
    event[1] = libc::SIGUSR1 as u64; // sigev_signo, and SIGEV_SIGNAL above it
    let mut id = -1i32;
    // SAFETY: live structures, laid out as sigevent.
    let made = unsafe { libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, event.as_ptr(), &raw mut id) };
    if made < 0 && errno() == libc::ENOSYS {
        return Err(format!("{SKIP}no timer_create"));
    }
    eq!(made, 0);
    let spec = [0i64, 0, 0, 30_000_000];
    c!(libc::syscall(libc::SYS_timer_settime, id, 0, spec.as_ptr(), 0usize));
    let want = set(&[libc::SIGUSR1]);
    // SAFETY: all zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    let most = libc::timespec { tv_sec: 5, tv_nsec: 0 };
    eq!(c!(libc::sigtimedwait(&want, &mut info, &most)), libc::SIGUSR1);
    eq!(info.si_code, libc::SI_TIMER);
    c!(libc::syscall(libc::SYS_timer_delete, id));
    fails!(libc::syscall(libc::SYS_timer_delete, id), libc::EINVAL);
    Ok(())
}

fn getcpu() -> Outcome {
    let count = std::thread::available_parallelism().map_err(|e| e.to_string())?.get();
    for _ in 0..1000 {
        let (mut cpu, mut node) = (999u32, 999u32);
        c!(libc::syscall(libc::SYS_getcpu, &raw mut cpu, &raw mut node, 0usize));
        ck!((cpu as usize) < count && node == 0, "{cpu} {node}");
        ck!((c!(libc::sched_getcpu()) as usize) < count);
    }
    let online = text("/sys/devices/system/cpu/online")?;
    eq!(online.trim(), if count == 1 { "0".to_string() } else { format!("0-{}", count - 1) });
    Ok(())
}

fn field(text: &[i8]) -> String {
    text.iter().take_while(|c| **c != 0).map(|c| *c as u8 as char).collect()
}

fn uname() -> Outcome {
    // SAFETY: all zero is valid.
    let mut name: libc::utsname = unsafe { core::mem::zeroed() };
    c!(libc::uname(&mut name));
    eq!(field(&name.sysname), "Linux");
    eq!(field(&name.machine), "x86_64");
    ck!(field(&name.release).starts_with(|c: char| c.is_ascii_digit()), "{}", field(&name.release));
    ck!(field(&name.version).starts_with('#'), "{}", field(&name.version));
    eq!(text("/proc/sys/kernel/osrelease")?.trim(), field(&name.release));
    ck!(text("/proc/version")?.starts_with(&format!("Linux version {} ", field(&name.release))));
    Ok(())
}

fn hostname() -> Outcome {
    // SAFETY: all zero is valid.
    let mut name: libc::utsname = unsafe { core::mem::zeroed() };
    c!(libc::sethostname(c"a-host".as_ptr(), 6));
    c!(libc::uname(&mut name));
    eq!(field(&name.nodename), "a-host");
    eq!(text("/proc/sys/kernel/hostname")?, "a-host\n");
    c!(libc::setdomainname(c"dom".as_ptr(), 3));
    fails!(libc::sethostname([b'x' as i8; 65].as_ptr(), 65), libc::EINVAL);
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(libc::sethostname(c"x".as_ptr(), 1), libc::EPERM);
        Ok(())
    })
}

fn sysinfo() -> Outcome {
    // SAFETY: all zero is valid.
    let mut info: libc::sysinfo = unsafe { core::mem::zeroed() };
    c!(libc::sysinfo(&mut info));
    let total = info.totalram * u64::from(info.mem_unit) / 1024;
    let meminfo = text("/proc/meminfo")?;
    ck!(meminfo.starts_with(&format!("MemTotal:{total:>15} kB\n")), "{total} {meminfo}");
    ck!(info.freeram > 0 && info.freeram < info.totalram);
    ck!(info.procs > 1 && info.uptime >= 0);
    Ok(())
}

fn unknown() -> Outcome {
    for number in [335, 420, 499, 511, 512, 1000, 100_000, -1, i64::MAX, 0x4000_0000] {
        fails!(libc::syscall(number, 0, 0, 0), libc::ENOSYS);
    }
    Ok(())
}

fn getrandom() -> Outcome {
    let (mut one, mut two) = ([0u8; 64], [0u8; 64]);
    eq!(c!(libc::getrandom(one.as_mut_ptr().cast(), 64, 0)), 64);
    eq!(c!(libc::getrandom(two.as_mut_ptr().cast(), 64, libc::GRND_NONBLOCK)), 64);
    ck!(one != two && one.iter().any(|b| *b != 0));
    fails!(libc::getrandom(one.as_mut_ptr().cast(), 64, 0x80), libc::EINVAL);
    fails!(libc::getrandom(8 as *mut _, 64, 0), libc::EFAULT);
    Ok(())
}

fn cpu_timer() -> Outcome {
    // ITIMER_VIRTUAL counts this process's own running.
    let value = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 50_000 },
    };
    let pid = child(|| {
        let _ = handle(libc::SIGVTALRM, libc::SIG_DFL, 0);
        // SAFETY: live; argument 1 is ITIMER_VIRTUAL.
        unsafe { libc::syscall(libc::SYS_setitimer, 1, &raw const value, 0usize) };
        loop {
            std::hint::spin_loop();
        }
    })?;
    eq!(signal_of(pid)?, libc::SIGVTALRM);
    Ok(())
}
