// SPDX-License-Identifier: GPL-2.0
//! `ptrace(2)`: attaching, traps, events, registers, memory, group stops, the end of either side.

mod cores;
mod ends;
mod events;
mod registers;
mod signals;
mod steps;
mod syscalls;

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use libc::{user_fpregs_struct, user_regs_struct};
use std::ptr::null_mut;

pub const TESTS: &[Test] = &[
    ("trace.traceme_stop", traceme),
    ("trace.errors", errors),
    ("trace.attach_detach", attach_detach),
    ("trace.attach_stopped", attach_stopped),
    ("trace.peek_poke", registers::peek_poke),
    ("trace.poke_shared", registers::poke_shared),
    ("trace.registers", registers::registers),
    ("trace.register_sets", registers::register_sets),
    ("trace.user_area", registers::user_area),
    ("trace.syscall_stops", syscalls::syscall_stops),
    ("trace.syscall_changed", syscalls::syscall_changed),
    ("trace.sysemu", syscalls::sysemu),
    ("trace.syscall_info", syscalls::syscall_info),
    ("trace.single_step", steps::single_step),
    ("trace.step_into_handler", steps::step_handler),
    ("trace.hardware_breakpoint", steps::watchpoint),
    ("trace.breakpoint", steps::breakpoint),
    ("trace.signal_changed", signals::signal_changed),
    ("trace.siginfo", signals::siginfo),
    ("trace.peeksiginfo", signals::peeksiginfo),
    ("trace.sigmask", signals::sigmask),
    ("trace.event_fork", events::event_fork),
    ("trace.event_vfork", events::event_vfork),
    ("trace.event_clone", events::event_clone),
    ("trace.event_exec", events::event_exec),
    ("trace.exec_by_thread", events::exec_by_thread),
    ("trace.event_exit", events::event_exit),
    ("trace.seize_interrupt", seize),
    ("trace.listen", listen),
    ("trace.group_stop", group_stop),
    ("trace.tracer_exit", ends::tracer_exit),
    ("trace.exitkill", ends::exitkill),
    ("trace.reparented_zombie", ends::reparented),
    ("trace.thread_zombie", ends::thread_zombie),
    ("trace.ignored_end", ends::ignored_end),
    ("trace.traceme_by_others", ends::traceme_by_others),
    ("trace.traceme_outlived", ends::traceme_outlived),
    ("trace.tracer_pid", tracer_pid),
    ("trace.access", access),
    ("trace.kill_in_stop", ends::kill_in_stop),
    ("trace.core_file", cores::core_file),
    ("trace.core_of_threads", cores::core_of_threads),
    ("trace.core_limits", cores::core_limits),
    ("trace.core_pattern", cores::core_pattern),
];

const PT: i32 = libc::PTRACE_CONT as i32;
const EVENT_STOP: i32 = 128;

fn pt(request: u32, pid: i32, addr: usize, data: usize) -> i64 {
    // SAFETY: addresses are of live objects of the caller, or of the tracee.
    unsafe { libc::syscall(libc::SYS_ptrace, request as usize, pid as usize, addr, data) }
}

/// The word at `addr` by the raw call.
fn peek(request: u32, pid: i32, addr: usize) -> Result<u64, String> {
    let mut word = 0u64;
    c!(pt(request, pid, addr, (&raw mut word).addr()));
    Ok(word)
}

fn regs(pid: i32) -> Result<user_regs_struct, String> {
    // SAFETY: plain numbers.
    let mut regs: user_regs_struct = unsafe { std::mem::zeroed() };
    c!(pt(libc::PTRACE_GETREGS, pid, 0, (&raw mut regs).addr()));
    Ok(regs)
}

fn set_regs(pid: i32, regs: &user_regs_struct) -> Outcome {
    c!(pt(libc::PTRACE_SETREGS, pid, 0, std::ptr::from_ref(regs).addr()));
    Ok(())
}

