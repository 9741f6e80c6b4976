// SPDX-License-Identifier: GPL-2.0
//! What requests do. Many are system calls whose arguments come from another place: they are called with registers made up for them.

use crate::abi::{self, Sqe, op, sqe_flag};
use crate::multi;
use crate::pending::{Armed, cancel, remove_poll, remove_timeout, wait_ready, wait_time};
use crate::request::Request;
use crate::rw;
use crate::workers::hand_over;
use errno::{Result, code::*};
use kalloc::{Arc, KBox};
use sync::{PollMask, PollTable};
use vfs::File;
use x86_cpu::regs::PtRegs;

/// What a file must be ready for before an operation on it.
pub(crate) const READ: PollMask = PollMask(PollMask::IN.0 | PollMask::RDNORM.0);
const WRITE: PollMask = PollMask(PollMask::OUT.0 | PollMask::WRNORM.0);

/// Finds the file of a request; registered ones by their place.
fn find_file(request: &Request) -> Result<Arc<File>> {
    let fd = request.sqe.fd.cast_unsigned() as usize;
    if request.sqe.has(sqe_flag::FIXED_FILE) {
        return request.ring.files.lock_irqsave().get(fd).cloned().flatten().ok_or(EBADF);
    }
    vfs::fdtable::fdget(fd)
}

/// Finds the file of a request that keeps it while it is under way.
pub(crate) fn take_file(request: &mut Request) -> Result {
    let keeps = matches!(
        request.sqe.opcode,
        op::READ
            | op::READV
            | op::READ_FIXED
            | op::WRITE
            | op::WRITEV
            | op::WRITE_FIXED
            | op::FSYNC
            | op::POLL_ADD
            | op::ACCEPT
            | op::RECV
            | op::RECVMSG
            | op::SEND
            | op::SENDMSG
    );
    if keeps && request.file.is_none() {
        request.file = Some(find_file(request)?);
    }
    Ok(())
}

/// Begins a request whose turn it is, in its task. May sleep.
pub(crate) fn go_on(mut request: KBox<Request>) {
    if request.again.is_none() {
        // What it waited with.
        drop(request.table.take());
    }
    if request.ring.is_closed() {
        return request.end(Err(ECANCELED));
    }
    if request.sqe.has(sqe_flag::ASYNC) && !request.handed {
        match hand_over(request) {
            Some(back) => request = back,
            None => return,
        }
    }
    let mut limited = None;
    if !request.polled
        && let Some(mut limit) = request.link.take_if(|link| link.sqe.opcode == op::LINK_TIMEOUT)
    {
        request.link = limit.link.take();
        request.timed = true;
        limited = wait_time(limit, Some(request.id));
    }
    begin(request);
    // Not before: a limit finds only what waits already.
    start(limited);
}

fn start(armed: Option<Armed>) {
    if let Some((timer, when)) = armed {
        timer.start(when);
    }
}

fn begin(request: KBox<Request>) {
    let sqe = request.sqe;
    if sqe.has(sqe_flag::BUFFER_SELECT) && request.ring.groups.is_empty(sqe.buf_index) {
        // It does not wait for its file to find that out.
        return request.end(Err(ENOBUFS));
    }
    match sqe.opcode {
        op::ACCEPT if sqe.ioprio & abi::accept::MULTISHOT != 0 => on_file(request, PollMask::NONE, multi::accept_all),
        op::RECV if sqe.ioprio & abi::recv::MULTISHOT != 0 => on_file(request, PollMask::NONE, multi::receive_all),
        op::RECVMSG if sqe.ioprio & abi::recv::MULTISHOT != 0 => {
            on_file(request, PollMask::NONE, multi::receive_messages);
        }
        // Others of that place are not known.
        op::ACCEPT | op::RECV | op::RECVMSG if sqe.ioprio != 0 => request.end(Err(EINVAL)),
        op::RECVMSG if sqe.has(sqe_flag::BUFFER_SELECT) => request.end(Err(EOPNOTSUPP)),
        op::RECV if sqe.has(sqe_flag::BUFFER_SELECT) => on_file(request, READ, receive),
        op::PROVIDE_BUFFERS => answer(request, |request| request.ring.groups.provide(&request.sqe)),
        op::REMOVE_BUFFERS => answer(request, |request| request.ring.groups.remove(&request.sqe)),
        op::READ | op::READV | op::READ_FIXED => on_file(request, READ, |request| rw::transfer(request, false)),
        op::WRITE | op::WRITEV | op::WRITE_FIXED => on_file(request, WRITE, |request| rw::transfer(request, true)),
        op::FSYNC => on_file(request, PollMask::NONE, rw::sync),
        op::POLL_ADD => on_file(request, PollMask::NONE, poll),
        op::ACCEPT | op::RECV | op::RECVMSG => on_file(request, READ, call),
        op::SEND | op::SENDMSG => on_file(request, WRITE, call),
        op::TIMEOUT => start(wait_time(request, None)),
        // Alone it limits nothing.
        op::LINK_TIMEOUT => request.end(Err(EINVAL)),
        op::TIMEOUT_REMOVE => answer(request, remove_timeout),
        op::POLL_REMOVE => answer(request, remove_poll),
        op::ASYNC_CANCEL => answer(request, cancel),
        op::NOP => request.end(Ok(0)),
        _ => call(request),
    }
}

