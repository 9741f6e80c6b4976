// SPDX-License-Identifier: GPL-2.0
//! The context that a handler changes.

use super::*;

extern "C" fn skip_ud2(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the third argument is a ucontext; rip is at a two-byte instruction.
    unsafe {
        let context = context.cast::<libc::ucontext_t>();
        (*context).uc_mcontext.gregs[libc::REG_RIP as usize] += 2;
        (*context).uc_mcontext.gregs[libc::REG_RBX as usize] = 0x5150;
    }
}

pub(super) fn context() -> Outcome {
    handle(libc::SIGILL, skip_ud2 as *const () as usize, libc::SA_SIGINFO)?;
    let value: u64;
    // SAFETY: the handler steps over ud2 and sets rbx, which is saved around.
    unsafe { core::arch::asm!("push rbx", "xor ebx, ebx", "ud2", "mov {0}, rbx", "pop rbx", out(reg) value) };
    eq!(value, 0x5150);
    Ok(())
}

extern "C" fn clobber(_: i32) {
    // SAFETY: only registers that a handler may change.
    unsafe {
        core::arch::asm!("pxor xmm6, xmm6", "pxor xmm15, xmm15", "xor r10d, r10d", out("xmm6") _, out("xmm15") _, out("r10") _)
    };
    COUNT.fetch_add(1, SeqCst);
}

pub(super) fn keeps_fpu() -> Outcome {
    handle(libc::SIGUSR1, clobber as *const () as usize, 0)?;
    let (pid, nr, signal) = (me() as u64, libc::SYS_kill, libc::SIGUSR1 as u64);
    let (low, high, saved): (u64, u64, u64);
    let (r15, r10): (u64, u64);
    // SAFETY: kill() of itself; every register named is declared.
    unsafe {
        core::arch::asm!(
            "movq xmm6, {a}", "movq xmm15, {b}", "mov r10, 0x1111", "mov r15, 0x2222",
            "syscall",
            "movq {a}, xmm6", "movq {b}, xmm15",
            a = inout(reg) 0x0123_4567_89ab_cdefu64 => low, b = inout(reg) 0xfedc_ba98_7654_3210u64 => high,
            inout("rax") nr => saved, in("rdi") pid, in("rsi") signal, out("rcx") _, out("r11") _, out("r10") r10, out("r15") r15,
            out("xmm6") _, out("xmm15") _,
        );
    }
    eq!(saved, 0);
    eq!(COUNT.load(SeqCst), 1);
    eq!((low, high, r10, r15), (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0x1111, 0x2222));
    Ok(())
}

/// The vector state in the frame.
///
/// # Safety
/// `context` is what a handler was given.
unsafe fn frame_fpu<'a>(context: *mut libc::c_void) -> &'a mut libc::_libc_fpstate {
    // SAFETY: by the contract; the kernel always writes the legacy part.
    unsafe { &mut *(*context.cast::<libc::ucontext_t>()).uc_mcontext.fpregs }
}

extern "C" fn set_xmm6(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let mut now = 0u32;
    // SAFETY: a handler's context, and a word to store MXCSR to.
    unsafe {
        core::arch::asm!("stmxcsr [{}]", in(reg) &raw mut now, options(nostack));
        let fpu = frame_fpu(context);
        fpu._xmm[6].element = [1, 2, 3, 4];
        VALUE.store(u64::from(now) << 32 | u64::from(fpu.mxcsr), SeqCst);
    }
}

/// What a handler writes into the frame is in the registers afterwards; it starts itself with initial ones.
pub(super) fn context_fpu() -> Outcome {
    handle(libc::SIGUSR1, set_xmm6 as *const () as usize, libc::SA_SIGINFO)?;
    let (pid, nr, signal) = (me() as u64, libc::SYS_kill, libc::SIGUSR1 as u64);
    let (changed, kept): (u64, u64);
    let (mut flush, normal) = (0x9f80u32, 0x1f80u32);
    // SAFETY: kill() of itself; every register named is declared, MXCSR is put back.
    unsafe {
        core::arch::asm!(
            "ldmxcsr [{flush}]", "movq xmm6, {a}", "movq xmm7, {a}", "syscall", "movq {a}, xmm6", "movq {b}, xmm7",
            "stmxcsr [{flush}]", "ldmxcsr [{normal}]",
            a = inout(reg) 0x77u64 => changed, b = out(reg) kept, flush = in(reg) &raw mut flush, normal = in(reg) &normal,
            inout("rax") nr => _, in("rdi") pid, in("rsi") signal, out("rcx") _, out("r11") _,
            out("xmm6") _, out("xmm7") _, options(nostack),
        );
    }
    eq!((changed, kept), (2 << 32 | 1, 0x77));
    eq!(VALUE.load(SeqCst), 0x1f80 << 32 | 0x9f80);
    eq!(flush & !0x3f, 0x9f80); // but for what raised flags
    Ok(())
}

extern "C" fn spoil_header(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: a handler's context; where there is XSAVE its header follows the 512 bytes of the legacy part.
    unsafe { core::ptr::from_mut(frame_fpu(context)).cast::<u64>().add(64).write_unaligned(u64::MAX) };
}

/// Components that do not exist named in the frame: the return is a SIGSEGV, and no trouble for the kernel. After a handler for
/// that the program goes on where the first signal found it.
pub(super) fn bad_fpu() -> Outcome {
    if !std::is_x86_feature_detected!("xsave") {
        return Err(format!("{SKIP}the CPU has no XSAVE"));
    }
    let pid = child(|| {
        let _ = handle(libc::SIGSEGV, libc::SIG_DFL, 0);
        let _ = handle(libc::SIGUSR1, spoil_header as *const () as usize, libc::SA_SIGINFO);
        // SAFETY: numbers.
        unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
        0
    })?;
    eq!(signal_of(pid)?, libc::SIGSEGV);
    let pid = child(|| {
        let _ = handle(libc::SIGSEGV, count as *const () as usize, 0);
        let _ = handle(libc::SIGUSR1, spoil_header as *const () as usize, libc::SA_SIGINFO);
        // SAFETY: numbers.
        unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
        COUNT.load(SeqCst)
    })?;
    eq!(exit_of(pid)?, 1);
    Ok(())
}
