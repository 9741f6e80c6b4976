// SPDX-License-Identifier: GPL-2.0
//! The way back to user mode where it touches frames by their place; what is decided on it is `x86_traps::exit`.

use core::mem::offset_of;
use x86_cpu::regs::PtRegs;

pub(crate) use x86_traps::exit::{exit_to_user_work, prepare_iret};

/// IRET to user mode has faulted in ring 0: code or stack segment of the frame are none that user mode can have. Builds the
/// frame of an exception as if it had happened at the first instruction there, at the top of the stack, and returns it. `fault`:
/// the frame that the exception left, lower on the same stack. Interrupts off.
///
/// # Safety
/// For entry code: the fault was that of `restore_user_and_iret`'s IRET, so `rsp` is that of the frame that IRET was to load, at
/// the very top of the stack, and the other registers are the program's already.
pub(crate) unsafe extern "C" fn bad_iret(fault: *const PtRegs) -> *mut PtRegs {
    // SAFETY: By contract. The words that IRET was to load are the end of a whole frame, which the stack has room for: it has just
    // been left. It overlaps `fault`; this function's own frame lies below both.
    unsafe {
        let frame = ((*fault).rsp as usize - offset_of!(PtRegs, rip)) as *mut PtRegs;
        core::ptr::copy(fault.cast::<u8>(), frame.cast::<u8>(), offset_of!(PtRegs, rip));
        (*frame).orig_rax = u64::MAX;
        frame
    }
}
