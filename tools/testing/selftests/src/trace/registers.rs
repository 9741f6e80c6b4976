// SPDX-License-Identifier: GPL-2.0
//! Registers and memory of a traced process.

use super::*;

static CONSTANT: u64 = 42;

pub(super) fn peek_poke() -> Outcome {
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

/// Memory that tracer and tracee had in common, in huge pages too, and that the tracee may not write: it alone sees what is poked.
pub(super) fn poke_shared() -> Outcome {
    const LEN: usize = 4 << 20;
    let (rw, anon) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    for advice in [libc::MADV_NOHUGEPAGE, libc::MADV_HUGEPAGE] {
        let at = c!(libc::mmap(core::ptr::null_mut(), LEN, rw, anon, -1, 0) as i64) as usize;
        // SAFETY: its own mapping. A kernel without huge pages refuses, which is as good.
        unsafe { libc::madvise(at as *mut _, LEN, advice) };
        // SAFETY: in the mapping.
        let word = |page: usize| unsafe { ((at + page * 4096) as *const u64).read_volatile() };
        for page in 0..LEN / 4096 {
            // SAFETY: in the mapping.
            unsafe { ((at + page * 4096) as *mut u64).write_volatile(page as u64) };
        }
        c!(libc::mprotect(at as *mut _, LEN, libc::PROT_READ));
        let pid = traced(|| i32::from(!(word(600) == 77 && (601..1024).all(|page| word(page) == page as u64))))?;
        c!(pt(libc::PTRACE_POKEDATA, pid, at + 600 * 4096, 77));
        eq!((peek(libc::PTRACE_PEEKDATA, pid, at + 600 * 4096)?, word(600)), (77, 600));
        cont(pid)?;
        eq!(exit_of(pid)?, 0);
        ck!((0..1024).all(|page| word(page) == page as u64));
        c!(libc::munmap(at as *mut _, LEN));
    }
    Ok(())
}

pub(super) fn registers() -> Outcome {
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

pub(super) fn register_sets() -> Outcome {
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

pub(super) fn user_area() -> Outcome {
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
