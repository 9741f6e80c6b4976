// SPDX-License-Identifier: GPL-2.0
//! `ptrace(2)`: attaching, traps, events, registers, memory, group stops, the end of either side.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use libc::{user_fpregs_struct, user_regs_struct};
use std::ptr::null_mut;

pub const TESTS: &[Test] = &[
    ("trace.traceme_stop", traceme),
    ("trace.errors", errors),
    ("trace.attach_detach", attach_detach),
    ("trace.attach_stopped", attach_stopped),
    ("trace.peek_poke", peek_poke),
    ("trace.registers", registers),
    ("trace.register_sets", register_sets),
    ("trace.user_area", user_area),
    ("trace.syscall_stops", syscall_stops),
    ("trace.syscall_changed", syscall_changed),
    ("trace.sysemu", sysemu),
    ("trace.syscall_info", syscall_info),
    ("trace.single_step", single_step),
    ("trace.step_into_handler", step_handler),
    ("trace.hardware_breakpoint", watchpoint),
    ("trace.breakpoint", breakpoint),
    ("trace.signal_changed", signal_changed),
    ("trace.siginfo", siginfo),
    ("trace.peeksiginfo", peeksiginfo),
    ("trace.sigmask", sigmask),
    ("trace.event_fork", event_fork),
    ("trace.event_vfork", event_vfork),
    ("trace.event_clone", event_clone),
    ("trace.event_exec", event_exec),
    ("trace.exec_by_thread", exec_by_thread),
    ("trace.event_exit", event_exit),
    ("trace.seize_interrupt", seize),
    ("trace.listen", listen),
    ("trace.group_stop", group_stop),
    ("trace.tracer_exit", tracer_exit),
    ("trace.exitkill", exitkill),
    ("trace.reparented_zombie", reparented),
    ("trace.thread_zombie", thread_zombie),
    ("trace.tracer_pid", tracer_pid),
    ("trace.access", access),
    ("trace.kill_in_stop", kill_in_stop),
    ("trace.core_file", core_file),
    ("trace.core_of_threads", core_of_threads),
    ("trace.core_limits", core_limits),
    ("trace.core_pattern", core_pattern),
];

const PT: i32 = libc::PTRACE_CONT as i32;
const EVENT_STOP: i32 = 128;
const SYSEMU: u32 = 31;

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
    let pid = child(|| {
        sleep_ms(50);
        3
    })?;
    c!(pt(libc::PTRACE_ATTACH, pid, 0, 0));
    eq!(stop_of(pid)?, libc::SIGSTOP);
    fails!(pt(libc::PTRACE_DETACH, pid, 0, 99), libc::EIO);
    c!(pt(libc::PTRACE_DETACH, pid, 0, 0));
    fails!(pt(libc::PTRACE_CONT, pid, 0, 0), libc::ESRCH);
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
static CONSTANT: u64 = 42;

