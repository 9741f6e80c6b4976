// SPDX-License-Identifier: GPL-2.0
//! io_uring, by its rings in memory.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use libc::{SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup, syscall};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering::*};

pub const TESTS: &[Test] = &[
    ("uring.nop", nop),
    ("uring.bad", bad),
    ("uring.files", files),
    ("uring.vectors", vectors),
    ("uring.poll", poll),
    ("uring.pipe", pipe_waits),
    ("uring.timeout", timeout),
    ("uring.links", links),
    ("uring.cancel", cancel),
    ("uring.overflow", overflow),
    ("uring.registered", registered),
    ("uring.sockets", sockets),
    ("uring.eventfd", eventfd),
    ("uring.fsync", fsync),
    ("uring.probe", probe),
    ("uring.counts", counts),
    ("uring.issuer", issuer),
    ("uring.shared", shared),
    ("uring.signal", signal),
    ("uring.multipoll", multipoll),
    ("uring.multiaccept", multiaccept),
    ("uring.provided", provided),
    ("uring.bufring", buffer_ring),
    ("uring.multirecv", multireceive),
];

const NOP: u8 = 0;
const READV: u8 = 1;
const FSYNC: u8 = 3;
const READ_FIXED: u8 = 4;
const POLL_ADD: u8 = 6;
const POLL_REMOVE: u8 = 7;
const TIMEOUT: u8 = 11;
const TIMEOUT_REMOVE: u8 = 12;
const ACCEPT: u8 = 13;
const CANCEL: u8 = 14;
const LINK_TIMEOUT: u8 = 15;
const OPENAT: u8 = 18;
const CLOSE: u8 = 19;
const STATX: u8 = 21;
const READ: u8 = 22;
const WRITE: u8 = 23;
const SEND: u8 = 26;
const RECV: u8 = 27;
const PROVIDE: u8 = 31;
const REMOVE: u8 = 32;
const SELECT: u8 = 32;
/// In a result's flags: a buffer, more results.
const BUFFER: u32 = 1;
const MORE: u32 = 2;
const PBUF_RING: u32 = 22;
const NO_PBUF_RING: u32 = 23;
const LINK: u8 = 4;
const FIXED_FILE: u8 = 1;

/// `struct io_uring_sqe`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sqe {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    off: u64,
    addr: u64,
    len: u32,
    op_flags: u32,
    user_data: u64,
    buf_index: u16,
    personality: u16,
    last: u32,
    rest: [u64; 2],
}

fn sqe(opcode: u8, fd: i32, user_data: u64) -> Sqe {
    Sqe { opcode, fd, user_data, ..Sqe::default() }
}

/// A ring as a program has it.
struct Ring {
    fd: i32,
    rings: *mut u8,
    sqes: *mut Sqe,
    params: [u32; 30],
}

impl Ring {
    fn new(entries: u32, flags: u32, cq: u32) -> Result<Self, String> {
        let mut params = [0u32; 30];
        params[1] = cq;
        params[2] = flags;
        let fd = c!(syscall(SYS_io_uring_setup, entries, params.as_mut_ptr())) as i32;
        ck!(params[5] & 1 != 0, "features {:#x}", params[5]);
        let size = (params[16] + params[0] * 4).max(params[25] + params[1] * 16) as usize;
        let map = |len: usize, at: i64| -> Result<*mut u8, String> {
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            Ok(c!(libc::mmap(null_mut(), len, prot, libc::MAP_SHARED, fd, at)).cast())
        };
        let rings = map(size, 0)?;
        let sqes = map(params[0] as usize * 64, 0x1000_0000)?.cast();
        Ok(Self { fd, rings, sqes, params })
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the offsets are the kernel's, within the mapping.
        unsafe { &*self.rings.add(offset as usize).cast() }
    }

    fn put(&self, sqe: Sqe) {
        let tail = self.word(self.params[11]);
        let at = tail.load(Relaxed);
        let index = at & (self.params[0] - 1);
        // SAFETY: within the mapping.
        unsafe { self.sqes.add(index as usize).write(sqe) };
        self.word(self.params[16] + index * 4).store(index, Relaxed);
        tail.store(at.wrapping_add(1), Release);
    }

    fn enter(&self, count: u32, wait: u32) -> Result<i64, String> {
        Ok(c!(syscall(SYS_io_uring_enter, self.fd, count, wait, u32::from(wait != 0), 0usize, 0usize)))
    }

    fn ready(&self) -> u32 {
        self.word(self.params[21]).load(Acquire).wrapping_sub(self.word(self.params[20]).load(Relaxed))
    }

    /// The next result: what it is for, and its value.
    fn take(&self) -> Option<(u64, i32)> {
        self.take_all().map(|(data, value, _)| (data, value))
    }

    /// The next result: what it is for, its value and its flags.
    fn take_all(&self) -> Option<(u64, i32, u32)> {
        if self.ready() == 0 {
            return None;
        }
        let head = self.word(self.params[20]);
        let at = head.load(Relaxed);
        let offset = self.params[25] + (at & (self.params[1] - 1)) * 16;
        // SAFETY: within the mapping; the kernel wrote it before it moved the tail.
        let cqe = unsafe { self.rings.add(offset as usize).cast::<[u64; 2]>().read() };
        head.store(at.wrapping_add(1), Release);
        Some((cqe[0], cqe[1] as u32 as i32, (cqe[1] >> 32) as u32))
    }

