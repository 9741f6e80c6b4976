// SPDX-License-Identifier: GPL-2.0
//! Reading directories. Source: `getdents(2)`. Locks: the directory's `lock`, shared; the file's position.

use crate::fdtable::fdget;
use crate::readdir::{DirContext, DirSink};
use crate::types::FileType;
use crate::user;
use errno::{Error, Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use x86_cpu::regs::PtRegs;
use zerocopy::IntoBytes;

/// Most bytes that are gathered before they go to the program.
const CHUNK: usize = 32768;

/// Collects entries in the program's format, as words of eight bytes: each entry is a whole number of them.
struct Collect {
    out: KVec<u64>,
    /// Words there is room for.
    room: usize,
    /// `d_type` before the name (64-bit form), else in the entry's last byte.
    new_form: bool,
    error: Option<Error>,
}

/// Up to eight bytes as a zero-padded word, with few loads: two that may overlap.
#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    if let Some(all) = bytes.first_chunk::<8>() {
        return u64::from_le_bytes(*all);
    }
    if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let shift = 8 * (bytes.len() - 4);
        return u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << shift;
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

impl Collect {
    /// Writes one entry; `None` if it does not fit. Words: inode, next position, then length (16 bits), in the new form the type
    /// (8 bits), the name and zeroes; at least one byte behind the name, two in the old form, whose last is the type.
    #[inline]
    fn put(&mut self, name: &[u8], ino: u64, kind: FileType, next: i64) -> Option<()> {
        let kind = u64::from(kind.dirent());
        let (shift, tail) = if self.new_form { (24, 1) } else { (16, 2) };
        let words = (shift / 8 + name.len() + tail).div_ceil(8);
        if 2 + words > self.room - self.out.len() {
            return None;
        }
        self.out.push_within_capacity(ino).ok()?;
        self.out.push_within_capacity(next.cast_unsigned()).ok()?;
        let mut carry = ((2 + words) * 8) as u64 | if self.new_form { kind << 16 } else { 0 };
        let mut rest = name;
        for _ in 1..words {
            let part = word(rest);
            self.out.push_within_capacity(carry | part << shift).ok()?;
            carry = part >> (64 - shift);
            rest = rest.get(8..).unwrap_or(&[]);
        }
        let last = carry | word(rest) << shift | if self.new_form { 0 } else { kind << 56 };
        self.out.push_within_capacity(last).ok()
    }
}

impl DirSink for Collect {
    fn entry(&mut self, name: &[u8], ino: u64, kind: FileType, next: i64) -> bool {
        let fits = self.put(name, ino, kind, next).is_some();
        if !fits && self.out.is_empty() {
            self.error = Some(EINVAL);
        }
        fits
    }
}

fn getdents(fd: usize, to: usize, count: u32, new_form: bool) -> Result<usize> {
    let file = fdget(fd)?;
    let inode = file.inode();
    // A directory is always open for reading.
    if !inode.is_dir() {
        return Err(ENOTDIR);
    }
    let room = (count as usize).min(CHUNK) / 8;
    let mut sink = Collect { out: KVec::with_capacity(room, GFP_KERNEL)?, room, new_form, error: None };
    let mut pos = file.pos.lock();
    let result = {
        let _lock = inode.lock.read();
        if inode.nlink() == 0 {
            return Err(ENOENT);
        }
        let mut context = DirContext::new(*pos, &mut sink);
        let result = file.ops().iterate(&file, &mut context);
        (result, context.pos)
    };
    file.accessed();
    crate::notify::file_event(&file, uapi::IN_ACCESS);
    let (result, next) = result;
    if sink.out.is_empty() {
        result?;
        return match sink.error {
            Some(error) => Err(error),
            None => {
                *pos = next;
                Ok(0)
            }
        };
    }
    user::copy_out(to, sink.out.as_bytes())?;
    *pos = next;
    Ok(sink.out.len() * 8)
}

/// `getdents64(fd, buf, count)`.
pub fn sys_getdents64(regs: &PtRegs) -> Result<usize> {
    getdents(regs.arg0(), regs.arg1(), regs.arg2() as u32, true)
}

/// `getdents(fd, buf, count)`.
pub fn sys_getdents(regs: &PtRegs) -> Result<usize> {
    getdents(regs.arg0(), regs.arg1(), regs.arg2() as u32, false)
}
