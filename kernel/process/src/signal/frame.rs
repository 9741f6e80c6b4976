// SPDX-License-Identifier: GPL-2.0
//! The frame a handler runs on: `struct rt_sigframe` of the x86-64 ABI (`asm/ucontext.h`, `asm/sigcontext.h`), with the vector
//! state behind it. As 64-bit words: 0 return address, 1-5 the head of `ucontext`, 6-37 `sigcontext`, 38 the mask, 39-54
//! `siginfo`.

use super::{SigAction, SigInfo, SigSet};
use crate::thread::{Thread, with_thread};
use crate::user::{copy_from_user, copy_to_user};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EFAULT, EINVAL};
use x86_cpu::regs::{PtRegs, USER_CS, USER_DS};
use zerocopy::IntoBytes;

const WORDS: usize = 55;
const CONTEXT_WORDS: usize = 39;
const SIGINFO_AT: u64 = 39 * 8;
const UCONTEXT_AT: u64 = 8;
const RED_ZONE: u64 = 128;
/// `UC_FP_XSTATE | UC_SIGCONTEXT_SS`.
const UC_FLAGS: u64 = 0b011;
/// `UC_STRICT_RESTORE_SS`: what the frame says of SS is meant, however bad. Set where 64-bit code was interrupted.
const UC_STRICT_RESTORE_SS: u64 = 1 << 2;
const FLAG_DF: u64 = 1 << 10;
const FLAG_TF: u64 = 1 << 8;
const FLAG_RF: u64 = 1 << 16;
/// Flags that a program may change by `sigreturn`: CF PF AF ZF SF TF DF OF RF AC.
const USER_FLAGS: u64 = 0x5_0dd5;
const FLAG_IF: u64 = 1 << 9;
const PAGE: u64 = 4096;

/// Writes the frame and points `regs` at the handler. `EFAULT` if the stack cannot take it.
pub(super) fn setup(
    thread: &Thread,
    regs: &mut PtRegs,
    info: &SigInfo,
    action: &SigAction,
    old_mask: SigSet,
) -> Result {
    if action.flags & u64::from(uapi::SA_RESTORER) == 0 {
        return Err(EFAULT);
    }
    let altstack = [0, 1, 2].map(|i: usize| thread.altstack.get(i).map_or(0, |w| w.load(Ordering::Relaxed)));
    let [base, size, alt_flags] = altstack;
    let on_alt = regs.rsp.wrapping_sub(base) < size && size != 0;
    let disabled = alt_flags & u64::from(uapi::SS_DISABLE) != 0;
    let switch = action.flags & u64::from(uapi::SA_ONSTACK) != 0 && !disabled && !on_alt;
    let top = if switch { base.wrapping_add(size) } else { regs.rsp.wrapping_sub(RED_ZONE) };
    let fpstate = top.wrapping_sub(x86_fpu::sigframe_size() as u64) & !63;
    let frame = (fpstate.wrapping_sub((WORDS * 8) as u64) & !15).wrapping_sub(8);
    if (switch || on_alt) && frame < base {
        return Err(EFAULT);
    }
    write_fpu(fpstate)?;
    let words = build(thread, regs, info, action, old_mask, fpstate, altstack);
    copy_to_user(frame as usize, words.as_bytes())?;
    if alt_flags & u64::from(uapi::SS_AUTODISARM) != 0 && !disabled {
        for (word, value) in thread.altstack.iter().zip([0, 0, u64::from(uapi::SS_DISABLE)]) {
            word.store(value, Ordering::Relaxed);
        }
    }
    regs.rdi = u64::from(info.signo);
    regs.rsi = frame + SIGINFO_AT;
    regs.rdx = frame + UCONTEXT_AT;
    regs.rax = 0;
    regs.rip = action.handler;
    regs.rsp = frame;
    regs.rflags &= !(FLAG_DF | FLAG_TF | FLAG_RF);
    // Handlers are 64-bit code. They find the stack segment of what they interrupt, if 64-bit code can have it.
    regs.cs = USER_CS;
    make_stack_segment_valid(regs);
    // A handler starts with fresh vector registers, and a new program's rights by keys: the frame was written with those that it
    // interrupts.
    task::switch::replace_fpu(|| {
        x86_fpu::load_initial();
        Ok(())
    })
}

fn build(
    thread: &Thread,
    regs: &PtRegs,
    info: &SigInfo,
    action: &SigAction,
    old_mask: SigSet,
    fpstate: u64,
    altstack: [u64; 3],
) -> [u64; WORDS] {
    let [cr2, error, trap] = [0, 1, 2].map(|i: usize| thread.fault.get(i).map_or(0, |w| w.load(Ordering::Relaxed)));
    let [i0, i1, i2, i3, i4, i5] = info.to_words();
    [
        action.restorer,
        if regs.cs == USER_CS { UC_FLAGS | UC_STRICT_RESTORE_SS } else { UC_FLAGS },
        0,
        altstack[0],
        altstack[2] & 0xffff_ffff,
        altstack[1],
        regs.r8,
        regs.r9,
        regs.r10,
        regs.r11,
        regs.r12,
        regs.r13,
        regs.r14,
        regs.r15,
        regs.rdi,
        regs.rsi,
        regs.rbp,
        regs.rbx,
        regs.rdx,
        regs.rax,
        regs.rcx,
        regs.rsp,
        regs.rip,
        regs.rflags,
        (regs.cs & 0xffff) | (regs.ss & 0xffff) << 48,
        error,
        trap,
        old_mask.0,
        cr2,
        fpstate,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        old_mask.0,
        i0,
        i1,
        i2,
        i3,
        i4,
        i5,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]
}

