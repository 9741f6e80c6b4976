// SPDX-License-Identifier: GPL-2.0
//! The system calls: permission, and the bytes of the file. Source: `init_module(2)`, `delete_module(2)`.

use crate::load::{Force, load};
use crate::{show, unload};
use cred::CAP_SYS_MODULE;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KVVec, KVec};
use uapi::O_TRUNC;
use vfs::FileType;
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::copy_from_user;

// Flags of `finit_module` (`linux/module.h`).
const MODULE_INIT_IGNORE_MODVERSIONS: u32 = 1;
const MODULE_INIT_IGNORE_VERMAGIC: u32 = 2;
const MODULE_INIT_COMPRESSED_FILE: u32 = 4;

/// Largest file that is read, and most that comes out of a compressed one.
const FILE_MAX: usize = 256 << 20;
/// Longest text of parameters.
const ARGS_MAX: usize = 128 << 10;
/// `MODULE_NAME_LEN` of `delete_module`.
const NAME_LEN: usize = 56;

/// Whether the caller may load and unload.
fn permitted() -> Result {
    if cred::capable(CAP_SYS_MODULE) && !show::modules_disabled() { Ok(()) } else { Err(EPERM) }
}

/// A text of a program, up to its zero byte.
fn user_text(address: usize, limit: usize) -> Result<KVec<u8>> {
    let mut text = KVec::new();
    let mut chunk = [0u8; 256];
    loop {
        let at = address.checked_add(text.len()).ok_or(EFAULT)?;
        let got = vfs::string_chunk(at, &mut chunk)?;
        text.extend_from_slice(chunk.get(..got).ok_or(EFAULT)?, GFP_KERNEL)?;
        if got < chunk.len() {
            return Ok(text);
        }
        if text.len() >= limit {
            return Err(E2BIG);
        }
    }
}

/// `init_module(image, len, args)`.
pub fn sys_init_module(regs: &PtRegs) -> Result<usize> {
    permitted()?;
    let (image, len, args) = (regs.arg0(), regs.arg1(), regs.arg2());
    if len < 64 {
        return Err(ENOEXEC);
    }
    if len > FILE_MAX {
        return Err(ENOMEM);
    }
    let mut file: KVVec<u8> = KVVec::from_elem(0, len, GFP_KERNEL)?;
    copy_from_user(&mut file, image)?;
    load(&file, &user_text(args, ARGS_MAX)?, Force::default())?;
    Ok(0)
}

/// `finit_module(fd, args, flags)`.
pub fn sys_finit_module(regs: &PtRegs) -> Result<usize> {
    permitted()?;
    let (fd, args, flags) = (regs.arg0(), regs.arg1(), regs.arg2() as u32);
    if flags & !(MODULE_INIT_IGNORE_MODVERSIONS | MODULE_INIT_IGNORE_VERMAGIC | MODULE_INIT_COMPRESSED_FILE) != 0 {
        return Err(EINVAL);
    }
    let file = read_file(fd)?;
    let force = Force {
        vermagic: flags & MODULE_INIT_IGNORE_VERMAGIC != 0,
        versions: flags & MODULE_INIT_IGNORE_MODVERSIONS != 0,
    };
    let args = user_text(args, ARGS_MAX)?;
    if flags & MODULE_INIT_COMPRESSED_FILE == 0 {
        load(&file, &args, force)?;
    } else {
        let plain = unpack(&file)?;
        drop(file);
        load(&plain, &args, force)?;
    }
    Ok(0)
}

/// All of the file behind a descriptor.
fn read_file(fd: usize) -> Result<KVVec<u8>> {
    let file = vfs::fdget(fd)?;
    if !file.flags().reads() {
        return Err(EBADF);
    }
    if file.inode().file_type() != FileType::Reg {
        return Err(EINVAL);
    }
    let size = usize::try_from(file.inode().size()).map_err(|_| EFBIG)?;
    if size == 0 {
        return Err(EINVAL);
    }
    if size > FILE_MAX {
        return Err(EFBIG);
    }
    let mut bytes: KVVec<u8> = KVVec::from_elem(0, size, GFP_KERNEL)?;
    let got = vfs::kernel_read(&file, 0, &mut bytes)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// The contents of a compressed file.
fn unpack(file: &[u8]) -> Result<KVVec<u8>> {
    let method = decompress::detect(file).ok_or(EINVAL)?;
    let mut plain: KVVec<u8> = KVVec::new();
    let result = decompress::decompress(file, method, FILE_MAX as u64, &mut |piece| {
        if plain.capacity() - plain.len() < piece.len() {
            plain.reserve(piece.len().max(plain.len()), GFP_KERNEL)?;
        }
        Ok(plain.extend_from_slice(piece, GFP_KERNEL)?)
    });
    match result {
        Ok(_) => Ok(plain),
        Err(error) => {
            klog::pr_err!("module: {} ({})", error.message(), method.name());
            Err(error.into())
        }
    }
}

/// `delete_module(name, flags)`.
pub fn sys_delete_module(regs: &PtRegs) -> Result<usize> {
    permitted()?;
    // No module has a name that is too long.
    let name = user_text(regs.arg0(), NAME_LEN).map_err(|error| if error == E2BIG { ENOENT } else { error })?;
    // O_NONBLOCK changes nothing since Linux 3.13: nobody waits.
    unload::unload(&name, regs.arg1() as u32 & O_TRUNC != 0)?;
    Ok(0)
}
