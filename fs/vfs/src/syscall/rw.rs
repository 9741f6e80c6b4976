// SPDX-License-Identifier: GPL-2.0
//! Reading, writing and seeking. Source: `read(2)`, `pread(2)`, `readv(2)`, `lseek(2)`.

use crate::fdtable::fdget;
use crate::file::{AT_END, File, fmode};
use crate::notify;
use crate::user::ptr;
use errno::{Result, code::*};
use kalloc::Arc;
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::IovIter;

/// `EINVAL` if what is to be moved would end where no position is.
#[inline(always)]
pub(super) fn check_end(pos: i64, count: usize) -> Result {
    if pos.checked_add_unsigned(count as u64).is_none() { Err(EINVAL) } else { Ok(()) }
}

/// Reads at `pos`, whatever the file's own position is. May sleep.
#[inline]
pub fn vfs_read(file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    if file.mode() & fmode::READ == 0 {
        return Err(EBADF);
    }
    check_end(*pos, to.count())?;
    let result = file.ops().read(file, to, pos);
    task_io::count(|io| {
        io.syscr.add(1);
        io.rchar.add(result.unwrap_or(0) as u64);
    });
    if result.is_ok_and(|done| done > 0) {
        notify::file_event(file, uapi::IN_ACCESS);
    }
    result
}

/// Writes at `pos`, whatever the file's own position is. May sleep.
#[inline]
pub fn vfs_write(file: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
    if file.mode() & fmode::WRITE == 0 {
        return Err(EBADF);
    }
    check_end(*pos, from.count())?;
    let result = file.ops().write(file, from, pos);
    task_io::count(|io| {
        io.syscw.add(1);
        io.wchar.add(result.unwrap_or(0) as u64);
    });
    if result.is_ok_and(|done| done > 0) {
        notify::file_event(file, uapi::IN_MODIFY);
    }
    result
}

/// Calls `f` with a position, which moves unless it fails.
#[inline(always)]
fn moving(place: &mut i64, f: impl FnOnce(&mut i64) -> Result<usize>) -> Result<usize> {
    let mut pos = *place;
    let n = f(&mut pos)?;
    *place = pos;
    Ok(n)
}

/// Reads at the file's position and moves it, unless it fails.
#[inline]
pub fn read_file(file: &File, to: &mut IovIter<'_>) -> Result<usize> {
    match file.mode() & (fmode::SEEK | fmode::POS) {
        0 => vfs_read(file, to, &mut 0),
        // A device, which may be waited for.
        fmode::SEEK => file.with_position(|pos| moving(pos, |pos| vfs_read(file, to, pos))),
        _ => moving(&mut file.pos.lock(), |pos| vfs_read(file, to, pos)),
    }
}

/// Writes at the file's position and moves it, unless it fails: at the end of a file that is appended to, too.
#[inline]
pub fn write_file(file: &File, from: &mut IovIter<'_>) -> Result<usize> {
    match file.mode() & (fmode::SEEK | fmode::POS) {
        0 => vfs_write(file, from, &mut 0),
        fmode::SEEK => file.with_position(|pos| moving(pos, |pos| vfs_write(file, from, pos))),
        _ => moving(&mut file.pos.lock(), |pos| vfs_write(file, from, pos)),
    }
}

/// `read(fd, buf, count)`.
pub fn sys_read(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    read_file(&file, &mut IovIter::user(ptr(regs.arg1()), regs.arg2())?)
}

/// `write(fd, buf, count)`.
pub fn sys_write(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    write_file(&file, &mut IovIter::user(ptr(regs.arg1()), regs.arg2())?)
}

/// A position given by the program, for a file that has positions.
fn given_position(file: &File, pos: usize) -> Result<i64> {
    let pos = pos.cast_signed() as i64;
    if pos < 0 {
        return Err(EINVAL);
    }
    if file.mode() & fmode::SEEK == 0 { Err(ESPIPE) } else { Ok(pos) }
}

/// `pread64(fd, buf, count, pos)`.
pub fn sys_pread64(regs: &PtRegs) -> Result<usize> {
    if regs.arg3().cast_signed() < 0 {
        return Err(EINVAL);
    }
    let file = fdget(regs.arg0())?;
    let mut pos = given_position(&file, regs.arg3())?;
    vfs_read(&file, &mut IovIter::user(ptr(regs.arg1()), regs.arg2())?, &mut pos)
}

/// `pwrite64(fd, buf, count, pos)`.
pub fn sys_pwrite64(regs: &PtRegs) -> Result<usize> {
    if regs.arg3().cast_signed() < 0 {
        return Err(EINVAL);
    }
    let file = fdget(regs.arg0())?;
    let mut pos = given_position(&file, regs.arg3())?;
    vfs_write(&file, &mut IovIter::user(ptr(regs.arg1()), regs.arg2())?, &mut pos)
}

/// `readv(fd, iov, count)`.
pub fn sys_readv(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    read_file(&file, &mut IovIter::from_iovec(ptr(regs.arg1()), regs.arg2())?)
}

/// `writev(fd, iov, count)`.
pub fn sys_writev(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    write_file(&file, &mut IovIter::from_iovec(ptr(regs.arg1()), regs.arg2())?)
}

