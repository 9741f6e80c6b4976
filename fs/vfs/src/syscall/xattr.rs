// SPDX-License-Identifier: GPL-2.0
//! Extended attributes. Source: `xattr(7)`.

use crate::fdtable::fdget;
use crate::filecaps;
use crate::inode::{Inode, iop};
use crate::namei::{PathName, Start, lflag, walk::lookup_path};
use crate::path::Path;
use crate::perm::{MAY_READ, MAY_WRITE, inode_permission};
use crate::types::FileType;
use crate::user;
use cred::{CAP_SETFCAP, CAP_SYS_ADMIN};
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use x86_cpu::regs::PtRegs;

const NAME_MAX: usize = 255;
const SIZE_MAX: usize = 65536;
const LIST_MAX: usize = 65536;

fn by_name(address: usize, follow: bool) -> Result<Path> {
    let name = PathName::from_user(address, false)?;
    lookup_path(Start::Cwd, &name, if follow { lflag::FOLLOW } else { 0 })
}

/// An attribute's name.
fn attribute(address: usize) -> Result<KVec<u8>> {
    let mut name = KVec::from_elem(0u8, NAME_MAX + 1, GFP_KERNEL)?;
    let len = user::string_in(address, &mut name)?;
    if len == 0 || len > NAME_MAX {
        return Err(ERANGE);
    }
    name.truncate(len);
    Ok(name)
}

/// Who may touch an attribute, by its name space.
fn allowed(inode: &Inode, name: &[u8], mask: u32) -> Result {
    if mask & MAY_WRITE != 0 && inode.iflags() & (iop::IMMUTABLE | iop::APPEND) != 0 {
        return Err(EPERM);
    }
    if name.starts_with(b"trusted.") {
        let missing = if mask & MAY_WRITE != 0 { EPERM } else { ENODATA };
        return if cred::capable(CAP_SYS_ADMIN) { Ok(()) } else { Err(missing) };
    }
    if name.starts_with(b"system.posix_acl_") {
        return if mask & MAY_WRITE != 0 && !crate::perm::owner_or_capable(inode)? { Err(EPERM) } else { Ok(()) };
    }
    // Whose these are knows who may have them.
    if name.starts_with(b"security.") || name.starts_with(b"system.") {
        return Ok(());
    }
    if name.starts_with(b"user.") && !matches!(inode.file_type(), FileType::Reg | FileType::Dir) {
        return Err(if mask & MAY_WRITE != 0 { EPERM } else { ENODATA });
    }
    if name.starts_with(b"user.") && mask & MAY_WRITE != 0 && inode.is_dir() && inode.mode() & uapi::S_ISVTX != 0 {
        // Who may write to a sticky directory may not change the directory for all.
        if !crate::perm::owner_or_capable(inode)? {
            return Err(EPERM);
        }
    }
    inode_permission(inode, mask)
}

/// Who may change an attribute of the security modules' name space: that of file capabilities belongs to a capability of its own.
fn may_change_security(name: &[u8], removes: bool) -> Result {
    if !name.starts_with(b"security.") {
        return Ok(());
    }
    if name != filecaps::NAME {
        return if cred::capable(CAP_SYS_ADMIN) { Ok(()) } else { Err(EPERM) };
    }
    // Who sets it was asked before the value was looked at.
    if !removes || cred::capable(CAP_SETFCAP) { Ok(()) } else { Err(EPERM) }
}

fn get(path: &Path, name: usize, to: usize, size: usize) -> Result<usize> {
    let name = attribute(name)?;
    let inode = path.inode()?;
    allowed(inode, &name, MAY_READ)?;
    let mut value = inode.ops().getxattr(inode, &name)?;
    if *name == *filecaps::NAME {
        value = filecaps::shown(value)?;
    }
    put_sized(&value, to, size)
}

/// Copies to a buffer of `size` bytes, or only tells the length if that is 0.
fn put_sized(value: &[u8], to: usize, size: usize) -> Result<usize> {
    if size != 0 {
        if value.len() > size {
            return Err(ERANGE);
        }
        user::copy_out(to, value)?;
    }
    Ok(value.len())
}

