// SPDX-License-Identifier: GPL-2.0
//! One request: `struct iocb` as the program gives it, what is done with it, and its end.

use crate::context::Context;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use task_io::RequestPriority;
use vfs::file::fmode;
use vfs::kiocb::{self, Durable, IoDone, Kiocb};
use vfs::syscall::rw::{append, appends, vfs_read, vfs_write};
use vfs::{File, IovIter};
use x86_mm::uaccess::{UserPtr, get_user, put_user};

/// Operations (`IOCB_CMD_*`).
mod cmd {
    pub(super) const PREAD: u16 = 0;
    pub(super) const PWRITE: u16 = 1;
    pub(super) const FSYNC: u16 = 2;
    pub(super) const FDSYNC: u16 = 3;
    pub(super) const POLL: u16 = 5;
    pub(super) const PREADV: u16 = 7;
    pub(super) const PWRITEV: u16 = 8;
}

/// The event goes to an event descriptor, too.
const FLAG_RESFD: u32 = 1;
/// `reqprio` is a priority.
const FLAG_IOPRIO: u32 = 2;

/// `struct iocb`.
struct Iocb {
    data: u64,
    rw_flags: u32,
    opcode: u16,
    priority: u16,
    fd: u32,
    buf: usize,
    nbytes: usize,
    offset: i64,
    flags: u32,
    resfd: u32,
}

impl Iocb {
    fn read(at: usize) -> Result<Self> {
        let [data, key_flags, op_fd, buf, nbytes, offset, reserved, last] = get_user::<[u64; 8]>(at)?;
        if reserved != 0 {
            return Err(EINVAL);
        }
        // As Linux: lengths must be those of a 64-bit system.
        if nbytes.cast_signed() < 0 {
            return Err(EINVAL);
        }
        Ok(Self {
            data,
            rw_flags: (key_flags >> 32) as u32,
            opcode: op_fd as u16,
            priority: (op_fd >> 16) as u16,
            fd: (op_fd >> 32) as u32,
            buf: buf as usize,
            nbytes: nbytes as usize,
            offset: offset.cast_signed(),
            flags: last as u32,
            resfd: (last >> 32) as u32,
        })
    }

    fn is_vector(&self) -> bool {
        matches!(self.opcode, cmd::PREADV | cmd::PWRITEV)
    }

    fn iter(&self) -> Result<IovIter<'static>> {
        match self.is_vector() {
            true => IovIter::from_iovec(UserPtr::from_addr(self.buf), self.nbytes),
            false => IovIter::user(UserPtr::from_addr(self.buf), self.nbytes),
        }
    }
}

/// A request on its way.
pub(crate) struct Request {
    file: Arc<File>,
    event_fd: Option<Arc<File>>,
    context: Arc<Context>,
    data: u64,
    /// The program's `struct iocb`.
    at: usize,
    /// The next in a list of the context's.
    pub(crate) next: Option<KBox<Request>>,
}

