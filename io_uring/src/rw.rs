// SPDX-License-Identifier: GPL-2.0
//! Reads, writes and `fsync`. A direct transfer goes on after the call; others are done here.

use crate::abi::{op, sqe_flag};
use crate::request::Request;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use task_io::RequestPriority;
use vfs::file::fmode;
use vfs::kiocb::{self, Durable, IoDone, Kiocb};
use vfs::syscall::rw::{append, appends, read_file, vfs_read, vfs_write, write_file};
use vfs::{File, IovIter};
use x86_mm::uaccess::UserPtr;

/// Flags of one transfer that there are.
const RWF: u32 = uapi::RWF_DSYNC | uapi::RWF_SYNC | uapi::RWF_APPEND;
/// `fsync` without metadata.
const DATASYNC: u32 = 1;

/// The program's memory.
fn memory(request: &mut Request) -> Result<IovIter<'static>> {
    if request.sqe.has(sqe_flag::BUFFER_SELECT) {
        let buffer = request.ring.groups.select(request.sqe.buf_index, request.sqe.len)?;
        (request.sqe.addr, request.sqe.len) = (buffer.addr(), buffer.len);
        request.cqe_flags = buffer.cqe_flags();
    }
    let sqe = request.sqe;
    let at = UserPtr::from_addr(sqe.addr as usize);
    match sqe.opcode {
        op::READV | op::WRITEV => IovIter::from_iovec(at, sqe.len as usize),
        op::READ_FIXED | op::WRITE_FIXED => {
            let buffer = request.ring.buffers.lock_irqsave().get(usize::from(sqe.buf_index)).cloned().ok_or(EFAULT)?;
            if !buffer.holds(sqe.addr, sqe.len) {
                return Err(EFAULT);
            }
            // Its pages stay until the end, whoever takes it off the table.
            request.buffer = Some(buffer);
            IovIter::user(at, sqe.len as usize)
        }
        _ => IovIter::user(at, sqe.len as usize),
    }
}

/// Reads or writes.
pub(crate) fn transfer(mut request: KBox<Request>, write: bool) {
    let Some(file) = request.file.clone() else { return request.end(Err(EBADF)) };
    match prepare(&mut request, &file, write) {
        Ok(iter) => run(request, &file, iter, write),
        Err(error) => request.end(Err(error)),
    }
}

fn prepare(request: &mut Request, file: &File, write: bool) -> Result<IovIter<'static>> {
    let needed = if write { fmode::WRITE } else { fmode::READ };
    if file.mode() & needed == 0 {
        return Err(EBADF);
    }
    // Polling is the ring's (`IOPOLL`), not a request's.
    let polls = request.ring.polls();
    if request.sqe.op_flags & uapi::RWF_HIPRI != 0 && !polls {
        return Err(EINVAL);
    }
    if request.sqe.op_flags & !(RWF | uapi::RWF_HIPRI) != 0 || polls && !file.ops().can_submit(file) {
        return Err(EOPNOTSUPP);
    }
    kiocb::priority(request.sqe.ioprio)?;
    // As Linux: -1 is the file's own position, others have no sign.
    if request.sqe.off.cast_signed() < -1 {
        return Err(EINVAL);
    }
    memory(request)
}

fn run(mut request: KBox<Request>, file: &File, mut iter: IovIter<'static>, write: bool) {
    let sqe = request.sqe;
    request.wanted = Some(iter.count());
    // It was found to be one that may be asked for.
    let _priority = RequestPriority::set(sqe.ioprio);
    let durable = if write { Durable::of_write(sqe.op_flags) } else { Durable::No };
    let own = sqe.off == u64::MAX || file.mode() & fmode::SEEK == 0;
    let appends = write && appends(file, sqe.op_flags);
    let mut pos = sqe.off.cast_signed();
    let fits = pos.checked_add_unsigned(iter.count() as u64).is_some();
    let submits = !own && fits && !appends && !iter.is_empty() && file.ops().can_submit(file);
    // What the ring could not remember to look for ends by itself.
    let polled = submits
        && request.ring.polls()
        && !request.ring.is_closed()
        && request.file.as_ref().is_some_and(|file| request.ring.polled.note(file));
    let mut done: KBox<dyn IoDone> = request;
    if submits {
        match file.ops().submit_direct(file, &mut iter, Kiocb { pos: sqe.off, write, durable, polled, done }) {
            None => return,
            // Within the call.
            Some(back) => done = back.done,
        }
    }
    let mut result = match (own, write) {
        (own, true) if appends => append(file, &mut iter, own),
        (true, true) => write_file(file, &mut iter),
        (true, false) => read_file(file, &mut iter),
        (false, true) => vfs_write(file, &mut iter, &mut pos),
        (false, false) => vfs_read(file, &mut iter, &mut pos),
    };
    if durable != Durable::No && result.is_ok() {
        result = file.fsync(durable == Durable::Data).and(result);
    }
    done.done(result);
}

/// `fsync`, in a worker.
pub(crate) fn sync(request: KBox<Request>) {
    let sqe = request.sqe;
    if sqe.addr != 0 || sqe.buf_index != 0 || sqe.last != 0 || sqe.op_flags & !DATASYNC != 0 {
        return request.end(Err(EINVAL));
    }
    let Some(file) = request.file.clone() else { return request.end(Err(EBADF)) };
    // Not in the worker itself: if that cannot be made, the request is still to end, with its chain.
    let place = match Arc::new(SpinLock::new(None), GFP_KERNEL) {
        Ok(place) => place,
        Err(error) => return request.end(Err(error.into())),
    };
    *place.lock() = Some(request);
    let its = place.clone();
    let spawned = workqueue::spawn(move || {
        let result = file.fsync(sqe.op_flags & DATASYNC != 0).map(|()| 0);
        drop(file);
        let request = its.lock().take();
        if let Some(request) = request {
            request.end(result);
        }
    });
    if let Err(error) = spawned {
        let request = place.lock().take();
        if let Some(request) = request {
            request.end(Err(error));
        }
    }
}
