// SPDX-License-Identifier: GPL-2.0
//! Single steps and breakpoints.

use super::*;

pub(super) fn single_step() -> Outcome {
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

pub(super) fn step_handler() -> Outcome {
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

pub(super) fn watchpoint() -> Outcome {
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

pub(super) fn breakpoint() -> Outcome {
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
