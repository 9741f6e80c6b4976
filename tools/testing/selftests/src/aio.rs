// SPDX-License-Identifier: GPL-2.0
//! Linux AIO, by its calls.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use libc::syscall;

pub const TESTS: &[Test] = &[
    ("aio.setup", setup),
    ("aio.files", files),
    ("aio.errors", errors),
    ("aio.priority", priority),
    ("aio.eventfd", eventfd),
    ("aio.wait", wait),
    ("aio.poll", poll),
];

/// `struct iocb`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    resfd: u32,
}

const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FSYNC: u16 = 2;

struct Context(usize);

impl Context {
    fn new(count: u32) -> Result<Self, String> {
        let mut context = 0usize;
        c!(syscall(libc::SYS_io_setup, count, &raw mut context));
        ck!(context != 0);
        Ok(Self(context))
    }

    fn submit(&self, list: &[&Iocb]) -> Result<i64, String> {
        Ok(c!(syscall(libc::SYS_io_submit, self.0, list.len(), list.as_ptr())))
    }

    fn events(&self, least: i64, most: usize) -> Result<Vec<[u64; 4]>, String> {
        let mut events = vec![[0u64; 4]; most];
        let spec = [5i64, 0];
        let got = c!(syscall(libc::SYS_io_getevents, self.0, least, most, events.as_mut_ptr(), spec.as_ptr()));
        events.truncate(got as usize);
        Ok(events)
    }
}

fn setup() -> Outcome {
    let mut context = 0usize;
    fails!(syscall(libc::SYS_io_setup, 0, &raw mut context), libc::EINVAL);
    fails!(syscall(libc::SYS_io_setup, 4, 8usize), libc::EFAULT);
    context = 5;
    fails!(syscall(libc::SYS_io_setup, 4, &raw mut context), libc::EINVAL);
    let before = text("/proc/sys/fs/aio-nr")?;
    let one = Context::new(100)?;
    ck!(text("/proc/sys/fs/aio-nr")? != before);
    // The header of the ring: what libraries look at.
    // SAFETY: a context is the address of its ring.
    let header = unsafe { (one.0 as *const [u32; 8]).read() };
    eq!((header[4], header[7]), (0xa10a_10a1, 32));
    c!(syscall(libc::SYS_io_destroy, one.0));
    fails!(syscall(libc::SYS_io_destroy, one.0), libc::EINVAL);
    let mut events = [[0u64; 4]; 1];
    fails!(syscall(libc::SYS_io_getevents, 0usize, 0, 1, events.as_mut_ptr(), 0usize), libc::EINVAL);
    Ok(())
}

fn files() -> Outcome {
    let context = Context::new(8)?;
    let fd = open(&(dir()? + "/f"), libc::O_RDWR | libc::O_CREAT)? as u32;
    let data = b"asynchronous";
    let write =
        Iocb { data: 1, opcode: PWRITE, fd, buf: data.as_ptr() as u64, nbytes: 12, offset: 4, ..Iocb::default() };
    eq!(context.submit(&[&write])?, 1);
    eq!(context.events(1, 4)?, [[1, (&raw const write) as u64, 12, 0]]);
    let mut to = [0u8; 32];
    let read = Iocb { data: 2, opcode: PREAD, fd, buf: to.as_mut_ptr() as u64, nbytes: 32, ..Iocb::default() };
    let sync = Iocb { data: 3, opcode: FSYNC, fd, ..Iocb::default() };
    eq!(context.submit(&[&read, &sync])?, 2);
    let mut events = context.events(2, 4)?;
    events.sort();
    eq!((events[0][0], events[0][2], events[1][0], events[1][2]), (2, 16, 3, 0));
    eq!(&to[4..16], data);
    Ok(())
}

/// `IOCB_FLAG_IOPRIO`.
fn priority() -> Outcome {
    let context = Context::new(4)?;
    let fd = open("/dev/zero", libc::O_RDONLY)? as u32;
    let mut to = [1u8; 4];
    let read = Iocb {
        opcode: PREAD,
        fd,
        buf: to.as_mut_ptr() as u64,
        nbytes: 4,
        flags: 2,
        priority: 2 << 13,
        ..Iocb::default()
    };
    eq!(context.submit(&[&read])?, 1);
    eq!(context.events(1, 4)?[0][2], 4);
    for priority in [4, 5 << 13] {
        let bad = Iocb { priority: priority as u16 as i16, ..read };
        let list = [&raw const bad as usize];
        fails!(syscall(libc::SYS_io_submit, context.0, 1, list.as_ptr()), libc::EINVAL);
    }
    Ok(())
}