fn set(path: &Path, regs: &PtRegs) -> Result<usize> {
    let _write = path.mnt.want_write()?;
    let flags = regs.arg4() as u32;
    if flags & !(uapi::XATTR_CREATE | uapi::XATTR_REPLACE) != 0 {
        return Err(EINVAL);
    }
    let name = attribute(regs.arg1())?;
    if regs.arg3() > SIZE_MAX {
        return Err(E2BIG);
    }
    let mut value = KVec::from_elem(0u8, regs.arg3(), GFP_KERNEL)?;
    user::copy_in(regs.arg2(), &mut value)?;
    let inode = path.inode()?;
    // An empty value is looked at by nobody, as on Linux.
    if *name == *filecaps::NAME && !value.is_empty() {
        filecaps::check_new(&value)?;
    }
    let _lock = inode.lock.write();
    allowed(inode, &name, MAY_WRITE)?;
    may_change_security(&name, false)?;
    filecaps::set_xattr(inode, &name, Some(&value), flags)?;
    crate::notify::path_event(path, uapi::IN_ATTRIB);
    Ok(0)
}

fn list(path: &Path, to: usize, size: usize) -> Result<usize> {
    let inode = path.inode()?;
    let names = inode.ops().listxattr(inode)?;
    if names.len() > LIST_MAX {
        return Err(E2BIG);
    }
    put_sized(&names, to, size)
}

fn remove(path: &Path, name: usize) -> Result<usize> {
    let _write = path.mnt.want_write()?;
    let name = attribute(name)?;
    let inode = path.inode()?;
    let _lock = inode.lock.write();
    allowed(inode, &name, MAY_WRITE)?;
    may_change_security(&name, true)?;
    filecaps::set_xattr(inode, &name, None, uapi::XATTR_REPLACE)?;
    crate::notify::path_event(path, uapi::IN_ATTRIB);
    Ok(0)
}

/// `getxattr(path, name, value, size)`.
pub fn sys_getxattr(regs: &PtRegs) -> Result<usize> {
    get(&by_name(regs.arg0(), true)?, regs.arg1(), regs.arg2(), regs.arg3())
}

/// `lgetxattr(path, name, value, size)`.
pub fn sys_lgetxattr(regs: &PtRegs) -> Result<usize> {
    get(&by_name(regs.arg0(), false)?, regs.arg1(), regs.arg2(), regs.arg3())
}

/// `fgetxattr(fd, name, value, size)`.
pub fn sys_fgetxattr(regs: &PtRegs) -> Result<usize> {
    get(fdget(regs.arg0())?.path(), regs.arg1(), regs.arg2(), regs.arg3())
}

/// `setxattr(path, name, value, size, flags)`.
pub fn sys_setxattr(regs: &PtRegs) -> Result<usize> {
    set(&by_name(regs.arg0(), true)?, regs)
}

/// `lsetxattr(path, name, value, size, flags)`.
pub fn sys_lsetxattr(regs: &PtRegs) -> Result<usize> {
    set(&by_name(regs.arg0(), false)?, regs)
}

/// `fsetxattr(fd, name, value, size, flags)`.
pub fn sys_fsetxattr(regs: &PtRegs) -> Result<usize> {
    set(fdget(regs.arg0())?.path(), regs)
}

/// `listxattr(path, list, size)`.
pub fn sys_listxattr(regs: &PtRegs) -> Result<usize> {
    list(&by_name(regs.arg0(), true)?, regs.arg1(), regs.arg2())
}

/// `llistxattr(path, list, size)`.
pub fn sys_llistxattr(regs: &PtRegs) -> Result<usize> {
    list(&by_name(regs.arg0(), false)?, regs.arg1(), regs.arg2())
}

/// `flistxattr(fd, list, size)`.
pub fn sys_flistxattr(regs: &PtRegs) -> Result<usize> {
    list(fdget(regs.arg0())?.path(), regs.arg1(), regs.arg2())
}

/// `removexattr(path, name)`.
pub fn sys_removexattr(regs: &PtRegs) -> Result<usize> {
    remove(&by_name(regs.arg0(), true)?, regs.arg1())
}

/// `lremovexattr(path, name)`.
pub fn sys_lremovexattr(regs: &PtRegs) -> Result<usize> {
    remove(&by_name(regs.arg0(), false)?, regs.arg1())
}

/// `fremovexattr(fd, name)`.
pub fn sys_fremovexattr(regs: &PtRegs) -> Result<usize> {
    remove(fdget(regs.arg0())?.path(), regs.arg1())
}
