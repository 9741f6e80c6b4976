// SPDX-License-Identifier: GPL-2.0
//! A stopped task's registers as the ABI has them: `user_regs_struct`, `struct user`, and the sets of `PTRACE_GETREGSET` and of core
//! files. No locks.

use super::step::{self, TF};
use errno::Result;
use errno::code::{EFAULT, EINVAL, EIO, ENODEV};
use kalloc::KVec;
use kalloc::flags::GFP_ATOMIC;
use mm_alloc::layout::TASK_SIZE;
use task::switch::Segments;
use task::{Inspected, Task, TaskFlags};
use x86_cpu::regs::PtRegs;

/// Words of `user_regs_struct`.
pub const REGS: usize = 27;
/// Bytes of `struct user`.
const USER_SIZE: usize = 928;
/// Offset of `u_debugreg`.
const DEBUGREG: usize = 848;
/// Flags that a tracer may change: arithmetic, TF, DF, NT, RF, AC.
const FLAG_MASK: u64 = 0x5_4dd5;

/// The registers as words of `user_regs_struct`, with the segments given. `forced_tf`: the trap flag is not the program's.
pub fn words(regs: &PtRegs, segments: &Segments, forced_tf: bool) -> [u64; REGS] {
    let selectors = segments.selectors;
    let flags = if forced_tf { regs.rflags & !TF } else { regs.rflags };
    [
        regs.r15,
        regs.r14,
        regs.r13,
        regs.r12,
        regs.rbp,
        regs.rbx,
        regs.r11,
        regs.r10,
        regs.r9,
        regs.r8,
        regs.rax,
        regs.rcx,
        regs.rdx,
        regs.rsi,
        regs.rdi,
        regs.orig_rax,
        regs.rip,
        regs.cs,
        flags,
        regs.rsp,
        regs.ss,
        segments.fs_base,
        segments.gs_base,
        u64::from(selectors.ds),
        u64::from(selectors.es),
        u64::from(selectors.fs),
        u64::from(selectors.gs),
    ]
}

/// All of them.
pub(super) fn get(task: &Task, stopped: &mut Inspected<'_>) -> [u64; REGS] {
    let segments = stopped.segments();
    words(stopped.regs(), &segments, task.test_flags(TaskFlags::FORCED_TF))
}

/// Changes word `index` of `user_regs_struct`.
pub(super) fn put(task: &Task, stopped: &mut Inspected<'_>, index: usize, value: u64) -> Result {
    let regs = stopped.regs();
    let slot = match index {
        0 => &mut regs.r15,
        1 => &mut regs.r14,
        2 => &mut regs.r13,
        3 => &mut regs.r12,
        4 => &mut regs.rbp,
        5 => &mut regs.rbx,
        6 => &mut regs.r11,
        7 => &mut regs.r10,
        8 => &mut regs.r9,
        9 => &mut regs.r8,
        10 => &mut regs.rax,
        11 => &mut regs.rcx,
        12 => &mut regs.rdx,
        13 => &mut regs.rsi,
        14 => &mut regs.rdi,
        15 => &mut regs.orig_rax,
        16 => &mut regs.rip,
        19 => &mut regs.rsp,
        17 | 20 | 23..=26 => return put_selector(stopped, index, value as u16),
        18 => {
            put_flags(task, regs, value);
            return Ok(());
        }
        21 | 22 if value >= TASK_SIZE as u64 => return Err(EIO),
        21 => return if stopped.set_fs_base(value) { Ok(()) } else { Err(EIO) },
        22 => return if stopped.set_gs_base(value) { Ok(()) } else { Err(EIO) },
        _ => return Err(EIO),
    };
    *slot = value;
    Ok(())
}

/// Changes a segment selector: 0, which code and stack cannot have, or one of user mode's privilege.
fn put_selector(stopped: &mut Inspected<'_>, index: usize, selector: u16) -> Result {
    if selector != 0 && selector & 3 != 3 {
        return Err(EIO);
    }
    let mut selectors = stopped.segments().selectors;
    match index {
        17 | 20 if selector == 0 => return Err(EIO),
        17 => stopped.set_cs(selector),
        20 => stopped.set_ss(selector),
        23 => selectors.ds = selector,
        24 => selectors.es = selector,
        25 => selectors.fs = selector,
        _ => selectors.gs = selector,
    }
    stopped.set_selectors(selectors);
    Ok(())
}