    /// Submits one and waits for its result: value and flags.
    fn one_flags(&self, sqe: Sqe) -> Result<(i32, u32), String> {
        self.put(sqe);
        eq!(self.enter(1, 1)?, 1);
        let (data, value, flags) = self.take_all().ok_or("no result")?;
        eq!(data, sqe.user_data);
        Ok((value, flags))
    }

    /// Waits for a result: what it is for, its value and its flags.
    fn next(&self) -> Result<(u64, i32, u32), String> {
        eq!(self.enter(0, 1)?, 0);
        self.take_all().ok_or("no result".to_string())
    }

    /// Submits one and waits for its result.
    fn one(&self, sqe: Sqe) -> Result<i32, String> {
        self.put(sqe);
        eq!(self.enter(1, 1)?, 1);
        let (data, value) = self.take().ok_or("no result")?;
        eq!(data, sqe.user_data);
        Ok(value)
    }

    /// Submits some and waits for as many results, sorted by what they are for.
    fn all(&self, list: &[Sqe]) -> Result<Vec<(u64, i32)>, String> {
        list.iter().for_each(|sqe| self.put(*sqe));
        let count = list.len() as u32;
        eq!(self.enter(count, count)?, i64::from(count));
        let mut found: Vec<_> = std::iter::from_fn(|| self.take()).collect();
        found.sort_by_key(|cqe| cqe.0);
        Ok(found)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        close(self.fd);
    }
}

fn nop() -> Outcome {
    let ring = Ring::new(5, 0, 0)?;
    eq!((ring.params[0], ring.params[1]), (8, 16));
    eq!(ring.one(sqe(NOP, -1, 77))?, 0);
    let list: Vec<Sqe> = (0..8).map(|n| sqe(NOP, -1, n)).collect();
    for _ in 0..5 {
        eq!(ring.all(&list)?, (0..8).map(|n| (n, 0)).collect::<Vec<_>>());
    }
    // Nothing more to take: fewer than asked for.
    ring.put(sqe(NOP, -1, 1));
    eq!(ring.enter(4, 0)?, 1);
    Ok(())
}

fn bad() -> Outcome {
    let mut params = [0u32; 30];
    fails!(syscall(SYS_io_uring_setup, 0, params.as_mut_ptr()), libc::EINVAL);
    fails!(syscall(SYS_io_uring_setup, 40_000, params.as_mut_ptr()), libc::EINVAL);
    params[2] = 1 << 30;
    fails!(syscall(SYS_io_uring_setup, 4, params.as_mut_ptr()), libc::EINVAL);
    fails!(syscall(SYS_io_uring_setup, 4, 8usize), libc::EFAULT);
    fails!(syscall(SYS_io_uring_enter, 900, 0, 0, 0, 0usize, 0usize), libc::EBADF);
    fails!(syscall(SYS_io_uring_enter, 0, 0, 0, 0, 0usize, 0usize), libc::EOPNOTSUPP);
    let ring = Ring::new(4, 0, 0)?;
    fails!(syscall(SYS_io_uring_enter, ring.fd, 0, 0, 1 << 30, 0usize, 0usize), libc::EINVAL);
    eq!(ring.one(sqe(200, -1, 1))?, -libc::EINVAL);
    eq!(ring.one(sqe(READ, 900, 2))?, -libc::EBADF);
    eq!(ring.one(Sqe { flags: 0x80, ..sqe(NOP, -1, 3) })?, -libc::EINVAL);
    let fd = open("/dev/zero", libc::O_WRONLY)?;
    eq!(ring.one(Sqe { len: 8, ..sqe(READ, fd, 4) })?, -libc::EBADF);
    Ok(())
}

fn files() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let path = cstr(&(dir()? + "/f"));
    let flags = (libc::O_RDWR | libc::O_CREAT) as u32;
    let open = Sqe { addr: path.as_ptr() as u64, len: 0o600, op_flags: flags, ..sqe(OPENAT, libc::AT_FDCWD, 1) };
    let fd = ring.one(open)?;
    ck!(fd > 2, "open gave {fd}");
    let text = b"some text";
    let write = Sqe { addr: text.as_ptr() as u64, len: 9, off: 3, ..sqe(WRITE, fd, 2) };
    eq!(ring.one(write)?, 9);
    let mut back = [0u8; 20];
    let read = Sqe { addr: back.as_mut_ptr() as u64, len: 20, off: 0, ..sqe(READ, fd, 3) };
    eq!(ring.one(read)?, 12);
    eq!(&back[..12], b"\0\0\0some text");
    eq!(ring.one(Sqe { op_flags: libc::RWF_HIPRI as u32, ..read })?, -libc::EINVAL);
    // The file's own position.
    eq!(ring.one(Sqe { off: u64::MAX, len: 5, ..read })?, 5);
    eq!(c!(libc::lseek(fd, 0, libc::SEEK_CUR)), 5);
    let mut stat = [0u64; 32];
    let statx =
        Sqe { addr: path.as_ptr() as u64, len: 0x7ff, off: stat.as_mut_ptr() as u64, ..sqe(STATX, libc::AT_FDCWD, 4) };
    eq!(ring.one(statx)?, 0);
    eq!(stat[5], 12);
    eq!(ring.one(sqe(CLOSE, fd, 5))?, 0);
    fails!(libc::close(fd), libc::EBADF);
    eq!(ring.one(Sqe { op_flags: libc::O_RDONLY as u32, addr: c"/none".as_ptr() as u64, ..open })?, -libc::ENOENT);
    Ok(())
}

