// SPDX-License-Identifier: GPL-2.0
//! Signals: delivery, masks, restart, alternate stacks, what the handler is told.

mod context;
mod groups;
mod info;
mod masks;
mod stacks;

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::ptr::{null, null_mut};

pub const TESTS: &[Test] = &[
    ("signal.handler", handler),
    ("signal.siginfo_kill", info::siginfo_kill),
    ("signal.siginfo_queue", info::siginfo_queue),
    ("signal.siginfo_segv", info::siginfo_segv),
    ("signal.siginfo_fpe_ill", info::siginfo_fpe_ill),
    ("signal.siginfo_bus", info::siginfo_bus),
    ("signal.siginfo_chld", info::siginfo_chld),
    ("signal.reaped_count_no_more", info::reaped),
    ("signal.context_changes_rip", context::context),
    ("signal.keeps_registers", context::keeps_fpu),
    ("signal.context_changes_fpu", context::context_fpu),
    ("signal.bad_fpu_frame_kills", context::bad_fpu),
    ("signal.mask_blocks", masks::mask_blocks),
    ("signal.mask_in_handler", masks::mask_in_handler),
    ("signal.nodefer_resethand", masks::nodefer),
    ("signal.order_and_realtime", masks::realtime),
    ("signal.pending", masks::pending),
    ("signal.handed_on_when_blocked", masks::handed_on),
    ("signal.handed_on_by_the_ending", masks::handed_on_at_exit),
    ("signal.sigchld_before_wait", masks::sigchld_before_wait),
    ("signal.restart", restart),
    ("signal.eintr", eintr),
    ("signal.nanosleep_remaining", nanosleep_remaining),
    ("signal.altstack", stacks::altstack),
    ("signal.altstack_overflow", stacks::altstack_overflow),
    ("signal.default_actions", defaults),
    ("signal.uncatchable", uncatchable),
    ("signal.sigsuspend", sigsuspend),
    ("signal.sigtimedwait", sigtimedwait),
    ("signal.signalfd", signalfd),
    ("signal.kill_errors", kill_errors),
    ("signal.kill_group", kill_group),
    ("signal.group_and_fork", groups::fork_meanwhile),
    ("signal.tgkill", tgkill),
    ("signal.alarm", alarm),
    ("signal.itimer", itimer),
    ("signal.pipe", sigpipe),
    ("signal.core_dump_bit", core_bit),
    ("signal.bad_stack_kills", stacks::bad_stack),
];

static COUNT: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicU64 = AtomicU64::new(0);
static SAW: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: i32) {
    COUNT.fetch_add(1, SeqCst);
}

fn me() -> i32 {
    std::process::id() as i32
}

fn on(signal: i32, flags: i32) -> Outcome {
    handle(signal, count as *const () as usize, flags)
}

fn handler() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    for want in 1..=100 {
        c!(libc::kill(me(), libc::SIGUSR1));
        eq!(COUNT.load(SeqCst), want);
    }
    c!(libc::raise(libc::SIGUSR1));
    eq!(COUNT.load(SeqCst), 101);
    Ok(())
}

/// A child that sends `signal` to this process once that waits for something and, if asked, a byte to `fd` when it waits again.
fn later(signal: i32, fd: Option<i32>) -> Result<i32, String> {
    let parent = me();
    child(|| {
        let send = || {
            asleep(parent)?;
            c!(libc::kill(parent, signal));
            if let Some(fd) = fd {
                asleep(parent)?;
                write(fd, b"k")?;
            }
            Ok::<(), String>(())
        };
        i32::from(send().is_err())
    })
}

