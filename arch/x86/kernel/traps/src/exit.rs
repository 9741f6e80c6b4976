// SPDX-License-Identifier: GPL-2.0
//! The last steps before user mode: pending work of the task (signals, rescheduling, FPU registers), and making sure that the
//! frame that is about to be loaded cannot hurt the kernel, whoever wrote it. Called by entry code (`x86::entry`). No locks.

use crate::traps::VEC_GENERAL_PROTECTION;
use task::TaskFlags;
use task::hooks::{TRAP, USER_EXIT};
use x86_cpu::irqflags::{RFLAGS_IF, local_irq_disable, local_irq_enable};
use x86_cpu::regs::{PtRegs, USER_CS, USER_DS};

/// RFLAGS bits that user mode may have: arithmetic, TF, DF, NT, RF, AC, ID. NT is loaded by IRET and cleared by every entry, so
/// that no IRET of ours finds it set.
const USER_FLAGS: u64 = 0x254dd5;
/// What of a word is a selector, and the privilege of user mode in it.
const SELECTOR: u64 = 0xffff;
const RPL: u64 = 3;
/// Bit 1 of RFLAGS is always one.
const RFLAGS_FIXED: u64 = 1 << 1;
/// Flags that are work for the exit handler: tracing of system calls by itself is not, the FPU is loaded here, and the way by
/// IRET is the entry code's.
const WORK: u32 = !(TaskFlags::NEED_FPU_LOAD | TRACE | TaskFlags::FORCED_TF | TaskFlags::IRET);
/// Flags that are work once, at the end of a system call.
const TRACE: u32 = TaskFlags::SYSCALL_TRACE | TaskFlags::SINGLESTEP;

/// Does the work that the current task's flags ask for until none is left. Interrupts off at entry and at return.
/// `syscall`: the way out of a system call (restart rules apply).
pub extern "C" fn exit_to_user_work(regs: &mut PtRegs, syscall: bool) {
    let task = task::current();
    if syscall && task.test_flags(TRACE) {
        local_irq_enable();
        if let Some(handler) = USER_EXIT.get() {
            handler.syscall_exit();
        }
        local_irq_disable();
    }
    loop {
        let flags = task.flags() & WORK;
        if flags == 0 && canonical(regs.rip) {
            break;
        }
        local_irq_enable();
        if flags == 0 {
            refuse_address(regs);
        } else {
            match USER_EXIT.get() {
                Some(handler) => handler.exit_to_user(regs, flags, syscall),
                None => task.clear_flags(flags),
            }
        }
        local_irq_disable();
    }
    // Last, since the work above may have switched tasks. No interrupt can come between this and user mode.
    task::switch::load_fpu();
    if task.test_flags(TaskFlags::IRET) {
        task.clear_flags(TaskFlags::IRET);
    }
    sanitise_user_frame(regs);
}

fn canonical(address: u64) -> bool {
    ((address << 16) as i64 >> 16) as u64 == address
}

/// IRET would fault on the way to `regs.rip`, in ring 0: the program gets the signal of that fault instead.
#[cold]
fn refuse_address(regs: &mut PtRegs) {
    match TRAP.get() {
        Some(handler) => handler.user_trap(VEC_GENERAL_PROTECTION, 0, regs),
        None => regs.rip |= 0xffff_8000_0000_0000,
    }
}

/// Makes a frame harmless: a code segment of user mode, flags that user mode may have, interrupts on, a canonical address (its
/// callers have refused any other; one that comes here all the same becomes one that faults in user mode, and not IRET in ring 0).
/// Segments that are not there, or are no segments of user mode, are the program's fault (`bad_iret`).
pub fn sanitise_user_frame(regs: &mut PtRegs) {
    regs.cs = regs.cs & SELECTOR | RPL;
    regs.ss &= SELECTOR;
    regs.rflags = regs.rflags & USER_FLAGS | RFLAGS_IF | RFLAGS_FIXED;
    if !canonical(regs.rip) {
        regs.rip |= 0xffff_8000_0000_0000;
    }
}

/// Before an IRET from a system call whose frame SYSRET cannot load. Interrupts off.
pub extern "C" fn prepare_iret(regs: &mut PtRegs) {
    if canonical(regs.rip) {
        sanitise_user_frame(regs);
    } else {
        exit_to_user_work(regs, false);
    }
}

/// Sets up `regs` as a new program starts: at `ip`, with stack pointer `sp`, everything else clear (`execve`). The frame is
/// the current task's user frame, so that returning to user mode starts the program.
pub fn start_thread(regs: &mut PtRegs, ip: u64, sp: u64) {
    *regs = PtRegs {
        rip: ip,
        rsp: sp,
        cs: USER_CS,
        ss: USER_DS,
        rflags: RFLAGS_IF | RFLAGS_FIXED,
        // What a tracer sees at the end of the call.
        orig_rax: regs.orig_rax,
        ..PtRegs::default()
    };
}