fn vectors() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let path = dir()? + "/f";
    std::fs::write(&path, "0123456789").map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDONLY)?;
    let (mut a, mut b) = ([0u8; 4], [0u8; 10]);
    let list = [
        libc::iovec { iov_base: a.as_mut_ptr().cast(), iov_len: 4 },
        libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: 10 },
    ];
    let read = Sqe { addr: list.as_ptr() as u64, len: 2, off: 1, ..sqe(READV, fd, 1) };
    eq!(ring.one(read)?, 9);
    eq!((&a, &b[..5]), (b"1234", &b"56789"[..]));
    eq!(ring.one(Sqe { addr: 8, ..read })?, -libc::EFAULT);
    Ok(())
}

fn poll() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let (r, w) = pipe()?;
    let wait = Sqe { op_flags: libc::POLLIN as u32, ..sqe(POLL_ADD, r, 1) };
    ring.put(wait);
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.ready(), 0);
    let pid = child(|| {
        sleep_ms(30);
        i32::from(write(w, b"x") != Ok(1))
    })?;
    eq!(ring.enter(0, 1)?, 0);
    eq!(ring.take(), Some((1, i32::from(libc::POLLIN))));
    eq!(exit_of(pid)?, 0);
    // It is ready already.
    eq!(ring.one(wait)?, i32::from(libc::POLLIN));
    read(r, 1)?;
    ring.put(Sqe { user_data: 5, ..wait });
    ring.enter(1, 0)?;
    let found = ring.all(&[Sqe { addr: 5, ..sqe(POLL_REMOVE, -1, 9) }])?;
    eq!(found, [(5, -libc::ECANCELED), (9, 0)]);
    eq!(ring.one(Sqe { addr: 5, ..sqe(POLL_REMOVE, -1, 9) })?, -libc::ENOENT);
    Ok(())
}

/// A read of an empty pipe does not hold up the submitter, and is done when bytes come.
fn pipe_waits() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let (r, w) = pipe()?;
    let mut to = [0u8; 8];
    ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, r, 3) });
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.ready(), 0);
    eq!(ring.one(sqe(NOP, -1, 4))?, 0);
    write(w, b"hello")?;
    eq!(ring.enter(0, 1)?, 0);
    eq!(ring.take(), Some((3, 5)));
    eq!(&to[..5], b"hello");
    // Without entering: the result comes while the program does other things.
    ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, r, 3) });
    eq!(ring.enter(1, 0)?, 1);
    write(w, b"abc")?;
    until("a result without a call", || ring.ready() == 1)?;
    eq!(ring.take(), Some((3, 3)));
    Ok(())
}

fn timeout() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let span = [0i64, 50_000_000];
    let wait = Sqe { addr: span.as_ptr() as u64, len: 1, ..sqe(TIMEOUT, -1, 1) };
    let start = now_ms();
    eq!(ring.one(wait)?, -libc::ETIME);
    let took = now_ms() - start;
    ck!((49..15_000).contains(&took), "took {took} ms");
    // It also ends with so many results.
    let long = [100i64, 0];
    let counts = Sqe { addr: long.as_ptr() as u64, off: 2, user_data: 1, ..wait };
    let found = ring.all(&[counts, sqe(NOP, -1, 2), sqe(NOP, -1, 3)])?;
    eq!(found, [(1, 0), (2, 0), (3, 0)]);
    ring.put(Sqe { addr: long.as_ptr() as u64, user_data: 6, ..wait });
    ring.enter(1, 0)?;
    let found = ring.all(&[Sqe { addr: 6, ..sqe(TIMEOUT_REMOVE, -1, 7) }])?;
    eq!(found, [(6, -libc::ECANCELED), (7, 0)]);
    eq!(ring.one(Sqe { addr: 6, ..sqe(TIMEOUT_REMOVE, -1, 7) })?, -libc::ENOENT);
    // A limit for waiting.
    let spec = [0i64, 20_000_000];
    let argument = [0u64, 8, spec.as_ptr() as u64];
    fails!(syscall(SYS_io_uring_enter, ring.fd, 0, 1, 9, argument.as_ptr(), 24usize), libc::ETIME);
    Ok(())
}