fn peek_poke() -> Outcome {
    // SAFETY: one thread.
    let pid = traced(|| unsafe { i32::from((&raw const CELL).read_volatile() != 99) })?;
    eq!(peek(libc::PTRACE_PEEKDATA, pid, (&raw const CELL).addr())?, 0x1122_3344_5566_7788);
    c!(pt(libc::PTRACE_POKEDATA, pid, (&raw const CELL).addr(), 99));
    // Memory that the program itself may only read becomes its own copy.
    eq!(peek(libc::PTRACE_PEEKTEXT, pid, (&raw const CONSTANT).addr())?, 42);
    c!(pt(libc::PTRACE_POKETEXT, pid, (&raw const CONSTANT).addr(), 43));
    eq!(peek(libc::PTRACE_PEEKTEXT, pid, (&raw const CONSTANT).addr())?, 43);
    // SAFETY: a constant.
    eq!(unsafe { (&raw const CONSTANT).read_volatile() }, 42);
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn registers() -> Outcome {
    let pid = traced(|| 1)?;
    let mut r = regs(pid)?;
    eq!((r.cs, r.ss, r.ds, r.es), (0x33, 0x2b, 0, 0));
    ck!(r.fs_base != 0, "no thread area");
    // `raise` is inside its system call.
    ck!(r.orig_rax == libc::SYS_tgkill as u64 || r.orig_rax == libc::SYS_tkill as u64, "orig_rax {}", r.orig_rax);
    eq!(r.rax, 0);
    let good = r;
    r.fs_base = 1 << 63;
    fails!(pt(libc::PTRACE_SETREGS, pid, 0, (&raw const r).addr()), libc::EIO);
    r = good;
    r.cs = 0;
    fails!(pt(libc::PTRACE_SETREGS, pid, 0, (&raw const r).addr()), libc::EIO);
    // Flags that a program may not have do not stick.
    r = good;
    r.eflags |= 1 << 12 | 1 << 13 | 1 << 14;
    set_regs(pid, &r)?;
    eq!(regs(pid)?.eflags & 0x3000, 0);
    // exit(9) instead of going on.
    r = good;
    r.rip = exit_nine as *const () as u64;
    r.rsp = r.rsp & !15 | 8;
    r.orig_rax = u64::MAX;
    set_regs(pid, &r)?;
    cont(pid)?;
    eq!(exit_of(pid)?, 9);
    Ok(())
}

extern "C" fn exit_nine() {
    // SAFETY: ends the process.
    unsafe { libc::_exit(9) };
}

fn register_sets() -> Outcome {
    let pid = traced(|| 0)?;
    let r = regs(pid)?;
    // SAFETY: plain numbers.
    let mut by_set: user_regs_struct = unsafe { std::mem::zeroed() };
    let mut iov = libc::iovec { iov_base: (&raw mut by_set).cast(), iov_len: 4096 };
    c!(pt(libc::PTRACE_GETREGSET, pid, 1, (&raw mut iov).addr()));
    eq!(iov.iov_len, size_of::<user_regs_struct>());
    eq!((by_set.rip, by_set.rsp, by_set.fs_base), (r.rip, r.rsp, r.fs_base));
    iov.iov_len = 7;
    fails!(pt(libc::PTRACE_GETREGSET, pid, 1, (&raw mut iov).addr()), libc::EINVAL);
    fails!(pt(libc::PTRACE_GETREGSET, pid, 0x999, (&raw mut iov).addr()), libc::EINVAL);
    // SAFETY: plain numbers.
    let mut fp: user_fpregs_struct = unsafe { std::mem::zeroed() };
    c!(pt(libc::PTRACE_GETFPREGS, pid, 0, (&raw mut fp).addr()));
    eq!((fp.cwd, fp.mxcsr & 0x1f80), (0x37f, 0x1f80));
    fp.xmm_space[0] = 0xdead_beef;
    c!(pt(libc::PTRACE_SETFPREGS, pid, 0, (&raw const fp).addr()));
    let mut area = [0u8; 16384];
    let mut iov = libc::iovec { iov_base: area.as_mut_ptr().cast(), iov_len: area.len() };
    c!(pt(libc::PTRACE_GETREGSET, pid, 0x202, (&raw mut iov).addr()));
    ck!(iov.iov_len >= 576, "{} bytes of state", iov.iov_len);
    eq!(area[160..164], [0xef, 0xbe, 0xad, 0xde]);
    ck!(area[464] & 3 == 3 && area[512] & 2 == 2, "components {:#x} {:#x}", area[464], area[512]);
    area[160] = 1;
    c!(pt(libc::PTRACE_SETREGSET, pid, 0x202, (&raw mut iov).addr()));
    iov.iov_len -= 8;
    fails!(pt(libc::PTRACE_SETREGSET, pid, 0x202, (&raw mut iov).addr()), libc::EFAULT);
    c!(pt(libc::PTRACE_GETFPREGS, pid, 0, (&raw mut fp).addr()));
    eq!(fp.xmm_space[0], 0xdead_be01);
    fp.mxcsr = 0xffff_ffff;
    fails!(pt(libc::PTRACE_SETFPREGS, pid, 0, (&raw const fp).addr()), libc::EINVAL);
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn user_area() -> Outcome {
    let pid = traced(|| 0)?;
    let r = regs(pid)?;
    eq!(peek(libc::PTRACE_PEEKUSER, pid, 16 * 8)?, r.rip);
    c!(pt(libc::PTRACE_POKEUSER, pid, 0, 0x1234));
    eq!(regs(pid)?.r15, 0x1234);
    eq!(peek(libc::PTRACE_PEEKUSER, pid, 848)?, 0);
    eq!(peek(libc::PTRACE_PEEKUSER, pid, 848 + 6 * 8)?, 0xffff_0ff0);
    c!(pt(libc::PTRACE_POKEUSER, pid, 848, 0x40_0000));
    eq!(peek(libc::PTRACE_PEEKUSER, pid, 848)?, 0x40_0000);
    fails!(pt(libc::PTRACE_POKEUSER, pid, 848 + 4 * 8, 1), libc::EIO);
    // A breakpoint on the kernel, and one on I/O.
    fails!(pt(libc::PTRACE_POKEUSER, pid, 848, 0xffff_ffff_8000_0000), libc::EINVAL);
    fails!(pt(libc::PTRACE_POKEUSER, pid, 848 + 7 * 8, 0x2_0001), libc::EINVAL);
    fails!(pt(libc::PTRACE_POKEUSER, pid, 300, 0), libc::EIO);
    c!(pt(libc::PTRACE_POKEUSER, pid, 0, r.r15 as usize));
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn syscall_stops() -> Outcome {
    let pid = traced(|| {
        // SAFETY: takes nothing.
        unsafe { libc::getppid() };
        4
    })?;
    options(pid, libc::PTRACE_O_TRACESYSGOOD)?;
    let mut seen = Vec::new();
    loop {
        go(pid, libc::PTRACE_SYSCALL, 0)?;
        let mut status = 0;
        c!(libc::waitpid(pid, &mut status, 0));
        if libc::WIFEXITED(status) {
            eq!(libc::WEXITSTATUS(status), 4);
            break;
        }
        eq!(status >> 8, libc::SIGTRAP | 0x80);
        let r = regs(pid)?;
        seen.push((r.orig_rax as i64, r.rax as i64));
    }
    let at = seen.iter().position(|s| s.0 == libc::SYS_getppid).ok_or("no getppid")?;
    eq!(seen[at].1, -i64::from(libc::ENOSYS));
    eq!(seen[at + 1], (libc::SYS_getppid, i64::from(std::process::id())));
    eq!(seen.last(), Some(&(libc::SYS_exit_group, -i64::from(libc::ENOSYS))));
    Ok(())
}

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

fn syscall_changed() -> Outcome {
    let pid = traced(|| {
        // SAFETY: take nothing.
        let (a, b) = unsafe { (libc::getppid(), libc::getppid()) };
        // SAFETY: as above.
        i32::from(a != unsafe { libc::getpid() } || b != 77)
    })?;
    to_syscall(pid, libc::SYS_getppid)?;
    // Another call instead.
    c!(pt(libc::PTRACE_POKEUSER, pid, 15 * 8, libc::SYS_getpid as usize));
    go(pid, libc::PTRACE_SYSCALL, 0)?;
    eq!(stop_of(pid)?, libc::SIGTRAP);
    eq!(regs(pid)?.rax as i32, pid);
    to_syscall(pid, libc::SYS_getppid)?;
    // No call, and a result.
    c!(pt(libc::PTRACE_POKEUSER, pid, 15 * 8, usize::MAX));
    go(pid, libc::PTRACE_SYSCALL, 0)?;
    eq!(stop_of(pid)?, libc::SIGTRAP);
    eq!(regs(pid)?.rax as i64, -i64::from(libc::ENOSYS));
    c!(pt(libc::PTRACE_POKEUSER, pid, 10 * 8, 77));
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn sysemu() -> Outcome {
    // SAFETY: takes nothing.
    let pid = traced(|| i32::from(unsafe { libc::getppid() } != 55))?;
    for _ in 0..100 {
        c!(pt(SYSEMU, pid, 0, 0));
        eq!(stop_of(pid)?, libc::SIGTRAP);
        let r = regs(pid)?;
        if r.orig_rax as i64 == libc::SYS_getppid {
            c!(pt(libc::PTRACE_POKEUSER, pid, 10 * 8, 55));
            break;
        }
        // Nothing is done: say that it worked.
        c!(pt(libc::PTRACE_POKEUSER, pid, 10 * 8, 0));
    }
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn syscall_info() -> Outcome {
    // SAFETY: a bad descriptor.
    let pid = traced(|| i32::from(unsafe { libc::dup(-1) } != -1))?;
    let mut info = [0u64; 11];
    let size = size_of_val(&info);
    let get = |info: &mut [u64; 11]| -> Result<i64, String> { Ok(c!(pt(0x420e, pid, size, info.as_mut_ptr().addr()))) };
    eq!(get(&mut info)?, 24);
    eq!(info[0] & 0xff, 0);
    options(pid, libc::PTRACE_O_TRACESYSGOOD)?;
    for _ in 0..100 {
        go(pid, libc::PTRACE_SYSCALL, 0)?;
        eq!(stop_of(pid)?, libc::SIGTRAP | 0x80);
        eq!(get(&mut info)?, 80);
        eq!((info[0] & 0xff, info[0] >> 32), (1, 0xc000_003e));
        let number = info[3] as i64;
        go(pid, libc::PTRACE_SYSCALL, 0)?;
        eq!(stop_of(pid)?, libc::SIGTRAP | 0x80);
        eq!(get(&mut info)?, 33);
        eq!(info[0] & 0xff, 2);
        eq!(info[1], regs(pid)?.rip);
        if number == libc::SYS_dup {
            eq!((info[3] as i64, info[4] & 0xff), (-i64::from(libc::EBADF), 1));
            cont(pid)?;
            eq!(exit_of(pid)?, 0);
            return Ok(());
        }
    }
    Err("no dup".into())
}

fn single_step() -> Outcome {
    let pid = traced(|| (0..200).fold(0, |a, b| std::hint::black_box(a ^ b)) & 0)?;
    let mut last = regs(pid)?.rip;
    let mut moved = 0;
    for n in 0..300 {
        go(pid, libc::PTRACE_SINGLESTEP, 0)?;
        let mut status = 0;
        c!(libc::waitpid(pid, &mut status, 0));
        if libc::WIFEXITED(status) {
            return Err(format!("ended after {n} steps"));
        }
        eq!(status >> 8, libc::SIGTRAP);
        let r = regs(pid)?;
        // The flag that steps is not the program's.
        eq!(r.eflags & 0x100, 0);
        moved += u32::from(r.rip != last);
        last = r.rip;
    }
    ck!(moved > 200, "{moved} moves in 300 steps");
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

static mut HANDLED: i32 = 0;

extern "C" fn note(signal: i32) {
    // SAFETY: one thread.
    unsafe { HANDLED = signal };
}

fn step_handler() -> Outcome {
    let pid = traced(|| {
        // SAFETY: a handler of this process; one thread.
        unsafe {
            libc::signal(libc::SIGUSR1, note as *const () as usize);
            libc::raise(libc::SIGUSR1);
            i32::from((&raw const HANDLED).read_volatile() != libc::SIGUSR1)
        }
    })?;
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGUSR1);
    go(pid, libc::PTRACE_SINGLESTEP, libc::SIGUSR1)?;
    eq!(stop_of(pid)?, libc::SIGTRAP);
    // At the handler's first instruction, with the signal as argument.
    let r = regs(pid)?;
    eq!((r.rip, r.rdi), (note as *const () as u64, libc::SIGUSR1 as u64));
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn watchpoint() -> Outcome {
    let pid = traced(|| {
        // SAFETY: one thread.
        unsafe { (&raw mut CELL).write_volatile(7) };
        0
    })?;
    c!(pt(libc::PTRACE_POKEUSER, pid, 848, (&raw const CELL).addr()));
    // Writes of 8 bytes.
    c!(pt(libc::PTRACE_POKEUSER, pid, 848 + 56, 0x9_0001));
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGTRAP);
    eq!(peek(libc::PTRACE_PEEKUSER, pid, 848 + 48)? & 0xf, 1);
    // SAFETY: plain numbers.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    c!(pt(libc::PTRACE_GETSIGINFO, pid, 0, (&raw mut info).addr()));
    eq!((info.si_signo, info.si_code), (libc::SIGTRAP, 4));
    eq!(peek(libc::PTRACE_PEEKDATA, pid, (&raw const CELL).addr())?, 7);
    c!(pt(libc::PTRACE_POKEUSER, pid, 848 + 56, 0));
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

#[inline(never)]
extern "C" fn target(x: u64) -> u64 {
    std::hint::black_box(x + 1)
}

fn breakpoint() -> Outcome {
    let pid = traced(|| i32::from(std::hint::black_box(target as extern "C" fn(u64) -> u64)(4) != 5))?;
    let at = target as *const () as usize;
    let old = peek(libc::PTRACE_PEEKTEXT, pid, at)?;
    c!(pt(libc::PTRACE_POKETEXT, pid, at, (old & !0xff | 0xcc) as usize));
    cont(pid)?;
    eq!(stop_of(pid)?, libc::SIGTRAP);
    let mut r = regs(pid)?;
    eq!((r.rip as usize, r.rdi), (at + 1, 4));
    // SAFETY: plain numbers.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    c!(pt(libc::PTRACE_GETSIGINFO, pid, 0, (&raw mut info).addr()));
    eq!(info.si_code, 0x80);
    c!(pt(libc::PTRACE_POKETEXT, pid, at, old as usize));
    r.rip -= 1;
    set_regs(pid, &r)?;
    cont(pid)?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn signal_changed() -> Outcome {
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

fn siginfo() -> Outcome {
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

fn peeksiginfo() -> Outcome {
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

fn sigmask() -> Outcome {
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

fn event_fork() -> Outcome {
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

fn event_vfork() -> Outcome {
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

fn event_clone() -> Outcome {
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

fn event_exec() -> Outcome {
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

fn exec_by_thread() -> Outcome {
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

fn event_exit() -> Outcome {
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

fn tracer_exit() -> Outcome {
    let pid = child(|| {
        sleep_ms(200);
        4
    })?;
    let tracer = tracer_of(pid, 0)?;
    let mut status = 0;
    eq!(c!(libc::waitpid(pid, &mut status, libc::WNOHANG)), 0);
    end(tracer)?;
    eq!(exit_of(pid)?, 4);
    Ok(())
}

fn exitkill() -> Outcome {
    let pid = child(|| {
        sleep_ms(20_000);
        4
    })?;
    let tracer = tracer_of(pid, libc::PTRACE_O_EXITKILL)?;
    end(tracer)?;
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}

fn reparented() -> Outcome {
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

fn thread_zombie() -> Outcome {
    let pid = traced(|| std::thread::spawn(|| sleep_ms(20)).join().map_or(1, |()| 0))?;
    options(pid, libc::PTRACE_O_TRACECLONE)?;
    cont(pid)?;
    stop_of(pid)?;
    let new = message(pid)? as i32;
    stop_of(new)?;
    cont(new)?;
    cont(pid)?;
    // The process ends for us only when the thread has been waited for.
    sleep_ms(150);
    let mut status = 0;
    eq!(c!(libc::waitpid(pid, &mut status, libc::WNOHANG)), 0);
    eq!(c!(libc::waitpid(new, &mut status, libc::__WALL)), new);
    eq!(exit_of(pid)?, 0);
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

fn kill_in_stop() -> Outcome {
    let pid = traced(|| 0)?;
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    let pid = traced(|| 0)?;
    c!(pt(libc::PTRACE_KILL, pid, 0, 0));
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}

/// A child in `dir` with a limit for core files, which runs `body`; its status.
fn crash(dir: &str, limit: u64, body: impl FnOnce()) -> Result<i32, String> {
    let dir = cstr(dir);
    let pid = child(|| {
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: live objects.
        unsafe {
            libc::chdir(dir.as_ptr());
            libc::setrlimit(libc::RLIMIT_CORE, &limit);
        }
        body();
        0
    })?;
    wait(pid)
}

fn abort() {
    // SAFETY: ends the process.
    unsafe { libc::abort() };
}

/// The notes of a core file: (kind, size of the data).
fn notes(core: &[u8]) -> Vec<(u32, usize)> {
    let word = |at: usize| core.get(at..at + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap_or_default()));
    let half = |at: usize| word(at) as u32;
    let (mut at, end) = (word(64 + 8) as usize, (word(64 + 8) + word(64 + 32)) as usize);
    let mut found = Vec::new();
    while at + 12 <= end {
        let (name, size) = (half(at) as usize, half(at + 4) as usize);
        found.push((half(at + 8), size));
        at += 12 + name.next_multiple_of(4) + size.next_multiple_of(4);
    }
    found
}

fn core_file() -> Outcome {
    let dir = dir()?;
    let status = crash(&dir, libc::RLIM_INFINITY, abort)?;
    ck!(
        libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT && status & 0x80 != 0,
        "status {status:#x}"
    );
    let path = format!("{dir}/core");
    let core = std::fs::read(&path).map_err(|e| e.to_string())?;
    eq!(core[..4], *b"\x7fELF");
    eq!((core[16], core[18]), (4, 62));
    let found = notes(&core);
    let sizes: Vec<(u32, usize)> = found.iter().copied().filter(|n| [1, 3, 0x5349_4749, 2].contains(&n.0)).collect();
    eq!(sizes, [(1, 336), (3, 136), (0x5349_4749, 128), (2, 512)]);
    ck!(found.iter().any(|n| n.0 == 6) && found.iter().any(|n| n.0 == 0x4649_4c45), "{found:?}");
    let meta = std::fs::metadata(&path).map_err(|e| e.to_string())?;
    use std::os::unix::fs::MetadataExt;
    eq!(meta.mode() & 0o777, 0o600);
    // A signal that has no core file in its action.
    let status = crash(&dir, libc::RLIM_INFINITY, || {
        // SAFETY: a signal to itself.
        unsafe { libc::raise(libc::SIGTERM) };
    })?;
    eq!(status, libc::SIGTERM);
    Ok(())
}

fn core_of_threads() -> Outcome {
    let dir = dir()?;
    let status = crash(&dir, libc::RLIM_INFINITY, || {
        for _ in 0..3 {
            std::thread::spawn(|| sleep_ms(20_000));
        }
        sleep_ms(30);
        abort();
    })?;
    eq!(status, libc::SIGABRT | 0x80);
    let core = std::fs::read(format!("{dir}/core")).map_err(|e| e.to_string())?;
    eq!(notes(&core).iter().filter(|n| n.0 == 1).count(), 4);
    Ok(())
}

fn core_limits() -> Outcome {
    let dir = dir()?;
    let path = format!("{dir}/core");
    for limit in [0, 4095] {
        eq!(crash(&dir, limit, abort)?, libc::SIGABRT);
        ck!(!std::path::Path::new(&path).exists());
    }
    // One who may not be looked into leaves nothing.
    let status = crash(&dir, libc::RLIM_INFINITY, || {
        // SAFETY: numbers.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
        abort();
    })?;
    eq!(status, libc::SIGABRT);
    // What somebody else put there is left alone.
    std::fs::write(&path, b"mine").map_err(|e| e.to_string())?;
    let (from, to) = (cstr(&path), cstr(&format!("{dir}/link")));
    c!(libc::link(from.as_ptr(), to.as_ptr()));
    eq!(crash(&dir, libc::RLIM_INFINITY, abort)?, libc::SIGABRT);
    eq!(std::fs::read(&path).map_err(|e| e.to_string())?, b"mine");
    Ok(())
}

fn core_pattern() -> Outcome {
    const PATTERN: &str = "/proc/sys/kernel/core_pattern";
    let dir = dir()?;
    let old = text(PATTERN)?;
    std::fs::write(PATTERN, format!("{dir}/x-%e-%s-%u-%%")).map_err(|e| e.to_string())?;
    let result = crash("/", libc::RLIM_INFINITY, abort);
    std::fs::write(PATTERN, old.trim()).map_err(|e| e.to_string())?;
    eq!(result?, libc::SIGABRT | 0x80);
    let comm = text("/proc/self/comm")?;
    ck!(std::path::Path::new(&format!("{dir}/x-{}-6-0-%", comm.trim())).exists());
    let filter = text("/proc/self/coredump_filter")?;
    eq!(filter.trim(), "00000033");
    Ok(())
}
