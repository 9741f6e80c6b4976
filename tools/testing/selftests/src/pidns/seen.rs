// SPDX-License-Identifier: GPL-2.0
//! Numbers of processes as the caller's name space has them, wherever a call or a file tells one.

use super::*;
use crate::util::dir;

/// The value of a line of a status file.
fn line(text: &str, name: &str) -> String {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    found.unwrap_or("none").to_owned()
}

pub(super) fn proc() -> Outcome {
    let at = format!("{}/proc", dir()?);
    std::fs::create_dir(&at).map_err(|e| e.to_string())?;
    let outer = pid();
    let steps = Steps::new()?;
    let init = start(|| {
        c!(libc::unshare(libc::CLONE_NEWNS));
        let name = crate::util::cstr(&at);
        c!(libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            core::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            core::ptr::null()
        ));
        // The old mount shows whom it showed: there this process has another number.
        let old = std::fs::read_link("/proc/self").map_err(|e| e.to_string())?;
        ck!(old.to_string_lossy() != "1", "{old:?}");
        c!(libc::mount(c"proc".as_ptr(), name.as_ptr(), c"proc".as_ptr(), 0, core::ptr::null()));
        let linked = |name: &str| std::fs::read_link(format!("{at}/{name}")).map_err(|e| e.to_string());
        eq!(linked("self")?.to_string_lossy(), "1");
        eq!(linked("thread-self")?.to_string_lossy(), "1/task/1");
        let (two, word) = crate::util::held(0)?;
        eq!(two, 2);
        let numbers = || -> Result<Vec<u32>, String> {
            let names = std::fs::read_dir(&at).map_err(|e| e.to_string())?.flatten();
            Ok(names.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect())
        };
        eq!(numbers()?, [1, 2]);
        ck!(!std::path::Path::new(&format!("{at}/{outer}")).exists() || outer <= 2);
        let status = text(&format!("{at}/2/status"))?;
        for (name, value) in [("Tgid", "2"), ("Pid", "2"), ("PPid", "1"), ("NSpid", "2"), ("NStgid", "2")] {
            eq!(line(&status, name), value);
        }
        // The group and the session are outside.
        eq!((line(&status, "NSpgid"), line(&status, "NSsid")), ("0".to_owned(), "0".to_owned()));
        let stat = text(&format!("{at}/2/stat"))?;
        ck!(stat.starts_with("2 ("), "{stat}");
        let words: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        eq!(words[1..4], ["1", "0", "0"]);
        eq!(text(&format!("{at}/1/stat"))?.rsplit(") ").next().and_then(|s| s.split(' ').nth(1)), Some("0"));
        let tasks: Vec<_> = std::fs::read_dir(format!("{at}/2/task")).map_err(|e| e.to_string())?.flatten().collect();
        eq!(tasks.len(), 1);
        eq!(tasks[0].file_name().to_string_lossy(), "2");
        close(word);
        eq!(exit_of(two)?, 0);
        eq!(numbers()?, [1]);
        steps.tell_parent()?;
        steps.await_parent()
    })?;
    steps.await_child()?;
    let status = text(&format!("/proc/{}/status", init.pid))?;
    eq!(line(&status, "NSpid"), format!("{}\t1", init.pid));
    eq!(line(&status, "NStgid"), format!("{}\t1", init.pid));
    // SAFETY: take nothing.
    let (group, session) = unsafe { (libc::getpgrp(), libc::getsid(0)) };
    eq!(line(&status, "NSpgid"), format!("{group}\t0"));
    eq!(line(&status, "NSsid"), format!("{session}\t0"));
    eq!(line(&status, "PPid"), outer.to_string());
    steps.tell_child()?;
    init.end()
}

/// Waits for one of `signals`, which is blocked: who sent it.
fn sent_by(signals: &[i32]) -> Result<i32, String> {
    // SAFETY: a structure of integers.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    c!(libc::sigwaitinfo(&crate::util::set(signals), &mut info));
    // SAFETY: signals of programs, and of children, have it.
    Ok(unsafe { info.si_pid() })
}

pub(super) fn sender() -> Outcome {
    let steps = Steps::new()?;
    crate::util::mask(libc::SIG_BLOCK, &[SIGUSR1, SIGCHLD])?;
    let init = start(|| {
        let two = child(|| unsafe { libc::kill(1, SIGUSR1) })?;
        eq!((two, sent_by(&[SIGUSR1])?), (2, 2));
        eq!(sent_by(&[SIGCHLD])?, 2);
        eq!(exit_of(two)?, 0);
        c!(libc::kill(1, SIGUSR1));
        eq!(sent_by(&[SIGUSR1])?, 1);
        steps.tell_parent()?;
        // From outside: it has no number here.
        eq!(sent_by(&[SIGUSR1])?, 0);
        Ok(())
    })?;
    steps.await_child()?;
    c!(libc::kill(init.pid, SIGUSR1));
    eq!(sent_by(&[SIGCHLD])?, init.pid);
    init.end()
}

