// SPDX-License-Identifier: GPL-2.0
//! The requests that share blocks between files (`ioctl_ficlone(2)`, `ioctl_fideduperange(2)`). No file system here can share:
//! after the checks that come before, the answer is that of Linux's file systems without `remap_file_range`.

use crate::fdtable::fdget;
use crate::file::{File, fmode};
use crate::user;
use errno::{Result, code::*};

/// `_IOW(0x94, 9, int)`.
pub(super) const FICLONE: u32 = 0x4004_9409;
/// `_IOW(0x94, 13, struct file_clone_range)`.
pub(super) const FICLONERANGE: u32 = 0x4020_940d;
/// `_IOWR(0x94, 54, struct file_dedupe_range)`.
pub(super) const FIDEDUPERANGE: u32 = 0xc018_9436;

/// Checks a pair of files that bytes are to go between without passing through the program. `EISDIR`, `EINVAL`, `EBADF`.
pub(super) fn check_pair(input: &File, output: &File) -> Result {
    for file in [input, output] {
        if file.inode().is_dir() {
            return Err(EISDIR);
        }
    }
    for file in [input, output] {
        if !file.inode().is_reg() || file.is_anon() {
            return Err(EINVAL);
        }
    }
    if input.mode() & fmode::READ == 0 || output.mode() & fmode::WRITE == 0 || output.flags().any(uapi::O_APPEND) {
        return Err(EBADF);
    }
    Ok(())
}

/// `FICLONE`: all of file `source` into `to`.
pub(super) fn clone(to: &File, source: usize) -> Result<usize> {
    let from = fdget(source)?;
    if from.inode().sb().dev != to.inode().sb().dev {
        return Err(EXDEV);
    }
    check_pair(&from, to)?;
    Err(EOPNOTSUPP)
}

/// `FICLONERANGE`: a part of a file.
pub(super) fn clone_range(to: &File, arg: usize) -> Result<usize> {
    // `src_fd` (its low half counts), `src_offset`, `src_length`, `dest_offset`.
    let [source, ..]: [u64; 4] = user::get(arg)?;
    clone(to, source as u32 as usize)
}

/// `FIDEDUPERANGE`: parts of other files that hold the same.
pub(super) fn dedupe_range(from: &File, arg: usize) -> Result<usize> {
    /// Bytes of the header and of one destination.
    const SIZE: (usize, usize) = (24, 32);
    let [_, _, counts]: [u64; 3] = user::get(arg)?;
    let (count, reserved) = (counts as u16 as usize, counts >> 16);
    if SIZE.0 + count * SIZE.1 > 4096 {
        return Err(ENOMEM);
    }
    if from.mode() & fmode::READ == 0 || reserved != 0 {
        return Err(EINVAL);
    }
    if from.inode().is_dir() {
        return Err(EISDIR);
    }
    if !from.inode().is_reg() || from.is_anon() {
        return Err(EINVAL);
    }
    Err(EOPNOTSUPP)
}