/// `preadv(fd, iov, count, pos)`.
pub fn sys_preadv(regs: &PtRegs) -> Result<usize> {
    if regs.arg3().cast_signed() < 0 {
        return Err(EINVAL);
    }
    let file = fdget(regs.arg0())?;
    let mut pos = given_position(&file, regs.arg3())?;
    vfs_read(&file, &mut IovIter::from_iovec(ptr(regs.arg1()), regs.arg2())?, &mut pos)
}

/// `pwritev(fd, iov, count, pos)`.
pub fn sys_pwritev(regs: &PtRegs) -> Result<usize> {
    if regs.arg3().cast_signed() < 0 {
        return Err(EINVAL);
    }
    let file = fdget(regs.arg0())?;
    let mut pos = given_position(&file, regs.arg3())?;
    vfs_write(&file, &mut IovIter::from_iovec(ptr(regs.arg1()), regs.arg2())?, &mut pos)
}

/// The flags of `preadv2` and `pwritev2` that all files know.
const RWF_KNOWN: u32 = uapi::RWF_HIPRI | uapi::RWF_DSYNC | uapi::RWF_SYNC | uapi::RWF_APPEND;

/// The flags of `preadv2` and `pwritev2`. What needs support of the file itself is refused, as by a file without it.
fn check_rwf(flags: u32, known: u32) -> Result {
    if flags & !known != 0 { Err(EOPNOTSUPP) } else { Ok(()) }
}

/// What `preadv2` and `pwritev2` work on. The flags are looked at last, and only if there is something to move.
struct Positioned {
    file: Arc<File>,
    /// `None`: the file's own position.
    pos: Option<i64>,
    iter: IovIter<'static>,
}

impl Positioned {
    fn new(regs: &PtRegs, mode: u32) -> Result<Self> {
        let pos = regs.arg3().cast_signed();
        if pos < -1 {
            return Err(EINVAL);
        }
        let file = fdget(regs.arg0())?;
        let pos = if pos == -1 { None } else { Some(given_position(&file, regs.arg3())?) };
        let iter = IovIter::from_iovec(ptr(regs.arg1()), regs.arg2())?;
        if file.mode() & mode == 0 { Err(EBADF) } else { Ok(Self { file, pos, iter }) }
    }
}

/// `preadv2(fd, iov, count, pos, _, flags)`: position -1 is the file's own.
pub fn sys_preadv2(regs: &PtRegs) -> Result<usize> {
    let Positioned { file, pos, mut iter } = Positioned::new(regs, fmode::READ)?;
    if iter.is_empty() {
        return Ok(0);
    }
    check_end(pos.unwrap_or_else(|| file.position()), iter.count())?;
    check_rwf(regs.arg5() as u32, RWF_KNOWN)?;
    match pos {
        Some(mut pos) => vfs_read(&file, &mut iter, &mut pos),
        None => read_file(&file, &mut iter),
    }
}

/// `pwritev2(fd, iov, count, pos, _, flags)`: position -1 is the file's own.
pub fn sys_pwritev2(regs: &PtRegs) -> Result<usize> {
    let Positioned { file, pos, mut iter } = Positioned::new(regs, fmode::WRITE)?;
    if iter.is_empty() {
        return Ok(0);
    }
    check_end(pos.unwrap_or_else(|| file.position()), iter.count())?;
    check_rwf(regs.arg5() as u32, RWF_KNOWN)?;
    let n = match pos {
        pos if appends(&file, regs.arg5() as u32) => append(&file, &mut iter, pos.is_none())?,
        Some(mut pos) => vfs_write(&file, &mut iter, &mut pos)?,
        None => write_file(&file, &mut iter)?,
    };
    if regs.arg5() as u32 & (uapi::RWF_DSYNC | uapi::RWF_SYNC) != 0 {
        file.fsync(regs.arg5() as u32 & uapi::RWF_SYNC == 0)?;
    }
    Ok(n)
}

/// Whether `RWF_*` flags send a write to the end of `file`: what is no regular file has no end to write at, and takes the position as
/// it is.
pub fn appends(file: &File, flags: u32) -> bool {
    flags & uapi::RWF_APPEND != 0 && file.mode() & fmode::SEEK != 0 && file.inode().is_reg()
}

/// Writes at the end; if `own`, the file's own position goes there, too.
pub fn append(file: &File, from: &mut IovIter<'_>, own: bool) -> Result<usize> {
    let mut end = AT_END;
    if !own {
        return vfs_write(file, from, &mut end);
    }
    let mut pos = file.pos.lock();
    let n = vfs_write(file, from, &mut end)?;
    if n != 0 {
        // Files of text that is made when it is read have no end either; they leave the mark.
        *pos = if end >= 0 { end } else { pos.saturating_add(n as i64) };
    }
    Ok(n)
}

/// `lseek(fd, offset, whence)`.
pub fn sys_lseek(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    let whence = regs.arg2() as u32;
    if whence > uapi::SEEK_MAX {
        return Err(EINVAL);
    }
    if file.mode() & fmode::SEEK == 0 {
        return Err(ESPIPE);
    }
    let mut pos = file.pos.lock();
    let new = file.ops().llseek(&file, &mut pos, regs.arg1().cast_signed() as i64, whence)?;
    Ok(new.cast_unsigned() as usize)
}