pub(super) fn wait() -> Outcome {
    inside(|| {
        let (a, word) = crate::util::held(3)?;
        // SAFETY: a structure of integers.
        let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
        c!(libc::kill(a, libc::SIGSTOP));
        c!(libc::waitid(libc::P_PID, 2, &mut info, libc::WSTOPPED));
        eq!(unsafe { info.si_pid() }, 2);
        c!(libc::kill(a, libc::SIGCONT));
        fails!(libc::waitpid(4_000_000, core::ptr::null_mut(), 0), libc::ECHILD);
        fails!(libc::waitpid(-2, core::ptr::null_mut(), libc::WNOHANG), libc::ECHILD);
        c!(libc::setpgid(2, 2));
        eq!(c!(libc::waitpid(-2, core::ptr::null_mut(), libc::WNOHANG)), 0);
        close(word);
        c!(libc::waitid(libc::P_PGID, 2, &mut info, libc::WEXITED));
        eq!(unsafe { (info.si_pid(), info.si_status()) }, (2, 3));
        Ok(())
    })
}

pub(super) fn groups() -> Outcome {
    inside(|| {
        let (two, word) = crate::util::held(0)?;
        c!(libc::setpgid(two, 0));
        eq!((c!(libc::getpgid(two)), c!(libc::getsid(two))), (2, 0));
        let (three, other) = crate::util::held(0)?;
        c!(libc::setpgid(three, two));
        eq!(c!(libc::getpgid(three)), 2);
        fails!(libc::setpgid(three, 77), libc::EPERM);
        c!(libc::kill(-2, SIGTERM));
        eq!((signal_of(two)?, signal_of(three)?), (SIGTERM, SIGTERM));
        fails!(libc::kill(-2, 0), libc::ESRCH);
        close(word);
        close(other);
        let leader = child(|| {
            // SAFETY: takes nothing.
            let session = unsafe { libc::setsid() };
            i32::from(session != 4 || unsafe { libc::getsid(0) } != 4)
        })?;
        eq!(exit_of(leader)?, 0);
        Ok(())
    })
}

/// Receives a byte and who sent it.
fn credentials_from(socket: i32) -> Result<i32, String> {
    let mut byte = [0u8];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0u64; 16];
    // SAFETY: live objects; the control buffer is aligned and large enough.
    unsafe {
        let mut message: libc::msghdr = core::mem::zeroed();
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        ck!(libc::recvmsg(socket, &mut message, 0) == 1);
        let head = libc::CMSG_FIRSTHDR(&message);
        ck!(!head.is_null() && (*head).cmsg_type == libc::SCM_CREDENTIALS);
        Ok(libc::CMSG_DATA(head).cast::<i32>().read_unaligned())
    }
}

/// Sends a byte, claiming to be `claim`.
fn claim(socket: i32, claim: i32) -> isize {
    let mut byte = [0u8];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0u64; 4];
    // SAFETY: as above.
    unsafe {
        let mut message: libc::msghdr = core::mem::zeroed();
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(12) as usize;
        let head = libc::CMSG_FIRSTHDR(&message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_CREDENTIALS;
        (*head).cmsg_len = libc::CMSG_LEN(12) as usize;
        libc::CMSG_DATA(head).cast::<[i32; 3]>().write_unaligned([claim, 0, 0]);
        libc::sendmsg(socket, &message, 0)
    }
}

pub(super) fn credentials() -> Outcome {
    let mut pair = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()));
    let [ours, theirs] = pair;
    for socket in pair {
        let on = 1i32;
        c!(libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_PASSCRED, (&raw const on).cast(), 4));
    }
    let peer = |socket: i32| -> Result<i32, String> {
        let mut who = [0i32; 3];
        let mut size = 12;
        c!(libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, who.as_mut_ptr().cast(), &mut size));
        Ok(who[0])
    };
    eq!(peer(ours)?, pid());
    let init = start(|| {
        eq!(peer(theirs)?, 0);
        eq!(credentials_from(theirs)?, 0);
        write(theirs, b"x")?;
        // As one is called here.
        eq!(claim(theirs, 1), 1);
        fails!(claim(theirs, 4_000_000), libc::ESRCH);
        // Of one that has ended the number is known.
        let two = child(|| i32::from(write(ours, b"x").is_err()))?;
        eq!(exit_of(two)?, 0);
        eq!(credentials_from(theirs)?, 2);
        Ok(())
    })?;
    write(ours, b"x")?;
    eq!(credentials_from(ours)?, init.pid);
    eq!(credentials_from(ours)?, init.pid);
    init.end()
}

