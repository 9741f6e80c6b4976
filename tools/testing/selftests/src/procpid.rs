// SPDX-License-Identifier: GPL-2.0
//! What `/proc` shows of a process, and to whom: mapped files, the call it waits in, processes that are hidden.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("proc.map_files", map_files),
    ("proc.syscall", syscall),
    ("proc.fdinfo_of_itself", fdinfo_of_itself),
    ("proc.hidepid", hidepid),
    ("proc.subset_pid", subset),
    ("proc.name_of_tmpfile", tmpfile),
    ("proc.mmap_min_addr", min_addr),
    ("proc.timerslack", timerslack),
    ("proc.timers", timers),
    ("proc.stack", stack),
    ("proc.mountstats", mountstats),
    ("proc.fdinfo_locks", fdinfo_locks),
];

const PAGE: usize = 4096;

fn link(path: &str) -> Result<String, String> {
    std::fs::read_link(path).map(|p| p.to_string_lossy().into_owned()).map_err(|e| format!("{path}: {e}"))
}

/// A mapping of a file is a link by its addresses, and is gone with it.
fn map_files() -> Outcome {
    let name = format!("{}/file", dir()?);
    std::fs::write(&name, [7u8; PAGE]).map_err(|e| e.to_string())?;
    let fd = open(&name, libc::O_RDONLY)?;
    let at = c!(libc::mmap(core::ptr::null_mut(), PAGE, libc::PROT_READ, libc::MAP_SHARED, fd, 0) as isize) as usize;
    let entry = format!("{at:x}-{:x}", at + PAGE);
    let path = format!("/proc/self/map_files/{entry}");
    eq!(link(&path)?, name);
    ck!(std::fs::read(&path).is_ok_and(|data| data == [7u8; PAGE]), "{path} does not open");
    let listed = |entry: &str| -> Result<bool, String> {
        let all = std::fs::read_dir("/proc/self/map_files").map_err(|e| e.to_string())?;
        Ok(all.flatten().any(|e| e.file_name().to_string_lossy() == *entry))
    };
    ck!(listed(&entry)?, "{entry} is not listed");
    for wrong in [format!("0{entry}"), format!("{at:x}-0{:x}", at + PAGE), format!("{at:x}-{:x}", at + 2 * PAGE)] {
        let path = cstr(&format!("/proc/self/map_files/{wrong}"));
        fails!(libc::access(path.as_ptr(), libc::F_OK), libc::ENOENT);
    }
    c!(libc::munmap(at as *mut libc::c_void, PAGE));
    fails!(libc::readlink(cstr(&path).as_ptr(), [0; 9].as_mut_ptr(), 9), libc::ENOENT);
    ck!(!listed(&entry)?, "{entry} is still listed");
    // Anonymous memory has no file.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let at = c!(libc::mmap(core::ptr::null_mut(), PAGE, libc::PROT_READ, flags, -1, 0) as isize) as usize;
    let path = cstr(&format!("/proc/self/map_files/{at:x}-{:x}", at + PAGE));
    fails!(libc::access(path.as_ptr(), libc::F_OK), libc::ENOENT);
    Ok(())
}

/// Clock ticks that a process has computed for in user mode.
fn user_ticks(pid: i32) -> u64 {
    let stat = text(&format!("/proc/{pid}/stat")).unwrap_or_default();
    // Counted after the name, which may have blanks.
    let word = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(11));
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// The call that a process waits in, with its arguments; its own; and not one of another user.
fn syscall() -> Outcome {
    let own = text("/proc/self/syscall")?;
    ck!(own.starts_with(&format!("{} 0x", libc::SYS_read)), "{own}");
    eq!(own.split_whitespace().count(), 9);
    let (r, w) = pipe()?;
    let waits = child(|| {
        close(w);
        i32::from(read(r, 77).is_err())
    })?;
    until("the child waits", || state(waits) == 'S')?;
    let other = text(&format!("/proc/{waits}/syscall"))?;
    let words: Vec<&str> = other.split_whitespace().collect();
    eq!(words.len(), 9);
    eq!((words[0], words[1], words[3]), ("0", format!("{r:#x}").as_str(), "0x4d"));
    // One that computes is in no call; one that was stopped then has no number.
    let spins = child(|| {
        loop {
            core::hint::spin_loop();
        }
    })?;
    until("it runs", || text(&format!("/proc/{spins}/syscall")).is_ok_and(|t| t == "running\n"))?;
    // Until it has computed for a tick it may not be back from the call that made it.
    until("it computes", || user_ticks(spins) != 0)?;
    c!(libc::kill(spins, libc::SIGSTOP));
    until("it stops", || state(spins) == 'T')?;
    let stopped = text(&format!("/proc/{spins}/syscall"))?;
    ck!(stopped.starts_with("-1 0x") && stopped.split_whitespace().count() == 3, "{stopped}");
    let refused = in_child(|| {
        c!(libc::setuid(1000));
        let path = cstr(&format!("/proc/{waits}/syscall"));
        fails!(libc::open(path.as_ptr(), libc::O_RDONLY), libc::EACCES);
        Ok(())
    });
    c!(libc::kill(spins, libc::SIGKILL));
    wait(spins)?;
    close(w);
    eq!(exit_of(waits)?, 0);
    refused
}

