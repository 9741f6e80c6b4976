// SPDX-License-Identifier: GPL-2.0
//! Page faults. From user mode they all go to the fault handler of `task::hooks`. From kernel mode only code that is listed in
//! the exception table may fault: on a user address the handler may resolve it, else the fixup makes the access fail (`EFAULT`).
//! Source: Intel SDM volume 3, 4.7 (error code).

use super::oops;
use task::hooks::FAULT;
use x86_cpu::cr::read_cr2;
use x86_cpu::irqflags::{RFLAGS_IF, local_irq_disable, local_irq_enable};
use x86_cpu::regs::PtRegs;

/// Error code: a reserved bit was set in a page-table entry.
const PF_RSVD: u64 = 1 << 3;
/// First address that is not a user's.
const USER_END: usize = 1 << 47;

pub(super) fn user_page_fault(regs: &mut PtRegs, error_code: u64) {
    let address = read_cr2() as usize;
    if error_code & PF_RSVD != 0 {
        oops::die("corrupted page table", regs, error_code);
    }
    local_irq_enable();
    match FAULT.get() {
        Some(handler) => handler.user_fault(address, error_code, regs),
        None => crate::panic::panic(format_args!("page fault at {address:#x} before there is memory management")),
    }
}

pub(super) fn kernel_page_fault(regs: &mut PtRegs, error_code: u64) {
    let address = read_cr2() as usize;
    if address < USER_END && error_code & PF_RSVD == 0 && fixup_of(regs).is_some() {
        let interrupts_on = regs.rflags & RFLAGS_IF != 0;
        if interrupts_on {
            local_irq_enable();
        }
        let resolved = FAULT.get().is_some_and(|handler| handler.kernel_fault(address, error_code));
        if interrupts_on {
            local_irq_disable();
        }
        if resolved {
            return;
        }
    }
    if !apply_fixup(regs) {
        oops::page_fault(regs, address, error_code);
    }
}

/// Where the faulting instruction's fixup is, if it is in the exception table.
fn fixup_of(regs: &PtRegs) -> Option<usize> {
    x86_mm::extable::search_extable(regs.rip as usize)
}

/// Continues at the fixup of the faulting instruction. False if it has none.
pub(super) fn apply_fixup(regs: &mut PtRegs) -> bool {
    match fixup_of(regs) {
        Some(fixup) => {
            regs.rip = fixup as u64;
            true
        }
        None => false,
    }
}
