// SPDX-License-Identifier: GPL-2.0
//! Setting a file's position. Source: `lseek(2)`.

use crate::file::File;
use errno::{Result, code::*};

/// For files with a size: all of `SEEK_*`, without holes but the one at the end.
pub fn generic(file: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
    let size = file.inode().size().cast_signed();
    with_size(pos, offset, whence, size, file.inode().sb().max_bytes.cast_signed())
}

/// As [`generic`], for a given size and limit.
pub fn with_size(pos: &mut i64, offset: i64, whence: u32, size: i64, max: i64) -> Result<i64> {
    let new = match whence {
        uapi::SEEK_SET => offset,
        uapi::SEEK_CUR => pos.checked_add(offset).ok_or(EINVAL)?,
        uapi::SEEK_END => size.checked_add(offset).ok_or(EINVAL)?,
        uapi::SEEK_DATA if (0..size).contains(&offset) => offset,
        uapi::SEEK_HOLE if (0..size).contains(&offset) => size,
        uapi::SEEK_DATA | uapi::SEEK_HOLE => return Err(ENXIO),
        _ => return Err(EINVAL),
    };
    if new < 0 || new > max {
        return Err(EINVAL);
    }
    *pos = new;
    Ok(new)
}

/// For directories, whose positions are their file system's own: without holes, and with `SEEK_END` only where there is an `end`.
pub fn directory(pos: &mut i64, offset: i64, whence: u32, end: Option<i64>) -> Result<i64> {
    let new = match (whence, end) {
        (uapi::SEEK_SET, _) => Some(offset),
        (uapi::SEEK_CUR, _) => pos.checked_add(offset),
        (uapi::SEEK_END, Some(end)) => end.checked_add(offset),
        _ => None,
    };
    *pos = new.filter(|new| *new >= 0).ok_or(EINVAL)?;
    Ok(*pos)
}
