// SPDX-License-Identifier: GPL-2.0
//! Stops at system calls.

use super::*;

const SYSEMU: u32 = 31;

pub(super) fn syscall_stops() -> Outcome {
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

pub(super) fn syscall_changed() -> Outcome {
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

pub(super) fn sysemu() -> Outcome {
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

pub(super) fn syscall_info() -> Outcome {
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
