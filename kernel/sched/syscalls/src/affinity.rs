// SPDX-License-Identifier: GPL-2.0
//! `sched_setaffinity(2)` and `sched_getaffinity(2)`.

use crate::target;
use errno::Result;
use errno::code::EINVAL;
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{copy_from_user, put_user};

/// Bytes of the kernel's CPU mask: what `sched_getaffinity` returns.
const MASK_BYTES: usize = 8;

/// `sched_setaffinity(2)`.
pub fn sys_sched_setaffinity(regs: &PtRegs) -> Result<usize> {
    let mut bytes = [0; MASK_BYTES];
    let len = regs.arg1().min(MASK_BYTES);
    copy_from_user(bytes.get_mut(..len).unwrap_or_default(), regs.arg2())?;
    let task = target::find(regs.arg0())?;
    target::may_change(&task)?;
    sched::set_affinity(&task, u64::from_le_bytes(bytes))?;
    Ok(0)
}

/// `sched_getaffinity(2)`: returns the size of the mask.
pub fn sys_sched_getaffinity(regs: &PtRegs) -> Result<usize> {
    let len = regs.arg1() as u32 as usize;
    // The mask must hold every CPU there can be, in whole words.
    if len * 8 < x86_cpu::MAX_CPUS || !len.is_multiple_of(MASK_BYTES) {
        return Err(EINVAL);
    }
    let task = target::find(regs.arg0())?;
    put_user(regs.arg2(), sched::allowed_cpus(&task))?;
    Ok(MASK_BYTES)
}