/// Waits for a stop of `pid` (any kind of child); the stop's code with the event above it.
fn stop_of(pid: i32) -> Result<i32, String> {
    let mut status = 0;
    let got = c!(libc::waitpid(pid, &mut status, libc::__WALL));
    eq!(got, pid);
    ck!(libc::WIFSTOPPED(status), "not stopped: status {status:#x}");
    Ok(status >> 8)
}

fn go(pid: i32, request: u32, signal: i32) -> Outcome {
    c!(pt(request, pid, 0, signal as usize));
    Ok(())
}

fn cont(pid: i32) -> Outcome {
    go(pid, PT as u32, 0)
}

/// A child that is traced and stopped by `SIGSTOP`, and then runs `body`.
fn traced(body: impl FnOnce() -> i32) -> Result<i32, String> {
    let pid = child(|| {
        if pt(libc::PTRACE_TRACEME, 0, 0, 0) != 0 {
            return 99;
        }
        // SAFETY: a signal to itself.
        unsafe { libc::raise(libc::SIGSTOP) };
        body()
    })?;
    eq!(stop_of(pid)?, libc::SIGSTOP);
    Ok(pid)
}

fn options(pid: i32, options: i32) -> Outcome {
    c!(pt(libc::PTRACE_SETOPTIONS, pid, 0, options as usize));
    Ok(())
}

fn message(pid: i32) -> Result<u64, String> {
    let mut message = 0u64;
    c!(pt(libc::PTRACE_GETEVENTMSG, pid, 0, (&raw mut message).addr()));
    Ok(message)
}

fn end(pid: i32) -> Outcome {
    c!(libc::kill(pid, libc::SIGKILL));
    loop {
        let mut status = 0;
        c!(libc::waitpid(pid, &mut status, libc::__WALL));
        if libc::WIFSIGNALED(status) {
            eq!(libc::WTERMSIG(status), libc::SIGKILL);
            return Ok(());
        }
    }
}

fn traceme() -> Outcome {
    let pid = traced(|| 7)?;
    cont(pid)?;
    eq!(exit_of(pid)?, 7);
    Ok(())
}

fn errors() -> Outcome {
    let me = std::process::id() as i32;
    fails!(pt(libc::PTRACE_ATTACH, me, 0, 0), libc::EPERM);
    fails!(pt(libc::PTRACE_ATTACH, 0x3fff_fff0, 0, 0), libc::ESRCH);
    fails!(pt(libc::PTRACE_CONT, 1, 0, 0), libc::ESRCH);
    fails!(pt(libc::PTRACE_ATTACH, 2, 0, 0), libc::EPERM);
    let pid = traced(|| 0)?;
    fails!(pt(libc::PTRACE_ATTACH, pid, 0, 0), libc::EPERM);
    fails!(pt(libc::PTRACE_CONT, pid, 0, 65), libc::EIO);
    fails!(pt(12345, pid, 0, 0), libc::EIO);
    fails!(pt(libc::PTRACE_SETOPTIONS, pid, 0, 1 << 10), libc::EINVAL);
    fails!(pt(libc::PTRACE_PEEKUSER, pid, 3, 0), libc::EIO);
    fails!(pt(libc::PTRACE_PEEKUSER, pid, 928, 0), libc::EIO);
    let mut word = 0u64;
    fails!(pt(libc::PTRACE_PEEKDATA, pid, 8, (&raw mut word).addr()), libc::EIO);
    fails!(pt(libc::PTRACE_POKEDATA, pid, 8, 0), libc::EIO);
    fails!(pt(libc::PTRACE_INTERRUPT, pid, 0, 0), libc::EIO);
    fails!(pt(libc::PTRACE_LISTEN, pid, 0, 0), libc::EIO);
    fails!(pt(libc::PTRACE_GETSIGMASK, pid, 4, (&raw mut word).addr()), libc::EINVAL);
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    let other = child(|| {
        sleep_ms(10_000);
        0
    })?;
    fails!(pt(libc::PTRACE_SEIZE, other, 1, 0), libc::EIO);
    fails!(pt(libc::PTRACE_SEIZE, other, 0, 1 << 10), libc::EIO);
    end(other)
}