fn links() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let path = dir()? + "/f";
    let fd = open(&path, libc::O_RDWR | libc::O_CREAT)?;
    let text = b"linked";
    let mut back = [0u8; 6];
    let write = Sqe { flags: LINK, addr: text.as_ptr() as u64, len: 6, ..sqe(WRITE, fd, 1) };
    let read = Sqe { addr: back.as_mut_ptr() as u64, len: 6, ..sqe(READ, fd, 2) };
    eq!(ring.all(&[write, read])?, [(1, 6), (2, 6)]);
    eq!(&back, text);
    // One that fails takes the rest along; a short read counts as failing.
    let nop = Sqe { flags: LINK, ..sqe(NOP, -1, 5) };
    let broken = Sqe { flags: LINK, fd: 900, user_data: 4, ..read };
    eq!(
        ring.all(&[Sqe { user_data: 3, ..nop }, broken, nop, sqe(NOP, -1, 6)])?,
        [(3, 0), (4, -libc::EBADF), (5, -libc::ECANCELED), (6, -libc::ECANCELED)]
    );
    // So does one that is refused, and what follows is taken all the same.
    let refused = Sqe { flags: LINK, ..sqe(200, -1, 4) };
    eq!(
        ring.all(&[Sqe { user_data: 3, ..nop }, refused, sqe(NOP, -1, 5)])?,
        [(3, -libc::ECANCELED), (4, -libc::EINVAL), (5, -libc::ECANCELED)]
    );
    let short = Sqe { flags: LINK, len: 6, off: 4, user_data: 7, ..read };
    eq!(ring.all(&[short, sqe(NOP, -1, 8)])?, [(7, 2), (8, -libc::ECANCELED)]);
    // A limit for one request.
    let (r, _w) = pipe()?;
    let span = [0i64, 20_000_000];
    let wait = Sqe { flags: LINK, op_flags: libc::POLLIN as u32, ..sqe(POLL_ADD, r, 1) };
    let limit = Sqe { addr: span.as_ptr() as u64, len: 1, ..sqe(LINK_TIMEOUT, -1, 2) };
    eq!(ring.all(&[wait, limit])?, [(1, -libc::ECANCELED), (2, -libc::ETIME)]);
    let soon = [0i64, 1];
    eq!(ring.all(&[wait, Sqe { addr: soon.as_ptr() as u64, ..limit }])?, [(1, -libc::ECANCELED), (2, -libc::ETIME)]);
    eq!(ring.all(&[Sqe { flags: LINK, ..sqe(NOP, -1, 1) }, limit])?, [(1, 0), (2, -libc::ECANCELED)]);
    Ok(())
}

fn cancel() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let (r, _w) = pipe()?;
    let mut to = [0u8; 8];
    ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, r, 1) });
    ring.put(Sqe { op_flags: libc::POLLIN as u32, ..sqe(POLL_ADD, r, 2) });
    eq!(ring.enter(2, 0)?, 2);
    let found = ring.all(&[Sqe { addr: 1, ..sqe(CANCEL, -1, 8) }])?;
    eq!(found, [(1, -libc::ECANCELED), (8, 0)]);
    let found = ring.all(&[Sqe { addr: 2, ..sqe(CANCEL, -1, 8) }])?;
    eq!(found, [(2, -libc::ECANCELED), (8, 0)]);
    eq!(ring.one(Sqe { addr: 2, ..sqe(CANCEL, -1, 8) })?, -libc::ENOENT);
    // What waits does not keep the ring from being closed.
    ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, r, 1) });
    ring.enter(1, 0)?;
    Ok(())
}

fn overflow() -> Outcome {
    let ring = Ring::new(4, 1 << 3, 4)?;
    eq!(ring.params[1], 4);
    for round in 0..3 {
        (0..4).for_each(|n| ring.put(sqe(NOP, -1, round * 4 + n)));
        eq!(ring.enter(4, 0)?, 4);
    }
    eq!(ring.ready(), 4);
    ck!(ring.word(ring.params[14]).load(Acquire) & 2 != 0, "no sign of an overflow");
    let mut found = Vec::new();
    while found.len() < 12 {
        while let Some((data, value)) = ring.take() {
            eq!(value, 0);
            found.push(data);
        }
        ring.enter(0, u32::from(found.len() < 12))?;
    }
    eq!(found, (0..12).collect::<Vec<u64>>());
    ck!(ring.word(ring.params[14]).load(Acquire) & 2 == 0, "the sign of an overflow stays");
    Ok(())
}

fn register(ring: &Ring, what: u32, arg: usize, count: u32) -> Result<i64, String> {
    Ok(c!(syscall(SYS_io_uring_register, ring.fd, what, arg, count)))
}

