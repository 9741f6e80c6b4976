// SPDX-License-Identifier: GPL-2.0
//! Single steps by the trap flag, and hardware breakpoints. Source: Intel SDM volume 3, chapter 18. No locks.

use errno::Result;
use errno::code::{EINVAL, EIO, ESRCH};
use mm_alloc::layout::TASK_SIZE;
use task::{DebugRegs, State, Task, TaskFlags};
use x86_cpu::regs::PtRegs;

/// Trap flag.
pub(crate) const TF: u64 = 1 << 8;
/// Resume flag: the next instruction does not hit its breakpoint.
const RF: u64 = 1 << 16;
/// DR6: a single step.
const DR_STEP: u64 = 1 << 14;
/// DR6: breakpoints 0 to 3.
const DR_TRAPS: u64 = 0xf;
/// Bits of DR7 that are reserved.
const DR7_RESERVED: u64 = 0xffff_ffff_0000_fc00;

/// The stopped `task` runs one instruction when it goes on.
pub(super) fn enable(task: &Task) -> Result {
    task.inspect(State::TRACED, |stopped| {
        if task.test_flags(TaskFlags::SINGLESTEP) {
            // The trap that ended the last step has cleared it.
            stopped.regs().rflags |= TF;
        }
        task.set_flags(TaskFlags::SINGLESTEP);
        if stopped.regs().rflags & TF == 0 {
            stopped.regs().rflags |= TF;
            task.set_flags(TaskFlags::FORCED_TF);
        }
    })
    .ok_or(ESRCH)
}

/// The stopped `task` no longer steps.
pub(super) fn disable(task: &Task) {
    // One that is gone does not step either.
    let _ = task.inspect(State::TRACED, |stopped| stop_stepping(task, stopped.regs()));
}

/// No more steps; the trap flag goes if it was the tracer's.
pub(crate) fn stop_stepping(task: &Task, regs: &mut PtRegs) {
    task.clear_flags(TaskFlags::SINGLESTEP);
    if task.test_flags(TaskFlags::FORCED_TF) {
        task.clear_flags(TaskFlags::FORCED_TF);
        regs.rflags &= !TF;
    }
}

/// What a #DB of the current task was: the code of its `SIGTRAP`, or `None` if it was nothing. `status` is what DR6 said.
pub(crate) fn trap_code(status: u64, regs: &mut PtRegs) -> Option<u32> {
    let mut debug = task::switch::debug_regs();
    let fired = (0..4u32).filter(|n| status & 1 << n != 0 && debug.control & 0b11 << (2 * n) != 0);
    let mut hits = 0;
    for n in fired {
        hits |= 1 << n;
        if debug.control >> (16 + 4 * n) & 0b11 == 0 {
            // An instruction's breakpoint comes before it: let it run now.
            regs.rflags |= RF;
        }
    }
    let step = status & DR_STEP;
    if debug.active() || debug.status != 0 || step != 0 {
        debug.status = step | hits;
        task::switch::set_debug_regs(debug);
    }
    if step != 0 {
        Some(uapi::TRAP_TRACE)
    } else if hits != 0 {
        Some(uapi::TRAP_HWBKPT)
    } else if status & (DR_STEP | DR_TRAPS) == 0 {
        // The ICEBP instruction says nothing.
        Some(uapi::TRAP_BRKPT)
    } else {
        None
    }
}

/// `u_debugreg[n]`.
pub(super) fn get(debug: &DebugRegs, n: usize) -> u64 {
    const DR6_RESET: u64 = 0xffff_0ff0;
    match n {
        0..=3 => debug.address.get(n).copied().unwrap_or(0),
        6 => debug.status ^ DR6_RESET,
        7 => debug.control,
        _ => 0,
    }
}

/// Changes `u_debugreg[n]`.
pub(super) fn set(debug: &mut DebugRegs, n: usize, value: u64) -> Result {
    const DR6_RESET: u64 = 0xffff_0ff0;
    match n {
        0..=3 => {
            if value >= TASK_SIZE as u64 {
                return Err(EINVAL);
            }
            let mut new = *debug;
            if let Some(slot) = new.address.get_mut(n) {
                *slot = value;
            }
            check_control(&new, new.control)?;
            *debug = new;
        }
        6 => debug.status = value ^ DR6_RESET,
        7 => {
            let value = value & !DR7_RESERVED;
            check_control(debug, value)?;
            debug.control = value;
        }
        _ => return Err(EIO),
    }
    Ok(())
}

/// What the processor can do: an instruction's breakpoint has length 1, data's are aligned, I/O is not for programs.
fn check_control(debug: &DebugRegs, control: u64) -> Result {
    for (n, address) in debug.address.iter().enumerate() {
        if control & 0b11 << (2 * n) == 0 {
            continue;
        }
        let kind = control >> (16 + 4 * n) & 0b11;
        let len = control >> (18 + 4 * n) & 0b11;
        let aligned_to: u64 = match len {
            0 => 1,
            1 => 2,
            2 => 8,
            _ => 4,
        };
        if kind == 2 || kind == 0 && len != 0 || address & (aligned_to - 1) != 0 {
            return Err(EINVAL);
        }
    }
    Ok(())
}
