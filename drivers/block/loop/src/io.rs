// SPDX-License-Identifier: GPL-2.0
//! Requests of a device: they wait in a list, and one worker after the other reads and writes the file.

use crate::device::Device;
use kernel::block::blk_mq::Request;
use kernel::block::{Op, OpFlags};
use kernel::filesystem::vfs::{File, tasks};
use kernel::prelude::*;

const PAGE: usize = 4096;
const FALLOC_FL_KEEP_SIZE: u32 = 1;
const FALLOC_FL_PUNCH_HOLE: u32 = 2;
const FALLOC_FL_ZERO_RANGE: u32 = 16;

impl Device {
    /// Serves what waits, until nothing does. In a worker; may sleep.
    pub(crate) fn serve(&self) {
        while let Some(request) = self.next_request() {
            let result = self.backing().and_then(|(file, direct, offset)| transfer(&file, direct, offset, &request));
            request.complete(result);
        }
    }
}

fn transfer(file: &File, direct: bool, offset: u64, request: &Request) -> Result {
    let at = request.sector().checked_mul(512).and_then(|at| at.checked_add(offset)).ok_or(EIO)?;
    match request.op() {
        Op::Read if direct => read_direct(file, at, request),
        Op::Read => read(file, at, request),
        Op::Write => {
            if direct {
                write_direct(file, at, request)?
            } else {
                write(file, at, request)?
            }
            if request.flags().has(OpFlags::FUA) { sync(file) } else { Ok(()) }
        }
        Op::Flush => sync(file),
        Op::Discard => fallocate(file, FALLOC_FL_PUNCH_HOLE, at, request.len()),
        Op::WriteZeroes if request.flags().has(OpFlags::NOUNMAP) => {
            fallocate(file, FALLOC_FL_ZERO_RANGE, at, request.len())
        }
        Op::WriteZeroes => fallocate(file, FALLOC_FL_PUNCH_HOLE, at, request.len()),
        Op::SecureErase => Err(EOPNOTSUPP),
    }
}

fn sync(file: &File) -> Result {
    match file.ops().fsync(file, false) {
        // Files that have nothing to sync.
        Ok(()) | Err(EINVAL) => Ok(()),
        Err(_) => Err(EIO),
    }
}

fn fallocate(file: &File, mode: u32, at: u64, len: u64) -> Result {
    match file.ops().fallocate(file, mode | FALLOC_FL_KEEP_SIZE, at, len) {
        Err(error) if error != EINVAL && error != EOPNOTSUPP => Err(EIO),
        result => result,
    }
}

fn read(file: &File, mut at: u64, request: &Request) -> Result {
    let mut buffer = KVec::from_elem(0u8, PAGE, GFP_NOIO)?;
    for piece in request.segments() {
        let bytes = buffer.get_mut(..piece.len as usize).ok_or(EIO)?;
        let done = tasks::kernel_read(file, i64::try_from(at)?, bytes)?;
        // A file that became shorter reads as zeros.
        if let Some(rest) = bytes.get_mut(done..) {
            rest.fill(0);
        }
        piece.page.write(piece.offset as usize, bytes)?;
        at += u64::from(piece.len);
    }
    Ok(())
}

fn write(file: &File, mut at: u64, request: &Request) -> Result {
    let mut buffer = KVec::from_elem(0u8, PAGE, GFP_NOIO)?;
    for piece in request.segments() {
        let bytes = buffer.get_mut(..piece.len as usize).ok_or(EIO)?;
        piece.page.read(piece.offset as usize, bytes)?;
        tasks::kernel_write(file, i64::try_from(at)?, bytes)
            .map_err(|error| if error == ENOSPC { ENOSPC } else { EIO })?;
        at += u64::from(piece.len);
    }
    Ok(())
}

/// All of a request at once, past the file's cache.
fn read_direct(file: &File, at: u64, request: &Request) -> Result {
    let mut buffer = KVVec::zeroed(usize::try_from(request.len())?, GFP_NOIO)?;
    // A file that became shorter reads as zeros.
    tasks::kernel_read(file, i64::try_from(at)?, &mut buffer)?;
    let mut rest: &[u8] = &buffer;
    for piece in request.segments() {
        let (bytes, more) = rest.split_at_checked(piece.len as usize).ok_or(EIO)?;
        piece.page.write(piece.offset as usize, bytes)?;
        rest = more;
    }
    Ok(())
}

fn write_direct(file: &File, at: u64, request: &Request) -> Result {
    let mut buffer = KVVec::zeroed(usize::try_from(request.len())?, GFP_NOIO)?;
    let mut done = 0;
    for piece in request.segments() {
        let end = done + piece.len as usize;
        piece.page.read(piece.offset as usize, buffer.get_mut(done..end).ok_or(EIO)?)?;
        done = end;
    }
    let written = tasks::kernel_write(file, i64::try_from(at)?, &buffer);
    written.map(drop).map_err(|error| if error == ENOSPC { ENOSPC } else { EIO })
}