impl Request {
    /// Tells the event descriptor. Any context.
    pub(crate) fn signal(&self) {
        if let Some(file) = &self.event_fd {
            // It was one when the request was made.
            let _ = eventpoll::eventfd_signal(file);
        }
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn is_for(&self, at: usize) -> bool {
        self.at == at
    }

    pub(crate) fn end(self: KBox<Self>, result: Result<usize>) {
        let value = match result {
            Ok(done) => done as i64,
            Err(error) => -i64::from(error.to_errno().abs()),
        };
        let event = [self.data, self.at as u64, value.cast_unsigned(), 0];
        let context = self.context.clone();
        context.complete(&event, self);
    }
}

impl IoDone for Request {
    fn done(self: KBox<Self>, result: Result<usize>) {
        self.end(result);
    }
}

/// Begins the request at the program's address `at`. The errors of the request itself come by its event.
pub(crate) fn submit(context: &Arc<Context>, at: usize) -> Result {
    let iocb = Iocb::read(at)?;
    context.take_place()?;
    let request = match make(context, at, &iocb) {
        Ok(request) => request,
        Err(error) => {
            context.give_place();
            return Err(error);
        }
    };
    start(request, &iocb).inspect_err(|_| context.give_place())
}

fn make(context: &Arc<Context>, at: usize, iocb: &Iocb) -> Result<KBox<Request>> {
    let file = vfs::fdtable::fdget(iocb.fd as usize)?;
    let event_fd = match iocb.flags & FLAG_RESFD {
        0 => None,
        _ => Some(vfs::fdtable::fdget(iocb.resfd as usize)?),
    };
    if event_fd.as_ref().is_some_and(|file| !eventpoll::is_eventfd(file)) {
        return Err(EINVAL);
    }
    // `aio_key`: what `io_cancel` wants to see.
    put_user(at.wrapping_add(8), 0u32)?;
    let request = Request { file, event_fd, context: context.clone(), data: iocb.data, at, next: None };
    Ok(KBox::new(request, GFP_KERNEL)?)
}

fn start(request: KBox<Request>, iocb: &Iocb) -> Result {
    match iocb.opcode {
        cmd::PREAD | cmd::PREADV => transfer(request, iocb, false),
        cmd::PWRITE | cmd::PWRITEV => transfer(request, iocb, true),
        cmd::FSYNC | cmd::FDSYNC => sync(request, iocb),
        cmd::POLL => poll(request, iocb),
        _ => Err(EINVAL),
    }
}

/// Checks as Linux's `aio_prep_rw` and `aio_read`.
fn transfer(request: KBox<Request>, iocb: &Iocb, write: bool) -> Result {
    let needed = if write { fmode::WRITE } else { fmode::READ };
    if request.file.mode() & needed == 0 {
        return Err(EBADF);
    }
    if iocb.rw_flags & !(uapi::RWF_HIPRI | uapi::RWF_DSYNC | uapi::RWF_SYNC | uapi::RWF_APPEND) != 0 {
        return Err(EOPNOTSUPP);
    }
    let _priority = match iocb.flags & FLAG_IOPRIO {
        0 => RequestPriority::set(0),
        _ => RequestPriority::set(kiocb::priority(iocb.priority)?),
    };
    let mut pos = if request.file.mode() & fmode::SEEK != 0 { iocb.offset } else { 0 };
    if pos < 0 {
        return Err(EINVAL);
    }
    let mut iter = iocb.iter()?;
    let durable = if write { Durable::of_write(iocb.rw_flags) } else { Durable::No };
    let file = request.file.clone();
    let appends = write && appends(&file, iocb.rw_flags);
    let mut done: KBox<dyn IoDone> = request;
    let fits = pos.checked_add_unsigned(iter.count() as u64).is_some();
    if fits && !appends && !iter.is_empty() && file.ops().can_submit(&file) {
        let kiocb = Kiocb { pos: pos.cast_unsigned(), write, durable, polled: false, done };
        match file.ops().submit_direct(&file, &mut iter, kiocb) {
            None => return Ok(()),
            // Within the call.
            Some(back) => done = back.done,
        }
    }
    let mut result = match write {
        true if appends => append(&file, &mut iter, false),
        true => vfs_write(&file, &mut iter, &mut pos),
        false => vfs_read(&file, &mut iter, &mut pos),
    };
    if durable != Durable::No && result.is_ok() {
        let synced = file.fsync(durable == Durable::Data);
        result = synced.and(result);
    }
    done.done(result);
    Ok(())
}

fn poll(request: KBox<Request>, iocb: &Iocb) -> Result {
    if iocb.buf > 0xffff || iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
        return Err(EINVAL);
    }
    let context = request.context.clone();
    // Checked: 16 bits.
    crate::poll::begin(&context, request, iocb.buf as u32)
}

fn sync(request: KBox<Request>, iocb: &Iocb) -> Result {
    if iocb.buf != 0 || iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
        return Err(EINVAL);
    }
    let datasync = iocb.opcode == cmd::FDSYNC;
    workqueue::spawn(move || {
        let result = request.file.fsync(datasync).map(|()| 0);
        request.end(result);
    })
}
