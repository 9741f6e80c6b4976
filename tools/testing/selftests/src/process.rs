// SPDX-License-Identifier: GPL-2.0
//! fork, vfork, clone3, wait, exec and `#!`.

mod exec;
mod fork;

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use std::ffi::CString;
use std::ptr::null;

pub const TESTS: &[Test] = &[
    ("process.fork_exit_status", fork::fork_exit_status),
    ("process.fork_copies_memory", fork::fork_copies_memory),
    ("process.fork_shares_offset", fork::fork_shares_offset),
    ("process.fork_many", fork::fork_many),
    ("process.fork_deep", fork::fork_deep),
    ("process.getppid", getppid),
    ("process.reparent_to_init", reparent),
    ("process.subreaper", subreaper),
    ("process.vfork_waits", fork::vfork_waits),
    ("process.clone3", fork::clone3),
    ("process.clone3_pidfd", fork::clone3_pidfd),
    ("process.clone_errors", fork::clone_errors),
    ("process.wait_nohang", wait_nohang),
    ("process.wait_any_and_group", wait_any),
    ("process.wait_echild", wait_echild),
    ("process.waitid", waitid),
    ("process.waitid_nowait", waitid_nowait),
    ("process.wait_stop_continue", wait_stop),
    ("process.wait_rusage", wait_rusage),
    ("process.zombie", zombie),
    ("process.sigchld_ignore_reaps", sigchld_ignore),
    ("process.sigchld_of_orphan", sigchld_of_orphan),
    ("process.exec_args", exec::exec_args),
    ("process.exec_env", exec::exec_env),
    ("process.exec_keeps_pid_and_fds", exec::exec_keeps),
    ("process.exec_cloexec", exec::exec_cloexec),
    ("process.exec_resets_signals", exec::exec_signals),
    ("process.exec_script", exec::exec_script),
    ("process.exec_script_limits", exec::exec_script_limits),
    ("process.exec_errors", exec::exec_errors),
    ("process.exec_long_args", exec::exec_long),
    ("process.exec_too_long", exec::exec_too_long),
    ("process.execveat", exec::execveat),
    ("process.exec_from_thread", exec::exec_from_thread),
    ("process.exec_thread_becomes_leader", exec::exec_thread_leader),
    ("process.exec_beside_new_threads", exec::exec_beside_new_threads),
    ("process.exec_beside_stops", exec::exec_beside_stops),
    ("process.auxv", exec::auxv),
    ("process.exit_group_code", exit_code),
    ("process.prctl_name", prctl_name),
    ("process.pdeathsig", pdeathsig),
];

/// What this program does when a test executes it again: prints what it was given, or checks itself.
pub fn helper(words: &[String]) -> ! {
    let first = words.first().map(String::as_str).unwrap_or("");
    let code = match first {
        "args" => {
            print!("{}", words[1..].join("|"));
            0
        }
        "env" => {
            print!("{}", std::env::var(&words[1]).unwrap_or_else(|_| "unset".into()));
            0
        }
        "pid" => {
            print!("{}", std::process::id());
            0
        }
        // SAFETY: a number.
        "fd" => i32::from(unsafe { libc::fcntl(words[1].parse().unwrap_or(-1), libc::F_GETFD) } < 0),
        "count" => {
            print!("{} {}", words.len() - 1, words[1..].iter().map(String::len).sum::<usize>());
            0
        }
        "signals" => helper_signals(),
        "caps" => {
            print!("{}", crate::creds::filecaps::shown());
            0
        }
        "pkeys" => {
            print!("{}", crate::pkeys::shown());
            0
        }
        "place" => {
            print!("{}", crate::persona::shown().unwrap_or_else(|why| why));
            0
        }
        "leader" => {
            print!("{}", exec::leader());
            0
        }
        // SAFETY: take nothing or a number.
        "euid" => unsafe { libc::geteuid() as i32 + if libc::getauxval(libc::AT_SECURE) != 0 { 100 } else { 0 } },
        "wait" => {
            sleep_ms(10_000);
            0
        }
        "exit" => words[1].parse().unwrap_or(99),
        _ => 98,
    };
    std::process::exit(code)
}

/// 1: USR1's handler survived exec; 2: USR2 is not ignored; 4: the mask was lost; 8: pending was lost.
fn helper_signals() -> i32 {
    // SAFETY: the structures are live.
    unsafe {
        let mut act: libc::sigaction = core::mem::zeroed();
        let mut bad = 0;
        libc::sigaction(libc::SIGUSR1, null(), &mut act);
        bad |= i32::from(act.sa_sigaction != libc::SIG_DFL);
        libc::sigaction(libc::SIGUSR2, null(), &mut act);
        bad |= if act.sa_sigaction != libc::SIG_IGN { 2 } else { 0 };
        let mut set = core::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, null(), &mut set);
        bad |= if libc::sigismember(&set, libc::SIGHUP) != 1 { 4 } else { 0 };
        libc::sigpending(&mut set);
        bad |= if libc::sigismember(&set, libc::SIGHUP) != 1 { 8 } else { 0 };
        bad
    }
}

