// SPDX-License-Identifier: GPL-2.0
//! `swapoff(path)`. Source: `swapoff(2)`.

use crate::{USED, device_id, file_id};
use cred::CAP_SYS_ADMIN;
use errno::{Result, code::*};
use mm::account;
use swap_map::PAGE_SIZE;
use vfs::{File, FileType};
use x86_cpu::regs::PtRegs;

/// `swapoff`: everything comes back into memory. EPERM, EINVAL, ENOMEM, EINTR, and those of `open(2)`.
pub fn sys_swapoff(regs: &PtRegs) -> Result<usize> {
    if !cred::capable(CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    let file = crate::on::open(regs.arg0())?;
    let id = id_of(&file)?;
    let area = {
        let used = USED.lock();
        let found = used.iter().find(|used| used.area.io().id() == id && !used.area.is_closing()).ok_or(EINVAL)?;
        let area = found.area.clone();
        // What was promised must be kept without it.
        let bytes = usize::try_from(area.map().good()).unwrap_or(usize::MAX).saturating_mul(PAGE_SIZE);
        account::charge(bytes)?;
        account::uncharge(bytes);
        area.close();
        area
    };
    if let Err(error) = mm::swap::empty(&area) {
        area.reopen();
        return Err(error);
    }
    area.retire();
    // The other reference is that in `USED`.
    mm::swap::wait_unused(&area, 1);
    let gone = {
        let mut used = USED.lock();
        let at = used.iter().position(|used| used.area.io().id() == id);
        at.and_then(|at| used.remove(at).ok())
    };
    drop(gone);
    Ok(0)
}

/// The identity of the area that `file` would be.
fn id_of(file: &File) -> Result<usize> {
    match file.inode().file_type() {
        FileType::Block => block::lookup(file.inode().rdev).map(|bdev| device_id(&bdev)).ok_or(EINVAL),
        FileType::Reg => Ok(file_id(file)),
        _ => Err(EINVAL),
    }
}