fn registered() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let path = dir()? + "/f";
    std::fs::write(&path, "0123456789").map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDONLY)?;
    let fds = [-1, fd];
    register(&ring, 2, fds.as_ptr() as usize, 2)?;
    fails!(syscall(SYS_io_uring_register, ring.fd, 2, fds.as_ptr(), 2), libc::EBUSY);
    // No ring is held by a ring.
    let other = Ring::new(4, 0, 0)?;
    fails!(syscall(SYS_io_uring_register, other.fd, 2, &raw const ring.fd, 1), libc::EBADF);
    close(fd);
    let mut to = vec![0u8; 8192];
    let list = [to.as_mut_ptr() as usize, to.len()];
    register(&ring, 0, list.as_ptr() as usize, 1)?;
    let read = Sqe { flags: FIXED_FILE, addr: to.as_mut_ptr() as u64 + 10, len: 4, off: 2, ..sqe(READ_FIXED, 1, 1) };
    eq!(ring.one(read)?, 4);
    eq!(&to[10..14], b"2345");
    eq!(ring.one(Sqe { addr: to.as_mut_ptr() as u64 + 8190, ..read })?, -libc::EFAULT);
    eq!(ring.one(Sqe { buf_index: 3, ..read })?, -libc::EFAULT);
    eq!(ring.one(Sqe { fd: 0, ..read })?, -libc::EBADF);
    eq!(ring.one(Sqe { fd: 9, ..read })?, -libc::EBADF);
    let other = open("/dev/zero", libc::O_RDONLY)?;
    let new = [other];
    let update = [1u64, new.as_ptr() as u64];
    eq!(register(&ring, 6, update.as_ptr() as usize, 1)?, 1);
    eq!(ring.one(Sqe { off: 0, ..read })?, 4);
    eq!(&to[10..14], [0; 4]);
    register(&ring, 3, 0, 0)?;
    fails!(syscall(SYS_io_uring_register, ring.fd, 3, 0usize, 0), libc::ENXIO);
    register(&ring, 1, 0, 0)?;
    // Which is missed first depends on Linux's version.
    let missing = ring.one(read)?;
    ck!([-libc::EBADF, -libc::EFAULT].contains(&missing), "{missing}");
    Ok(())
}

fn sockets() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let server = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    // SAFETY: a structure of plain numbers.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    let path = dir()? + "/s";
    path.bytes().zip(&mut address.sun_path).for_each(|(from, to)| *to = from as libc::c_char);
    let size = size_of::<libc::sockaddr_un>() as u32;
    c!(libc::bind(server, (&raw const address).cast(), size));
    c!(libc::listen(server, 4));
    ring.put(sqe(ACCEPT, server, 1));
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.ready(), 0);
    let client = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    c!(libc::connect(client, (&raw const address).cast(), size));
    eq!(ring.enter(0, 1)?, 0);
    let (data, peer) = ring.take().ok_or("no connection")?;
    eq!(data, 1);
    ck!(peer > client, "accept gave {peer}");
    let mut to = [0u8; 8];
    ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(RECV, peer, 2) });
    ring.put(Sqe { addr: b"ping".as_ptr() as u64, len: 4, ..sqe(SEND, client, 3) });
    eq!(ring.enter(2, 2)?, 2);
    let mut found = [ring.take(), ring.take()];
    found.sort();
    eq!(found, [Some((2, 4)), Some((3, 4))]);
    eq!(&to[..4], b"ping");
    Ok(())
}

fn eventfd() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let event = c!(libc::eventfd(0, libc::EFD_NONBLOCK));
    register(&ring, 4, (&raw const event) as usize, 1)?;
    ring.all(&[sqe(NOP, -1, 1), sqe(NOP, -1, 2)])?;
    ck!(count_of(event)? >= 1);
    register(&ring, 5, 0, 0)?;
    ring.one(sqe(NOP, -1, 3))?;
    let mut bytes = [0u8; 8];
    fails!(libc::read(event, bytes.as_mut_ptr().cast(), 8), libc::EAGAIN);
    // The ring itself can be waited for.
    ring.put(sqe(NOP, -1, 4));
    ring.enter(1, 0)?;
    let mut wait = libc::pollfd { fd: ring.fd, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut wait, 1, 1000)), 1);
    Ok(())
}

fn fsync() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let fd = open(&(dir()? + "/f"), libc::O_RDWR | libc::O_CREAT)?;
    write(fd, b"x")?;
    eq!(ring.one(sqe(FSYNC, fd, 1))?, 0);
    eq!(ring.one(Sqe { op_flags: 1, ..sqe(FSYNC, fd, 1) })?, 0);
    eq!(ring.one(Sqe { op_flags: 2, ..sqe(FSYNC, fd, 1) })?, -libc::EINVAL);
    let (r, _w) = pipe()?;
    eq!(ring.one(sqe(FSYNC, r, 1))?, -libc::EINVAL);
    Ok(())
}

fn probe() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let mut bytes = [0u8; 16 + 8 * 256];
    register(&ring, 8, bytes.as_mut_ptr() as usize, 256)?;
    let count = usize::from(bytes[1]);
    ck!(count > usize::from(RECV));
    for op in [NOP, READ, WRITE, POLL_ADD, TIMEOUT, ACCEPT, OPENAT] {
        let at = 16 + usize::from(op) * 8;
        eq!((bytes[at], bytes[at + 2]), (op, 1));
    }
    Ok(())
}

/// Timeouts that count results do not count each other's, however many there are.
fn counts() -> Outcome {
    let ring = Ring::new(256, 0, 0)?;
    let long = [100i64, 0];
    let count =
        |off: u64, user_data: u64| Sqe { addr: long.as_ptr() as u64, len: 1, off, ..sqe(TIMEOUT, -1, user_data) };
    [count(2, 1), count(1, 2), sqe(NOP, -1, 3)].iter().for_each(|sqe| ring.put(*sqe));
    eq!(ring.enter(3, 2)?, 3);
    let mut found = [ring.take(), ring.take(), ring.take()];
    found.sort();
    eq!(found, [None, Some((2, 0)), Some((3, 0))]);
    // Now the other has its two.
    ring.put(sqe(NOP, -1, 4));
    eq!(ring.enter(1, 2)?, 1);
    let mut found = [ring.take(), ring.take()];
    found.sort();
    eq!(found, [Some((1, 0)), Some((4, 0))]);
    let mut many: Vec<Sqe> = (0..200).map(|n| count(1, n)).collect();
    many.push(sqe(NOP, -1, 200));
    eq!(ring.all(&many)?, (0..=200).map(|n| (n, 0)).collect::<Vec<_>>());
    Ok(())
}

