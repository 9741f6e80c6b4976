// SPDX-License-Identifier: GPL-2.0
//! The memory system calls: arguments in, one call on the current address space. Source: the manual pages named at each.

use crate::file::FILE_TABLE;
use crate::flags::Prot;
use crate::madvise::mincore_user;
use crate::mm_struct::{Mm, with_current_mm};
use crate::mmap::MapArgs;
use errno::{Result, code::*};
use kalloc::Arc;
use mm_alloc::layout::{PAGE_MASK, PAGE_SHIFT};
use x86_cpu::regs::PtRegs;

fn done(f: impl FnOnce(&Arc<Mm>) -> Result) -> Result<usize> {
    with_current_mm(|mm| f(mm).map(|()| 0))
}

/// `mmap(2)`.
pub fn sys_mmap(regs: &PtRegs) -> Result<usize> {
    let (addr, len, prot, flags) = (regs.arg0(), regs.arg1(), regs.arg2() as u32, regs.arg3() as u32);
    let (fd, offset) = (regs.arg4() as i32, regs.arg5());
    if offset & !PAGE_MASK != 0 {
        return Err(EINVAL);
    }
    let file = match flags & uapi::MAP_ANONYMOUS {
        0 => Some(FILE_TABLE.get().ok_or(EBADF)?.vm_file(fd)?),
        _ => None,
    };
    let pgoff = (offset >> PAGE_SHIFT) as u64;
    with_current_mm(|mm| mm.mmap(MapArgs { addr, len, prot: Prot(prot), flags, file, pgoff }))
}

/// `munmap(2)`.
pub fn sys_munmap(regs: &PtRegs) -> Result<usize> {
    done(|mm| mm.munmap(regs.arg0(), regs.arg1()))
}

/// `mprotect(2)`.
pub fn sys_mprotect(regs: &PtRegs) -> Result<usize> {
    done(|mm| mm.mprotect(regs.arg0(), regs.arg1(), regs.arg2() as u32))
}

/// `pkey_mprotect(2)`.
pub fn sys_pkey_mprotect(regs: &PtRegs) -> Result<usize> {
    let key = Some(regs.arg3() as i32).filter(|&key| key != -1);
    done(|mm| mm.pkey_mprotect(regs.arg0(), regs.arg1(), regs.arg2() as u32, key))
}

/// `pkey_alloc(2)`: no flags are known.
pub fn sys_pkey_alloc(regs: &PtRegs) -> Result<usize> {
    let (flags, denied) = (regs.arg0(), regs.arg1());
    if flags != 0 || denied & !((uapi::PKEY_DISABLE_ACCESS | uapi::PKEY_DISABLE_WRITE) as usize) != 0 {
        return Err(EINVAL);
    }
    with_current_mm(|mm| mm.pkey_alloc(denied as u32).map(usize::from))
}

/// `pkey_free(2)`.
pub fn sys_pkey_free(regs: &PtRegs) -> Result<usize> {
    done(|mm| mm.pkey_free(regs.arg0() as i32))
}

/// `remap_file_pages(2)`: as Linux does it now, with a mapping of its own for the pages.
pub fn sys_remap_file_pages(regs: &PtRegs) -> Result<usize> {
    let (start, size, prot) = (regs.arg0() & PAGE_MASK, regs.arg1() & PAGE_MASK, regs.arg2());
    if prot != 0 {
        return Err(EINVAL);
    }
    done(|mm| mm.remap_file_pages(start, size, regs.arg3() as u64, regs.arg4() as u32))
}

/// `mremap(2)`.
pub fn sys_mremap(regs: &PtRegs) -> Result<usize> {
    let flags = u32::try_from(regs.arg3()).map_err(|_| EINVAL)?;
    with_current_mm(|mm| mm.mremap(regs.arg0(), regs.arg1(), regs.arg2(), flags, regs.arg4()))
}

/// `brk(2)`.
pub fn sys_brk(regs: &PtRegs) -> Result<usize> {
    with_current_mm(|mm| Ok(mm.brk(regs.arg0())))
}

/// `madvise(2)`.
pub fn sys_madvise(regs: &PtRegs) -> Result<usize> {
    done(|mm| crate::swap::madvise(mm, regs.arg0(), regs.arg1(), regs.arg2() as u32))
}

/// `mincore(2)`.
pub fn sys_mincore(regs: &PtRegs) -> Result<usize> {
    with_current_mm(|mm| mincore_user(mm, regs.arg0(), regs.arg1(), regs.arg2()))
}

/// `msync(2)`.
pub fn sys_msync(regs: &PtRegs) -> Result<usize> {
    done(|mm| mm.msync(regs.arg0(), regs.arg1(), regs.arg2() as u32))
}

/// `mlock(2)`.
pub fn sys_mlock(regs: &PtRegs) -> Result<usize> {
    done(|mm| mm.mlock(regs.arg0(), regs.arg1(), false))
}

/// `mlock2(2)`.
pub fn sys_mlock2(regs: &PtRegs) -> Result<usize> {
    let flags = regs.arg2() as u32;
    if flags & !uapi::MLOCK_ONFAULT != 0 {
        return Err(EINVAL);
    }
    done(|mm| mm.mlock(regs.arg0(), regs.arg1(), flags != 0))
}

/// `munlock(2)`.
pub fn sys_munlock(regs: &PtRegs) -> Result<usize> {
    done(|mm| mm.munlock(regs.arg0(), regs.arg1()))
}

/// `mlockall(2)`.
pub fn sys_mlockall(regs: &PtRegs) -> Result<usize> {
    match regs.arg0() as u32 {
        0 => Err(EINVAL),
        flags => done(|mm| mm.mlockall(flags)),
    }
}

/// `munlockall(2)`.
pub fn sys_munlockall(_regs: &PtRegs) -> Result<usize> {
    done(|mm| mm.mlockall(0))
}