/// The text about a descriptor, read through that descriptor.
fn fdinfo_of_itself() -> Outcome {
    let null = open("/dev/null", libc::O_RDONLY)?;
    let fd = open(&format!("/proc/self/fdinfo/{null}"), libc::O_RDONLY)?;
    c!(libc::dup2(fd, null));
    let text = String::from_utf8_lossy(&read_all(null)?).into_owned();
    ck!(text.starts_with("pos:\t0\nflags:\t0100000\n"), "{text}");
    Ok(())
}

fn mount_proc(options: &str) -> Result<String, String> {
    let at = dir()?;
    let (target, options) = (cstr(&at), cstr(options));
    c!(libc::mount(c"proc".as_ptr(), target.as_ptr(), c"proc".as_ptr(), 0, options.as_ptr().cast()));
    Ok(at)
}

/// `hidepid` keeps other users' processes from users; a group may be let through.
fn hidepid() -> Outcome {
    let sleeper = child(|| {
        sleep_ms(60_000);
        0
    })?;
    let by_user = |at: &str, gid: u32, test: &dyn Fn(&str) -> Outcome| {
        in_child(|| {
            c!(libc::setgroups(0, core::ptr::null()));
            c!(libc::setgid(gid));
            c!(libc::setuid(1000));
            test(at)
        })
    };
    let home = |at: &str| cstr(&format!("{at}/{sleeper}"));
    let status = |at: &str| cstr(&format!("{at}/{sleeper}/status"));
    let listed =
        |at: &str| std::fs::read_dir(at).is_ok_and(|all| all.flatten().any(|e| *e.file_name() == *sleeper.to_string()));
    let outcome = (|| {
        let at = mount_proc("hidepid=1")?;
        by_user(&at, 1000, &|at| {
            // It is there, which is all that may be known.
            ck!(std::fs::symlink_metadata(format!("{at}/{sleeper}")).is_ok(), "not there");
            fails!(libc::access(status(at).as_ptr(), libc::F_OK), libc::EPERM);
            ck!(listed(at), "not listed");
            // Its own are as ever.
            ck!(std::fs::read(format!("{at}/self/status")).is_ok(), "its own status");
            Ok(())
        })?;
        c!(libc::access(status(&at).as_ptr(), libc::F_OK));
        let options = text("/proc/self/mounts")?;
        ck!(options.contains("hidepid=noaccess"), "{options}");
        c!(libc::umount(cstr(&at).as_ptr()));
        let at = mount_proc("hidepid=invisible,gid=77")?;
        by_user(&at, 1000, &|at| {
            fails!(libc::access(home(at).as_ptr(), libc::F_OK), libc::ENOENT);
            fails!(libc::access(status(at).as_ptr(), libc::F_OK), libc::ENOENT);
            ck!(!listed(at), "listed");
            Ok(())
        })?;
        by_user(&at, 77, &|at| {
            c!(libc::access(status(at).as_ptr(), libc::F_OK));
            ck!(listed(at), "not listed");
            Ok(())
        })?;
        c!(libc::umount(cstr(&at).as_ptr()));
        let at = mount_proc("hidepid=ptraceable,gid=77")?;
        by_user(&at, 77, &|at| {
            fails!(libc::access(home(at).as_ptr(), libc::F_OK), libc::ENOENT);
            ck!(!listed(at), "listed");
            Ok(())
        })?;
        c!(libc::umount(cstr(&at).as_ptr()));
        let at = cstr(&dir()?);
        for wrong in [c"hidepid=3", c"hidepid=x", c"gid=x", c"what=1"] {
            let ret = unsafe { libc::mount(at.as_ptr(), at.as_ptr(), c"proc".as_ptr(), 0, wrong.as_ptr().cast()) };
            ck!(ret < 0 && errno() == libc::EINVAL, "{wrong:?}: {ret} {}", errno_name());
        }
        Ok(())
    })();
    c!(libc::kill(sleeper, libc::SIGKILL));
    wait(sleeper)?;
    outcome
}

