// SPDX-License-Identifier: GPL-2.0
//! Moving bytes between a pipe and a file, or between two pipes. Source: `splice(2)`, `tee(2)`, `vmsplice(2)`.
//!
//! Between pipes pages move, or are shared by both; a file in the page cache shares its pages with a pipe. From a pipe to a file, and
//! between a pipe and a program's memory, bytes are copied, which the manual allows: the flags are hints.

use crate::ends::PipeEnd;
use crate::ring::{Pipe, Ring};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EAGAIN, EBADF, EINVAL, EPIPE, ESPIPE};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVVec, KVec};
use mm_alloc::PAGE_SIZE;
use sync::PollMask;
use vfs::syscall::rw::{vfs_read, vfs_write};
use vfs::{File, fdget, fmode};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{IovIter, MAX_RW_COUNT, UserPtr, get_user, put_user};

const SPLICE_F_NONBLOCK: u32 = 2;
const SPLICE_F_ALL: u32 = 15;
/// Bytes read from a file at a time.
const CHUNK: usize = 65536;

fn pipe_of(file: &File) -> Option<&Arc<Pipe>> {
    file.private::<PipeEnd>().map(|end| &end.pipe)
}

impl Pipe {
    fn wake_readers(&self) {
        self.read_wait.wake_up_poll(PollMask::IN | PollMask::RDNORM);
        self.async_readers.kill(uapi::POLL_IN);
    }

    fn wake_writers(&self) {
        self.write_wait.wake_up_poll(PollMask::OUT | PollMask::WRNORM);
        self.async_writers.kill(uapi::POLL_OUT);
    }

    fn broken(&self) -> bool {
        self.readers.load(Ordering::SeqCst) == 0
    }

    /// Waits until something can be read; false at the end (no writers).
    fn wait_for_data(&self, nonblock: bool) -> Result<bool> {
        while !self.has_data() {
            if self.writers.load(Ordering::SeqCst) == 0 {
                return Ok(self.has_data());
            }
            if nonblock {
                return Err(EAGAIN);
            }
            self.read_wait.wait_interruptible(|| self.readable())?;
        }
        Ok(true)
    }

    /// Waits until a slot is free. `EPIPE` with its signal if nobody reads.
    fn wait_for_room(&self, nonblock: bool) -> Result {
        loop {
            if self.broken() {
                vfs::hooks::send_current(uapi::SIGPIPE);
                return Err(EPIPE);
            }
            if !self.is_full() {
                return Ok(());
            }
            if nonblock {
                return Err(EAGAIN);
            }
            self.write_wait.wait_interruptible(|| self.writable())?;
        }
    }
}

/// Runs `f` on the rings of two different pipes.
fn with_both<R>(input: &Pipe, output: &Pipe, f: impl FnOnce(&mut Ring, &mut Ring) -> R) -> Result<R> {
    let (mut from, mut to);
    if core::ptr::from_ref(input).addr() < core::ptr::from_ref(output).addr() {
        from = input.ring.lock_killable()?;
        to = output.ring.lock_killable()?;
    } else {
        to = output.ring.lock_killable()?;
        from = input.ring.lock_killable()?;
    }
    let result = f(&mut from, &mut to);
    input.publish(&from);
    output.publish(&to);
    Ok(result)
}

/// `splice` between pipes (`take`), or `tee`.
fn between_pipes(input: &Arc<Pipe>, output: &Arc<Pipe>, len: usize, nonblock: bool, take: bool) -> Result<usize> {
    if Arc::ptr_eq(input, output) {
        return Err(EINVAL);
    }
    loop {
        let more = input.wait_for_data(nonblock)?;
        // At the end of the input, too: no room, or no reader, is said first.
        output.wait_for_room(nonblock)?;
        if !more {
            return Ok(0);
        }
        let done = with_both(input, output, |from, to| match take {
            true => to.move_from(from, len),
            false => to.copy_from(from, len),
        })?;
        if done > 0 {
            output.wake_readers();
            if take {
                input.wake_writers();
            }
            return Ok(done);
        }
        // Another reader or writer was faster.
    }
}

