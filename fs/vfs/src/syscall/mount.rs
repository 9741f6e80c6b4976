// SPDX-License-Identifier: GPL-2.0
//! Mounting. Source: `mount(2)`, `umount(2)`, `pivot_root(2)`. The work is in `crate::mounting`.

use crate::mounting::{self, Unmount};
use crate::namei::{PathName, Start, lflag, walk::lookup_path};
use crate::user;
use cred::CAP_SYS_ADMIN;
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use x86_cpu::regs::PtRegs;

const PAGE: usize = mm_alloc::layout::PAGE_SIZE;

/// A string argument of fewer than `most` bytes; `None` for a null pointer. `EINVAL` if it is longer.
pub(super) fn string(address: usize, most: usize) -> Result<Option<KVec<u8>>> {
    if address == 0 {
        return Ok(None);
    }
    let mut text = KVec::from_elem(0u8, most, GFP_KERNEL)?;
    let len = user::string_in(address, &mut text)?;
    if len == most {
        return Err(EINVAL);
    }
    text.truncate(len);
    Ok(Some(text))
}

/// The options: a page of which the program may have mapped less.
fn options(address: usize) -> Result<KVec<u8>> {
    if address == 0 {
        return Ok(KVec::new());
    }
    let mut text = KVec::from_elem(0u8, PAGE, GFP_KERNEL)?;
    let to_end = PAGE - address % PAGE;
    let first = text.get_mut(..to_end).ok_or(EFAULT)?;
    user::copy_in(address, first)?;
    if let Some(rest) = text.get_mut(to_end..) {
        // The next page is taken if it is there.
        let _ = user::copy_in(address.wrapping_add(to_end), rest);
    }
    let len = text.iter().position(|&byte| byte == 0).unwrap_or(PAGE - 1);
    text.truncate(len);
    Ok(text)
}

/// `mount(source, target, type, flags, data)`.
pub fn sys_mount(regs: &PtRegs) -> Result<usize> {
    const MAGIC: u32 = 0xc0ed_0000;
    let fs_type = string(regs.arg2(), PAGE)?.unwrap_or_default();
    let source = string(regs.arg0(), PAGE)?.unwrap_or_default();
    let data = options(regs.arg4())?;
    let mut flags = regs.arg3() as u32;
    if flags & 0xffff_0000 == MAGIC {
        flags &= 0xffff;
    }
    let name = PathName::from_user(regs.arg1(), false)?;
    let target = lookup_path(Start::Cwd, &name, lflag::FOLLOW)?;
    if !cred::capable(CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    mounting::do_mount(&source, target, &fs_type, flags, &data).map(|()| 0)
}

/// `umount2(target, flags)`.
pub fn sys_umount2(regs: &PtRegs) -> Result<usize> {
    const MNT_FORCE: u32 = 1;
    const MNT_DETACH: u32 = 2;
    const MNT_EXPIRE: u32 = 4;
    const UMOUNT_NOFOLLOW: u32 = 8;
    let flags = regs.arg1() as u32;
    if flags & !(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 {
        return Err(EINVAL);
    }
    let name = PathName::from_user(regs.arg0(), false)?;
    let walk = if flags & UMOUNT_NOFOLLOW == 0 { lflag::FOLLOW } else { 0 };
    let expire = if flags & MNT_EXPIRE != 0 { lflag::KEEP_EXPIRY } else { 0 };
    let path = lookup_path(Start::Cwd, &name, walk | expire)?;
    if !cred::capable(CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    let how = match flags & (MNT_EXPIRE | MNT_DETACH | MNT_FORCE) {
        MNT_EXPIRE => Unmount::Expired,
        both if both & MNT_EXPIRE != 0 => return Err(EINVAL),
        // No file system here has requests under way that could be broken off.
        other if other & MNT_DETACH != 0 => Unmount::Lazy,
        _ => Unmount::Idle,
    };
    mounting::umount(path, how).map(|()| 0)
}

/// `pivot_root(new_root, put_old)`.
pub fn sys_pivot_root(regs: &PtRegs) -> Result<usize> {
    if !cred::capable(CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    let new = PathName::from_user(regs.arg0(), false)?;
    let put = PathName::from_user(regs.arg1(), false)?;
    let new = lookup_path(Start::Cwd, &new, lflag::FOLLOW | lflag::DIRECTORY)?;
    let put = lookup_path(Start::Cwd, &put, lflag::FOLLOW | lflag::DIRECTORY)?;
    mounting::pivot_root(&new, &put).map(|()| 0)
}
