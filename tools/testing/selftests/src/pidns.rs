// SPDX-License-Identifier: GPL-2.0
//! PID name spaces: their first process, their end, entering them. What is seen of processes in them: `seen`.

mod seen;
mod ways;

use crate::Test;
use crate::util::{Outcome, child, close, exit_of, pipe, read, read_all, signal_of, text, until, write};
use crate::{c, ck, eq, fails};
use libc::{CLONE_NEWPID, CLONE_SIGHAND, CLONE_THREAD, CLONE_VM, SIGCHLD, SIGKILL, SIGTERM, SIGUSR1};

pub const TESTS: &[Test] = &[
    ("pidns.first", first),
    ("pidns.family", family),
    ("pidns.unshare", unshare),
    ("pidns.no_more_after_init", no_more_after_init),
    ("pidns.threads", threads),
    ("pidns.permission", permission),
    ("pidns.init_signals", init_signals),
    ("pidns.init_fault", init_fault),
    ("pidns.parent_death", parent_death),
    ("pidns.reaper", reaper),
    ("pidns.subreaper", subreaper),
    ("pidns.end_of_all", end_of_all),
    ("pidns.end_of_injected", end_of_injected),
    ("pidns.kill_all", kill_all),
    ("pidns.reboot", reboot),
    ("pidns.depth", depth),
    ("pidns.setns", ways::setns),
    ("pidns.setns_pidfd", ways::setns_pidfd),
    ("pidns.files", ways::files),
    ("pidns.ioctl", ways::ioctl),
    ("pidns.set_tid", ways::set_tid),
    ("pidns.last_pid", ways::last_pid),
    ("pidns.pidfd", ways::pidfd),
    ("pidns.proc", seen::proc),
    ("pidns.sender", seen::sender),
    ("pidns.wait", seen::wait),
    ("pidns.groups", seen::groups),
    ("pidns.credentials", seen::credentials),
    ("pidns.locks", seen::locks),
    ("pidns.owner", seen::owner),
    ("pidns.sysv", seen::sysv),
    ("pidns.futex", seen::futex),
    ("pidns.traced", seen::traced),
    ("pidns.calls", seen::calls),
];

fn pid() -> i32 {
    // SAFETY: takes nothing.
    unsafe { libc::getpid() }
}

/// `clone(2)` as `fork(2)` with `flags`: 0 in the child. -1 is an error.
fn clone(flags: i32) -> i32 {
    // SAFETY: the child goes on in a copy of this process.
    unsafe { libc::syscall(libc::SYS_clone, (flags | SIGCHLD) as usize, 0, 0, 0, 0) as i32 }
}

/// A child in a name space of its own, which runs `body`, and what it says of its failure.
struct Inside {
    pid: i32,
    said: i32,
}