pub(super) fn locks() -> Outcome {
    let path = format!("{}/locked", dir()?);
    let fd = crate::util::open(&path, libc::O_RDWR | libc::O_CREAT)?;
    // SAFETY: a structure of integers.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as i16;
    lock.l_len = 10;
    c!(libc::fcntl(fd, libc::F_SETLK, &lock));
    let holder = |start: i64| -> Result<(i16, i32), String> {
        let mut asked = lock;
        asked.l_start = start;
        c!(libc::fcntl(fd, libc::F_GETLK, &mut asked));
        Ok((asked.l_type, asked.l_pid))
    };
    let steps = Steps::new()?;
    let write_lock = libc::F_WRLCK as i16;
    let init = start(|| {
        eq!(holder(0)?, (write_lock, 0));
        let mut own = lock;
        own.l_start = 20;
        c!(libc::fcntl(fd, libc::F_SETLK, &own));
        let two = child(|| i32::from(holder(20) != Ok((write_lock, 1))))?;
        eq!(exit_of(two)?, 0);
        steps.tell_parent()?;
        steps.await_parent()
    })?;
    steps.await_child()?;
    eq!(holder(20)?, (write_lock, init.pid));
    steps.tell_child()?;
    init.end()
}

pub(super) fn owner() -> Outcome {
    let (r, _w) = pipe()?;
    c!(libc::fcntl(r, libc::F_SETOWN, pid()));
    let steps = Steps::new()?;
    let init = start(|| {
        eq!(c!(libc::fcntl(r, libc::F_GETOWN)), 0);
        fails!(libc::fcntl(r, libc::F_SETOWN, 4_000_000), libc::ESRCH);
        c!(libc::fcntl(r, libc::F_SETOWN, 1));
        eq!(c!(libc::fcntl(r, libc::F_GETOWN)), 1);
        steps.tell_parent()?;
        steps.await_parent()
    })?;
    steps.await_child()?;
    eq!(c!(libc::fcntl(r, libc::F_GETOWN)), init.pid);
    steps.tell_child()?;
    init.end()
}

pub(super) fn sysv() -> Outcome {
    let queue = c!(libc::msgget(libc::IPC_PRIVATE, 0o600));
    let sender = || -> Result<i32, String> {
        // SAFETY: a structure of integers.
        let mut state: libc::msqid_ds = unsafe { core::mem::zeroed() };
        c!(libc::msgctl(queue, libc::IPC_STAT, &mut state));
        Ok(state.msg_lspid)
    };
    let outcome = (|| {
        let steps = Steps::new()?;
        let init = start(|| {
            let two = child(|| {
                let message = [1u64, 0];
                // SAFETY: a live message.
                i32::from(unsafe { libc::msgsnd(queue, message.as_ptr().cast(), 8, 0) } != 0)
            })?;
            eq!(exit_of(two)?, 0);
            // It has ended, and is still known.
            eq!(sender()?, 2);
            steps.tell_parent()?;
            steps.await_parent()
        })?;
        steps.await_child()?;
        ck!(sender()? > init.pid, "{}", sender()?);
        inside(|| {
            eq!(sender()?, 0);
            Ok(())
        })?;
        steps.tell_child()?;
        init.end()
    })();
    c!(libc::msgctl(queue, libc::IPC_RMID, core::ptr::null_mut()));
    outcome
}

pub(super) fn futex() -> Outcome {
    inside(|| {
        let mut word = 0u32;
        let call = |word: *mut u32, what: i32| unsafe { libc::syscall(libc::SYS_futex, word, what, 0, 0, 0, 0) };
        c!(call(&raw mut word, libc::FUTEX_LOCK_PI));
        eq!(word, 1);
        fails!(call(&raw mut word, libc::FUTEX_LOCK_PI), libc::EDEADLK);
        c!(call(&raw mut word, libc::FUTEX_UNLOCK_PI));
        eq!(word, 0);
        let (mut head, mut size) = (0usize, 0usize);
        c!(libc::syscall(libc::SYS_get_robust_list, 1, &raw mut head, &raw mut size));
        fails!(libc::syscall(libc::SYS_get_robust_list, 4_000_000, &raw mut head, &raw mut size), libc::ESRCH);
        Ok(())
    })
}

