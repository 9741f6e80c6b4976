// SPDX-License-Identifier: GPL-2.0
//! Requests that give several results: polls, `accept` and `recv` with their multishot flags. Each result but the last says
//! `IORING_CQE_F_MORE`. One that finds no room in the ring is the last (it waits for room), so a program that does not keep up sees it.

use crate::abi::{accept, recv, sqe_flag};
use crate::ops::READ;
use crate::pending::{Again, wait_ready, watch_again};
use crate::request::Request;
use crate::ring::RingFile;
use core::sync::atomic::Ordering::SeqCst;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use sync::{PollMask, PollTable};
use vfs::File;
use x86_cpu::regs::PtRegs;

/// Results of one request before others have their turn.
const TURN: usize = 32;

/// Gives a result for each time that the file tells one of `wanted`, and at first if it has one.
pub(crate) fn poll(mut request: KBox<Request>, wanted: PollMask) {
    let Some(file) = request.file.clone() else { return request.end(Err(EBADF)) };
    let again = match &request.again {
        Some(again) => again.clone(),
        None => match arm(&mut request, &file, wanted) {
            Ok(again) => again,
            Err(error) => return request.end(Err(error)),
        },
    };
    loop {
        again.seen();
        let found = file.poll(&mut PollTable::query()).0 & wanted.0;
        if found != 0 && !request.post_more(found as usize, 0) {
            return request.end(Ok(found as usize));
        }
        // What is told from here on calls for another look.
        match watch_again(request, &again) {
            Some(back) => request = back,
            None => return,
        }
    }
}

/// Lets the file tell, for as long as the request is there.
fn arm(request: &mut Request, file: &File, wanted: PollMask) -> Result<Arc<Again>> {
    if file.private::<RingFile>().is_some() {
        // A request that waits keeps its file open, and a ring that is open keeps its requests.
        return Err(EINVAL);
    }
    let again = Arc::new(Again::new(&request.ring, request.id, wanted), GFP_KERNEL)?;
    let mut table = PollTable::for_callback(again.clone(), false);
    file.poll(&mut table);
    let failed = table.error();
    request.table = Some(table);
    request.again = Some(again.clone());
    failed.map_or(Ok(again), Err)
}

/// `ACCEPT` with `IORING_ACCEPT_MULTISHOT`: every connection there is, and every one that comes.
pub(crate) fn accept_all(request: KBox<Request>) {
    let sqe = request.sqe;
    let Some(file) = request.file.clone() else { return request.end(Err(EBADF)) };
    if sqe.last != 0 || sqe.len != 0 || sqe.buf_index != 0 || sqe.ioprio & !accept::MULTISHOT != 0 {
        return request.end(Err(EINVAL));
    }
    for _ in 0..TURN {
        match socket::syscalls::accept_now(&file, sqe.addr as usize, sqe.off as usize, sqe.op_flags) {
            Ok(fd) if request.post_more(fd, 0) => {}
            Err(EAGAIN) => break,
            result => return request.end(result),
        }
    }
    wait_ready(request, READ);
}

/// `RECV` with `IORING_RECV_MULTISHOT`: whatever comes, each time into a buffer of its group.
pub(crate) fn receive_all(mut request: KBox<Request>) {
    let sqe = request.sqe;
    let bad = !sqe.has(sqe_flag::BUFFER_SELECT)
        || sqe.has(sqe_flag::FIXED_FILE)
        || sqe.op_flags & uapi::MSG_WAITALL != 0
        || sqe.len != 0
        || sqe.addr != 0
        || sqe.ioprio & !recv::MULTISHOT != 0;
    if bad {
        return request.end(Err(EINVAL));
    }
    for _ in 0..TURN {
        let buffer = match request.ring.groups.select(sqe.buf_index, 0) {
            Ok(buffer) => buffer,
            Err(error) => return request.end(Err(error)),
        };
        let flags = u64::from(sqe.op_flags | uapi::MSG_DONTWAIT);
        let (fd, len) = (i64::from(sqe.fd).cast_unsigned(), buffer.len.into());
        let registers = PtRegs { rdi: fd, rsi: buffer.addr(), rdx: len, r10: flags, ..PtRegs::default() };
        match socket::syscalls::sys_recvfrom(&registers) {
            Ok(count) if count != 0 => {
                if !request.post_more(count, buffer.cqe_flags()) {
                    request.cqe_flags = buffer.cqe_flags();
                    return request.end(Ok(count));
                }
            }
            result => {
                request.ring.groups.give_back(&buffer);
                match result {
                    Err(EAGAIN) if sqe.op_flags & uapi::MSG_DONTWAIT == 0 => break,
                    result => return request.end(result),
                }
            }
        }
    }
    wait_ready(request, READ);
}

/// `RECVMSG` with `IORING_RECV_MULTISHOT`: the same with the sender's address and control messages.
pub(crate) fn receive_messages(mut request: KBox<Request>) {
    let sqe = request.sqe;
    let Some(file) = request.file.clone() else { return request.end(Err(EBADF)) };
    let bad = !sqe.has(sqe_flag::BUFFER_SELECT)
        || sqe.op_flags & uapi::MSG_WAITALL != 0
        || sqe.last != 0
        || sqe.off != 0
        || sqe.ioprio & !recv::MULTISHOT != 0;
    if bad {
        return request.end(Err(EINVAL));
    }
    let shape = match socket::syscalls::InOne::get(sqe.addr as usize) {
        Ok(shape) => shape,
        Err(error) => return request.end(Err(error)),
    };
    for _ in 0..TURN {
        let buffer = match request.ring.groups.select(sqe.buf_index, shape.most) {
            Ok(buffer) => buffer,
            Err(error) => return request.end(Err(error)),
        };
        match shape.receive(&file, buffer.addr() as usize, buffer.len as usize, sqe.op_flags) {
            // A message without data is the last: perhaps no other comes.
            Ok((used, data)) if data == 0 || !request.post_more(used, buffer.cqe_flags()) => {
                request.cqe_flags = buffer.cqe_flags();
                return request.end(Ok(used));
            }
            Ok(_) => {}
            Err(error) => {
                request.ring.groups.give_back(&buffer);
                if error == EAGAIN && sqe.op_flags & uapi::MSG_DONTWAIT == 0 {
                    break;
                }
                return request.end(Err(error));
            }
        }
    }
    wait_ready(request, READ);
}

impl Again {
    /// What was told so far is being looked at.
    fn seen(&self) {
        self.told.store(false, SeqCst);
    }
}