/// A ring for one task alone.
fn issuer() -> Outcome {
    let ring = Ring::new(4, 1 << 12, 0)?;
    eq!(ring.one(sqe(NOP, -1, 1))?, 0);
    let fd = ring.fd;
    let other = std::thread::spawn(move || {
        // SAFETY: no memory is named.
        let result = unsafe { syscall(SYS_io_uring_enter, fd, 1, 0, 0, 0usize, 0usize) };
        (result, errno())
    });
    eq!(other.join().map_err(|_| "panic")?, (-1, libc::EEXIST));
    eq!(ring.one(sqe(NOP, -1, 2))?, 0);
    Ok(())
}

/// What a request reads goes to who sent it, even if another process that has the ring waits for it.
fn shared() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let (r, w) = pipe()?;
    let mut to = [0u8; 8];
    let at = to.as_mut_ptr();
    ring.put(Sqe { addr: at as u64, len: 8, ..sqe(READ, r, 3) });
    eq!(ring.enter(1, 0)?, 1);
    let pid = child(|| {
        // SAFETY: the child's copy of `to`.
        let seen = || unsafe { at.read_volatile() };
        let mut wrong = write(w, b"x") != Ok(1);
        for _ in 0..5 {
            // SAFETY: no memory is named.
            wrong |= unsafe { syscall(SYS_io_uring_enter, ring.fd, 0, 0, 1, 0usize, 0usize) } != 0;
            sleep_ms(5);
        }
        i32::from(wrong || seen() != 0)
    })?;
    eq!(exit_of(pid)?, 0);
    eq!(ring.enter(0, 1)?, 0);
    eq!(ring.take(), Some((3, 1)));
    // SAFETY: it lives still.
    eq!(unsafe { at.read_volatile() }, b'x');
    Ok(())
}

extern "C" fn nothing(_: i32) {}

/// A signal ends the wait, whatever its handler says of restarting.
fn signal() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    handle(libc::SIGALRM, nothing as *const () as usize, libc::SA_RESTART)?;
    let soon = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 30_000 },
    };
    c!(libc::setitimer(libc::ITIMER_REAL, &raw const soon, null_mut()));
    fails!(syscall(SYS_io_uring_enter, ring.fd, 0, 1, 1, 0usize, 0usize), libc::EINTR);
    Ok(())
}

/// A poll that tells each time.
fn multipoll() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let (r, w) = pipe()?;
    let readable = i32::from(libc::POLLIN);
    let watch = Sqe { op_flags: libc::POLLIN as u32, len: 1, ..sqe(POLL_ADD, r, 1) };
    ring.put(watch);
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.ready(), 0);
    for _ in 0..3 {
        write(w, b"x")?;
        eq!(ring.next()?, (1, readable, MORE));
        // Bytes that stay are told of once.
        eq!(ring.one(sqe(NOP, -1, 2))?, 0);
        eq!(ring.ready(), 0);
        read(r, 1)?;
    }
    // What others wait for goes on.
    let pid = child(|| i32::from(write(w, b"y") != Ok(1)))?;
    eq!(ring.next()?, (1, readable, MORE));
    eq!(exit_of(pid)?, 0);
    // Taken back, it has its last result.
    let found = ring.all(&[Sqe { addr: 1, ..sqe(POLL_REMOVE, -1, 9) }])?;
    eq!(found, [(1, -libc::ECANCELED), (9, 0)]);
    // What is there at first is told at once.
    ring.put(watch);
    eq!(ring.enter(1, 1)?, 1);
    eq!(ring.take_all(), Some((1, readable, MORE)));
    close(w);
    let (data, value, flags) = ring.next()?;
    eq!((data, flags), (1, MORE));
    ck!(value & i32::from(libc::POLLHUP) != 0, "events {value:#x}");
    let found = ring.all(&[Sqe { addr: 1, ..sqe(CANCEL, -1, 9) }])?;
    eq!(found, [(1, -libc::ECANCELED), (9, 0)]);
    eq!(ring.one(Sqe { len: 0x100, ..watch })?, -libc::EINVAL);
    // One that waits does not keep the ring from being closed.
    let (other, _w) = pipe()?;
    ring.put(Sqe { fd: other, ..watch });
    eq!(ring.enter(1, 0)?, 1);
    Ok(())
}

/// A socket that listens, and how to connect to it.
fn listener() -> Result<(i32, impl Fn() -> Result<i32, String>), String> {
    let server = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    // SAFETY: a structure of plain numbers.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    let path = dir()? + "/s";
    path.bytes().zip(&mut address.sun_path).for_each(|(from, to)| *to = from as libc::c_char);
    let size = size_of::<libc::sockaddr_un>() as u32;
    c!(libc::bind(server, (&raw const address).cast(), size));
    c!(libc::listen(server, 8));
    let connect = move || -> Result<i32, String> {
        let client = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
        c!(libc::connect(client, (&raw const address).cast(), size));
        Ok(client)
    };
    Ok((server, connect))
}

