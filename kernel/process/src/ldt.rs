// SPDX-License-Identifier: GPL-2.0
//! `modify_ldt(2)`: a program's own segments. The tables themselves are `x86_mm::ldt`'s; which one is in force `mm` knows. A writer
//! copies the table, changes the copy and tries again if another was faster.

use crate::user::{copy_to_user, read_user};
use core::num::Wrapping;
use errno::Result;
use errno::code::{EFAULT, EINVAL, ENOSYS};
use x86_cpu::regs::PtRegs;
use x86_mm::ldt::LDT_ENTRIES;
use x86_mm::{Ldt, UserDesc, UserPtr, clear_user};
use zerocopy::IntoBytes;

/// Bytes of a descriptor.
const ENTRY_SIZE: usize = 8;
/// Bytes that the table of before the first write is said to have.
const DEFAULT_SIZE: usize = 128;

/// `modify_ldt(2)`. As in Linux the result is an `int`: an error has the upper half clear, and is a number to who looks at all 64
/// bits.
pub fn sys_modify_ldt(regs: &PtRegs) -> Result<usize> {
    let (function, address, size) = (regs.arg0() as i32, regs.arg1(), regs.arg2());
    let result = match function {
        0 => read(address, size),
        1 => write(address, size, true),
        2 => clear(address, size.min(DEFAULT_SIZE)),
        0x11 => write(address, size, false),
        _ => Err(ENOSYS),
    };
    let value = result.unwrap_or_else(|error| error.to_ret() as usize);
    Ok(value as u32 as usize)
}

/// Writes the table, and zeros behind its end up to `size` bytes.
fn read(address: usize, size: usize) -> Result<usize> {
    mm::with_current_mm(|mm| {
        let Some(ldt) = mm.ldt() else { return Ok(0) };
        let size = size.min(LDT_ENTRIES * ENTRY_SIZE);
        let bytes = ldt.entries().as_bytes();
        let bytes = bytes.get(..size).unwrap_or(bytes);
        copy_to_user(address, bytes)?;
        clear((Wrapping(address) + Wrapping(bytes.len())).0, size - bytes.len())?;
        Ok(size)
    })
}

fn clear(address: usize, size: usize) -> Result<usize> {
    if clear_user(UserPtr::from(address), size) == 0 { Ok(size) } else { Err(EFAULT) }
}

/// Changes one entry. `old`: the first form of the call.
fn write(address: usize, size: usize, old: bool) -> Result<usize> {
    if size != size_of::<[u32; 4]>() {
        return Err(EINVAL);
    }
    let desc = UserDesc::new(read_user(address)?);
    mm::with_current_mm(|mm| {
        loop {
            let before = mm.ldt();
            let changed = Ldt::changed(before.as_deref(), &desc, old)?;
            if mm.replace_ldt(before.as_ref(), changed) {
                return Ok(0);
            }
        }
    })
}
