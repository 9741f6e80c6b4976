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