fn multiaccept() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let (server, connect) = listener()?;
    let accept = Sqe { ioprio: 1, op_flags: libc::SOCK_CLOEXEC as u32, ..sqe(ACCEPT, server, 1) };
    let early = connect()?;
    ring.put(accept);
    eq!(ring.enter(1, 1)?, 1);
    let (data, peer, flags) = ring.take_all().ok_or("no connection")?;
    eq!((data, flags), (1, MORE));
    eq!(c!(libc::fcntl(peer, libc::F_GETFD)), libc::FD_CLOEXEC);
    write(early, b"early")?;
    eq!(read(peer, 8)?, b"early");
    for _ in 0..3 {
        let clients = [connect()?, connect()?];
        let mut peers = vec![];
        while peers.len() < 2 {
            let (data, peer, flags) = ring.next()?;
            eq!((data, flags), (1, MORE));
            peers.push(peer);
        }
        for (client, peer) in clients.into_iter().zip(peers) {
            write(client, b"hi")?;
            eq!(read(peer, 8)?, b"hi");
            close(client);
            close(peer);
        }
    }
    let found = ring.all(&[Sqe { addr: 1, ..sqe(CANCEL, -1, 9) }])?;
    eq!(found, [(1, -libc::ECANCELED), (9, 0)]);
    let file = open("/dev/null", libc::O_RDONLY)?;
    eq!(ring.one(Sqe { fd: file, ..accept })?, -libc::ENOTSOCK);
    eq!(ring.one(Sqe { ioprio: 0x100, ..accept })?, -libc::EINVAL);
    Ok(())
}

/// Buffers in groups.
fn provided() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let path = dir()? + "/f";
    std::fs::write(&path, "0123456789").map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDONLY)?;
    let mut memory = vec![0u8; 4 * 64];
    let at = memory.as_mut_ptr() as u64;
    let read = Sqe { flags: SELECT, buf_index: 7, ..sqe(READ, fd, 1) };
    // No such group; an operation without buffers.
    eq!(ring.one(read)?, -libc::ENOBUFS);
    eq!(ring.one(Sqe { flags: SELECT, ..sqe(NOP, -1, 1) })?, -libc::EOPNOTSUPP);
    // Four of 64 bytes, with numbers from 10 on.
    let give = Sqe { addr: at, len: 64, off: 10, buf_index: 7, ..sqe(PROVIDE, 4, 2) };
    eq!(ring.one_flags(give)?, (0, 0));
    // The first come first; a length of 0 is the buffer's.
    eq!(ring.one_flags(Sqe { off: 2, len: 5, ..read })?, (5, BUFFER | 10 << 16));
    eq!(&memory[..6], b"23456\0");
    eq!(ring.one_flags(read)?, (10, BUFFER | 11 << 16));
    eq!(&memory[64..74], b"0123456789");
    let more = Sqe { fd: 1, off: 10, len: 64, ..give };
    eq!(ring.one(more)?, 0);
    eq!(ring.one_flags(Sqe { len: 100, ..read })?, (10, BUFFER | 12 << 16));
    // Taken back: 13, and 10 that was given again.
    let take = Sqe { buf_index: 7, ..sqe(REMOVE, 9, 3) };
    eq!(ring.one(take)?, 2);
    eq!(ring.one(take)?, 0);
    eq!(ring.one(read)?, -libc::ENOBUFS);
    eq!(ring.one(Sqe { buf_index: 8, ..take })?, -libc::ENOENT);
    eq!(ring.one(Sqe { fd: 0, ..take })?, -libc::EINVAL);
    eq!(ring.one(Sqe { addr: 1, ..take })?, -libc::EINVAL);
    eq!(ring.one(Sqe { fd: 0, ..give })?, -libc::E2BIG);
    eq!(ring.one(Sqe { off: 1 << 16, ..give })?, -libc::E2BIG);
    eq!(ring.one(Sqe { addr: 1 << 63, ..give })?, -libc::EFAULT);
    eq!(ring.one(Sqe { op_flags: 1, ..give })?, -libc::EINVAL);
    // The buffer is chosen when there are bytes, not when the request is sent.
    let (r, w) = pipe()?;
    eq!(ring.one(give)?, 0);
    ring.put(Sqe { fd: r, ..read });
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.one_flags(Sqe { len: 3, user_data: 5, ..read })?, (3, BUFFER | 10 << 16));
    write(w, b"later")?;
    eq!(ring.next()?, (1, 5, BUFFER | 11 << 16));
    eq!(&memory[64..69], b"later");
    Ok(())
}

/// A ring of buffers as the program has it: 8 entries of a page that is theirs.
struct Buffers {
    entries: *mut [u64; 2],
    memory: Vec<u8>,
    tail: u16,
}

impl Buffers {
    fn new(ring: &Ring, group: u16) -> Result<Self, String> {
        let entries = c!(libc::mmap(
            null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0
        ));
        let registration = [entries as u64, 8 | u64::from(group) << 32, 0, 0, 0];
        register(ring, PBUF_RING, registration.as_ptr() as usize, 1)?;
        Ok(Self { entries: entries.cast(), memory: vec![0; 8 * 32], tail: 0 })
    }

