// SPDX-License-Identifier: GPL-2.0
//! The end of either side.

use super::*;

/// A tracer in a process of its own, which attaches to `pid`, says so, and waits to be ended.
fn tracer_of(pid: i32, options: i32) -> Result<i32, String> {
    let (r, w) = pipe()?;
    let tracer = child(|| {
        let done = pt(libc::PTRACE_SEIZE, pid, 0, options as usize);
        // SAFETY: a byte of this frame.
        unsafe { libc::write(w, (&raw const done).cast(), 1) };
        sleep_ms(20_000);
        0
    })?;
    let mut byte = 1u8;
    c!(libc::read(r, (&raw mut byte).cast(), 1));
    eq!(byte, 0);
    close(r);
    close(w);
    Ok(tracer)
}

pub(super) fn tracer_exit() -> Outcome {
    let (pid, word) = held(4)?;
    let tracer = tracer_of(pid, 0)?;
    let mut status = 0;
    eq!(c!(libc::waitpid(pid, &mut status, libc::WNOHANG)), 0);
    end(tracer)?;
    close(word);
    eq!(exit_of(pid)?, 4);
    Ok(())
}

pub(super) fn exitkill() -> Outcome {
    let pid = child(|| {
        sleep_ms(20_000);
        4
    })?;
    let tracer = tracer_of(pid, libc::PTRACE_O_EXITKILL)?;
    end(tracer)?;
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}

pub(super) fn reparented() -> Outcome {
    let (r, w) = pipe()?;
    let pid = child(|| {
        let mut byte = 0u8;
        // SAFETY: a byte of this frame.
        unsafe { libc::read(r, (&raw mut byte).cast(), 1) };
        11
    })?;
    let (r2, w2) = pipe()?;
    let tracer = child(|| {
        let done = pt(libc::PTRACE_SEIZE, pid, 0, 0);
        // SAFETY: bytes of this frame.
        unsafe {
            libc::write(w2, (&raw const done).cast(), 1);
            let mut status = 0;
            // The tracer sees the end first.
            let got = libc::waitpid(pid, &mut status, libc::__WALL);
            i32::from(got != pid || !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 11)
        }
    })?;
    let mut byte = 1u8;
    c!(libc::read(r2, (&raw mut byte).cast(), 1));
    eq!(byte, 0);
    c!(libc::write(w, (&raw const byte).cast(), 1));
    eq!(exit_of(pid)?, 11);
    eq!(exit_of(tracer)?, 0);
    for fd in [r, w, r2, w2] {
        close(fd);
    }
    Ok(())
}

pub(super) fn thread_zombie() -> Outcome {
    let pid = traced(|| std::thread::spawn(|| sleep_ms(20)).join().map_or(1, |()| 0))?;
    options(pid, libc::PTRACE_O_TRACECLONE)?;
    cont(pid)?;
    stop_of(pid)?;
    let new = message(pid)? as i32;
    stop_of(new)?;
    cont(new)?;
    cont(pid)?;
    // The process ends for us only when the thread has been waited for.
    until("its first thread has ended", || state(pid) == 'Z')?;
    let mut status = 0;
    eq!(c!(libc::waitpid(pid, &mut status, libc::WNOHANG)), 0);
    eq!(c!(libc::waitpid(new, &mut status, libc::__WALL)), new);
    eq!(exit_of(pid)?, 0);
    Ok(())
}

/// What is traced is waited for, whatever its tracer ignores; what is not is gone at once.
pub(super) fn ignored_end() -> Outcome {
    handle(libc::SIGCHLD, libc::SIG_IGN, 0)?;
    let pid = traced(|| 5)?;
    cont(pid)?;
    eq!(exit_of(pid)?, 5);
    let pid = held(6)?;
    close(pid.1);
    let mut status = 0;
    fails!(libc::waitpid(pid.0, &mut status, 0), libc::ECHILD);
    Ok(())
}

pub(super) fn kill_in_stop() -> Outcome {
    let pid = traced(|| 0)?;
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    let pid = traced(|| 0)?;
    c!(pt(libc::PTRACE_KILL, pid, 0, 0));
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}

/// A process whose first thread has ended and whose other one, told the pid of a child, ends it with `rest`'s status; the child runs
/// `tracee` once the first thread is gone. The pid of the process.
fn without_leader(
    tracee: impl FnOnce() -> i32,
    rest: impl FnOnce(i32) -> Outcome + Send + 'static,
) -> Result<i32, String> {
    let (ready, tell) = pipe()?;
    child(move || {
        let Ok(made) = child(|| if read(ready, 1).is_ok() { tracee() } else { 90 }) else { return 91 };
        let me = std::process::id();
        std::thread::spawn(move || {
            let gone = || text(&format!("/proc/{me}/task/{me}/stat")).is_ok_and(|stat| stat.contains(") Z "));
            while !gone() {
                std::thread::yield_now();
            }
            let good = write(tell, b"x").is_ok() && rest(made).inspect_err(|why| println!("{why}")).is_ok();
            // SAFETY: ends this process.
            unsafe { libc::_exit(i32::from(!good)) };
        });
        // SAFETY: ends this thread.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
        92
    })
}

/// Who asks to be traced when the thread that made it is gone is traced by another one.
pub(super) fn traceme_by_others() -> Outcome {
    let tracee = || {
        if pt(libc::PTRACE_TRACEME, 0, 0, 0) != 0 {
            return 93;
        }
        // SAFETY: a number.
        unsafe { libc::raise(libc::SIGSTOP) };
        7
    };
    let process = without_leader(tracee, |tracee| {
        eq!(stop_of(tracee)?, libc::SIGSTOP);
        cont(tracee)?;
        eq!(exit_of(tracee)?, 7);
        Ok(())
    })?;
    eq!(exit_of(process)?, 0);
    Ok(())
}

/// And who outlives its tracer that way is its new parent's to wait for.
pub(super) fn traceme_outlived() -> Outcome {
    c!(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1));
    let (r, w) = pipe()?;
    let (traced_r, traced_w) = pipe()?;
    let tracee = move || {
        // SAFETY: no arguments.
        let (parent, me) = unsafe { (libc::getppid(), libc::getpid()) };
        let good = pt(libc::PTRACE_TRACEME, 0, 0, 0) == 0 && write(traced_w, b"x").is_ok();
        // SAFETY: no arguments.
        while unsafe { libc::getppid() } == parent {
            std::thread::yield_now();
        }
        if good && write(w, &me.to_ne_bytes()).is_ok() { 7 } else { 94 }
    };
    let process = without_leader(tracee, move |_| read(traced_r, 1).map(|_| ()))?;
    eq!(exit_of(process)?, 0);
    let tracee = i32::from_ne_bytes(read(r, 4)?.try_into().map_err(|_| "no pid")?);
    let (mut ended, mut status) = (0, 0);
    for _ in 0..5000 {
        ended = c!(libc::waitpid(tracee, &mut status, libc::WNOHANG));
        if ended != 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    eq!((ended, status), (tracee, 7 << 8));
    Ok(())
}