fn getppid() -> Outcome {
    let me = std::process::id() as i32;
    // SAFETY: takes nothing.
    eq!(exit_of(child(|| i32::from(unsafe { libc::getppid() } != me))?)?, 0);
    Ok(())
}

fn reparent() -> Outcome {
    let (r, w) = pipe()?;
    let middle = child(|| {
        let _ = child(|| {
            // SAFETY: take nothing.
            let parent = || unsafe { libc::getppid() };
            let first = parent();
            let _ = until("another parent", || parent() != first || first == 1);
            let _ = write(w, &parent().to_ne_bytes());
            0
        });
        0
    })?;
    eq!(exit_of(middle)?, 0);
    let got = read(r, 4)?;
    eq!(i32::from_ne_bytes(got.try_into().map_err(|_| "short")?), 1);
    Ok(())
}

fn subreaper() -> Outcome {
    c!(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1));
    let middle = child(|| {
        let _ = child(|| {
            sleep_ms(50);
            7
        });
        0
    })?;
    eq!(exit_of(middle)?, 0);
    let mut status = 0;
    c!(libc::wait(&mut status));
    eq!(libc::WEXITSTATUS(status), 7);
    Ok(())
}

fn wait_nohang() -> Outcome {
    let (r, w) = pipe()?;
    let pid = child(|| {
        close(w);
        let _ = read(r, 1);
        0
    })?;
    let mut status = 0;
    eq!(c!(libc::waitpid(pid, &mut status, libc::WNOHANG)), 0);
    close(w);
    eq!(exit_of(pid)?, 0);
    fails!(libc::waitpid(pid, &mut status, libc::WNOHANG), libc::ECHILD);
    Ok(())
}

fn wait_any() -> Outcome {
    let own = child(|| {
        // SAFETY: numbers.
        unsafe { libc::setpgid(0, 0) };
        sleep_ms(100);
        4
    })?;
    // SAFETY: numbers; EACCES cannot be, the child does not execute.
    unsafe { libc::setpgid(own, own) };
    let mine = child(|| 5)?;
    let mut status = 0;
    eq!(c!(libc::waitpid(0, &mut status, 0)), mine);
    eq!(libc::WEXITSTATUS(status), 5);
    eq!(c!(libc::waitpid(-own, &mut status, 0)), own);
    eq!(libc::WEXITSTATUS(status), 4);
    Ok(())
}

fn wait_echild() -> Outcome {
    let mut status = 0;
    fails!(libc::waitpid(-1, &mut status, 0), libc::ECHILD);
    fails!(libc::waitpid(1, &mut status, 0), libc::ECHILD);
    fails!(libc::waitpid(-1, &mut status, 0x4000), libc::EINVAL);
    Ok(())
}

fn waitid() -> Outcome {
    let pid = child(|| 9)?;
    // SAFETY: all zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    c!(libc::waitid(libc::P_PID, pid as u32, &mut info, libc::WEXITED));
    eq!(info.si_signo, libc::SIGCHLD);
    eq!(info.si_code, libc::CLD_EXITED);
    // SAFETY: the fields of a SIGCHLD.
    unsafe {
        eq!(info.si_pid(), pid);
        eq!(info.si_status(), 9);
    }
    let pid = child(|| {
        // SAFETY: numbers.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        0
    })?;
    c!(libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED));
    eq!(info.si_code, libc::CLD_KILLED);
    // SAFETY: as above.
    unsafe {
        eq!(info.si_pid(), pid);
        eq!(info.si_status(), libc::SIGKILL);
    }
    fails!(libc::waitid(libc::P_ALL, 0, &mut info, 0), libc::EINVAL);
    Ok(())
}

fn waitid_nowait() -> Outcome {
    let pid = child(|| 1)?;
    // SAFETY: all zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    c!(libc::waitid(libc::P_PID, pid as u32, &mut info, libc::WEXITED | libc::WNOWAIT));
    c!(libc::waitid(libc::P_PID, pid as u32, &mut info, libc::WEXITED | libc::WNOWAIT));
    eq!(exit_of(pid)?, 1);
    Ok(())
}

fn wait_stop() -> Outcome {
    let pid = child(|| {
        loop {
            sleep_ms(10);
        }
    })?;
    let mut status = 0;
    c!(libc::kill(pid, libc::SIGSTOP));
    eq!(c!(libc::waitpid(pid, &mut status, libc::WUNTRACED)), pid);
    ck!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGSTOP, "status {status:#x}");
    eq!(state(pid), 'T');
    c!(libc::kill(pid, libc::SIGCONT));
    eq!(c!(libc::waitpid(pid, &mut status, libc::WCONTINUED)), pid);
    ck!(libc::WIFCONTINUED(status), "status {status:#x}");
    c!(libc::kill(pid, libc::SIGSTOP));
    eq!(c!(libc::waitpid(pid, &mut status, libc::WUNTRACED)), pid);
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}