pub(super) fn traced() -> Outcome {
    let init = start(|| {
        c!(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0));
        c!(libc::kill(1, libc::SIGSTOP));
        exit_of(child(|| 0)?)?;
        Ok(())
    })?;
    let mut status = 0;
    eq!(c!(libc::waitpid(init.pid, &mut status, 0)), init.pid);
    ck!(libc::WIFSTOPPED(status), "{status:#x}");
    // SAFETY: a structure of integers.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    c!(libc::ptrace(libc::PTRACE_GETSIGINFO, init.pid, 0, &raw mut info));
    // As the tracee was told.
    eq!(unsafe { info.si_pid() }, 1);
    c!(libc::ptrace(libc::PTRACE_SETOPTIONS, init.pid, 0, libc::PTRACE_O_TRACEFORK));
    c!(libc::ptrace(libc::PTRACE_CONT, init.pid, 0, 0));
    loop {
        eq!(c!(libc::waitpid(init.pid, &mut status, 0)), init.pid);
        ck!(libc::WIFSTOPPED(status), "{status:#x}");
        if status >> 16 == libc::PTRACE_EVENT_FORK {
            break;
        }
        c!(libc::ptrace(libc::PTRACE_CONT, init.pid, 0, libc::WSTOPSIG(status)));
    }
    let mut new = 0u64;
    c!(libc::ptrace(libc::PTRACE_GETEVENTMSG, init.pid, 0, &raw mut new));
    // By the tracer's numbers.
    ck!(new as i32 > init.pid, "{new}");
    let tracer = line(&text(&format!("/proc/{new}/status"))?, "TracerPid");
    eq!(tracer, pid().to_string());
    c!(libc::waitpid(new as i32, &mut status, libc::__WALL));
    c!(libc::ptrace(libc::PTRACE_DETACH, new as i32, 0, 0));
    c!(libc::ptrace(libc::PTRACE_DETACH, init.pid, 0, 0));
    init.end()
}

pub(super) fn calls() -> Outcome {
    let outer = pid();
    let value = std::hint::black_box(42u64);
    inside(|| {
        let (two, word) = crate::util::held(0)?;
        eq!(two, 2);
        c!(libc::setpriority(libc::PRIO_PROCESS, 2, 5));
        eq!(c!(libc::getpriority(libc::PRIO_PROCESS, 2)), 5);
        fails!(libc::getpriority(libc::PRIO_PROCESS, outer as u32), libc::ESRCH);
        eq!(c!(libc::sched_getscheduler(2)), libc::SCHED_OTHER);
        fails!(libc::sched_getscheduler(outer), libc::ESRCH);
        c!(libc::syscall(libc::SYS_ioprio_get, 1, 2));
        fails!(libc::syscall(libc::SYS_ioprio_get, 1, outer), libc::ESRCH);
        eq!(c!(libc::syscall(libc::SYS_kcmp, 1, 2, 4, 0, 0)) <= 2, true);
        fails!(libc::syscall(libc::SYS_kcmp, 1, outer, 4, 0, 0), libc::ESRCH);
        let mut limit = [0u64; 2];
        let none = core::ptr::null::<u64>();
        c!(libc::syscall(libc::SYS_prlimit64, 2, libc::RLIMIT_NOFILE, none, limit.as_mut_ptr()));
        fails!(libc::syscall(libc::SYS_prlimit64, outer, libc::RLIMIT_NOFILE, none, none), libc::ESRCH);
        let mut copy = 0u64;
        let local = libc::iovec { iov_base: (&raw mut copy).cast(), iov_len: 8 };
        let remote = libc::iovec { iov_base: (&raw const value).cast_mut().cast(), iov_len: 8 };
        eq!(c!(libc::process_vm_readv(2, &local, 1, &remote, 1, 0)), 8);
        eq!(copy, 42);
        fails!(libc::process_vm_readv(outer, &local, 1, &remote, 1, 0), libc::ESRCH);
        fails!(libc::syscall(libc::SYS_tgkill, outer, outer, 0), libc::ESRCH);
        c!(libc::syscall(libc::SYS_tgkill, 2, 2, 0));
        fails!(libc::ptrace(libc::PTRACE_ATTACH, outer, 0, 0), libc::ESRCH);
        let mut clock = 0;
        eq!(unsafe { libc::clock_getcpuclockid(2, &mut clock) }, 0);
        ck!(unsafe { libc::clock_getcpuclockid(outer, &mut clock) } != 0);
        close(word);
        eq!(exit_of(two)?, 0);
        Ok(())
    })
}
