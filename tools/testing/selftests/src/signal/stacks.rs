// SPDX-License-Identifier: GPL-2.0
//! Stacks of handlers.

use super::*;

extern "C" fn where_am_i(_: i32) {
    let local = 0u8;
    SAW.store(&raw const local as usize, SeqCst);
    // SAFETY: a live structure.
    unsafe {
        let mut now: libc::stack_t = core::mem::zeroed();
        libc::sigaltstack(null(), &mut now);
        CODE.store(now.ss_flags, SeqCst);
    }
}

pub(super) fn altstack() -> Outcome {
    let stack = vec![0u8; 65536];
    let base = stack.as_ptr() as usize;
    let new = libc::stack_t { ss_sp: base as *mut libc::c_void, ss_flags: 0, ss_size: stack.len() };
    c!(libc::sigaltstack(&new, null_mut()));
    handle(libc::SIGUSR1, where_am_i as *const () as usize, libc::SA_ONSTACK)?;
    c!(libc::raise(libc::SIGUSR1));
    ck!((base..base + stack.len()).contains(&SAW.load(SeqCst)));
    eq!(CODE.load(SeqCst), libc::SS_ONSTACK);
    handle(libc::SIGUSR1, where_am_i as *const () as usize, 0)?;
    c!(libc::raise(libc::SIGUSR1));
    ck!(!(base..base + stack.len()).contains(&SAW.load(SeqCst)));
    let small = libc::stack_t { ss_sp: base as *mut libc::c_void, ss_flags: 0, ss_size: 100 };
    fails!(libc::sigaltstack(&small, null_mut()), libc::ENOMEM);
    // SAFETY: as above.
    unsafe {
        let off = libc::stack_t { ss_sp: null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        c!(libc::sigaltstack(&off, null_mut()));
        let mut now: libc::stack_t = core::mem::zeroed();
        c!(libc::sigaltstack(null(), &mut now));
        eq!(now.ss_flags, libc::SS_DISABLE);
    }
    Ok(())
}

extern "C" fn leave(_: i32) {
    // SAFETY: ends the process.
    unsafe { libc::_exit(44) };
}

pub(super) fn altstack_overflow() -> Outcome {
    #[inline(never)]
    fn recurse(depth: u64) -> u64 {
        let big = [depth; 128];
        core::hint::black_box(&big);
        if depth == u64::MAX { 0 } else { recurse(depth + 1) + big[5] }
    }
    let pid = child(|| {
        let stack = vec![0u8; 65536].leak();
        let new = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: 65536 };
        // SAFETY: a live structure.
        unsafe { libc::sigaltstack(&new, null_mut()) };
        let _ = handle(libc::SIGSEGV, leave as *const () as usize, libc::SA_ONSTACK);
        recurse(0) as i32
    })?;
    eq!(exit_of(pid)?, 44);
    // Without one there is no place for the frame: the signal kills.
    let pid = child(|| {
        // SAFETY: a live structure: Rust's own alternate stack is switched off.
        unsafe {
            libc::sigaltstack(&libc::stack_t { ss_sp: null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 }, null_mut())
        };
        let _ = handle(libc::SIGSEGV, leave as *const () as usize, 0);
        recurse(0) as i32
    })?;
    eq!(signal_of(pid)?, libc::SIGSEGV);
    Ok(())
}

pub(super) fn bad_stack() -> Outcome {
    let pid = child(|| {
        let _ = on(libc::SIGUSR1, 0);
        let _ = handle(libc::SIGSEGV, libc::SIG_DFL, 0); // Rust's start-up set one, on a stack of its own
        // SAFETY: ends in a signal that cannot be delivered: no stack. Nothing runs after.
        unsafe {
            core::arch::asm!("mov rsp, 0x10", "syscall", "ud2", in("rax") libc::SYS_kill, in("rdi") libc::getpid(), in("rsi") libc::SIGUSR1,
                             options(noreturn))
        }
    })?;
    eq!(signal_of(pid)?, libc::SIGSEGV);
    Ok(())
}