fn start(body: impl FnOnce() -> Outcome) -> Result<Inside, String> {
    let (said, w) = pipe()?;
    let pid = c!(clone(CLONE_NEWPID));
    if pid == 0 {
        close(said);
        let outcome = body();
        if let Err(why) = &outcome {
            println!("# inside: {why}");
            let _ = write(w, why.as_bytes());
        }
        // SAFETY: ends this process.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    close(w);
    Ok(Inside { pid, said })
}

impl Inside {
    /// Waits for it; its failure is this test's.
    fn end(self) -> Outcome {
        let said = read_all(self.said)?;
        let status = crate::util::wait(self.pid)?;
        ck!(said.is_empty(), "inside: {}", String::from_utf8_lossy(&said));
        ck!(libc::WIFEXITED(status), "inside: ended by signal {}", libc::WTERMSIG(status));
        eq!(libc::WEXITSTATUS(status), 0);
        Ok(())
    }
}

/// Runs `body` as the first process of a new name space.
fn inside(body: impl FnOnce() -> Outcome) -> Outcome {
    start(body)?.end()
}

/// Two descriptors by which two processes wait for each other.
struct Steps([i32; 2], [i32; 2]);

impl Steps {
    fn new() -> Result<Self, String> {
        let (a, b) = (pipe()?, pipe()?);
        Ok(Self([a.0, a.1], [b.0, b.1]))
    }

    fn tell_parent(&self) -> Outcome {
        write(self.0[1], b".").map(|_| ())
    }

    fn await_child(&self) -> Outcome {
        eq!(read(self.0[0], 1)?.len(), 1);
        Ok(())
    }

    fn tell_child(&self) -> Outcome {
        write(self.1[1], b".").map(|_| ())
    }

    fn await_parent(&self) -> Outcome {
        eq!(read(self.1[0], 1)?.len(), 1);
        Ok(())
    }
}

fn forever() -> ! {
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}

fn first() -> Outcome {
    let outer = pid();
    inside(|| {
        eq!(pid(), 1);
        eq!(c!(libc::syscall(libc::SYS_gettid)), 1);
        eq!(c!(libc::syscall(libc::SYS_set_tid_address, 0)), 1);
        // Its parent, its group and its session are outside.
        eq!(c!(libc::getppid()), 0);
        eq!(c!(libc::getpgrp()), 0);
        eq!(c!(libc::getsid(0)), 0);
        fails!(libc::kill(outer, 0), libc::ESRCH);
        fails!(libc::getpgid(outer), libc::ESRCH);
        eq!(c!(libc::getpgid(1)), 0);
        eq!(c!(libc::setsid()), 1);
        eq!((c!(libc::getpgrp()), c!(libc::getsid(1))), (1, 1));
        Ok(())
    })
}

fn family() -> Outcome {
    inside(|| {
        for number in 2..5 {
            let got = child(|| i32::from(pid() != number || unsafe { libc::getppid() } != 1))?;
            eq!(got, number);
            eq!(exit_of(number)?, 0);
        }
        // A name space in the name space: the child has a number in each.
        let inner = start(|| {
            eq!((pid(), c!(libc::getppid())), (1, 0));
            Ok(())
        })?;
        eq!(inner.pid, 5);
        inner.end()
    })
}

fn unshare() -> Outcome {
    let own = pid();
    let number = child(|| {
        let body = || -> Outcome {
            let me = pid();
            c!(libc::unshare(CLONE_NEWPID));
            eq!(pid(), me);
            let link = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}"));
            // There is nobody yet.
            eq!(link("pid_for_children").err().and_then(|e| e.raw_os_error()), Some(libc::ENOENT));
            fails!(libc::unshare(CLONE_NEWPID), libc::EINVAL);
            let init = child(|| i32::from(pid() != 1))?;
            ck!(init > own || init > 1, "{init}");
            let (ours, theirs) = (link("pid"), link("pid_for_children"));
            ck!(ours.is_ok() && theirs.is_ok() && ours.ok() != theirs.ok());
            eq!(exit_of(init)?, 0);
            Ok(())
        };
        match body() {
            Ok(()) => 0,
            Err(why) => {
                println!("# {why}");
                1
            }
        }
    })?;
    eq!(exit_of(number)?, 0);
    Ok(())
}

fn no_more_after_init() -> Outcome {
    crate::util::in_child(|| {
        c!(libc::unshare(CLONE_NEWPID));
        let init = child(|| 0)?;
        eq!(exit_of(init)?, 0);
        fails!(libc::fork(), libc::ENOMEM);
        fails!(libc::fork(), libc::ENOMEM);
        Ok(())
    })
}

fn threads() -> Outcome {
    let all = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
    let thread = |flags: i32| unsafe { libc::syscall(libc::SYS_clone, flags as usize, 0, 0, 0, 0) };
    fails!(thread(all | CLONE_NEWPID), libc::EINVAL);
    crate::util::in_child(|| {
        c!(libc::unshare(CLONE_NEWPID));
        // Threads of one process are in one name space.
        fails!(thread(all), libc::EINVAL);
        Ok(())
    })?;
    inside(|| {
        // A brother of the first process would have no parent here.
        fails!(thread(libc::CLONE_PARENT), libc::EINVAL);
        let (tids, own) = std::thread::spawn(|| {
            // SAFETY: takes nothing.
            (unsafe { libc::syscall(libc::SYS_gettid) }, pid())
        })
        .join()
        .map_err(|_| "join")?;
        eq!((tids, own), (2, 1));
        Ok(())
    })
}

