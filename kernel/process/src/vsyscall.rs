// SPDX-License-Identifier: GPL-2.0
//! The vsyscall page, which old static programs call at a fixed address in the kernel's half. Nothing is mapped there: the fetch
//! faults, and the call is done here, if the command line says `vsyscall=xonly`. Without it there is no such page.

use crate::user::read_user;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use errno::code::EFAULT;
use x86_cpu::regs::PtRegs;

/// `VSYSCALL_ADDR`.
const PAGE: usize = 0xffff_ffff_ff60_0000;
/// The page-fault error code's bit for an instruction fetch.
const FETCH: u64 = 1 << 4;
/// Bytes from one entry to the next.
const STRIDE: usize = 1024;
const ENTRIES: usize = 3;

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Turns the page on (`vsyscall=xonly`). At boot.
pub fn enable() {
    ENABLED.store(true, Relaxed);
}

/// Whether programs have the page.
pub fn is_enabled() -> bool {
    ENABLED.load(Relaxed)
}

/// Does the call that a fault of user mode at `address` asks for. False if the fault is none.
pub(crate) fn emulate(address: usize, error_code: u64, regs: &mut PtRegs) -> bool {
    if !is_enabled() || error_code & FETCH == 0 || regs.rip as usize != address {
        return false;
    }
    let Some(offset) = address.checked_sub(PAGE).filter(|o| o % STRIDE == 0 && o / STRIDE < ENTRIES) else {
        return false;
    };
    let Some(calls) = crate::hooks::VSYSCALL.get() else { return false };
    let Ok(caller) = read_user::<u64>(regs.rsp as usize) else { return false };
    match calls.call(offset / STRIDE, regs) {
        Err(EFAULT) => return false,
        Err(error) => regs.rax = error.to_ret() as u64,
        Ok(value) => regs.rax = value as u64,
    }
    regs.rip = caller;
    regs.rsp = regs.rsp.wrapping_add(8);
    true
}
