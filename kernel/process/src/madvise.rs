// SPDX-License-Identifier: GPL-2.0
//! `process_madvise(2)`: advice about another process's memory; `process_mrelease(2)`: taking it from one that was killed. Locks:
//! those of the address space.

use crate::access::{look_inside, may_access_fscreds};
use crate::pidfd::process_of_file;
use crate::thread::Process;
use errno::Result;
use errno::code::{EACCES, EINVAL, EPERM, ESRCH};
use kalloc::Arc;
use mm::Mm;
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{IovIter, UserPtr};

/// `process_madvise(pidfd, pieces, count, advice, flags)`: the bytes that were advised on, if any were before an error.
pub fn sys_process_madvise(regs: &PtRegs) -> Result<usize> {
    let advice = regs.arg3() as u32;
    if regs.arg4() as u32 != 0 {
        return Err(EINVAL);
    }
    let mut pieces = IovIter::from_iovec(UserPtr::from(regs.arg1()), regs.arg2())?;
    let process = process_of_file(&*vfs::fdget(regs.arg0())?)?;
    let task = process.leader().ok_or(ESRCH)?;
    let huge = x86_mm::huge::ENABLED && advice == uapi::MADV_COLLAPSE;
    if !huge && !matches!(advice, uapi::MADV_COLD | uapi::MADV_PAGEOUT | uapi::MADV_WILLNEED) {
        return Err(EINVAL);
    }
    if mm::with_mm_of(&task, |_| ()).is_none() {
        return Err(ESRCH);
    }
    let mm = look_inside(&task, may_access_fscreds, || mm::mm_of(&task))?.ok_or(EACCES)?.ok_or(ESRCH)?;
    if !cred::capable(cred::CAP_SYS_NICE) {
        return Err(EPERM);
    }
    let mut done = 0usize;
    while let Some((start, len)) = pieces.next_part().filter(|(_, len)| *len != 0) {
        if let Err(error) = mm::swap::madvise(&mm, start.addr(), len, advice) {
            return if done == 0 { Err(error) } else { Ok(done) };
        }
        done = done.saturating_add(len);
        pieces.advance(len);
    }
    Ok(done)
}

/// `process_mrelease(pidfd, flags)`: frees the memory of a process that was killed, before it gets to that itself. `EINVAL` while it, or
/// somebody who shares its memory, is to live; `ESRCH` if it has none any more.
pub fn sys_process_mrelease(regs: &PtRegs) -> Result<usize> {
    if regs.arg1() as u32 != 0 {
        return Err(EINVAL);
    }
    let process = process_of_file(&*vfs::fdget(regs.arg0())?)?;
    let mm = memory_of(&process)?.ok_or(ESRCH)?;
    let mut from = 1;
    while let Some((tid, leader)) = crate::pid::next_thread(from) {
        from = tid.saturating_add(1);
        let Some(other) = crate::process_of(&leader).filter(|other| other.pid() == tid) else { continue };
        let shares = Arc::ptr_eq(&other, &process) || memory_of(&other)?.is_some_and(|its| Arc::ptr_eq(&its, &mm));
        if shares && !other.ends_without_core() {
            return if mm.is_reaped() { Ok(0) } else { Err(EINVAL) };
        }
    }
    mm.release_memory();
    Ok(0)
}

/// The memory of `process`, which some of its threads may have given up already.
fn memory_of(process: &Process) -> Result<Option<Arc<Mm>>> {
    if let Some(mm) = process.leader().and_then(|leader| mm::mm_of(&leader)) {
        return Ok(Some(mm));
    }
    Ok(process.threads()?.iter().find_map(|thread| mm::mm_of(thread)))
}
