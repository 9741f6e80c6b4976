// SPDX-License-Identifier: GPL-2.0
//! Reading directories. Source: `getdents(2)`. Locks: the directory's `lock`, shared; the file's position.

use crate::fdtable::fdget;
use crate::file::fmode;
use crate::name::NAME_MAX;
use crate::readdir::{DirContext, DirSink};
use crate::types::FileType;
use crate::user;
use errno::{Error, Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use x86_cpu::regs::PtRegs;

/// Most bytes that are gathered before they go to the program.
const CHUNK: usize = 32768;

/// Longest entry: header, name, NUL and type, rounded up to eight.
const ENTRY_MAX: usize = (19 + NAME_MAX + 2 + 7) & !7;

/// Collects entries in the program's format.
struct Collect {
    out: KVec<u8>,
    /// The entry being made.
    entry: [u8; ENTRY_MAX],
    /// `d_type` before the name (64-bit form), else behind it.
    new_form: bool,
    error: Option<Error>,
}

impl Collect {
    /// Writes one entry; `None` if it does not fit.
    #[inline]
    fn put(&mut self, name: &[u8], ino: u64, kind: FileType, next: i64) -> Option<()> {
        // Header, name and NUL (and in the old form the type), rounded up to eight.
        let header = if self.new_form { 19 } else { 18 };
        let tail = if self.new_form { 1 } else { 2 };
        let len = (header + name.len() + tail + 7) & !7;
        if len > self.out.capacity() - self.out.len() {
            return None;
        }
        let entry = self.entry.get_mut(..len)?;
        let (head, rest) = entry.split_at_mut_checked(header)?;
        head.first_chunk_mut::<8>()?.copy_from_slice(&ino.to_le_bytes());
        head.get_mut(8..)?.first_chunk_mut::<8>()?.copy_from_slice(&next.to_le_bytes());
        head.get_mut(16..)?.first_chunk_mut::<2>()?.copy_from_slice(&(len as u16).to_le_bytes());
        let (to, padding) = rest.split_at_mut_checked(name.len())?;
        to.copy_from_slice(name);
        // At most nine bytes: a loop is shorter than a call.
        for byte in padding.iter_mut() {
            *byte = 0;
        }
        if self.new_form {
            *head.last_mut()? = kind.dirent();
        } else {
            *padding.last_mut()? = kind.dirent();
        }
        // The capacity was checked.
        self.out.extend_from_slice(self.entry.get(..len)?, GFP_KERNEL).ok()
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
    if file.mode() & fmode::READ == 0 {
        return Err(EBADF);
    }
    let inode = file.inode();
    if !inode.is_dir() {
        return Err(ENOTDIR);
    }
    let room = (count as usize).min(CHUNK);
    let mut sink =
        Collect { out: KVec::with_capacity(room, GFP_KERNEL)?, entry: [0; ENTRY_MAX], new_form, error: None };
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
    user::copy_out(to, &sink.out)?;
    *pos = next;
    Ok(sink.out.len())
}

/// `getdents64(fd, buf, count)`.
pub fn sys_getdents64(regs: &PtRegs) -> Result<usize> {
    getdents(regs.arg0(), regs.arg1(), regs.arg2() as u32, true)
}

/// `getdents(fd, buf, count)`.
pub fn sys_getdents(regs: &PtRegs) -> Result<usize> {
    getdents(regs.arg0(), regs.arg1(), regs.arg2() as u32, false)
}