/// `subset=pid`: processes alone.
fn subset() -> Outcome {
    let at = mount_proc("subset=pid")?;
    fails!(libc::access(cstr(&format!("{at}/meminfo")).as_ptr(), libc::F_OK), libc::ENOENT);
    fails!(libc::access(cstr(&format!("{at}/sys")).as_ptr(), libc::F_OK), libc::ENOENT);
    c!(libc::access(cstr(&format!("{at}/self/status")).as_ptr(), libc::F_OK));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&at).map_err(|e| e.to_string())?.flatten() {
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name.parse::<u32>().is_err());
    names.sort();
    ck!(names == ["self", "thread-self"], "{names:?}");
    c!(libc::umount(cstr(&at).as_ptr()));
    Ok(())
}

/// A file without a name is shown by its directory and its number.
fn tmpfile() -> Outcome {
    let at = dir()?;
    let fd = c!(libc::open(cstr(&at).as_ptr(), libc::O_TMPFILE | libc::O_RDWR, 0o600));
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::fstat(fd, &mut st));
    eq!(link(&format!("/proc/self/fd/{fd}"))?, format!("{at}/#{} (deleted)", st.st_ino));
    Ok(())
}

/// What lies below `vm.mmap_min_addr` is for those with the right; it can be moved.
fn min_addr() -> Outcome {
    let setting = "/proc/sys/vm/mmap_min_addr";
    let before = text(setting)?;
    let map = |at: usize| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: low memory, where nothing is.
        unsafe { libc::mmap(at as *mut libc::c_void, PAGE, libc::PROT_READ, flags, -1, 0) as usize }
    };
    let by_user = |at: usize| {
        in_child(|| {
            c!(libc::setuid(1000));
            ck!(map(at) == at, "{}", errno_name());
            Ok(())
        })
    };
    let outcome = (|| {
        std::fs::write(setting, "8192").map_err(|e| e.to_string())?;
        by_user(8192)?;
        ck!(by_user(4096).is_err(), "below the limit");
        std::fs::write(setting, "65536").map_err(|e| e.to_string())?;
        ck!(by_user(8192).is_err(), "below the limit");
        by_user(65536)
    })();
    let _ = std::fs::write(setting, before);
    outcome
}

fn write_to(path: &str, value: &str) -> Result<(), i32> {
    std::fs::write(path, value).map_err(|e| e.raw_os_error().unwrap_or(0))
}

/// `timerslack_ns` is what `prctl` sets, also of others for who may set priorities.
fn timerslack() -> Outcome {
    let own = "/proc/self/timerslack_ns";
    c!(libc::prctl(libc::PR_SET_TIMERSLACK, 1234));
    eq!(text(own)?, "1234\n");
    eq!(write_to(own, "5000"), Ok(()));
    eq!(c!(libc::prctl(libc::PR_GET_TIMERSLACK)), 5000);
    eq!(write_to(own, "5x"), Err(libc::EINVAL));
    let (child, held) = held(0)?;
    let other = format!("/proc/{child}/timerslack_ns");
    eq!(text(&other)?, "5000\n");
    eq!(write_to(&other, "77"), Ok(()));
    eq!(text(&other)?, "77\n");
    // The child was born with 5000.
    eq!(write_to(&other, "0\n"), Ok(()));
    eq!(text(&other)?, "5000\n");
    in_child(|| {
        c!(libc::setuid(1000));
        ck!(write_to(&other, "1").is_err(), "another user may");
        Ok(())
    })?;
    close(held);
    wait(child)?;
    Ok(())
}

fn make_timer(clock: i32, kind: i32, signal: i32, value: usize) -> Outcome {
    // SAFETY: may be all zeroes.
    let mut event: libc::sigevent = unsafe { core::mem::zeroed() };
    (event.sigev_notify, event.sigev_signo) = (kind, signal);
    event.sigev_value.sival_ptr = value as *mut libc::c_void;
    event.sigev_notify_thread_id = c!(libc::syscall(libc::SYS_gettid)) as i32;
    let mut id = 0_i32;
    c!(libc::syscall(libc::SYS_timer_create, clock, &mut event, &mut id));
    Ok(())
}

