// SPDX-License-Identifier: GPL-2.0
//! /proc and /sys as programs read them: the form of each file, and that its figures are true.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("proc.self_links", self_links),
    ("proc.stat_fields", stat_fields),
    ("proc.status", status),
    ("proc.cmdline_environ_comm", cmdline),
    ("proc.maps", maps),
    ("proc.smaps_and_rollup", smaps),
    ("proc.fd", fd),
    ("proc.fdinfo", fdinfo),
    ("proc.mem", mem),
    ("proc.list_of_processes", list),
    ("proc.gone_process", gone),
    ("proc.permissions", permissions),
    ("proc.global_files", global),
    ("proc.meminfo", meminfo),
    ("proc.stat_of_system", system_stat),
    ("proc.loadavg_uptime", loadavg),
    ("proc.cpuinfo", cpuinfo),
    ("proc.filesystems_mounts", filesystems),
    ("proc.mountinfo", mountinfo),
    ("proc.sys_read_write", sysctl),
    ("proc.thread_self", thread_self),
    ("proc.small_reads", small_reads),
    ("proc.writes_refused", writes_refused),
    ("proc.interrupts_counts", interrupts),
    ("proc.kmsg", kmsg),
    ("proc.syslog", syslog),
    ("proc.oom_score_adj", oom),
    ("sys.tree", sys_tree),
    ("sys.errors", sys_errors),
];

fn me() -> String {
    std::process::id().to_string()
}

fn link(path: &str) -> Result<String, String> {
    std::fs::read_link(path).map(|p| p.to_string_lossy().into_owned()).map_err(|e| format!("{path}: {e}"))
}

fn self_links() -> Outcome {
    eq!(link("/proc/self")?, me());
    eq!(link("/proc/self/root")?, "/");
    ck!(
        link("/proc/self/exe")?.ends_with("selftest") || link("/proc/self/exe")? == "/init",
        "{}",
        link("/proc/self/exe")?
    );
    c!(libc::chdir(c"/tmp".as_ptr()));
    eq!(link("/proc/self/cwd")?, "/tmp");
    Ok(())
}

fn stat_fields() -> Outcome {
    c!(libc::prctl(libc::PR_SET_NAME, c"na) (me".as_ptr()));
    let stat = text("/proc/self/stat")?;
    ck!(stat.starts_with(&format!("{} (na) (me) R ", me())), "{stat}");
    ck!(stat.ends_with('\n'));
    let words: Vec<&str> = stat.trim_end().rsplit(") ").next().unwrap_or("").split(' ').collect();
    eq!(words.len(), 50);
    // SAFETY: take nothing or a number.
    let (parent, group, session) = unsafe { (libc::getppid(), libc::getpgrp(), libc::getsid(0)) };
    eq!(&words[1..4], &[parent.to_string(), group.to_string(), session.to_string()].each_ref().map(String::as_str));
    eq!(words[17], "1"); // threads
    ck!(words[20].parse::<u64>().is_ok_and(|v| v > 0), "vsize {}", words[20]);
    ck!(words[21].parse::<u64>().is_ok_and(|v| v > 0), "rss {}", words[21]);
    ck!(words[19].parse::<u64>().is_ok_and(|v| v > 0), "starttime {}", words[19]);
    let statm: Vec<u64> = text("/proc/self/statm")?.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    eq!(statm.len(), 7);
    eq!(words[20].parse::<u64>().unwrap_or(0), statm[0] * 4096);
    Ok(())
}