fn restart() -> Outcome {
    on(libc::SIGUSR1, libc::SA_RESTART)?;
    let (r, w) = pipe()?;
    let pid = later(libc::SIGUSR1, Some(w))?;
    eq!(read(r, 1)?, b"k");
    eq!(COUNT.load(SeqCst), 1);
    eq!(exit_of(pid)?, 0);
    // wait restarts too
    let slow = child(|| if read(r, 1).is_ok() { 8 } else { 9 })?;
    let pid = later(libc::SIGUSR1, Some(w))?;
    eq!(exit_of(slow)?, 8);
    eq!(COUNT.load(SeqCst), 2);
    eq!(exit_of(pid)?, 0);
    // poll does not, SA_RESTART or not
    let pid = later(libc::SIGUSR1, None)?;
    fails!(libc::poll(null_mut(), 0, 15_000), libc::EINTR);
    eq!(exit_of(pid)?, 0);
    // an ignored signal, and stop and continue, are not seen
    handle(libc::SIGUSR1, libc::SIG_IGN, 0)?;
    let pid = later(libc::SIGUSR1, Some(w))?;
    eq!(read(r, 1)?, b"k");
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn eintr() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    let (r, _w) = pipe()?;
    let mut byte = 0u8;
    let pid = later(libc::SIGUSR1, None)?;
    fails!(libc::read(r, (&raw mut byte).cast(), 1), libc::EINTR);
    eq!(exit_of(pid)?, 0);
    let pid = later(libc::SIGUSR1, None)?;
    fails!(libc::pause(), libc::EINTR);
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn nanosleep_remaining() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    let pid = later(libc::SIGUSR1, None)?;
    let want = libc::timespec { tv_sec: 15, tv_nsec: 0 };
    let mut left = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    fails!(libc::nanosleep(&want, &mut left), libc::EINTR);
    ck!(left.tv_sec < 15 && left.tv_sec + left.tv_nsec > 0, "{}.{:09} left", left.tv_sec, left.tv_nsec);
    eq!(exit_of(pid)?, 0);
    // Stopped and continued it goes on to its end (restart block).
    let pid = child(|| {
        let start = now_ms();
        // SAFETY: live structures.
        let ret = unsafe { libc::nanosleep(&libc::timespec { tv_sec: 0, tv_nsec: 400_000_000 }, null_mut()) };
        i32::from(ret != 0 || now_ms() - start < 400)
    })?;
    until("it sleeps, or is done", || "SZ".contains(state(pid)))?;
    c!(libc::kill(pid, libc::SIGSTOP));
    until("it stops, or is done", || "TZ".contains(state(pid)))?;
    c!(libc::kill(pid, libc::SIGCONT));
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn defaults() -> Outcome {
    let mut wrong = Vec::new();
    for signal in 1..=64 {
        if [32, 33, libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal) {
            continue;
        }
        let pid = child(|| {
            let _ = handle(signal, libc::SIG_DFL, 0);
            // SAFETY: numbers.
            unsafe { libc::kill(libc::getpid(), signal) };
            77
        })?;
        let status = wait(pid)?;
        let ignored = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH].contains(&signal);
        let right = if ignored {
            libc::WIFEXITED(status)
        } else {
            libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal
        };
        if !right {
            wrong.push((signal, status));
        }
    }
    eq!(wrong, Vec::new());
    Ok(())
}

fn uncatchable() -> Outcome {
    // SAFETY: all zero is a valid sigaction.
    let act: libc::sigaction = unsafe { core::mem::zeroed() };
    for signal in [libc::SIGKILL, libc::SIGSTOP, 0, 65, -1] {
        let raw: [usize; 4] = [1, 0, 0, 0];
        fails!(libc::syscall(libc::SYS_rt_sigaction, signal, raw.as_ptr(), 0usize, 8usize), libc::EINVAL);
    }
    c!(libc::syscall(libc::SYS_rt_sigaction, libc::SIGKILL, 0usize, &raw const act, 8usize));
    Ok(())
}

fn sigsuspend() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    c!(libc::raise(libc::SIGUSR1));
    let none = set(&[]);
    fails!(libc::sigsuspend(&none), libc::EINTR);
    eq!(COUNT.load(SeqCst), 1);
    c!(libc::raise(libc::SIGUSR1));
    eq!(COUNT.load(SeqCst), 1); // the mask is back
    Ok(())
}

fn sigtimedwait() -> Outcome {
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1, libc::SIGUSR2])?;
    let want = set(&[libc::SIGUSR1, libc::SIGUSR2]);
    // SAFETY: all zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    let short = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    fails!(libc::sigtimedwait(&want, &mut info, &short), libc::EAGAIN);
    c!(libc::raise(libc::SIGUSR2));
    eq!(c!(libc::sigtimedwait(&want, &mut info, &short)), libc::SIGUSR2);
    eq!(info.si_code, libc::SI_USER); // glibc makes it so of SI_TKILL
    let pid = later(libc::SIGUSR1, None)?;
    eq!(c!(libc::sigwaitinfo(&want, &mut info)), libc::SIGUSR1);
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn signalfd() -> Outcome {
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    let want = set(&[libc::SIGUSR1]);
    // SAFETY: a live set.
    let fd = unsafe { libc::signalfd(-1, &want, libc::SFD_NONBLOCK) };
    if fd < 0 && errno() == libc::ENOSYS {
        return Err(format!("{SKIP}no signalfd"));
    }
    ck!(fd >= 0, "{}", errno_name());
    let mut info = [0u8; 128];
    fails!(libc::read(fd, info.as_mut_ptr().cast(), 128), libc::EAGAIN);
    c!(libc::raise(libc::SIGUSR1));
    eq!(c!(libc::read(fd, info.as_mut_ptr().cast(), 128)), 128);
    eq!(u32::from_ne_bytes([info[0], info[1], info[2], info[3]]), libc::SIGUSR1 as u32);
    Ok(())
}