fn put_flags(task: &Task, regs: &mut PtRegs, mut value: u64) {
    if value & TF != 0 {
        task.clear_flags(TaskFlags::FORCED_TF);
    } else if task.test_flags(TaskFlags::FORCED_TF) {
        value |= TF;
    }
    regs.rflags = regs.rflags & !FLAG_MASK | value & FLAG_MASK;
}

/// Bytes of a `user_regs_struct` into the registers, up to the first that is refused.
pub(super) fn put_all(task: &Task, stopped: &mut Inspected<'_>, bytes: &[u8]) -> Result {
    for (index, chunk) in bytes.chunks_exact(8).take(REGS).enumerate() {
        let word = <[u8; 8]>::try_from(chunk).map_err(|_| EIO)?;
        put(task, stopped, index, u64::from_le_bytes(word))?;
    }
    Ok(())
}

/// `PTRACE_PEEKUSER`: the word at `offset` of `struct user`.
pub(super) fn peek_user(task: &Task, stopped: &mut Inspected<'_>, offset: usize) -> Result<u64> {
    if !offset.is_multiple_of(8) || offset >= USER_SIZE {
        return Err(EIO);
    }
    if let Some(word) = get(task, stopped).get(offset / 8) {
        return Ok(*word);
    }
    Ok(match offset.checked_sub(DEBUGREG) {
        Some(at) => step::get(&stopped.debug_regs(), at / 8),
        None => 0,
    })
}

/// `PTRACE_POKEUSER`.
pub(super) fn poke_user(task: &Task, stopped: &mut Inspected<'_>, offset: usize, value: u64) -> Result {
    if !offset.is_multiple_of(8) || offset >= USER_SIZE {
        return Err(EIO);
    }
    if offset / 8 < REGS {
        return put(task, stopped, offset / 8, value);
    }
    let at = offset.checked_sub(DEBUGREG).ok_or(EIO)?;
    let mut debug = stopped.debug_regs();
    step::set(&mut debug, at / 8, value)?;
    stopped.set_debug_regs(debug);
    Ok(())
}

/// The bytes of register set `kind` (`NT_*`). `EINVAL` for a set that is not there.
pub(super) fn get_set(task: &Task, stopped: &mut Inspected<'_>, kind: u32) -> Result<KVec<u8>> {
    if kind == uapi::NT_PRSTATUS {
        let words = get(task, stopped);
        return Ok(KVec::from_slice(zerocopy::IntoBytes::as_bytes(&words), GFP_ATOMIC)?);
    }
    let fpu = stopped.fpu().ok_or(ENODEV)?;
    fpu_set(fpu, kind)
}

/// The bytes of a set of floating-point registers.
pub fn fpu_set(fpu: &mut x86_fpu::FpuState, kind: u32) -> Result<KVec<u8>> {
    if kind == uapi::NT_PRSTATUS {
        return Err(EINVAL);
    }
    let mut bytes = KVec::from_elem(0u8, set_size(kind)?, GFP_ATOMIC)?;
    fpu.user_image(&mut bytes)?;
    if kind == uapi::NT_PRFPREG
        && let Some(software) = bytes.get_mut(464..)
    {
        software.fill(0);
    }
    Ok(bytes)
}

/// Changes register set `kind`; floating-point sets only whole.
pub(super) fn put_set(task: &Task, stopped: &mut Inspected<'_>, kind: u32, bytes: &[u8]) -> Result {
    match kind {
        uapi::NT_PRSTATUS => put_all(task, stopped, bytes),
        uapi::NT_PRFPREG => stopped.fpu().ok_or(ENODEV)?.set_fxsave(bytes),
        uapi::NT_X86_XSTATE if x86_fpu::xfeatures() != 0 => {
            let fpu = stopped.fpu().ok_or(ENODEV)?;
            if bytes.len() != x86_fpu::xstate_size() { Err(EFAULT) } else { fpu.set_xsave(bytes) }
        }
        _ => Err(EINVAL),
    }
}

/// Bytes of register set `kind`, if it is there.
pub(super) fn set_size(kind: u32) -> Result<usize> {
    match kind {
        uapi::NT_PRSTATUS => Ok(REGS * 8),
        uapi::NT_PRFPREG => Ok(x86_fpu::FXSAVE_SIZE),
        uapi::NT_X86_XSTATE if x86_fpu::xfeatures() != 0 => Ok(x86_fpu::xstate_size()),
        _ => Err(EINVAL),
    }
}