fn wait_rusage() -> Outcome {
    let pid = child(|| {
        let end = now_ms() + 60;
        while now_ms() < end {}
        0
    })?;
    let mut status = 0;
    // SAFETY: all zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
    eq!(c!(libc::wait4(pid, &mut status, 0, &mut usage)), pid);
    let spent =
        (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    ck!(spent > 10_000, "only {spent} us of CPU counted");
    ck!(usage.ru_maxrss > 0);
    Ok(())
}

fn zombie() -> Outcome {
    let pid = child(|| 0)?;
    until("the child is a zombie", || state(pid) == 'Z')?;
    c!(libc::kill(pid, 0));
    eq!(exit_of(pid)?, 0);
    fails!(libc::kill(pid, 0), libc::ESRCH);
    Ok(())
}

fn sigchld_ignore() -> Outcome {
    handle(libc::SIGCHLD, libc::SIG_IGN, 0)?;
    child(|| 0)?;
    let mut status = 0;
    fails!(libc::wait(&mut status), libc::ECHILD);
    Ok(())
}

/// Who has no use for children hears of their ends all the same, also of those that it inherits dead.
fn sigchld_of_orphan() -> Outcome {
    c!(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1));
    handle(libc::SIGCHLD, nothing as *const () as usize, libc::SA_NOCLDWAIT)?;
    let signals = set(&[libc::SIGCHLD]);
    c!(libc::sigprocmask(libc::SIG_BLOCK, &signals, std::ptr::null_mut()));
    let (r, w) = pipe()?;
    // A child whose child leaves a zombie behind.
    let elder = child(|| {
        // They keep theirs until somebody waits.
        if handle(libc::SIGCHLD, libc::SIG_DFL, 0).is_err() {
            return 1;
        }
        let parent = child(|| {
            let Ok(dead) = child(|| 3) else { return 1 };
            let _ = until("it is a zombie", || state(dead) == 'Z');
            let _ = write(w, &dead.to_ne_bytes());
            0
        });
        let waited = parent.and_then(exit_of);
        sleep_ms(20_000);
        i32::from(waited.is_err())
    })?;
    let dead = i32::from_ne_bytes(read(r, 4)?.try_into().map_err(|_| "short")?);
    let patience = libc::timespec { tv_sec: 15, tv_nsec: 0 };
    // SAFETY: plain numbers.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    eq!(c!(libc::sigtimedwait(&signals, &mut info, &patience)), libc::SIGCHLD);
    // SAFETY: it was written for a child.
    eq!(unsafe { (info.si_pid(), info.si_status()) }, (dead, 3));
    until("it is gone", || state(dead) != 'Z')?;
    c!(libc::kill(elder, libc::SIGKILL));
    let mut status = 0;
    fails!(libc::waitpid(elder, &mut status, 0), libc::ECHILD);
    Ok(())
}

extern "C" fn nothing(_: i32) {}

/// Writes an executable file; returns its path.
fn program(name: &str, data: &[u8]) -> Result<String, String> {
    let path = format!("{}/{name}", dir()?);
    std::fs::write(&path, data).map_err(|e| e.to_string())?;
    c!(libc::chmod(cstr(&path).as_ptr(), 0o755));
    Ok(path)
}

fn exit_code() -> Outcome {
    let pid = child(|| {
        std::thread::spawn(|| {
            // SAFETY: ends all threads.
            unsafe { libc::syscall(libc::SYS_exit_group, 17) };
        });
        loop {
            sleep_ms(1000);
        }
    })?;
    eq!(exit_of(pid)?, 17);
    Ok(())
}

fn prctl_name() -> Outcome {
    let mut name = [0u8; 16];
    c!(libc::prctl(libc::PR_SET_NAME, c"a-name-that-is-too-long".as_ptr()));
    c!(libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()));
    eq!(&name, b"a-name-that-is-\0");
    eq!(text("/proc/self/comm")?, "a-name-that-is-\n");
    Ok(())
}

fn pdeathsig() -> Outcome {
    let (r, w) = pipe()?;
    let middle = child(|| {
        let _ = child(|| {
            // SAFETY: numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let _ = write(w, b"x");
            sleep_ms(10_000);
            0
        });
        close(w);
        let _ = read(r, 1);
        0
    })?;
    close(w);
    eq!(exit_of(middle)?, 0);
    eq!(read(r, 1)?, b""); // the end comes when the grandchild died
    Ok(())
}
