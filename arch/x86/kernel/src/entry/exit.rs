// SPDX-License-Identifier: GPL-2.0
//! The last steps before user mode: pending work of the task (signals, rescheduling, FPU registers), and making sure that the
//! frame that is about to be loaded cannot hurt the kernel, whoever wrote it.

use task::TaskFlags;
use task::hooks::USER_EXIT;
use x86_cpu::irqflags::{RFLAGS_IF, local_irq_disable, local_irq_enable};
use x86_cpu::regs::{PtRegs, USER_CS, USER_DS};

/// RFLAGS bits that user mode may have: arithmetic, TF, DF, RF, AC, ID. Not NT: IRET would fault on it.
const USER_FLAGS: u64 = 0x250dd5;
/// Bit 1 of RFLAGS is always one.
const RFLAGS_FIXED: u64 = 1 << 1;
/// Flags that are work for the exit handler: tracing of system calls by itself is not, the FPU is loaded here.
const WORK: u32 = !(TaskFlags::SYSCALL_TRACE | TaskFlags::NEED_FPU_LOAD);

/// Does the work that the current task's flags ask for until none is left. Interrupts off at entry and at return.
/// `syscall`: the way out of a system call (restart rules apply).
pub(crate) extern "C" fn exit_to_user_work(regs: &mut PtRegs, syscall: bool) {
    let task = task::current();
    loop {
        let flags = task.flags() & WORK;
        if flags == 0 {
            break;
        }
        local_irq_enable();
        match USER_EXIT.get() {
            Some(handler) => handler.exit_to_user(regs, flags, syscall),
            None => task.clear_flags(flags),
        }
        local_irq_disable();
    }
    // Last, since the work above may have switched tasks. No interrupt can come between this and user mode.
    task::switch::load_fpu();
    sanitise_user_frame(regs);
}

/// Makes a frame harmless: user selectors, flags that user mode may have, interrupts on, a canonical address (a bad one becomes
/// one that faults in user mode, and not IRET in ring 0).
pub(crate) extern "C" fn sanitise_user_frame(regs: &mut PtRegs) {
    regs.cs = USER_CS;
    regs.ss = USER_DS;
    regs.rflags = regs.rflags & USER_FLAGS | RFLAGS_IF | RFLAGS_FIXED;
    if (((regs.rip << 16) as i64) >> 16) as u64 != regs.rip {
        regs.rip |= 0xffff_8000_0000_0000;
    }
}

/// Sets up `regs` as a new program starts: at `ip`, with stack pointer `sp`, everything else clear (`execve`). The frame is
/// the current task's user frame, so that returning to user mode starts the program.
pub fn start_thread(regs: &mut PtRegs, ip: u64, sp: u64) {
    *regs =
        PtRegs { rip: ip, rsp: sp, cs: USER_CS, ss: USER_DS, rflags: RFLAGS_IF | RFLAGS_FIXED, ..PtRegs::default() };
}