fn status() -> Outcome {
    let s = text("/proc/self/status")?;
    let get = |key: &str| s.lines().find_map(|l| l.strip_prefix(&format!("{key}:\t"))).map(str::trim);
    eq!(get("Tgid"), Some(me().as_str()));
    eq!(get("Pid"), Some(me().as_str()));
    eq!(get("State"), Some("R (running)"));
    eq!(get("Threads"), Some("1"));
    for key in [
        "Name",
        "Umask",
        "PPid",
        "Uid",
        "Gid",
        "FDSize",
        "Groups",
        "VmPeak",
        "VmSize",
        "VmHWM",
        "VmRSS",
        "VmData",
        "VmStk",
        "VmExe",
        "SigQ",
        "SigPnd",
        "ShdPnd",
        "SigBlk",
        "SigIgn",
        "SigCgt",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "NoNewPrivs",
        "Cpus_allowed",
        "Cpus_allowed_list",
        "voluntary_ctxt_switches",
        "nonvoluntary_ctxt_switches",
    ] {
        ck!(get(key).is_some(), "no {key}");
    }
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    handle(libc::SIGUSR2, libc::SIG_IGN, 0)?;
    c!(libc::raise(libc::SIGUSR1));
    let s = text("/proc/self/status")?;
    let bits = |key: &str| {
        s.lines()
            .find_map(|l| l.strip_prefix(&format!("{key}:\t")))
            .and_then(|v| u64::from_str_radix(v, 16).ok())
            .unwrap_or(0)
    };
    eq!(bits("SigBlk"), 1 << (libc::SIGUSR1 - 1));
    ck!((bits("SigPnd") | bits("ShdPnd")) & 1 << (libc::SIGUSR1 - 1) != 0);
    ck!(bits("SigIgn") & 1 << (libc::SIGUSR2 - 1) != 0);
    Ok(())
}

fn cmdline() -> Outcome {
    let raw = std::fs::read("/proc/self/cmdline").map_err(|e| e.to_string())?;
    ck!(raw.ends_with(b"\0") && raw.len() > 1);
    ck!(std::fs::read("/proc/self/environ").is_ok());
    std::fs::write("/proc/self/comm", "renamed").map_err(|e| e.to_string())?;
    eq!(text("/proc/self/comm")?, "renamed\n");
    Ok(())
}

fn maps() -> Outcome {
    let maps = text("/proc/self/maps")?;
    for name in ["[heap]", "[stack]", "[vdso]"] {
        ck!(maps.lines().any(|l| l.ends_with(name)), "no {name}:\n{maps}");
    }
    let mut last = 0;
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        ck!(words.len() >= 5, "{line}");
        let (from, to) = words[0].split_once('-').ok_or(line)?;
        let (from, to) =
            (u64::from_str_radix(from, 16).map_err(|_| line)?, u64::from_str_radix(to, 16).map_err(|_| line)?);
        ck!(from >= last && to > from, "{line}");
        last = to;
        ck!(words[1].len() == 4 && words[2].len() == 8 && words[3].len() == 5, "{line}");
    }
    let exe = link("/proc/self/exe")?;
    ck!(maps.lines().any(|l| l.contains(" r-xp ") && l.ends_with(&exe)), "no text of {exe}:\n{maps}");
    // A name starts in column 73.
    let named = maps.lines().find(|l| l.ends_with(&exe)).unwrap_or("");
    eq!(named.find('/'), Some(73));
    Ok(())
}

fn smaps() -> Outcome {
    let Ok(smaps) = text("/proc/self/smaps") else { return Err(format!("{SKIP}no smaps")) };
    ck!(smaps.contains("\nRss:") && smaps.contains("\nPrivate_Dirty:") && smaps.contains("\nVmFlags: "));
    Ok(())
}

fn fd() -> Outcome {
    let fd = open("/dev/null", libc::O_RDONLY)?;
    eq!(link(&format!("/proc/self/fd/{fd}"))?, "/dev/null");
    // SAFETY: all zero is valid.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::lstat(cstr(&format!("/proc/self/fd/{fd}")).as_ptr(), &mut st));
    eq!(st.st_mode, libc::S_IFLNK | 0o500);
    let event = c!(libc::eventfd(0, 0)) as i32;
    eq!(link(&format!("/proc/self/fd/{event}"))?, "anon_inode:[eventfd]");
    let socket = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    ck!(link(&format!("/proc/self/fd/{socket}"))?.starts_with("socket:["));
    let names: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .map_err(|e| e.to_string())?
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    ck!(names.contains(&fd.to_string()) && names.contains(&event.to_string()), "{names:?}");
    fails!(libc::access(c"/proc/self/fd/900".as_ptr(), 0), libc::ENOENT);
    fails!(libc::access(c"/proc/self/fd/00".as_ptr(), 0), libc::ENOENT);
    Ok(())
}

fn fdinfo() -> Outcome {
    let fd = open("/proc/version", libc::O_RDONLY)?;
    read(fd, 5)?;
    let info = text(&format!("/proc/self/fdinfo/{fd}"))?;
    ck!(info.starts_with("pos:\t5\nflags:\t0100000\nmnt_id:\t"), "{info}");
    Ok(())
}