fn answer(request: KBox<Request>, f: fn(&Request) -> Result<usize>) {
    let result = f(&request);
    request.end(result);
}

/// Whether a request says itself that it is not to wait.
fn never_waits(sqe: &Sqe) -> bool {
    matches!(sqe.opcode, op::SEND | op::SENDMSG | op::RECV | op::RECVMSG) && sqe.op_flags & uapi::MSG_DONTWAIT != 0
}

/// Does something with the request's file, once that is ready for it; a file that never waits is.
fn on_file(mut request: KBox<Request>, ready: PollMask, f: impl FnOnce(KBox<Request>)) {
    if request.file.is_none() {
        match find_file(&request) {
            Ok(file) => request.file = Some(file),
            Err(error) => return request.end(Err(error)),
        }
    }
    let waits = request.file.as_ref().is_some_and(|file| {
        let mask = ready.0 | PollMask::ERR.0 | PollMask::HUP.0;
        ready != PollMask::NONE
            && file.ops().can_poll()
            && !file.nonblock()
            && !never_waits(&request.sqe)
            && file.poll(&mut PollTable::query()).0 & mask == 0
    });
    if waits { wait_ready(request, ready) } else { f(request) }
}

/// `RECV` into a buffer of a group.
fn receive(mut request: KBox<Request>) {
    let buffer = match request.ring.groups.select(request.sqe.buf_index, request.sqe.len) {
        Ok(buffer) => buffer,
        Err(error) => return request.end(Err(error)),
    };
    (request.sqe.addr, request.sqe.len) = (buffer.addr(), buffer.len);
    match do_call(&request) {
        Ok(count) if count != 0 => {
            request.cqe_flags = buffer.cqe_flags();
            request.end(Ok(count));
        }
        result => {
            request.ring.groups.give_back(&buffer);
            request.end(result);
        }
    }
}

/// `POLL_ADD`: once, or each time.
fn poll(request: KBox<Request>) {
    let sqe = request.sqe;
    let multi = sqe.len & abi::poll::MULTI != 0;
    let unknown = sqe.len & !abi::poll::MULTI != 0 || sqe.off != 0 || sqe.addr != 0 || sqe.buf_index != 0;
    if unknown || multi && sqe.has(sqe_flag::CQE_SKIP) {
        return request.end(Err(EINVAL));
    }
    let wanted = sqe.op_flags | PollMask::ERR.0 | PollMask::HUP.0;
    if multi {
        return multi::poll(request, PollMask(wanted));
    }
    let found = request.file.as_ref().map_or(0, |file| file.poll(&mut PollTable::query()).0) & wanted;
    if found != 0 { request.end(Ok(found as usize)) } else { wait_ready(request, PollMask(wanted)) }
}

type Call = fn(&PtRegs) -> Result<usize>;