fn attach_detach() -> Outcome {
    let (pid, word) = held(3)?;
    c!(pt(libc::PTRACE_ATTACH, pid, 0, 0));
    eq!(stop_of(pid)?, libc::SIGSTOP);
    fails!(pt(libc::PTRACE_DETACH, pid, 0, 99), libc::EIO);
    c!(pt(libc::PTRACE_DETACH, pid, 0, 0));
    fails!(pt(libc::PTRACE_CONT, pid, 0, 0), libc::ESRCH);
    close(word);
    eq!(exit_of(pid)?, 3);
    let pid = child(|| {
        sleep_ms(20_000);
        3
    })?;
    c!(pt(libc::PTRACE_ATTACH, pid, 0, 0));
    eq!(stop_of(pid)?, libc::SIGSTOP);
    c!(pt(libc::PTRACE_DETACH, pid, 0, libc::SIGTERM as usize));
    eq!(signal_of(pid)?, libc::SIGTERM);
    Ok(())
}

fn attach_stopped() -> Outcome {
    let pid = child(|| {
        // SAFETY: a signal to itself.
        unsafe { libc::raise(libc::SIGSTOP) };
        5
    })?;
    let mut status = 0;
    c!(libc::waitpid(pid, &mut status, libc::WUNTRACED));
    c!(pt(libc::PTRACE_ATTACH, pid, 0, 0));
    eq!(stop_of(pid)?, libc::SIGSTOP);
    regs(pid)?;
    c!(pt(libc::PTRACE_DETACH, pid, 0, 0));
    // It is stopped as before.
    sleep_ms(30);
    eq!(c!(libc::waitpid(pid, &mut status, libc::WNOHANG)), 0);
    c!(libc::kill(pid, libc::SIGCONT));
    eq!(exit_of(pid)?, 5);
    Ok(())
}

static mut CELL: u64 = 0x1122_3344_5566_7788;

fn to_syscall(pid: i32, number: i64) -> Outcome {
    for _ in 0..200 {
        go(pid, libc::PTRACE_SYSCALL, 0)?;
        eq!(stop_of(pid)? & 0x7f, libc::SIGTRAP);
        let r = regs(pid)?;
        if r.orig_rax as i64 == number && r.rax as i64 == -i64::from(libc::ENOSYS) {
            return Ok(());
        }
    }
    Err(format!("no call {number}"))
}

static mut HANDLED: i32 = 0;

// Never part of its caller: its address is compared.
#[inline(never)]
extern "C" fn note(signal: i32) {
    // SAFETY: one thread.
    unsafe { HANDLED = signal };
}

fn seize() -> Outcome {
    let pid = child(|| {
        loop {
            sleep_ms(10_000);
        }
    })?;
    c!(pt(libc::PTRACE_SEIZE, pid, 0, 0));
    let mut status = 0;
    eq!(c!(libc::waitpid(pid, &mut status, libc::WNOHANG)), 0);
    fails!(pt(libc::PTRACE_GETREGS, pid, 0, 0), libc::ESRCH);
    c!(pt(libc::PTRACE_INTERRUPT, pid, 0, 0));
    eq!(stop_of(pid)?, libc::SIGTRAP | EVENT_STOP << 8);
    // SAFETY: plain numbers.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    c!(pt(libc::PTRACE_GETSIGINFO, pid, 0, (&raw mut info).addr()));
    eq!((info.si_signo, info.si_code), (libc::SIGTRAP, libc::SIGTRAP | EVENT_STOP << 8));
    cont(pid)?;
    // A child of a seized one begins with such a trap.
    c!(pt(libc::PTRACE_INTERRUPT, pid, 0, 0));
    eq!(stop_of(pid)?, libc::SIGTRAP | EVENT_STOP << 8);
    end(pid)
}