fn mem() -> Outcome {
    let word = Box::new(0x1234_5678u32);
    let at = &raw const *word as i64;
    let fd = open("/proc/self/mem", libc::O_RDWR)?;
    let mut got = [0u8; 4];
    c!(libc::pread(fd, got.as_mut_ptr().cast(), 4, at));
    eq!(u32::from_ne_bytes(got), 0x1234_5678);
    c!(libc::pwrite(fd, 7u32.to_ne_bytes().as_ptr().cast(), 4, at));
    // SAFETY: the box is alive.
    eq!(unsafe { (at as *const u32).read_volatile() }, 7);
    fails!(libc::pread(fd, got.as_mut_ptr().cast(), 4, 0), libc::EIO);
    Ok(())
}

fn list() -> Outcome {
    let pid = child(|| {
        sleep_ms(10_000);
        0
    })?;
    let names: Vec<String> = std::fs::read_dir("/proc")
        .map_err(|e| e.to_string())?
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    for want in [
        "1",
        "self",
        "meminfo",
        "cpuinfo",
        "stat",
        "uptime",
        "loadavg",
        "version",
        "cmdline",
        "mounts",
        "filesystems",
        "sys",
        &me(),
        &pid.to_string(),
    ] {
        ck!(names.iter().any(|n| n == want), "no {want}");
    }
    let numbers: Vec<u32> = names.iter().filter_map(|n| n.parse().ok()).collect();
    ck!(numbers.windows(2).all(|w| w[0] < w[1]), "pids out of order");
    c!(libc::kill(pid, libc::SIGKILL));
    signal_of(pid)?;
    fails!(libc::access(cstr(&format!("/proc/{pid}")).as_ptr(), 0), libc::ENOENT);
    Ok(())
}

fn gone() -> Outcome {
    let pid = child(|| {
        sleep_ms(10_000);
        0
    })?;
    let stat = open(&format!("/proc/{pid}/stat"), libc::O_RDONLY)?;
    let dir = open(&format!("/proc/{pid}"), libc::O_RDONLY)?;
    c!(libc::kill(pid, libc::SIGKILL));
    signal_of(pid)?;
    fails!(libc::read(stat, [0u8; 64].as_mut_ptr().cast(), 64), libc::ESRCH);
    fails!(libc::openat(dir, c"stat".as_ptr(), libc::O_RDONLY), libc::ESRCH);
    Ok(())
}

fn permissions() -> Outcome {
    in_child(|| {
        c!(libc::setuid(1000));
        ck!(text("/proc/1/stat").is_ok());
        fails!(libc::open(c"/proc/1/environ".as_ptr(), libc::O_RDONLY), libc::EACCES);
        fails!(libc::open(c"/proc/1/fd".as_ptr(), libc::O_RDONLY), libc::EACCES);
        fails!(libc::open(c"/proc/sys/kernel/hostname".as_ptr(), libc::O_WRONLY), libc::EACCES);
        Ok(())
    })
}

fn global() -> Outcome {
    for name in [
        "version",
        "cmdline",
        "uptime",
        "loadavg",
        "meminfo",
        "stat",
        "cpuinfo",
        "filesystems",
        "mounts",
        "devices",
        "interrupts",
        "vmstat",
        "swaps",
        "partitions",
        "modules",
        "self/limits",
        "self/mountinfo",
        "self/mounts",
        "self/cgroup",
        "self/io",
        "self/sched",
        "sys/kernel/ostype",
        "sys/kernel/pid_max",
        "sys/kernel/random/boot_id",
        "sys/kernel/random/uuid",
        "sys/vm/overcommit_memory",
        "sys/fs/file-max",
        "sys/fs/file-nr",
        "sys/fs/pipe-max-size",
    ] {
        if ["partitions", "modules", "self/cgroup", "self/io", "self/sched", "swaps"].contains(&name) {
            continue; // what they stand for may be configured out
        }
        ck!(!text(&format!("/proc/{name}"))?.is_empty(), "{name} is empty");
    }
    ck!(text("/proc/sys/kernel/random/uuid")? != text("/proc/sys/kernel/random/uuid")?);
    ck!(text("/proc/sys/kernel/random/boot_id")? == text("/proc/sys/kernel/random/boot_id")?);
    eq!(text("/proc/sys/kernel/ostype")?, "Linux\n");
    Ok(())
}

