// SPDX-License-Identifier: GPL-2.0
//! Vector registers straight to and from user memory, for signal frames: no copy in between.

use crate::UserPtr;
use crate::copy::{access_ok, ex_table, user_close, user_open};
use core::arch::asm;
use errno::{Result, code::EFAULT};

/// XSAVE of the components of `mask` to `to`, which has `size` bytes and is 64-byte aligned. EFAULT: part may be written.
///
/// # Safety
/// XSAVE is enabled on this CPU, and with `mask` writes no more than `size` bytes.
pub unsafe fn xsave_to_user(to: impl Into<UserPtr>, size: usize, mask: u64) -> Result {
    let to = to.into();
    if !access_ok(to, size) || to.0 % 64 != 0 {
        return Err(EFAULT);
    }
    let failed: u32;
    // SAFETY: The address was checked; a fault goes to the fixup.
    unsafe {
        asm!(
            user_open!(),
            "2: xsave64 [{addr}]",
            "3:",
            user_close!(),
            ".pushsection .text.unlikely.uaccess, \"ax\"",
            "4: mov {failed:e}, 1",
            "jmp 3b",
            ".popsection",
            ex_table!("2b", "4b"),
            addr = in(reg) to.0,
            failed = inout(reg) 0u32 => failed,
            in("eax") mask as u32,
            in("edx") (mask >> 32) as u32,
            options(nostack),
        );
    }
    if failed == 0 { Ok(()) } else { Err(EFAULT) }
}

/// XRSTOR of the components of `mask` from `from`, which has `size` bytes. EFAULT if memory ends, is not 64-byte aligned, or
/// holds what XRSTOR refuses; the registers then hold a part of it.
///
/// # Safety
/// XSAVE is enabled on this CPU, and with `mask` reads no more than `size` bytes. The vector registers are the calling
/// program's, and preemption is off.
pub unsafe fn xrstor_from_user(from: impl Into<UserPtr>, size: usize, mask: u64) -> Result {
    let from = from.into();
    if !access_ok(from, size) || from.0 % 64 != 0 {
        return Err(EFAULT);
    }
    let failed: u32;
    // SAFETY: The address was checked; a fault, of the page or of the contents, goes to the fixup.
    unsafe {
        asm!(
            user_open!(),
            "2: xrstor64 [{addr}]",
            "3:",
            user_close!(),
            ".pushsection .text.unlikely.uaccess, \"ax\"",
            "4: mov {failed:e}, 1",
            "jmp 3b",
            ".popsection",
            ex_table!("2b", "4b"),
            addr = in(reg) from.0,
            failed = inout(reg) 0u32 => failed,
            in("eax") mask as u32,
            in("edx") (mask >> 32) as u32,
            options(nostack),
        );
    }
    if failed == 0 { Ok(()) } else { Err(EFAULT) }
}