    /// Gives buffer `bid`, of 32 bytes.
    fn give(&mut self, bid: u16) {
        let at = self.memory.as_mut_ptr() as u64 + u64::from(bid) * 32;
        // SAFETY: within the page; the tail is the last field of the first entry, and stays as it is until it is moved.
        unsafe {
            let entry = self.entries.add(usize::from(self.tail % 8)).cast::<u8>();
            entry.cast::<u64>().write_volatile(at);
            entry.add(8).cast::<u32>().write_volatile(32);
            entry.add(12).cast::<u16>().write_volatile(bid);
            self.tail = self.tail.wrapping_add(1);
            std::sync::atomic::fence(Release);
            self.entries.cast::<u8>().add(14).cast::<u16>().write_volatile(self.tail);
        }
    }

    fn of(&self, bid: u16) -> &[u8] {
        &self.memory[usize::from(bid) * 32..][..32]
    }
}

fn buffer_ring() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let (r, w) = pipe()?;
    let mut buffers = Buffers::new(&ring, 3)?;
    let read = Sqe { flags: SELECT, buf_index: 3, ..sqe(READ, r, 1) };
    write(w, b"one")?;
    eq!(ring.one(read)?, -libc::ENOBUFS);
    buffers.give(5);
    eq!(ring.one_flags(read)?, (3, BUFFER | 5 << 16));
    eq!(&buffers.of(5)[..3], b"one");
    // Round and round.
    for turn in 0..40u16 {
        buffers.give(turn % 8);
        write(w, &turn.to_le_bytes())?;
        eq!(ring.one_flags(read)?, (2, BUFFER | u32::from(turn % 8) << 16));
        eq!(&buffers.of(turn % 8)[..2], &turn.to_le_bytes());
    }
    // It is no list, and its number is taken.
    eq!(ring.one(Sqe { addr: 4096, len: 8, buf_index: 3, ..sqe(PROVIDE, 1, 2) })?, -libc::EINVAL);
    eq!(ring.one(Sqe { buf_index: 3, ..sqe(REMOVE, 1, 2) })?, -libc::EINVAL);
    let again = [buffers.entries as u64, 8 | 3 << 32, 0, 0, 0];
    let call = |what: u32, with: &[u64; 5], count: u32| {
        // SAFETY: the kernel reads the five words.
        let result = unsafe { syscall(SYS_io_uring_register, ring.fd, what, with.as_ptr(), count) };
        if result < 0 { errno() } else { 0 }
    };
    eq!(call(PBUF_RING, &again, 1), libc::EEXIST);
    eq!(call(PBUF_RING, &again, 2), libc::EINVAL);
    eq!(call(PBUF_RING, &[again[0], 7 | 4 << 32, 0, 0, 0], 1), libc::EINVAL);
    eq!(call(PBUF_RING, &[again[0] + 8, 8 | 4 << 32, 0, 0, 0], 1), libc::EINVAL);
    eq!(call(PBUF_RING, &[0, 8 | 4 << 32, 0, 0, 0], 1), libc::EFAULT);
    eq!(call(PBUF_RING, &[again[0], 8 | 4 << 32, 1, 0, 0], 1), libc::EINVAL);
    eq!(call(NO_PBUF_RING, &[0, 4 << 32, 0, 0, 0], 1), libc::ENOENT);
    eq!(call(NO_PBUF_RING, &[0, 3 << 32, 0, 0, 0], 1), 0);
    eq!(call(NO_PBUF_RING, &[0, 3 << 32, 0, 0, 0], 1), libc::ENOENT);
    eq!(ring.one(read)?, -libc::ENOBUFS);
    Ok(())
}

/// `recv` that goes on, into buffers of a ring.
fn multireceive() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let mut pair = [0i32; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()));
    let mut buffers = Buffers::new(&ring, 1)?;
    (0..4).for_each(|bid| buffers.give(bid));
    let receive = Sqe { flags: SELECT, ioprio: 2, buf_index: 1, ..sqe(RECV, pair[0], 1) };
    ring.put(receive);
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.ready(), 0);
    for bid in 0..3u16 {
        write(pair[1], format!("message {bid}").as_bytes())?;
        eq!(ring.next()?, (1, 9, BUFFER | MORE | u32::from(bid) << 16));
        eq!(&buffers.of(bid)[..9], format!("message {bid}").as_bytes());
    }
    // No buffer is left after the next: that ends it.
    write(pair[1], &[b'x'; 40])?;
    eq!(ring.next()?, (1, 32, BUFFER | MORE | 3 << 16));
    eq!(ring.next()?, (1, -libc::ENOBUFS, 0));
    eq!(ring.ready(), 0);
    // One result, with a buffer as well.
    buffers.give(6);
    eq!(ring.one_flags(Sqe { ioprio: 0, ..receive })?, (8, BUFFER | 6 << 16));
    // The other end is closed.
    buffers.give(7);
    ring.put(receive);
    eq!(ring.enter(1, 0)?, 1);
    close(pair[1]);
    eq!(ring.next()?, (1, 0, 0));
    eq!(ring.one(Sqe { flags: 0, ..receive })?, -libc::EINVAL);
    Ok(())
}