fn kib(text: &str, key: &str) -> Result<u64, String> {
    text.lines()
        .find_map(|l| l.strip_prefix(key))
        .and_then(|l| l.trim().strip_suffix(" kB"))
        .and_then(|v| v.trim().parse().ok())
        .ok_or(format!("no {key}"))
}

fn meminfo() -> Outcome {
    let info = text("/proc/meminfo")?;
    let (total, free, available) = (kib(&info, "MemTotal:")?, kib(&info, "MemFree:")?, kib(&info, "MemAvailable:")?);
    ck!(total > free && free > 0 && available > 0 && available <= total, "{info}");
    for key in [
        "Buffers:",
        "Cached:",
        "SwapTotal:",
        "SwapFree:",
        "Dirty:",
        "AnonPages:",
        "Mapped:",
        "Shmem:",
        "Slab:",
        "KernelStack:",
        "PageTables:",
        "CommitLimit:",
        "Committed_AS:",
        "VmallocTotal:",
    ] {
        kib(&info, key)?;
    }
    // A file on tmpfs counts as shared memory and cache.
    std::fs::write(dir()? + "/big", vec![1u8; 8 << 20]).map_err(|e| e.to_string())?;
    let after = text("/proc/meminfo")?;
    let grown = kib(&after, "Shmem:")?.saturating_sub(kib(&info, "Shmem:")?);
    ck!((7000..10_000).contains(&grown), "Shmem grew by {grown} kB for 8 MB");
    Ok(())
}

fn system_stat() -> Outcome {
    let read = || -> Result<(Vec<u64>, u64, u64), String> {
        let s = text("/proc/stat")?;
        let cpu = s.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|w| w.parse().ok()).collect();
        let get = |k: &str| {
            s.lines().find_map(|l| l.strip_prefix(k)).and_then(|v| v.trim().parse().ok()).ok_or(format!("no {k}"))
        };
        Ok((cpu, get("ctxt ")?, get("processes ")?))
    };
    let one = read()?;
    eq!(one.0.len(), 10);
    let pid = child(|| 0)?;
    exit_of(pid)?;
    // Times count in ticks: it computes until one is seen.
    until("user and system time count", || {
        let end = now_ms() + 20;
        while now_ms() < end {}
        read().is_ok_and(|two| two.0[0] + two.0[2] > one.0[0] + one.0[2])
    })?;
    let two = read()?;
    ck!(two.1 > one.1, "context switches do not count");
    ck!(two.2 > one.2, "processes do not count");
    let s = text("/proc/stat")?;
    ck!(s.contains("\ncpu0 ")
        && s.contains("\nintr ")
        && s.contains("\nbtime ")
        && s.contains("\nprocs_running ")
        && s.contains("\nprocs_blocked "));
    Ok(())
}

fn loadavg() -> Outcome {
    let l = text("/proc/loadavg")?;
    let words: Vec<&str> = l.split_whitespace().collect();
    eq!(words.len(), 5);
    let (running, all) = words[3].split_once('/').ok_or("no /")?;
    ck!(running.parse::<u32>().is_ok_and(|r| r >= 1) && all.parse::<u32>().is_ok_and(|a| a > 1), "{l}");
    ck!(words[4].parse::<u32>().is_ok_and(|p| p >= std::process::id()), "{l}");
    let up = text("/proc/uptime")?;
    eq!(up.split_whitespace().count(), 2);
    Ok(())
}

fn cpuinfo() -> Outcome {
    let info = text("/proc/cpuinfo")?;
    let count = std::thread::available_parallelism().map_err(|e| e.to_string())?.get();
    eq!(info.lines().filter(|l| l.starts_with("processor\t: ")).count(), count);
    for key in ["vendor_id\t: ", "model name\t: ", "flags\t\t: ", "cpu MHz\t\t: "] {
        ck!(info.lines().any(|l| l.starts_with(key)), "no {key:?}");
    }
    ck!(info.lines().any(|l| l.starts_with("flags") && l.contains(" fpu ") && l.contains(" sse2 ")));
    Ok(())
}

