// SPDX-License-Identifier: GPL-2.0
//! `name_to_handle_at(2)`, `open_by_handle_at(2)`. Source: `open_by_handle_at(2)`, `linux/exportfs.h`.

use super::DirFd;
use super::open::VALID_FLAGS;
use crate::fdtable::{fdget, get_unused_fd};
use crate::fs_struct::current_fs;
use crate::handle;
use crate::namei::open::open_from;
use crate::namei::{OpenHow, PathName, lflag, walk::lookup_path};
use crate::user;
use cred::CAP_DAC_READ_SEARCH;
use errno::{Result, code::*};
use uapi::AsBytes;
use x86_cpu::regs::PtRegs;

/// Most bytes of a handle (`MAX_HANDLE_SZ`), and words.
const MAX_BYTES: u32 = 128;
const MAX_WORDS: usize = MAX_BYTES as usize / 4;
/// Bytes of `struct file_handle` before the handle itself.
const HEAD: usize = 8;
/// `FILEID_INVALID`: the type of a handle that did not fit.
const INVALID: u32 = 0xff;

/// `name_to_handle_at(dirfd, name, handle, mount_id, flags)`.
pub fn sys_name_to_handle_at(regs: &PtRegs) -> Result<usize> {
    let flags = regs.arg4() as u32;
    if flags & !(uapi::AT_SYMLINK_FOLLOW | uapi::AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    let (address, mount_id) = (regs.arg2(), regs.arg3());
    let mut name = PathName::blank();
    name.read(regs.arg1(), flags & uapi::AT_EMPTY_PATH != 0)?;
    let mut walk = 0;
    if flags & uapi::AT_SYMLINK_FOLLOW != 0 {
        walk |= lflag::FOLLOW;
    }
    if flags & uapi::AT_EMPTY_PATH != 0 {
        walk |= lflag::EMPTY;
    }
    let dir = DirFd::new(regs.arg0(), &name)?;
    let path = lookup_path(dir.start(), &name, walk)?;
    let id = handle::encode(&path)?;
    let room: u32 = user::get(address)?;
    if room > MAX_BYTES {
        return Err(EINVAL);
    }
    let words = id.words();
    let size = (words.len() * 4) as u32;
    let fits = size <= room & !3;
    let head = [size, if fits { id.kind.cast_unsigned() } else { INVALID }];
    user::put(mount_id, &(path.mnt.id as i32))?;
    for (index, word) in head.iter().chain(if fits { words } else { &[] }).enumerate() {
        user::put(address.wrapping_add(index * 4), word)?;
    }
    if fits { Ok(0) } else { Err(EOVERFLOW) }
}

/// `open_by_handle_at(mount_fd, handle, flags)`.
pub fn sys_open_by_handle_at(regs: &PtRegs) -> Result<usize> {
    let address = regs.arg1();
    if !cred::capable(CAP_DAC_READ_SEARCH) {
        return Err(EPERM);
    }
    let [size, kind]: [u32; 2] = [user::get(address)?, user::get(address.wrapping_add(4))?];
    if size > MAX_BYTES || size == 0 {
        return Err(EINVAL);
    }
    let mut words = [0u32; MAX_WORDS];
    user::copy_in(address.wrapping_add(HEAD), words.as_bytes_mut().get_mut(..size as usize).ok_or(EINVAL)?)?;
    let mnt = if regs.arg0() as i32 == uapi::AT_FDCWD {
        current_fs()?.paths()?.pwd.mnt.clone()
    } else {
        fdget(regs.arg0())?.path().mnt.clone()
    };
    let path = handle::decode(mnt, kind.cast_signed(), words.get(..size as usize / 4).unwrap_or(&[]))?;
    let how = OpenHow::new(regs.arg2() as u32 & VALID_FLAGS | uapi::O_LARGEFILE, 0)?;
    let fd = get_unused_fd(how.flags.any(uapi::O_CLOEXEC))?;
    Ok(fd.install(open_from(path, &how)?) as usize)
}