fn listen() -> Outcome {
    let pid = child(|| {
        loop {
            sleep_ms(10_000);
        }
    })?;
    c!(pt(libc::PTRACE_SEIZE, pid, 0, 0));
    c!(libc::kill(pid, libc::SIGSTOP));
    eq!(stop_of(pid)?, libc::SIGSTOP);
    go(pid, PT as u32, libc::SIGSTOP)?;
    eq!(stop_of(pid)?, libc::SIGSTOP | EVENT_STOP << 8);
    c!(pt(libc::PTRACE_LISTEN, pid, 0, 0));
    sleep_ms(20);
    let mut status = 0;
    eq!(c!(libc::waitpid(pid, &mut status, libc::WNOHANG)), 0);
    fails!(pt(libc::PTRACE_CONT, pid, 0, 0), libc::ESRCH);
    c!(libc::kill(pid, libc::SIGCONT));
    eq!(stop_of(pid)?, libc::SIGTRAP | EVENT_STOP << 8);
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGCONT);
    end(pid)
}

fn group_stop() -> Outcome {
    let pid = child(|| {
        let other = std::thread::spawn(|| {
            loop {
                sleep_ms(10_000);
            }
        });
        let _ = other.join();
        0
    })?;
    let tid = loop {
        let mut tids: Vec<i32> = std::fs::read_dir(format!("/proc/{pid}/task"))
            .map_err(|e| e.to_string())?
            .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
            .filter(|&t| t != pid)
            .collect();
        if let Some(tid) = tids.pop() {
            break tid;
        }
        sleep_ms(5);
    };
    for t in [pid, tid] {
        c!(pt(libc::PTRACE_SEIZE, t, 0, 0));
    }
    c!(libc::kill(pid, libc::SIGSTOP));
    // Whoever takes the signal, both stop for the group.
    let mut status = 0;
    let taker = c!(libc::waitpid(-1, &mut status, libc::__WALL));
    eq!(status >> 8, libc::SIGSTOP);
    go(taker, PT as u32, libc::SIGSTOP)?;
    eq!(stop_of(pid)?, libc::SIGSTOP | EVENT_STOP << 8);
    eq!(stop_of(tid)?, libc::SIGSTOP | EVENT_STOP << 8);
    for t in [pid, tid] {
        c!(pt(libc::PTRACE_LISTEN, t, 0, 0));
    }
    c!(libc::kill(pid, libc::SIGKILL));
    let mut ended = 0;
    while ended < 2 {
        let got = c!(libc::waitpid(-1, &mut status, libc::__WALL));
        ck!(got == pid || got == tid);
        ended += i32::from(libc::WIFSIGNALED(status));
    }
    Ok(())
}

fn status_line(pid: i32, name: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|e| e.to_string())?;
    let line = text.lines().find_map(|l| l.strip_prefix(name)).ok_or("no such line")?;
    Ok(line.trim().to_string())
}

fn tracer_pid() -> Outcome {
    let pid = traced(|| 0)?;
    eq!(status_line(pid, "TracerPid:")?, std::process::id().to_string());
    eq!(status_line(pid, "State:")?, "t (tracing stop)");
    c!(pt(libc::PTRACE_DETACH, pid, 0, 0));
    eq!(exit_of(pid)?, 0);
    eq!(status_line(std::process::id() as i32, "TracerPid:")?, "0");
    Ok(())
}

fn access() -> Outcome {
    let pid = child(|| {
        sleep_ms(20_000);
        0
    })?;
    in_child(|| {
        c!(libc::setresuid(1000, 1000, 1000));
        fails!(pt(libc::PTRACE_ATTACH, pid, 0, 0), libc::EPERM);
        fails!(pt(libc::PTRACE_SEIZE, pid, 0, 0), libc::EPERM);
        Ok(())
    })?;
    end(pid)
}