/// SS, if it is no data segment that a program can write, becomes the usual one.
fn make_stack_segment_valid(regs: &mut PtRegs) {
    if regs.ss != USER_DS && !x86_cpu::segments::is_user_stack(regs.ss as u16) {
        regs.ss = USER_DS;
    }
}

/// Writes the vector state to `address`: from the registers themselves if that goes. Else the registers are saved and copied
/// with preemption off, where a page that is not there cannot be brought in: then the area is touched first.
fn write_fpu(address: u64) -> Result {
    let direct = || task::switch::with_fpu_loaded(|| x86_fpu::save_to_user(address as usize)).unwrap_or(Ok(()));
    if direct().is_ok() {
        return Ok(());
    }
    let copy = || {
        let written = task::switch::with_fpu(|fpu| {
            fpu.write_sigframe(|at, bytes| copy_to_user((address as usize).wrapping_add(at), bytes))
        });
        written.unwrap_or(Ok(()))
    };
    let size = x86_fpu::sigframe_size() as u64;
    let mut page = address;
    while page < address + size {
        copy_to_user(page as usize, &[0])?;
        page = (page & !(PAGE - 1)) + PAGE;
    }
    copy()
}

/// `rt_sigreturn(2)`: takes registers, mask and alternate stack back from the frame. A bad frame is a SIGSEGV.
pub fn sys_rt_sigreturn(_: &PtRegs) -> Result<usize> {
    let task = task::current();
    let restored = with_thread(|thread| task.with_user_regs(|regs| restore(thread, regs)));
    match restored {
        Some(Ok(rax)) => Ok(rax as usize),
        _ => {
            super::send::force(&task, SigInfo::kernel(uapi::SIGSEGV));
            Ok(0)
        }
    }
}

fn restore(thread: &Thread, regs: &mut PtRegs) -> Result<u64> {
    let mut words = [0u64; CONTEXT_WORDS];
    let frame = regs.rsp.wrapping_sub(8);
    copy_from_user(words.as_mut_bytes(), frame as usize)?;
    let [
        _,
        uc_flags,
        _,
        ss_sp,
        ss_flags,
        ss_size,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rdi,
        rsi,
        rbp,
        rbx,
        rdx,
        rax,
        rcx,
        rsp,
        rip,
        rflags,
        segments,
        _,
        _,
        _,
        _,
        fpstate,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        mask,
    ] = words;
    super::deliver::set_blocked(thread, SigSet(mask));
    (regs.r8, regs.r9, regs.r10, regs.r11) = (r8, r9, r10, r11);
    (regs.r12, regs.r13, regs.r14, regs.r15) = (r12, r13, r14, r15);
    (regs.rdi, regs.rsi, regs.rbp, regs.rbx) = (rdi, rsi, rbp, rbx);
    (regs.rdx, regs.rax, regs.rcx, regs.rsp, regs.rip) = (rdx, rax, rcx, rsp, rip);
    regs.rflags = (regs.rflags & !USER_FLAGS) | (rflags & USER_FLAGS) | FLAG_IF;
    (regs.cs, regs.ss) = (segments & 0xffff | 3, segments >> 48 | 3);
    if uc_flags & UC_STRICT_RESTORE_SS == 0 && regs.cs == USER_CS {
        make_stack_segment_valid(regs);
    }
    if regs.cs != USER_CS || regs.ss != USER_DS {
        task::current().set_flags(task::TaskFlags::IRET);
    }
    // No restart on the way out of this call.
    regs.orig_rax = u64::MAX;
    // The registers are those of the frame even if its floating-point state is none: the signal for that must not come from the
    // same call again after its handler.
    if let Err(error) = read_fpu(fpstate) {
        task::switch::with_fpu(|fpu| fpu.reset());
        return Err(error);
    }
    // As Linux: an unusable alternate stack in the frame is no error.
    let _ = super::syscalls::set_altstack(thread, regs.rsp, [ss_sp, ss_size, ss_flags & 0xffff_ffff]);
    Ok(rax)
}

fn read_fpu(address: u64) -> Result {
    if address == 0 {
        task::switch::with_fpu(|fpu| fpu.reset());
        return Ok(());
    }
    if address & 15 != 0 {
        return Err(EINVAL);
    }
    if task::switch::replace_fpu(|| x86_fpu::load_from_user(address as usize)).is_ok() {
        return Ok(());
    }
    // Bring the pages in: the copy below runs with preemption off.
    let mut page = address;
    let end = address.checked_add(x86_fpu::sigframe_size() as u64).ok_or(EFAULT)?;
    while page < end {
        if copy_from_user(&mut [0], page as usize).is_err() {
            break;
        }
        page = (page & !(PAGE - 1)) + PAGE;
    }
    let read = |offset: usize, buffer: &mut [u8]| {
        copy_from_user(buffer, (address as usize).checked_add(offset).ok_or(EFAULT)?)
    };
    task::switch::with_fpu(|fpu| fpu.read_sigframe(read)).unwrap_or(Ok(()))
}