fn filesystems() -> Outcome {
    let f = text("/proc/filesystems")?;
    for name in ["proc", "sysfs", "tmpfs", "devtmpfs", "devpts"] {
        ck!(f.lines().any(|l| l == format!("nodev\t{name}")), "no {name}");
    }
    let mounts = text("/proc/mounts")?;
    for at in ["/proc proc ", "/sys sysfs ", "/dev devtmpfs ", "/tmp tmpfs ", "/dev/pts devpts "] {
        ck!(mounts.lines().any(|l| l.contains(at)), "no {at}: {mounts}");
    }
    eq!(link("/proc/mounts")?, "self/mounts");
    Ok(())
}

fn mountinfo() -> Outcome {
    let info = text("/proc/self/mountinfo")?;
    for line in info.lines() {
        let (left, right) = line.split_once(" - ").ok_or(line)?;
        ck!(left.split(' ').count() >= 6 && right.split(' ').count() == 3, "{line}");
        ck!(left.split(' ').nth(2).is_some_and(|d| d.contains(':')), "{line}");
    }
    ck!(info.lines().any(|l| l.contains(" / /proc rw")));
    Ok(())
}

fn sysctl() -> Outcome {
    let path = "/proc/sys/kernel/pid_max";
    let old = text(path)?;
    std::fs::write(path, "20000\n").map_err(|e| e.to_string())?;
    eq!(text(path)?, "20000\n");
    fails!(write_to(path, b"12\n"), libc::EINVAL);
    fails!(write_to(path, b"word\n"), libc::EINVAL);
    std::fs::write(path, old.trim()).map_err(|e| e.to_string())?;
    eq!(text(path)?, old);
    fails!(libc::open(c"/proc/sys/kernel/ostype".as_ptr(), libc::O_WRONLY | libc::O_CREAT, 0).min(-1), libc::EACCES);
    // Modes hold for root, too, and nobody changes them.
    fails!(libc::access(c"/proc/sys/kernel/ostype".as_ptr(), libc::W_OK), libc::EACCES);
    fails!(libc::unlink(c"/proc/sys/kernel/pid_max".as_ptr()), libc::EACCES);
    fails!(libc::chmod(c"/proc/sys/kernel/ostype".as_ptr(), 0o666), libc::EPERM);
    fails!(libc::chown(c"/proc/sys/kernel/pid_max".as_ptr(), 1000, 1000), libc::EPERM);
    Ok(())
}

/// A write whose errno the caller looks at.
fn write_to(path: &str, data: &[u8]) -> isize {
    let Ok(fd) = open(path, libc::O_WRONLY) else { return -2 };
    // SAFETY: live data.
    unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) }
}

fn thread_self() -> Outcome {
    eq!(link("/proc/thread-self")?, format!("{}/task/{}", me(), me()));
    let (tid, name) = std::thread::spawn(|| {
        // SAFETY: takes nothing.
        (unsafe { libc::gettid() }, link("/proc/thread-self").unwrap_or_default())
    })
    .join()
    .map_err(|_| "panic")?;
    eq!(name, format!("{}/task/{tid}", me()));
    Ok(())
}

fn small_reads() -> Outcome {
    // A byte at a time gives what one read gives.
    for path in
        ["/proc/version", "/proc/filesystems", "/proc/self/limits", "/proc/self/cmdline", "/proc/sys/kernel/osrelease"]
    {
        let whole = std::fs::read(path).map_err(|e| e.to_string())?;
        let fd = open(path, libc::O_RDONLY)?;
        let mut all = Vec::new();
        loop {
            let part = read(fd, 1)?;
            if part.is_empty() {
                break;
            }
            all.extend(part);
        }
        ck!(all == whole, "{path}: {} bytes, not {}", all.len(), whole.len());
        let mut at = [0u8; 3];
        let n = c!(libc::pread(fd, at.as_mut_ptr().cast(), 3, 2)) as usize;
        eq!(&at[..n], &whole[2..2 + n]);
        close(fd);
    }
    Ok(())
}

fn writes_refused() -> Outcome {
    // SAFETY: NUL-terminated.
    let refused = |path: &str| unsafe { libc::open(cstr(path).as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o644) };
    fails!(refused("/proc/newfile"), libc::ENOENT);
    fails!(libc::mkdir(c"/proc/newdir".as_ptr(), 0o755), libc::ENOENT);
    fails!(libc::unlink(c"/proc/version".as_ptr()), libc::EPERM);
    fails!(libc::unlink(c"/proc/1/stat".as_ptr()), libc::EPERM);
    fails!(libc::rmdir(c"/proc/sys".as_ptr()), libc::EPERM);
    Ok(())
}