/// The system call that does the same, and its arguments.
fn call_of(request: &Request) -> Result<(Call, [u64; 6])> {
    use vfs::syscall::{meta, names, open, stat, sync as syncs};
    let s = &request.sqe;
    if s.has(sqe_flag::FIXED_FILE) || s.last != 0 {
        // Only transfers, fsync and poll know registered files.
        return Err(EINVAL);
    }
    let (fd, len, flags) = (i64::from(s.fd).cast_unsigned(), u64::from(s.len), u64::from(s.op_flags));
    // A descriptor of a directory in a field without sign.
    let other = i64::from(s.len.cast_signed()).cast_unsigned();
    let two = |call: Call, a: u64, b: u64| (call, [a, b, 0, 0, 0, 0]);
    Ok(match s.opcode {
        op::ACCEPT => (socket::syscalls::sys_accept4, [fd, s.addr, s.off, flags, 0, 0]),
        op::CONNECT => (socket::syscalls::sys_connect, [fd, s.addr, s.off, 0, 0, 0]),
        op::SEND => (socket::syscalls::sys_sendto, [fd, s.addr, len, flags, 0, 0]),
        op::RECV => (socket::syscalls::sys_recvfrom, [fd, s.addr, len, flags, 0, 0]),
        op::SENDMSG => (socket::syscalls::sys_sendmsg, [fd, s.addr, flags, 0, 0, 0]),
        op::RECVMSG => (socket::syscalls::sys_recvmsg, [fd, s.addr, flags, 0, 0, 0]),
        op::SHUTDOWN => two(socket::syscalls::sys_shutdown, fd, len),
        op::SOCKET => (socket::syscalls::sys_socket, [fd, s.off, len, 0, 0, 0]),
        op::OPENAT => (open::sys_openat, [fd, s.addr, flags, len, 0, 0]),
        op::OPENAT2 => (open::sys_openat2, [fd, s.addr, s.off, len, 0, 0]),
        op::CLOSE => two(open::sys_close, fd, 0),
        op::STATX => (stat::sys_statx, [fd, s.addr, flags, len, s.off, 0]),
        op::FALLOCATE => (meta::sys_fallocate, [fd, len, s.off, s.addr, 0, 0]),
        op::FADVISE => (syncs::sys_fadvise64, [fd, s.off, len, flags, 0, 0]),
        op::SYNC_FILE_RANGE => (syncs::sys_sync_file_range, [fd, s.off, len, flags, 0, 0]),
        op::MADVISE => (mm::syscalls::sys_madvise, [s.addr, len, flags, 0, 0, 0]),
        op::RENAMEAT => (names::sys_renameat2, [fd, s.addr, other, s.off, flags, 0]),
        op::UNLINKAT => (names::sys_unlinkat, [fd, s.addr, flags, 0, 0, 0]),
        op::MKDIRAT => (names::sys_mkdirat, [fd, s.addr, len, 0, 0, 0]),
        op::SYMLINKAT => (names::sys_symlinkat, [s.addr, fd, s.off, 0, 0, 0]),
        op::LINKAT => (names::sys_linkat, [fd, s.addr, other, s.off, flags, 0]),
        _ => return Err(EINVAL),
    })
}

fn do_call(request: &Request) -> Result<usize> {
    let (call, [rdi, rsi, rdx, r10, r8, r9]) = call_of(request)?;
    call(&PtRegs { rdi, rsi, rdx, r10, r8, r9, ..PtRegs::default() })
}

/// The same without waiting for anybody; EAGAIN where a worker has to wait.
fn do_call_now(request: &Request) -> Result<usize> {
    let (_, [rdi, rsi, rdx, r10, r8, r9]) = call_of(request)?;
    let regs = PtRegs { rdi, rsi, rdx, r10, r8, r9, ..PtRegs::default() };
    match request.sqe.opcode {
        op::OPENAT => vfs::syscall::open::openat_now(&regs),
        op::OPENAT2 => vfs::syscall::open::openat2_now(&regs),
        _ => socket::syscalls::connect_now(&regs),
    }
}

/// Calls that may wait until somebody comes (an opener of a FIFO's other end, who accepts) do so in a worker: others of the ring go on.
fn call(mut request: KBox<Request>) {
    if matches!(request.sqe.opcode, op::OPENAT | op::OPENAT2 | op::CONNECT) && !request.handed {
        match do_call_now(&request) {
            Err(EAGAIN) => {}
            result => return request.end(result),
        }
        match hand_over(request) {
            Some(back) => request = back,
            None => return,
        }
    }
    let result = do_call(&request);
    request.end(result);
}
