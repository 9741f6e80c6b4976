// SPDX-License-Identifier: GPL-2.0
//! Calls that nobody should use any more: `ustat(2)` and `sysfs(2)`. Source: their manual pages.

use crate::fs_type::nth_filesystem;
use crate::mount::for_each_mount;
use crate::namei::PathName;
use crate::user;
use errno::{Result, code::*};
use x86_cpu::regs::PtRegs;

/// Bytes of a `struct ustat`: free blocks (a word, padded), free inodes (a long word), two names of six bytes that are empty.
const USTAT: usize = 32;

/// `ustat(dev, ubuf)`: of the file system that is mounted from device `dev`. `EINVAL` if none is.
pub fn sys_ustat(regs: &PtRegs) -> Result<usize> {
    let mut found = None;
    for_each_mount(|mount| {
        if found.is_none() && mount.sb.dev.encode() as u32 == regs.arg0() as u32 {
            found = Some(mount.sb.clone());
        }
        Ok(())
    })?;
    let stat = found.ok_or(EINVAL)?.statfs()?;
    let mut bytes = [0; USTAT];
    let fields = [(0, u64::from(stat.bfree as u32)), (8, stat.ffree)];
    for (at, value) in fields {
        for (to, from) in bytes.iter_mut().skip(at).zip(value.to_le_bytes()) {
            *to = from;
        }
    }
    user::copy_out(regs.arg1(), &bytes)?;
    Ok(0)
}

/// The types that are known, by number.
fn types() -> impl Iterator<Item = &'static str> {
    (0..).map_while(|index| nth_filesystem(index).map(|kind| kind.map_or("", |kind| kind.get().name())))
}

/// `sysfs(option, arg1, arg2)`: the number of a type of file system (1), the name of a number (2), how many there are (3).
pub fn sys_sysfs(regs: &PtRegs) -> Result<usize> {
    match regs.arg0() as i32 {
        1 => {
            let name = PathName::from_user(regs.arg1(), true)?;
            types().position(|kind| kind.as_bytes() == name.as_bytes()).ok_or(EINVAL)
        }
        2 => {
            let name = types().nth(regs.arg1() as u32 as usize).ok_or(EINVAL)?;
            user::copy_out(regs.arg2(), name.as_bytes())?;
            user::copy_out(regs.arg2().wrapping_add(name.len()), &[0])?;
            Ok(0)
        }
        3 => Ok(types().count()),
        _ => Err(EINVAL),
    }
}