fn kill_errors() -> Outcome {
    fails!(libc::kill(me(), 65), libc::EINVAL);
    fails!(libc::kill(me(), -1), libc::EINVAL);
    fails!(libc::kill(0x3fff_ffff, 0), libc::ESRCH);
    fails!(libc::kill(-0x3fff_ffff, 0), libc::ESRCH);
    fails!(libc::syscall(libc::SYS_tgkill, me(), 0x3fff_ffff, 0), libc::ESRCH);
    fails!(libc::syscall(libc::SYS_tgkill, 0, 1, 0), libc::EINVAL);
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(libc::kill(1, 0), libc::EPERM);
        fails!(libc::kill(1, libc::SIGTERM), libc::EPERM);
        Ok(())
    })
}

fn kill_group() -> Outcome {
    let (r, w) = pipe()?;
    let leader = child(|| {
        // SAFETY: numbers.
        unsafe { libc::setpgid(0, 0) };
        for _ in 0..2 {
            let _ = child(|| {
                let _ = write(w, b"x");
                loop {
                    sleep_ms(10);
                }
            });
        }
        loop {
            sleep_ms(10);
        }
    })?;
    c!(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1));
    // SAFETY: numbers.
    until("the group", || unsafe { libc::getpgid(leader) } == leader)?;
    for _ in 0..2 {
        eq!(read(r, 1)?, b"x");
    }
    c!(libc::kill(-leader, libc::SIGTERM));
    eq!(signal_of(leader)?, libc::SIGTERM);
    for _ in 0..2 {
        let mut status = 0;
        c!(libc::wait(&mut status));
        eq!(libc::WTERMSIG(status), libc::SIGTERM);
    }
    Ok(())
}

fn tgkill() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    let tid = std::sync::Arc::new(AtomicI32::new(0));
    let (theirs, stop) = (tid.clone(), std::sync::Arc::new(AtomicI32::new(0)));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        // SAFETY: takes nothing.
        theirs.store(unsafe { libc::gettid() }, SeqCst);
        while stopped.load(SeqCst) == 0 {
            sleep_ms(5);
        }
        COUNT.load(SeqCst)
    });
    until("the thread", || tid.load(SeqCst) != 0)?;
    c!(libc::syscall(libc::SYS_tgkill, me(), tid.load(SeqCst), libc::SIGUSR1));
    until("its signal", || COUNT.load(SeqCst) == 1)?;
    stop.store(1, SeqCst);
    eq!(thread.join().unwrap_or(0), 1);
    Ok(())
}

fn alarm() -> Outcome {
    on(libc::SIGALRM, 0)?;
    // SAFETY: numbers.
    unsafe {
        libc::alarm(100);
        eq!(libc::alarm(1), 100);
        let start = now_ms();
        libc::pause();
        ck!((900..15_000).contains(&(now_ms() - start)), "{} ms", now_ms() - start);
        eq!(libc::alarm(0), 0);
    }
    eq!(COUNT.load(SeqCst), 1);
    Ok(())
}

fn itimer() -> Outcome {
    on(libc::SIGALRM, 0)?;
    let ms = |ms: i64| libc::timeval { tv_sec: 0, tv_usec: ms * 1000 };
    let value = libc::itimerval { it_interval: ms(20), it_value: ms(20) };
    // SAFETY: live structures; argument 0 is ITIMER_REAL, 1 ITIMER_VIRTUAL.
    unsafe {
        c!(libc::syscall(libc::SYS_setitimer, 0, &raw const value, 0usize));
        until("five ticks", || COUNT.load(SeqCst) >= 5)?;
        let mut now: libc::itimerval = core::mem::zeroed();
        c!(libc::syscall(libc::SYS_getitimer, 0, &raw mut now));
        eq!(now.it_interval.tv_usec, 20_000);
        let off: libc::itimerval = core::mem::zeroed();
        c!(libc::syscall(libc::SYS_setitimer, 0, &raw const off, 0usize));
        fails!(libc::syscall(libc::SYS_setitimer, 9, &raw const off, 0usize), libc::EINVAL);
    }
    Ok(())
}

fn sigpipe() -> Outcome {
    let (r, w) = pipe()?;
    close(r);
    let pid = child(|| {
        let _ = handle(libc::SIGPIPE, libc::SIG_DFL, 0);
        let _ = write(w, b"x");
        0
    })?;
    eq!(signal_of(pid)?, libc::SIGPIPE);
    handle(libc::SIGPIPE, libc::SIG_IGN, 0)?;
    fails!(libc::write(w, b"x".as_ptr().cast(), 1), libc::EPIPE);
    Ok(())
}

fn core_bit() -> Outcome {
    let zero = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    c!(libc::setrlimit(libc::RLIMIT_CORE, &zero));
    let pid = child(|| {
        // SAFETY: numbers.
        unsafe { libc::kill(libc::getpid(), libc::SIGQUIT) };
        0
    })?;
    let status = wait(pid)?;
    eq!(status, libc::SIGQUIT); // and no 0x80: no core was written
    Ok(())
}