/// `timers` has what `timer_create` made.
fn timers() -> Outcome {
    let path = "/proc/self/timers";
    if !std::path::Path::new(path).exists() {
        return Err(format!("{SKIP}no {path}"));
    }
    eq!(text(path)?, "");
    make_timer(libc::CLOCK_MONOTONIC, libc::SIGEV_SIGNAL, libc::SIGUSR1, 0xabc)?;
    make_timer(libc::CLOCK_REALTIME, libc::SIGEV_NONE, 0, 0)?;
    make_timer(libc::CLOCK_PROCESS_CPUTIME_ID, libc::SIGEV_THREAD_ID, libc::SIGUSR2, 1)?;
    let pid = std::process::id();
    let shown = text(path)?;
    for wanted in [
        format!("signal: 10/0000000000000abc\nnotify: signal/pid.{pid}\nClockID: 1\n"),
        format!("signal: 0/0000000000000000\nnotify: none/pid.{pid}\nClockID: 0\n"),
        format!("signal: 12/0000000000000001\nnotify: signal/tid.{pid}\nClockID: -6\n"),
    ] {
        ck!(shown.contains(&wanted), "{shown}");
    }
    eq!(shown.lines().filter(|line| line.starts_with("ID: ")).count(), 3);
    Ok(())
}

/// Where in the kernel somebody sleeps is told to the administrator alone.
fn stack() -> Outcome {
    let (child, held) = held(0)?;
    asleep(child)?;
    let path = format!("/proc/{child}/stack");
    let shown = text(&path)?;
    ck!(!shown.is_empty() && shown.lines().all(|line| line.starts_with("[<0>] ") && line.contains("+0x")), "{shown}");
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(libc::open(cstr(&path).as_ptr(), libc::O_RDONLY), libc::EACCES);
        Ok(())
    })?;
    close(held);
    wait(child)?;
    Ok(())
}

/// One line a mount.
fn mountstats() -> Outcome {
    let shown = text("/proc/self/mountstats")?;
    ck!(shown.lines().all(|l| l.contains(" mounted on ") && l.contains(" with fstype ")), "{shown}");
    ck!(shown.lines().any(|line| line.ends_with(" mounted on /proc with fstype proc")), "{shown}");
    Ok(())
}

/// `fdinfo` shows the locks that are held through a descriptor.
fn fdinfo_locks() -> Outcome {
    let name = format!("{}/locked", dir()?);
    std::fs::write(&name, "text").map_err(|e| e.to_string())?;
    let (one, other) = (open(&name, libc::O_RDWR)?, open(&name, libc::O_RDWR)?);
    let lines = |fd: i32| -> Result<Vec<String>, String> {
        let info = text(&format!("/proc/self/fdinfo/{fd}"))?;
        Ok(info.lines().filter(|line| line.starts_with("lock:")).map(String::from).collect())
    };
    eq!(lines(one)?.len(), 0);
    c!(libc::flock(one, libc::LOCK_SH));
    c!(libc::flock(other, libc::LOCK_SH));
    // SAFETY: may be all zeroes.
    let mut range: libc::flock = unsafe { core::mem::zeroed() };
    (range.l_type, range.l_start, range.l_len) = (libc::F_WRLCK as i16, 1, 2);
    c!(libc::fcntl(other, libc::F_OFD_SETLK, &range));
    let (first, second) = (lines(one)?, lines(other)?);
    let pid = std::process::id();
    eq!(first.len(), 1);
    ck!(first[0].starts_with(&format!("lock:\t1: FLOCK  ADVISORY  READ {pid} ")), "{first:?}");
    ck!(first[0].ends_with(" 0 EOF"), "{first:?}");
    eq!(second.len(), 2);
    ck!(second[0].starts_with(&format!("lock:\t1: FLOCK  ADVISORY  READ {pid} ")), "{second:?}");
    ck!(second[1].starts_with("lock:\t2: OFDLCK ADVISORY  WRITE -1 "), "{second:?}");
    ck!(second[1].ends_with(" 1 2"), "{second:?}");
    // A record lock is the process's, and shown where it was set.
    (range.l_start, range.l_len) = (8, 0);
    c!(libc::fcntl(one, libc::F_SETLK, &range));
    ck!(lines(one)?[1].starts_with(&format!("lock:\t2: POSIX  ADVISORY  WRITE {pid} ")), "{:?}", lines(one)?);
    eq!(lines(other)?.len(), 2);
    Ok(())
}