fn permission() -> Outcome {
    crate::util::in_child(|| {
        c!(libc::setresuid(1, 1, 1));
        fails!(libc::unshare(CLONE_NEWPID), libc::EPERM);
        fails!(clone(CLONE_NEWPID), libc::EPERM);
        let ns = crate::util::open("/proc/self/ns/pid", libc::O_RDONLY)?;
        fails!(libc::setns(ns, 0), libc::EPERM);
        Ok(())
    })
}

extern "C" fn nothing(_: i32) {}

fn init_signals() -> Outcome {
    let steps = Steps::new()?;
    let init = start(|| {
        let kills = |signal: i32| -> Outcome {
            let killer = child(|| unsafe { libc::kill(1, signal) })?;
            eq!(exit_of(killer)?, 0);
            Ok(())
        };
        // What it has no handler for does nothing to it when it comes from inside, not even those that nobody handles.
        for signal in [SIGTERM, SIGUSR1, SIGKILL, libc::SIGSTOP, libc::SIGTSTP, libc::SIGQUIT] {
            kills(signal)?;
        }
        c!(libc::kill(1, SIGKILL));
        crate::util::handle(SIGUSR1, nothing as *const () as usize, 0)?;
        crate::util::mask(libc::SIG_BLOCK, &[SIGUSR1, SIGTERM])?;
        kills(SIGUSR1)?;
        kills(SIGTERM)?;
        let set = crate::util::set(&[SIGUSR1]);
        eq!(c!(libc::sigwaitinfo(&set, core::ptr::null_mut())), SIGUSR1);
        // Kept while it was blocked, and dropped now.
        crate::util::mask(libc::SIG_UNBLOCK, &[SIGTERM])?;
        steps.tell_parent()?;
        forever()
    })?;
    steps.await_child()?;
    c!(libc::kill(init.pid, SIGTERM));
    c!(libc::kill(init.pid, libc::SIGINT));
    crate::util::asleep(init.pid)?;
    c!(libc::kill(init.pid, libc::SIGSTOP));
    let mut status = 0;
    eq!(c!(libc::waitpid(init.pid, &mut status, libc::WUNTRACED)), init.pid);
    ck!(libc::WIFSTOPPED(status));
    c!(libc::kill(init.pid, libc::SIGCONT));
    c!(libc::kill(init.pid, SIGKILL));
    eq!(signal_of(init.pid)?, SIGKILL);
    Ok(())
}

fn init_fault() -> Outcome {
    let init = start(|| {
        crate::util::handle(libc::SIGSEGV, libc::SIG_DFL, 0)?;
        // SAFETY: meant to be the end of this process.
        unsafe { core::arch::asm!("mov dword ptr [{}], 1", in(reg) 16usize) };
        Ok(())
    })?;
    eq!(signal_of(init.pid)?, libc::SIGSEGV);
    Ok(())
}

fn parent_death() -> Outcome {
    let (r, w) = pipe()?;
    let middle = child(|| {
        let body = || -> Outcome {
            let steps = Steps::new()?;
            start(|| {
                close(r);
                c!(libc::prctl(libc::PR_SET_PDEATHSIG, SIGKILL));
                steps.tell_parent()?;
                forever()
            })?;
            steps.await_child()
        };
        i32::from(body().is_err())
    })?;
    eq!(exit_of(middle)?, 0);
    close(w);
    // Who was in there has it open no more.
    eq!(read_all(r)?.len(), 0);
    Ok(())
}

fn reaper() -> Outcome {
    inside(|| {
        let steps = Steps::new()?;
        let middle = child(|| {
            let orphan = child(|| {
                let done = steps
                    .await_parent()
                    .and_then(|()| until("the first process is its parent", || unsafe { libc::getppid() } == 1));
                if done.is_ok() { 7 } else { 8 }
            });
            i32::from(orphan != Ok(3))
        })?;
        eq!(exit_of(middle)?, 0);
        steps.tell_child()?;
        eq!(exit_of(3)?, 7);
        fails!(libc::waitpid(-1, core::ptr::null_mut(), 0), libc::ECHILD);
        Ok(())
    })
}

