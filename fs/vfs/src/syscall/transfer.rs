// SPDX-License-Identifier: GPL-2.0
//! Moving bytes from file to file inside the kernel. Source: `sendfile(2)`, `copy_file_range(2)`.

use super::remap;
use super::rw::{check_end, vfs_read, vfs_write};
use crate::fdtable::fdget;
use crate::file::{File, fmode};
use crate::filemap::write_limit;
use crate::inode::iop;
use crate::user;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVVec};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{IovIter, MAX_RW_COUNT};

/// Bytes moved at a time.
const CHUNK: usize = 65536;

/// Moves up to `count` bytes from `input` at `from` to `output` at `to`; both positions move by what arrived. What was read
/// but could not be written is read again by the next call.
fn pump(input: &File, from: &mut i64, output: &File, to: &mut i64, count: usize) -> Result<usize> {
    let mut chunk = CHUNK;
    if *to > *from && input.inode().is_reg() && Arc::ptr_eq(input.inode(), output.inode()) {
        // Within one file what was written is what is read there later, as where the page itself is passed on.
        chunk = chunk.min(usize::try_from(*to - *from).unwrap_or(CHUNK));
    }
    let mut buffer = KVVec::from_elem(0u8, count.min(chunk), GFP_KERNEL)?;
    let mut done = 0;
    while done < count {
        let want = buffer.len().min(count - done);
        let room = buffer.get_mut(..want).ok_or(EINVAL)?;
        let mut at = *from;
        let got = match vfs_read(input, &mut IovIter::kernel_dest(room), &mut at) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        };
        let bytes = buffer.get(..got).ok_or(EINVAL)?;
        let put = match vfs_write(output, &mut IovIter::kernel_source(bytes), to) {
            Ok(put) => put,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        };
        *from = from.saturating_add(put as i64);
        done += put;
        if put < got || task::current().signal_pending() {
            break;
        }
    }
    Ok(done)
}

/// Calls `f` with the file's own position if it has one.
fn with_position<R>(file: &File, f: impl FnOnce(&mut i64) -> R) -> R {
    if file.mode() & fmode::SEEK == 0 { f(&mut 0) } else { file.with_position(f) }
}

/// `sendfile(out, in, offset, count)`.
pub fn sys_sendfile(regs: &PtRegs) -> Result<usize> {
    let offset: Option<i64> = if regs.arg2() != 0 { Some(user::get(regs.arg2())?) } else { None };
    let input = fdget(regs.arg1())?;
    if input.mode() & fmode::READ == 0 {
        return Err(EBADF);
    }
    // What is wrong with the input is said before the output is looked at.
    if offset.is_some() && input.mode() & fmode::SEEK == 0 {
        return Err(ESPIPE);
    }
    let from = offset.unwrap_or_else(|| input.position());
    if from < 0 || regs.arg3().cast_signed() < 0 {
        return Err(EINVAL);
    }
    check_end(from, regs.arg3())?;
    let output = fdget(regs.arg0())?;
    if output.mode() & fmode::WRITE == 0 {
        return Err(EBADF);
    }
    // The input must be able to give the same bytes again.
    if input.mode() & fmode::SEEK == 0 || output.flags().any(uapi::O_APPEND) {
        return Err(EINVAL);
    }
    // No byte lies behind what both file systems can have.
    let most = input.inode().sb().max_bytes.min(output.inode().sb().max_bytes);
    let room = most.checked_sub(from.cast_unsigned()).filter(|room| *room != 0 || regs.arg3() == 0).ok_or(EOVERFLOW)?;
    let count = regs.arg3().min(MAX_RW_COUNT).min(usize::try_from(room).unwrap_or(usize::MAX));
    check_end(if output.mode() & fmode::SEEK == 0 { 0 } else { output.position() }, count)?;
    if let Some(mut from) = offset {
        let n = with_position(&output, |to| pump(&input, &mut from, &output, to, count))?;
        user::put(regs.arg2(), &from)?;
        return Ok(n);
    }
    if Arc::ptr_eq(&input, &output) {
        // What is read is written where it was; the one position moves once.
        let mut from = input.pos.lock();
        let mut to = *from;
        return pump(&input, &mut from, &output, &mut to, count);
    }
    input.with_position(|from| with_position(&output, |to| pump(&input, from, &output, to, count)))
}

/// How many of `len` bytes can be copied from `input` at `from` to `output` at `to`: what there is and what may be there. Errors in
/// Linux's order.
fn copy_count(input: &File, from: i64, output: &File, to: i64, len: usize) -> Result<usize> {
    let (source, target) = (input.inode(), output.inode());
    if !Arc::ptr_eq(source.sb(), target.sb()) {
        return Err(EXDEV);
    }
    if target.iflags() & iop::IMMUTABLE != 0 {
        return Err(EPERM);
    }
    if (source.iflags() | target.iflags()) & iop::SWAPFILE != 0 {
        return Err(ETXTBSY);
    }
    // As numbers without a sign: one that is negative is found here, unless there is nothing to copy.
    let wraps = |pos: i64| pos.cast_unsigned().checked_add(len as u64).is_none();
    if wraps(from) || wraps(to) {
        return Err(EOVERFLOW);
    }
    if from < 0 || to < 0 {
        return Err(EINVAL);
    }
    let left = usize::try_from(source.size().saturating_sub(from.cast_unsigned())).unwrap_or(usize::MAX);
    let count = write_limit(target, to.cast_unsigned(), len.min(left))?;
    let (first, other) = (from.cast_unsigned(), to.cast_unsigned());
    let overlaps = first < other.saturating_add(count as u64) && other < first.saturating_add(count as u64);
    if Arc::ptr_eq(source, target) && overlaps { Err(EINVAL) } else { Ok(count.min(MAX_RW_COUNT)) }
}

/// `copy_file_range(in, off_in, out, off_out, len, flags)`.
pub fn sys_copy_file_range(regs: &PtRegs) -> Result<usize> {
    let (input, output) = (fdget(regs.arg0())?, fdget(regs.arg2())?);
    let given = |address: usize, file: &File| if address == 0 { Ok(file.position()) } else { user::get(address) };
    let mut from: i64 = given(regs.arg1(), &input)?;
    let mut to: i64 = given(regs.arg3(), &output)?;
    if regs.arg5() as u32 != 0 {
        return Err(EINVAL);
    }
    remap::check_pair(&input, &output)?;
    let count = copy_count(&input, from, &output, to, regs.arg4())?;
    let n = pump(&input, &mut from, &output, &mut to, count)?;
    for (address, file, pos) in [(regs.arg1(), &input, from), (regs.arg3(), &output, to)] {
        if address == 0 {
            *file.pos.lock() = pos;
        } else {
            user::put(address, &pos)?;
        }
    }
    Ok(n)
}
