// SPDX-License-Identifier: GPL-2.0
//! Stops at fork, exec and exit.

use super::*;

pub(super) fn event_fork() -> Outcome {
    let pid = traced(|| match child(|| 8) {
        Ok(pid) => exit_of(pid).unwrap_or(1),
        Err(_) => 1,
    })?;
    options(pid, libc::PTRACE_O_TRACEFORK)?;
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGTRAP | libc::PTRACE_EVENT_FORK << 8);
    let new = message(pid)? as i32;
    eq!(stop_of(new)?, libc::SIGSTOP);
    cont(pid)?;
    cont(new)?;
    eq!(exit_of(new)?, 8);
    eq!(stop_of(pid)?, libc::SIGCHLD);
    cont(pid)?;
    eq!(exit_of(pid)?, 8);
    Ok(())
}

pub(super) fn event_vfork() -> Outcome {
    let pid = traced(|| {
        // SAFETY: the child only ends.
        unsafe {
            let pid = libc::syscall(libc::SYS_clone, libc::CLONE_VFORK | libc::SIGCHLD, 0, 0, 0, 0) as i32;
            if pid == 0 {
                libc::_exit(2);
            }
            let mut status = 0;
            libc::waitpid(pid, &mut status, 0);
            libc::WEXITSTATUS(status)
        }
    })?;
    options(pid, libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_TRACEVFORKDONE)?;
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGTRAP | libc::PTRACE_EVENT_VFORK << 8);
    let new = message(pid)? as i32;
    eq!(stop_of(new)?, libc::SIGSTOP);
    c!(pt(libc::PTRACE_DETACH, new, 0, 0));
    cont(pid)?;
    // Its child ends before the call comes back.
    let mut stops = vec![stop_of(pid)?];
    cont(pid)?;
    stops.push(stop_of(pid)?);
    stops.sort_unstable();
    eq!(stops, [libc::SIGCHLD, libc::SIGTRAP | libc::PTRACE_EVENT_VFORK_DONE << 8]);
    cont(pid)?;
    eq!(exit_of(pid)?, 2);
    Ok(())
}

pub(super) fn event_clone() -> Outcome {
    let pid = traced(|| std::thread::spawn(|| 3).join().unwrap_or(0))?;
    options(pid, libc::PTRACE_O_TRACECLONE)?;
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGTRAP | libc::PTRACE_EVENT_CLONE << 8);
    let new = message(pid)? as i32;
    eq!(stop_of(new)?, libc::SIGSTOP);
    cont(new)?;
    cont(pid)?;
    let mut status = 0;
    eq!(c!(libc::waitpid(new, &mut status, libc::__WALL)), new);
    ck!(libc::WIFEXITED(status));
    eq!(exit_of(pid)?, 3);
    Ok(())
}

fn exec_helper(what: &core::ffi::CStr) -> i32 {
    let argv = [c"x".as_ptr(), c"--helper".as_ptr(), what.as_ptr(), c"0".as_ptr(), core::ptr::null()];
    // SAFETY: NUL-terminated list.
    unsafe { libc::execv(c"/proc/self/exe".as_ptr(), argv.as_ptr()) };
    98
}

pub(super) fn event_exec() -> Outcome {
    let pid = traced(|| exec_helper(c"exit"))?;
    options(pid, libc::PTRACE_O_TRACEEXEC)?;
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGTRAP | libc::PTRACE_EVENT_EXEC << 8);
    eq!(message(pid)?, pid as u64);
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    // Without the option there is a plain SIGTRAP.
    let pid = traced(|| exec_helper(c"exit"))?;
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGTRAP);
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

pub(super) fn exec_by_thread() -> Outcome {
    let pid = traced(|| std::thread::spawn(|| exec_helper(c"exit")).join().unwrap_or(1))?;
    options(pid, libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXEC)?;
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGTRAP | libc::PTRACE_EVENT_CLONE << 8);
    let new = message(pid)? as i32;
    eq!(stop_of(new)?, libc::SIGSTOP);
    cont(pid)?;
    cont(new)?;
    // The thread takes the leader's number, and says which it had.
    eq!(stop_of(pid)?, libc::SIGTRAP | libc::PTRACE_EVENT_EXEC << 8);
    eq!(message(pid)?, new as u64);
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    fails!(libc::waitpid(new, null_mut(), libc::__WALL), libc::ECHILD);
    Ok(())
}

pub(super) fn event_exit() -> Outcome {
    let pid = traced(|| 5)?;
    options(pid, libc::PTRACE_O_TRACEEXIT)?;
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGTRAP | libc::PTRACE_EVENT_EXIT << 8);
    eq!(message(pid)?, 5 << 8);
    regs(pid)?;
    cont(pid)?;
    eq!(exit_of(pid)?, 5);
    let pid = traced(|| 5)?;
    options(pid, libc::PTRACE_O_TRACEEXIT)?;
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(stop_of(pid)?, libc::SIGTRAP | libc::PTRACE_EVENT_EXIT << 8);
    eq!(message(pid)?, 9);
    cont(pid)?;
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}