fn subreaper() -> Outcome {
    crate::util::in_child(|| {
        // Whoever is outside takes no orphans of a name space, though he wants them.
        c!(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1));
        inside(|| {
            let middle = child(|| {
                let _ = child(|| 9);
                0
            })?;
            eq!(exit_of(middle)?, 0);
            eq!(exit_of(3)?, 9);
            Ok(())
        })
    })
}

fn end_of_all() -> Outcome {
    let (r, w) = pipe()?;
    let init = start(|| {
        close(r);
        let ready = Steps::new()?;
        for _ in 0..3 {
            child(|| {
                // One that a signal would not end, in a session of its own, with a child in a name space of its own.
                // SAFETY: plain calls.
                unsafe {
                    libc::setsid();
                    libc::signal(SIGTERM, libc::SIG_IGN);
                }
                let inner = start(|| {
                    ready.tell_parent()?;
                    forever()
                });
                if inner.is_err() {
                    return 1;
                }
                // SAFETY: takes numbers.
                unsafe { libc::raise(libc::SIGSTOP) };
                forever()
            })?;
        }
        for _ in 0..3 {
            ready.await_child()?;
        }
        Ok(())
    })?;
    close(w);
    init.end()?;
    // Nobody is left when it has been waited for.
    let mut set = libc::pollfd { fd: r, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut set, 1, 0)), 1);
    eq!(read_all(r)?.len(), 0);
    Ok(())
}

fn end_of_injected() -> Outcome {
    let steps = Steps::new()?;
    let init = start(|| steps.await_parent())?;
    let ns = crate::util::open(&format!("/proc/{}/ns/pid", init.pid), libc::O_RDONLY)?;
    crate::util::in_child(|| {
        c!(libc::setns(ns, CLONE_NEWPID));
        let injected = child(|| if pid() == 2 && unsafe { libc::getppid() } == 0 { forever() } else { 1 })?;
        steps.tell_child()?;
        // Its end is ours to see, and the first process waits for that.
        eq!(signal_of(injected)?, SIGKILL);
        fails!(libc::fork(), libc::ENOMEM);
        Ok(())
    })?;
    init.end()
}

fn kill_all() -> Outcome {
    let (bystander, word) = crate::util::held(0)?;
    inside(|| {
        let (a, b) = (child(|| forever())?, child(|| forever())?);
        eq!(c!(libc::kill(-1, SIGTERM)), 0);
        eq!((signal_of(a)?, signal_of(b)?), (SIGTERM, SIGTERM));
        fails!(libc::kill(-1, SIGTERM), libc::ESRCH);
        Ok(())
    })?;
    close(word);
    eq!(exit_of(bystander)?, 0);
    Ok(())
}

fn reboot() -> Outcome {
    for (command, signal) in [(libc::RB_AUTOBOOT, libc::SIGHUP), (libc::RB_POWER_OFF, libc::SIGINT)] {
        let init = start(|| {
            fails!(libc::reboot(libc::RB_ENABLE_CAD), libc::EINVAL);
            child(|| unsafe { libc::reboot(command) })?;
            forever()
        })?;
        eq!(signal_of(init.pid)?, signal);
    }
    Ok(())
}

/// How many more name spaces fit into each other, or an errno.
fn nest(left: i32) -> i32 {
    let pid = clone(CLONE_NEWPID);
    if pid == -1 {
        return if crate::util::errno() == libc::ENOSPC { 0 } else { 100 };
    }
    if pid == 0 {
        let deeper = if left == 0 { 99 } else { nest(left - 1) };
        // SAFETY: ends this process.
        unsafe { libc::_exit(deeper + 1) };
    }
    exit_of(pid).unwrap_or(120)
}

fn depth() -> Outcome {
    let status = text("/proc/self/status")?;
    let own = status.lines().find(|line| line.starts_with("NSpid:")).map_or(0, |line| line.split('\t').count());
    // The first, and 32 below it.
    eq!(nest(40) + own as i32 - 2, 32);
    Ok(())
}
