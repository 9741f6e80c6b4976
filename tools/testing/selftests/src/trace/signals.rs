// SPDX-License-Identifier: GPL-2.0
//! Signals that a tracer sees and changes.

use super::*;

pub(super) fn signal_changed() -> Outcome {
    let pid = traced(|| {
        // SAFETY: signals to itself, with handlers of this process.
        unsafe {
            libc::signal(libc::SIGUSR2, note as *const () as usize);
            libc::raise(libc::SIGTERM);
            if HANDLED != 0 {
                return 1;
            }
            libc::raise(libc::SIGTERM);
            if HANDLED != libc::SIGUSR2 {
                return 2;
            }
            // One that is ignored is shown all the same.
            libc::raise(libc::SIGCHLD);
        }
        0
    })?;
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGTERM);
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGTERM);
    go(pid, PT as u32, libc::SIGUSR2)?;
    eq!(stop_of(pid)?, libc::SIGCHLD);
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

pub(super) fn siginfo() -> Outcome {
    let pid = traced(|| {
        // SAFETY: a signal to itself.
        unsafe { libc::raise(libc::SIGUSR1) };
        0
    })?;
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGUSR1);
    // SAFETY: plain numbers.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    c!(pt(libc::PTRACE_GETSIGINFO, pid, 0, (&raw mut info).addr()));
    // SAFETY: the kind of this signal has one.
    eq!((info.si_signo, info.si_code, unsafe { info.si_pid() }), (libc::SIGUSR1, libc::SI_TKILL, pid));
    info.si_signo = libc::SIGUSR2;
    c!(pt(libc::PTRACE_SETSIGINFO, pid, 0, (&raw const info).addr()));
    c!(pt(libc::PTRACE_GETSIGINFO, pid, 0, (&raw mut info).addr()));
    eq!(info.si_signo, libc::SIGUSR2);
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

pub(super) fn peeksiginfo() -> Outcome {
    let pid = traced(|| {
        // SAFETY: signals to itself, blocked.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut set);
            libc::sigprocmask(libc::SIG_BLOCK, &set, null_mut());
            libc::raise(libc::SIGRTMIN() + 1);
            libc::raise(libc::SIGRTMIN() + 1);
            libc::kill(libc::getpid(), libc::SIGUSR1);
            libc::syscall(libc::SYS_getppid);
        }
        0
    })?;
    to_syscall(pid, libc::SYS_getppid)?;
    // SAFETY: plain numbers.
    let mut infos: [libc::siginfo_t; 4] = unsafe { std::mem::zeroed() };
    let args = |off: u64, flags: u32| [off, u64::from(flags) | 4 << 32];
    let (own, shared, second) = (args(0, 0), args(0, 1), args(1, 0));
    eq!(c!(pt(0x4209, pid, own.as_ptr().addr(), infos.as_mut_ptr().addr())), 2);
    eq!(infos[1].si_signo, libc::SIGRTMIN() + 1);
    eq!(c!(pt(0x4209, pid, second.as_ptr().addr(), infos.as_mut_ptr().addr())), 1);
    eq!(c!(pt(0x4209, pid, shared.as_ptr().addr(), infos.as_mut_ptr().addr())), 1);
    eq!(infos[0].si_signo, libc::SIGUSR1);
    let wrong = args(0, 2);
    fails!(pt(0x4209, pid, wrong.as_ptr().addr(), infos.as_mut_ptr().addr()), libc::EINVAL);
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

pub(super) fn sigmask() -> Outcome {
    let pid = traced(|| {
        // SAFETY: a signal to itself, which the tracer has blocked.
        unsafe { libc::raise(libc::SIGTERM) };
        6
    })?;
    let mut mask = u64::MAX;
    c!(pt(0x420b, pid, 8, (&raw const mask).addr()));
    c!(pt(0x420a, pid, 8, (&raw mut mask).addr()));
    eq!(mask, !(1 << 8 | 1 << 18));
    cont(pid)?;
    eq!(exit_of(pid)?, 6);
    Ok(())
}