fn errors() -> Outcome {
    let context = Context::new(4)?;
    let fd = open("/dev/zero", libc::O_WRONLY)? as u32;
    let read = Iocb { opcode: PREAD, fd, nbytes: 4, ..Iocb::default() };
    let bad = [&raw const read as usize];
    fails!(syscall(libc::SYS_io_submit, context.0, 1, bad.as_ptr()), libc::EBADF);
    let other = Iocb { opcode: 99, ..read };
    let bad = [&raw const other as usize];
    fails!(syscall(libc::SYS_io_submit, context.0, 1, bad.as_ptr()), libc::EINVAL);
    let closed = Iocb { fd: 900, ..read };
    let bad = [&raw const closed as usize];
    fails!(syscall(libc::SYS_io_submit, context.0, 1, bad.as_ptr()), libc::EBADF);
    fails!(syscall(libc::SYS_io_submit, context.0, -1i64, bad.as_ptr()), libc::EINVAL);
    fails!(syscall(libc::SYS_io_submit, context.0, 1, 8usize), libc::EFAULT);
    eq!(c!(syscall(libc::SYS_io_submit, context.0, 0, 8usize)), 0);
    // The second one is bad: the first was taken.
    let good = Iocb { opcode: PWRITE, fd, buf: b"x".as_ptr() as u64, nbytes: 1, ..Iocb::default() };
    eq!(context.submit(&[&good, &other])?, 1);
    eq!(context.events(1, 4)?.len(), 1);
    let mut events = [[0u64; 4]; 1];
    fails!(syscall(libc::SYS_io_getevents, context.0, 2, 1, events.as_mut_ptr(), 0usize), libc::EINVAL);
    Ok(())
}

fn eventfd() -> Outcome {
    let context = Context::new(4)?;
    let event = c!(libc::eventfd(0, libc::EFD_NONBLOCK));
    let fd = open("/dev/null", libc::O_WRONLY)? as u32;
    let write = Iocb {
        opcode: PWRITE,
        fd,
        buf: b"x".as_ptr() as u64,
        nbytes: 1,
        flags: 1,
        resfd: event as u32,
        ..Iocb::default()
    };
    eq!(context.submit(&[&write, &write])?, 2);
    eq!(count_of(event)?, 2);
    let other = Iocb { resfd: fd, ..write };
    let bad = [&raw const other as usize];
    fails!(syscall(libc::SYS_io_submit, context.0, 1, bad.as_ptr()), libc::EINVAL);
    Ok(())
}

fn poll() -> Outcome {
    let context = Context::new(4)?;
    let (r, w) = pipe()?;
    let wait = Iocb { data: 9, opcode: 5, fd: r as u32, buf: libc::POLLIN as u64, ..Iocb::default() };
    eq!(context.submit(&[&wait])?, 1);
    eq!(context.events(0, 1)?.len(), 0);
    write(w, b"x")?;
    // Linux may tell of more than it was asked for.
    let [data, at, events, more] = context.events(1, 1)?[0];
    eq!((data, at, events & libc::POLLIN as u64, more), (9, (&raw const wait) as u64, libc::POLLIN as u64, 0));
    // It is ready already.
    eq!(context.submit(&[&wait])?, 1);
    eq!(context.events(1, 1)?.len(), 1);
    read(r, 1)?;
    eq!(context.submit(&[&wait])?, 1);
    let mut event = [0u64; 4];
    fails!(syscall(libc::SYS_io_cancel, context.0, &raw const wait, event.as_mut_ptr()), libc::EINPROGRESS);
    eq!(context.events(1, 1)?[0][0], 9);
    fails!(syscall(libc::SYS_io_cancel, context.0, &raw const wait, event.as_mut_ptr()), libc::EINVAL);
    // Two of one `struct iocb`.
    let (other, its) = pipe()?;
    let mut twice = wait;
    eq!(context.submit(&[&twice])?, 1);
    twice.fd = other as u32;
    eq!(context.submit(&[&twice])?, 1);
    write(its, b"x")?;
    eq!(context.events(1, 1)?.len(), 1);
    write(w, b"x")?;
    eq!(context.events(1, 1)?.len(), 1);
    read(r, 1)?;
    // One that waits does not keep the context from going.
    eq!(context.submit(&[&wait])?, 1);
    c!(syscall(libc::SYS_io_destroy, context.0));
    eq!(context.submit(&[]).is_err(), true);
    // Nor the program from ending.
    let other = Context::new(4)?;
    eq!(other.submit(&[&wait])?, 1);
    Ok(())
}

fn wait() -> Outcome {
    let context = Context::new(4)?;
    let mut events = [[0u64; 4]; 1];
    let spec = [0i64, 30_000_000];
    let start = now_ms();
    eq!(c!(syscall(libc::SYS_io_getevents, context.0, 1, 1, events.as_mut_ptr(), spec.as_ptr())), 0);
    ck!(now_ms() - start >= 29);
    let none = [0i64, 0];
    eq!(c!(syscall(libc::SYS_io_getevents, context.0, 1, 1, events.as_mut_ptr(), none.as_ptr())), 0);
    Ok(())
}
