// SPDX-License-Identifier: GPL-2.0
//! Entries into the kernel and the ways out: SYSCALL (`syscall`), exceptions and interrupts (`vectors`), and what is done
//! before a return to user mode (`exit`).
//!
//! Rules that hold in all entry code:
//! - GS base is the kernel's (this CPU's per-CPU offset) from the `swapgs` at entry to the one at exit. Exceptions on stacks of
//!   their own (NMI, #DB, #DF, #MC) may strike outside that span and load it themselves, from their stack.
//! - IRET to user mode faults in ring 0, after the `swapgs` at exit, if the program's frame has segments that it cannot have; the
//!   entry of exceptions knows the instruction (`exit::bad_iret`).
//! - An entry from user mode leaves a complete [`PtRegs`](x86_cpu::regs::PtRegs) at the very top of the kernel stack.
//! - The stack pointer is 8 off a multiple of 16 once the frame is complete; the code realigns it before calls.

pub mod exit;
pub mod syscall;
pub(crate) mod vectors;

use core::mem::offset_of;
use x86_cpu::regs::PtRegs;

pub(crate) const RAX: usize = offset_of!(PtRegs, rax);
pub(crate) const RCX: usize = offset_of!(PtRegs, rcx);
pub(crate) const R11: usize = offset_of!(PtRegs, r11);
pub(crate) const ORIG_RAX: usize = offset_of!(PtRegs, orig_rax);
pub(crate) const RIP: usize = offset_of!(PtRegs, rip);
pub(crate) const CS: usize = offset_of!(PtRegs, cs);
pub(crate) const RFLAGS: usize = offset_of!(PtRegs, rflags);
pub(crate) const RSP: usize = offset_of!(PtRegs, rsp);
pub(crate) const SS: usize = offset_of!(PtRegs, ss);
pub(crate) const FRAME: usize = size_of::<PtRegs>();
/// Offset of the current stack top in the per-CPU TSS.
pub(crate) const TSS_RSP0: usize = offset_of!(x86_cpu::tss::Tss, rsp);
/// Where SYSCALL parks the user's stack pointer: the unused ring-2 slot.
pub(crate) const TSS_SCRATCH: usize = TSS_RSP0 + 16;