fn interrupts() -> Outcome {
    let sum = || -> Result<u64, String> {
        Ok(text("/proc/stat")?
            .lines()
            .find_map(|l| l.strip_prefix("intr "))
            .and_then(|l| l.split(' ').next())
            .and_then(|v| v.parse().ok())
            .unwrap_or(0))
    };
    let before = sum()?;
    for _ in 0..20 {
        sleep_ms(3);
    }
    ck!(sum()? > before, "no interrupt in 20 sleeps");
    let table = text("/proc/interrupts")?;
    let count = std::thread::available_parallelism().map_err(|e| e.to_string())?.get();
    eq!(table.lines().next().unwrap_or("").split_whitespace().count(), count);
    ck!(table.lines().any(|l| l.trim_start().starts_with("LOC:")), "{table}");
    Ok(())
}

fn kmsg() -> Outcome {
    let w = open("/dev/kmsg", libc::O_WRONLY)?;
    let word = format!("selftest says {}", me());
    write(w, format!("<6>{word}\n").as_bytes())?;
    let fd = open("/dev/kmsg", libc::O_RDONLY | libc::O_NONBLOCK)?;
    for _ in 0..20_000 {
        let mut buf = [0u8; 8192];
        // SAFETY: a live buffer.
        let n = unsafe { libc::read(fd, buf.as_mut_ptr().cast(), 8192) };
        if n < 0 && errno() == libc::EPIPE {
            continue; // overtaken
        }
        ck!(n > 0, "the message is not there: {}", errno_name());
        let record = String::from_utf8_lossy(&buf[..n as usize]).into_owned();
        if record.contains(&word) {
            let (head, _) = record.split_once(';').ok_or("no ;")?;
            let words: Vec<&str> = head.split(',').collect();
            ck!(words.len() >= 4 && words[0] == "14", "{record}"); // facility user, level info
            return Ok(());
        }
    }
    Err("no end".into())
}

fn syslog() -> Outcome {
    let size = c!(libc::klogctl(10, core::ptr::null_mut(), 0)) as usize;
    ck!(size >= 4096);
    let mut buf = vec![0u8; size];
    let n = c!(libc::klogctl(3, buf.as_mut_ptr().cast(), size as i32)) as usize;
    ck!(n > 100 && buf.starts_with(b"<"), "{n} bytes");
    fails!(libc::klogctl(99, core::ptr::null_mut(), 0), libc::EINVAL);
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(libc::klogctl(5, core::ptr::null_mut(), 0), libc::EPERM);
        Ok(())
    })
}

fn oom() -> Outcome {
    std::fs::write("/proc/self/oom_score_adj", "500").map_err(|e| e.to_string())?;
    eq!(text("/proc/self/oom_score_adj")?, "500\n");
    fails!(write_to("/proc/self/oom_score_adj", b"2000"), libc::EINVAL);
    Ok(())
}

fn sys_tree() -> Outcome {
    for dir in ["devices", "class", "kernel", "fs", "bus", "dev"] {
        ck!(std::fs::metadata(format!("/sys/{dir}")).is_ok_and(|m| m.is_dir()), "no /sys/{dir}");
    }
    ck!(text("/sys/devices/system/cpu/possible")?.starts_with('0'));
    ck!(std::fs::metadata("/sys/devices/system/cpu/cpu0").is_ok());
    ck!(
        std::fs::read_link("/sys/class/tty/tty0").is_ok() || std::fs::read_link("/sys/class/tty/ttyS0").is_ok(),
        "no class/tty"
    );
    ck!(text("/sys/class/mem/null/dev").map(|d| d == "1:3\n").unwrap_or(false), "no class/mem/null/dev");
    Ok(())
}

fn sys_errors() -> Outcome {
    fails!(libc::mkdir(c"/sys/new".as_ptr(), 0o755), libc::EPERM);
    // SAFETY: NUL-terminated.
    let fd = unsafe { libc::open(c"/sys/new".as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o644) };
    ck!(fd < 0 && matches!(errno(), libc::EACCES | libc::EPERM), "{}", errno_name());
    fails!(libc::unlink(c"/sys/devices/system/cpu/online".as_ptr()), libc::EPERM);
    Ok(())
}
