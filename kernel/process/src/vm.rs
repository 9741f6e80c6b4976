// SPDX-License-Identifier: GPL-2.0
//! `process_vm_readv(2)` and `process_vm_writev(2)`: bytes between the caller's memory and another process's, through a buffer of a
//! page. Locks: those of the address spaces, one at a time.

use crate::access::{look_inside, may_access_realcreds};
use crate::pid;
use crate::user::read_user;
use errno::Result;
use errno::code::{EFAULT, EINVAL, EPERM, ESRCH};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVVec};
use mm::Mm;
use mm_alloc::layout::PAGE_SIZE;
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{IovIter, UserPtr};

/// Most pieces on either side (`UIO_MAXIOV`).
const MOST_PIECES: usize = 1024;

/// `process_vm_readv(2)`.
pub fn sys_process_vm_readv(regs: &PtRegs) -> Result<usize> {
    transfer(regs, false)
}

/// `process_vm_writev(2)`.
pub fn sys_process_vm_writev(regs: &PtRegs) -> Result<usize> {
    transfer(regs, true)
}

fn transfer(regs: &PtRegs, write: bool) -> Result<usize> {
    if regs.arg5() != 0 {
        return Err(EINVAL);
    }
    let mut own = IovIter::from_iovec(UserPtr::from(regs.arg1()), regs.arg2())?;
    if own.is_empty() {
        return Ok(0);
    }
    let pieces = pieces(regs.arg3(), regs.arg4())?;
    if pieces.iter().all(|[_, len]| *len == 0) {
        return Ok(0);
    }
    let mm = mm_of(regs.arg0() as u32)?;
    let mut buffer = KVVec::from_elem(0u8, PAGE_SIZE, GFP_KERNEL)?;
    let mut done = 0;
    for [mut at, mut left] in pieces {
        while left > 0 && !own.is_empty() {
            // Up to the other's next page: what comes before a hole counts.
            let part = left.min(own.count()).min(PAGE_SIZE - at % PAGE_SIZE);
            let Some(bytes) = buffer.get_mut(..part) else { return Err(EFAULT) };
            let moved = if write { push(&mm, at, &mut own, bytes) } else { pull(&mm, at, &mut own, bytes) };
            done += moved;
            if moved < part {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            at = at.saturating_add(part);
            left -= part;
        }
    }
    Ok(done)
}

fn pull(mm: &Mm, at: usize, own: &mut IovIter<'_>, bytes: &mut [u8]) -> usize {
    let got = mm.read(at, bytes, false);
    own.copy_to_iter(bytes.get(..got).unwrap_or(&[]))
}

fn push(mm: &Mm, at: usize, own: &mut IovIter<'_>, bytes: &mut [u8]) -> usize {
    let got = own.copy_from_iter(bytes);
    mm.write(at, bytes.get(..got).unwrap_or(&[]), false)
}

/// The other side's pieces: address and length.
fn pieces(vec: usize, count: usize) -> Result<KVVec<[usize; 2]>> {
    if count > MOST_PIECES {
        return Err(EINVAL);
    }
    let mut pieces = KVVec::with_capacity(count, GFP_KERNEL)?;
    for i in 0..count {
        let piece = read_user::<[usize; 2]>(vec.wrapping_add(i * size_of::<[usize; 2]>()))?;
        if isize::try_from(piece[1]).is_err() {
            return Err(EINVAL);
        }
        pieces.push(piece, GFP_KERNEL)?;
    }
    Ok(pieces)
}

fn mm_of(pid: u32) -> Result<Arc<Mm>> {
    let task = pid::find_thread_here(pid).ok_or(ESRCH)?;
    let mm = mm::mm_of(&task).ok_or(ESRCH)?;
    if mm::current_mm().is_some_and(|own| Arc::ptr_eq(&own, &mm)) {
        return Ok(mm);
    }
    drop(mm);
    look_inside(&task, may_access_realcreds, || mm::mm_of(&task))?.ok_or(EPERM)?.ok_or(ESRCH)
}
