// SPDX-License-Identifier: GPL-2.0
//! Exceptions: what the entry code calls with a complete frame. Faults of user programs go up through `task::hooks`; faults of
//! the kernel in code that may fault go to their fixup; everything else is an oops.
//!
//! Context: `exception_user` runs as the task on its own stack and turns interrupts on; `exception_kernel` runs in the context
//! that it interrupted; `exception_paranoid` (NMI, #DB, #DF, #MC) may have struck anywhere, takes no lock and does not sleep.

mod fault;
pub(crate) mod nmi;
pub mod oops;
pub mod stacktrace;

use task::hooks::TRAP;
use x86_cpu::irqflags::{RFLAGS_IF, local_irq_enable};
use x86_cpu::preempt::{PREEMPT, preempt_count_raw};
use x86_cpu::regs::PtRegs;

pub use nmi::{NMI_HANDLER, NmiHandler};

/// #DE.
pub const VEC_DIVIDE: u8 = 0;
/// #DB.
pub const VEC_DEBUG: u8 = 1;
/// Non-maskable interrupt.
pub const VEC_NMI: u8 = 2;
/// #BP.
pub const VEC_BREAKPOINT: u8 = 3;
/// #UD.
pub const VEC_INVALID_OPCODE: u8 = 6;
/// #NM.
pub const VEC_DEVICE_NOT_AVAILABLE: u8 = 7;
/// #DF.
pub const VEC_DOUBLE_FAULT: u8 = 8;
/// #GP.
pub const VEC_GENERAL_PROTECTION: u8 = 13;
/// #PF.
pub const VEC_PAGE_FAULT: u8 = 14;
/// #MC.
pub const VEC_MACHINE_CHECK: u8 = 18;

/// What `/proc` and oopses call an exception.
pub(crate) fn name(vector: u8) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug",
        2 => "NMI",
        3 => "int3",
        4 => "overflow",
        5 => "bounds",
        6 => "invalid opcode",
        7 => "device not available",
        8 => "double fault",
        10 => "invalid TSS",
        11 => "segment not present",
        12 => "stack segment",
        13 => "general protection fault",
        14 => "page fault",
        16 => "fpu exception",
        17 => "alignment check",
        18 => "machine check",
        19 => "simd exception",
        21 => "control protection fault",
        _ => "unknown exception",
    }
}

/// An exception in user mode. Interrupts off at entry; may sleep.
pub extern "C" fn exception_user(regs: &mut PtRegs, vector: u8, error_code: u64) {
    if vector == VEC_PAGE_FAULT {
        return fault::user_page_fault(regs, error_code);
    }
    // Before anything else can trap; #DB has no error code of its own.
    let error_code = if vector == VEC_DEBUG { task::debug_regs::take_status() } else { error_code };
    local_irq_enable();
    match TRAP.get() {
        Some(handler) => handler.user_trap(vector, error_code, regs),
        None => crate::panic::panic(format_args!("user exception {vector} before there are signals")),
    }
}

/// An exception in kernel mode on the kernel's stack. Interrupts off at entry; turned on again while it is handled if they
/// were on before.
pub extern "C" fn exception_kernel(regs: &mut PtRegs, vector: u8, error_code: u64) {
    if vector == VEC_PAGE_FAULT {
        fault::kernel_page_fault(regs, error_code);
    } else if vector == VEC_BREAKPOINT {
        klog::pr_warn!("int3 in the kernel at {:#x}", regs.rip);
    } else if !fault::apply_fixup(regs) {
        oops::die(name(vector), regs, error_code);
    }
    // Back to where interrupts were on: a reschedule may have become due meanwhile.
    if regs.rflags & RFLAGS_IF != 0 && preempt_count_raw() == 0 {
        preempt_from_interrupt();
    }
}

/// An exception on a stack of its own. From kernel mode anything may have been going on; from user mode the stack below is
/// unused, but this one is not preemptible, so no work is done here that could sleep.
pub extern "C" fn exception_paranoid(regs: &mut PtRegs, vector: u8, error_code: u64) {
    match vector {
        VEC_NMI => nmi::handle(regs),
        VEC_DEBUG => kernel_debug(regs),
        VEC_DOUBLE_FAULT => oops::double_fault(regs, error_code),
        _ => {
            oops::show_regs(regs);
            crate::panic::panic(format_args!("{}: error code {error_code:#x}", name(vector)));
        }
    }
}

/// #DB in kernel mode: a stray single step (user code set TF before SYSENTER-like entries), or a hardware breakpoint that a
/// user program set on data the kernel touched. Neither may disturb the kernel.
fn kernel_debug(regs: &mut PtRegs) {
    const RFLAGS_TF: u64 = 1 << 8;
    const RFLAGS_RF: u64 = 1 << 16;
    regs.rflags = regs.rflags & !RFLAGS_TF | RFLAGS_RF;
    let _ = task::debug_regs::take_status();
}

/// The interrupted kernel code had interrupts and preemption on, and a reschedule is due. Interrupts off at entry and return.
pub extern "C" fn preempt_from_interrupt() {
    // Interrupts stay off: one that came while they are on and preemption is, too, would preempt again, on top of this one, and on a
    // slow machine there is always another, until the stack ends.
    if let Some(scheduler) = PREEMPT.get() {
        scheduler.preempt_schedule_irq();
    }
}
