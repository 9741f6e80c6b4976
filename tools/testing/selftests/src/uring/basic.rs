// SPDX-License-Identifier: GPL-2.0
//! io_uring: requests that are done at once, what is refused, what is registered.

use super::*;
use crate::{c, ck, eq, fails};

pub fn nop() -> Outcome {
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

pub fn bad() -> Outcome {
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

/// A ring that polls for completions.
pub fn polled() -> Outcome {
    let ring = Ring::new(4, 1, 0)?;
    eq!(ring.one(sqe(NOP, -1, 1))?, 0);
    let zero = open("/dev/zero", libc::O_RDONLY)?;
    let mut to = [1u8; 8];
    let read = Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, zero, 2) };
    eq!(ring.one(read)?, -libc::EOPNOTSUPP);
    for other in [sqe(POLL_ADD, zero, 3), sqe(FSYNC, zero, 4), sqe(TIMEOUT, -1, 5), sqe(CLOSE, zero, 6)] {
        eq!(ring.one(other)?, -libc::EINVAL);
    }
    // Nothing is on its way.
    eq!(ring.enter(0, 1)?, 0);
    Ok(())
}

pub fn files() -> Outcome {
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
    // Priorities: best effort, and what is no class.
    eq!(ring.one(Sqe { ioprio: 2 << 13 | 4, ..read })?, 12);
    eq!(ring.one(Sqe { ioprio: 7 << 13, ..read })?, -libc::EINVAL);
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

pub fn vectors() -> Outcome {
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

pub fn registered() -> Outcome {
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

/// A registered buffer stays the program's memory where that may not write for a while: in pages, and in huge pages.
pub fn registered_and_rights() -> Outcome {
    const LEN: usize = 4 << 20;
    let (rw, anon) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let path = dir()? + "/f";
    std::fs::write(&path, "0123456789").map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDONLY)?;
    let (reader, writer) = pipe()?;
    for advice in [libc::MADV_NOHUGEPAGE, libc::MADV_HUGEPAGE] {
        let ring = Ring::new(4, 0, 0)?;
        let at = c!(libc::mmap(core::ptr::null_mut(), LEN, rw, anon, -1, 0) as i64) as usize;
        // SAFETY: its own mapping. A kernel without huge pages refuses, which is as good.
        unsafe { libc::madvise(at as *mut _, LEN, advice) };
        let buffer = at + LEN / 2;
        // SAFETY: in the mapping.
        let poke = |at: usize, value: u8| unsafe { (at as *mut u8).write_volatile(value) };
        let peek = |at: usize| unsafe { (at as *const u8).read_volatile() };
        poke(buffer, 1);
        let list = [buffer, 8192];
        register(&ring, 0, list.as_ptr() as usize, 1)?;
        let check = |at: usize, value: u8| -> Outcome {
            poke(at, value);
            let read = Sqe { addr: at as u64 + 1, len: 4, off: 2, ..sqe(READ_FIXED, fd, 1) };
            eq!(ring.one(read)?, 4);
            let seen = [0, 1, 2, 3, 4].map(|i| peek(at + i));
            eq!(seen, [value, b'2', b'3', b'4', b'5']);
            poke(at + 4, value);
            eq!(ring.one(Sqe { addr: at as u64, len: 5, ..sqe(WRITE_FIXED, writer, 2) })?, 5);
            eq!(crate::util::read(reader, 5)?, [value, b'2', b'3', b'4', value]);
            Ok(())
        };
        check(buffer + 100, 2)?;
        for rights in [libc::PROT_READ, libc::PROT_NONE] {
            c!(libc::mprotect(at as *mut _, LEN, rights));
            c!(libc::mprotect(at as *mut _, LEN, rw));
            check(buffer + 200, 3)?;
        }
        // Where the kernel has soft-dirty bits, forgetting them is the same.
        let _ = std::fs::write("/proc/self/clear_refs", "4");
        check(buffer + 4300, 4)?;
        // What a child has is a copy.
        c!(libc::mprotect(at as *mut _, LEN, libc::PROT_READ));
        let pid = child(|| i32::from(peek(buffer + 4300) != 4))?;
        eq!(exit_of(pid)?, 0);
        c!(libc::mprotect(at as *mut _, LEN, rw));
        check(buffer + 4300, 5)?;
        register(&ring, 1, 0, 0)?;
        c!(libc::munmap(at as *mut _, LEN));
    }
    Ok(())
}

pub fn sockets() -> Outcome {
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

pub fn eventfd() -> Outcome {
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

pub fn fsync() -> Outcome {
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

pub fn probe() -> Outcome {
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