/// Copies what one read of a file gives, or several of a regular one, into the slots of `ring` that are free.
fn read_into(file: &File, pos: &mut i64, ring: &mut Ring, len: usize) -> Result<usize> {
    let mut buffer = KVVec::from_elem(0u8, len.min(CHUNK), GFP_KERNEL)?;
    let mut done = 0;
    while done < len {
        let want = buffer.len().min(len - done);
        let space = buffer.get_mut(..want).ok_or(EINVAL)?;
        let got = match vfs_read(file, &mut IovIter::kernel_dest(space), pos) {
            Ok(got) => got,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        };
        let mut bytes = IovIter::kernel_source(buffer.get(..got).ok_or(EINVAL)?);
        while !bytes.is_empty() && !ring.is_full() {
            match ring.append(&mut bytes, false) {
                Ok(n) => done += n,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            ring.seal_last();
        }
        // Only a regular file gives more without waiting.
        if got < want || !file.inode().is_reg() {
            break;
        }
    }
    Ok(done)
}

/// From a file into a pipe: what there is room for. Pages of the page cache are shared.
fn from_file(file: &File, pos: &mut i64, pipe: &Pipe, len: usize, nonblock: bool) -> Result<usize> {
    loop {
        pipe.wait_for_room(nonblock)?;
        let mut ring = pipe.ring.lock_killable()?;
        let len = len.min(ring.room().saturating_mul(PAGE_SIZE));
        if len == 0 {
            continue;
        }
        let shared = file.ops().splice_read(file, pos, len, &mut |page, offset, len| ring.share(page, offset, len));
        let result = shared.unwrap_or_else(|| read_into(file, pos, &mut ring, len));
        pipe.publish(&ring);
        drop(ring);
        if result.is_ok_and(|done| done > 0) {
            pipe.wake_readers();
        }
        return result;
    }
}

/// From a pipe into a file: what is there, waiting only for the first byte.
fn to_file(pipe: &Pipe, file: &File, pos: &mut i64, len: usize, nonblock: bool) -> Result<usize> {
    let mut buffer = KVec::from_elem(0u8, len.min(PAGE_SIZE), GFP_KERNEL)?;
    let mut done = 0;
    let mut result = Ok(());
    while done == 0 && result.is_ok() {
        if !pipe.wait_for_data(nonblock)? {
            break;
        }
        let mut ring = pipe.ring.lock_killable()?;
        while done < len {
            let want = buffer.len().min(len - done);
            let n = ring.peek(buffer.get_mut(..want).ok_or(EINVAL)?)?;
            if n == 0 {
                break;
            }
            let bytes = buffer.get(..n).ok_or(EINVAL)?;
            match vfs_write(file, &mut IovIter::kernel_source(bytes), pos) {
                Ok(0) => {
                    result = Err(EINVAL);
                    break;
                }
                Ok(put) => {
                    ring.consume(put);
                    done += put;
                    if put < n {
                        break;
                    }
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        pipe.publish(&ring);
    }
    if done > 0 {
        pipe.wake_writers();
        return Ok(done);
    }
    result.map(|()| 0)
}

/// An offset given by the program, or the file's own position; calls `f` with it and stores what it becomes.
fn at_position(file: &File, address: usize, f: impl FnOnce(&mut i64) -> Result<usize>) -> Result<usize> {
    if address == 0 {
        return if file.mode() & fmode::SEEK == 0 { f(&mut 0) } else { file.with_position(f) };
    }
    let mut pos: i64 = get_user(UserPtr::from(address))?;
    if file.mode() & fmode::SEEK == 0 || pos < 0 {
        return Err(EINVAL);
    }
    let result = f(&mut pos)?;
    put_user(UserPtr::from(address), pos)?;
    Ok(result)
}

fn check_modes(input: &File, output: &File) -> Result {
    if input.mode() & fmode::READ == 0 || output.mode() & fmode::WRITE == 0 { Err(EBADF) } else { Ok(()) }
}

/// `splice(in, off_in, out, off_out, len, flags)`.
pub fn sys_splice(regs: &PtRegs) -> Result<usize> {
    let (off_in, off_out, flags) = (regs.arg1(), regs.arg3(), regs.arg5() as u32);
    let len = regs.arg4().min(MAX_RW_COUNT);
    if len == 0 {
        return Ok(0);
    }
    if flags & !SPLICE_F_ALL != 0 {
        return Err(EINVAL);
    }
    let (input, output) = (fdget(regs.arg0())?, fdget(regs.arg2())?);
    let (from, to) = (pipe_of(&input), pipe_of(&output));
    if from.is_some() && off_in != 0 || to.is_some() && off_out != 0 {
        return Err(ESPIPE);
    }
    check_modes(&input, &output)?;
    let asked = flags & SPLICE_F_NONBLOCK != 0;
    match (from, to) {
        (Some(from), Some(to)) => between_pipes(from, to, len, asked || input.nonblock() || output.nonblock(), true),
        (Some(from), None) => {
            if output.flags().any(uapi::O_APPEND) || !output.ops().can_splice(&output, true) {
                return Err(EINVAL);
            }
            let nonblock = asked || input.nonblock();
            at_position(&output, off_out, |pos| to_file(from, &output, pos, len, nonblock))
        }
        (None, Some(to)) => {
            if !input.ops().can_splice(&input, false) {
                return Err(EINVAL);
            }
            let nonblock = asked || output.nonblock();
            at_position(&input, off_in, |pos| from_file(&input, pos, to, len, nonblock))
        }
        (None, None) => Err(EINVAL),
    }
}

/// `tee(in, out, len, flags)`.
pub fn sys_tee(regs: &PtRegs) -> Result<usize> {
    let (len, flags) = (regs.arg2().min(MAX_RW_COUNT), regs.arg3() as u32);
    if flags & !SPLICE_F_ALL != 0 {
        return Err(EINVAL);
    }
    if len == 0 {
        return Ok(0);
    }
    let (input, output) = (fdget(regs.arg0())?, fdget(regs.arg1())?);
    check_modes(&input, &output)?;
    let (from, to) = (pipe_of(&input).ok_or(EINVAL)?, pipe_of(&output).ok_or(EINVAL)?);
    let nonblock = flags & SPLICE_F_NONBLOCK != 0 || input.nonblock() || output.nonblock();
    between_pipes(from, to, len, nonblock, false)
}

/// `vmsplice(fd, iov, count, flags)`.
pub fn sys_vmsplice(regs: &PtRegs) -> Result<usize> {
    let flags = regs.arg3() as u32;
    if flags & !SPLICE_F_ALL != 0 {
        return Err(EINVAL);
    }
    let file = fdget(regs.arg0())?;
    if file.mode() & (fmode::WRITE | fmode::READ) == 0 {
        return Err(EBADF);
    }
    let mut iter = IovIter::from_iovec(UserPtr::from(regs.arg1()), regs.arg2())?;
    if iter.is_empty() {
        return Ok(0);
    }
    let pipe = pipe_of(&file).ok_or(EBADF)?;
    let nonblock = flags & SPLICE_F_NONBLOCK != 0;
    if file.mode() & fmode::WRITE != 0 {
        from_memory(pipe, &mut iter, nonblock)
    } else {
        to_memory(pipe, &mut iter, nonblock)
    }
}

/// What there is room for, waiting only for the first slot.
fn from_memory(pipe: &Pipe, iter: &mut IovIter<'_>, nonblock: bool) -> Result<usize> {
    let mut done = 0;
    while done == 0 {
        pipe.wait_for_room(nonblock)?;
        let mut ring = pipe.ring.lock_killable()?;
        while !iter.is_empty() && !ring.is_full() {
            match ring.append(iter, false) {
                Ok(n) => done += n,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            ring.seal_last();
        }
        pipe.publish(&ring);
    }
    pipe.wake_readers();
    Ok(done)
}

/// What is there, waiting only for the first byte.
fn to_memory(pipe: &Pipe, iter: &mut IovIter<'_>, nonblock: bool) -> Result<usize> {
    let mut done = 0;
    while done == 0 && pipe.wait_for_data(nonblock)? {
        let mut ring = pipe.ring.lock_killable()?;
        done = ring.take(iter, false)?;
        pipe.publish(&ring);
    }
    if done > 0 {
        pipe.wake_writers();
    }
    Ok(done)
}
