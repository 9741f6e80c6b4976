// SPDX-License-Identifier: GPL-2.0
//! io_uring: requests that wait for all before them, and those that workers do.

use super::*;
use crate::{c, ck, eq};

const CONNECT: u8 = 16;
const DRAIN: u8 = 2;
const SKIP: u8 = 1 << 6;
const ASYNC: u8 = 16;

/// Everything waits for a poll of a pipe; then the results come in the order in which they were sent.
fn in_order(ring: &Ring, list: &[Sqe]) -> Outcome {
    let (r, w) = pipe()?;
    ring.put(Sqe { op_flags: libc::POLLIN as u32, ..sqe(POLL_ADD, r, 1) });
    list.iter().for_each(|sqe| ring.put(*sqe));
    eq!(ring.enter(list.len() as u32 + 1, 0)?, list.len() as i64 + 1);
    eq!(ring.ready(), 0);
    write(w, b"x")?;
    eq!(ring.next()?.0, 1);
    for sqe in list {
        let (data, value, _) = ring.next()?;
        eq!((data, value), (sqe.user_data, 0));
    }
    close(r);
    close(w);
    Ok(())
}

pub fn drain() -> Outcome {
    let ring = Ring::new(16, 0, 0)?;
    let nop = |data: u64, flags: u8| Sqe { flags, ..sqe(NOP, -1, data) };
    for _ in 0..3 {
        in_order(&ring, &[nop(2, DRAIN)])?;
        in_order(&ring, &[nop(2, DRAIN), nop(3, 0), nop(4, 0)])?;
        in_order(&ring, &[nop(2, DRAIN), nop(3, DRAIN), nop(4, DRAIN), nop(5, 0)])?;
        // In a chain: all of it waits, and what is sent after it.
        in_order(&ring, &[nop(2, LINK), nop(3, LINK | DRAIN), nop(4, 0), nop(5, 0), nop(6, 0)])?;
        in_order(&ring, &[nop(2, DRAIN | LINK), nop(3, 0), nop(4, LINK), nop(5, DRAIN), nop(6, DRAIN)])?;
        // Nothing to wait for.
        eq!(ring.one(nop(9, DRAIN))?, 0);
        eq!(ring.all(&[nop(1, DRAIN), nop(2, DRAIN), nop(3, 0)])?, [(1, 0), (2, 0), (3, 0)]);
    }
    // A write and what reads it, without a chain.
    let fd = open(&(dir()? + "/f"), libc::O_RDWR | libc::O_CREAT)?;
    let mut to = [0u8; 8];
    let text = |n: u64| Sqe { addr: b"abcdefgh"[n as usize..].as_ptr() as u64, len: 1, off: n, ..sqe(WRITE, fd, n) };
    for n in 0..8 {
        ring.put(text(n));
    }
    let read = Sqe { addr: to.as_mut_ptr() as u64, len: 8, flags: DRAIN, ..sqe(READ, fd, 8) };
    ring.put(read);
    eq!(ring.enter(9, 9)?, 9);
    while let Some((data, value)) = ring.take() {
        eq!(value, if data == 8 { 8 } else { 1 });
    }
    eq!(&to, b"abcdefgh");
    // What is put off goes with the ring.
    let (r, _w) = pipe()?;
    ring.put(Sqe { op_flags: libc::POLLIN as u32, ..sqe(POLL_ADD, r, 1) });
    for n in 2..9 {
        ring.put(nop(n, DRAIN));
    }
    eq!(ring.enter(8, 0)?, 8);
    drop(ring);
    // Results that are not posted cannot be counted.
    let ring = Ring::new(4, 0, 0)?;
    ring.put(nop(1, SKIP));
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.one(nop(2, DRAIN))?, -libc::EOPNOTSUPP);
    eq!(ring.one(nop(3, DRAIN | SKIP))?, -libc::EOPNOTSUPP);
    Ok(())
}

/// Opens one end of a pipe with a name, which waits for the other.
fn open_fifo(ring: &Ring, name: &std::ffi::CStr, data: u64) -> Outcome {
    let addr = name.as_ptr() as u64;
    ring.put(Sqe { flags: ASYNC, addr, op_flags: libc::O_RDONLY as u32, ..sqe(OPENAT, libc::AT_FDCWD, data) });
    eq!(ring.enter(1, 0)?, 1);
    sleep_ms(30);
    eq!(ring.ready(), 0);
    Ok(())
}

pub fn workers() -> Outcome {
    let ring = Ring::new(16, 0, 0)?;
    let list: Vec<Sqe> = (0..16).map(|n| Sqe { flags: ASYNC, ..sqe(NOP, -1, n) }).collect();
    for _ in 0..20 {
        eq!(ring.all(&list)?, (0..16).map(|n| (n, 0)).collect::<Vec<_>>());
    }
    // A chain.
    let path = dir()? + "/f";
    let fd = open(&path, libc::O_RDWR | libc::O_CREAT)?;
    let (text, mut to) = (b"asynchronous", [0u8; 12]);
    let write = Sqe { flags: ASYNC | LINK, addr: text.as_ptr() as u64, len: 12, ..sqe(WRITE, fd, 1) };
    eq!(
        ring.all(&[
            write,
            Sqe { flags: ASYNC, addr: to.as_mut_ptr() as u64, ..Sqe { user_data: 2, opcode: READ, ..write } }
        ])?,
        [(1, 12), (2, 12)]
    );
    eq!(&to, text);
    close(fd);
    eq!(ring.one(Sqe { flags: ASYNC, ..sqe(READ, 900, 4) })?, -libc::EBADF);
    // What waits for its file does not keep a worker.
    let (r, w) = pipe()?;
    for n in 0..16 {
        ring.put(Sqe { flags: ASYNC, addr: to.as_mut_ptr() as u64, len: 1, ..sqe(READ, r, n) });
    }
    eq!(ring.enter(16, 0)?, 16);
    eq!(ring.one(Sqe { flags: ASYNC, ..sqe(NOP, -1, 20) })?, 0);
    write_all(w, 16)?;
    for _ in 0..16 {
        eq!(ring.next()?.1, 1);
    }
    // What waits elsewhere keeps only its worker.
    let name = cstr(&(dir()? + "/fifo"));
    c!(libc::mkfifo(name.as_ptr(), 0o600));
    open_fifo(&ring, &name, 5)?;
    eq!(ring.all(&list)?.len(), 16);
    let writer = c!(libc::open(name.as_ptr(), libc::O_WRONLY));
    let (data, reader, _) = ring.next()?;
    ck!(data == 5 && reader > 0, "{data}: {reader}");
    close(reader);
    close(writer);
    // It is interrupted.
    open_fifo(&ring, &name, 6)?;
    ring.put(Sqe { addr: 6, ..sqe(CANCEL, -1, 7) });
    eq!(ring.enter(1, 2)?, 1);
    let mut found = [ring.take().ok_or("no result")?, ring.take().ok_or("no result")?];
    found.sort();
    // Linux gives the error of a call that is to begin again.
    ck!(found[0].0 == 6 && [-libc::EINTR, -512].contains(&found[0].1), "{found:?}");
    eq!(found[1], (7, -libc::EALREADY));
    // With the ring, and with the program.
    open_fifo(&ring, &name, 8)?;
    drop(ring);
    in_child(|| {
        let ring = Ring::new(4, 0, 0)?;
        open_fifo(&ring, &name, 9)
    })
}

/// What waits for somebody does not hold up the ring's other requests, also without the flag.
pub fn beside() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let name = cstr(&(dir()? + "/fifo"));
    c!(libc::mkfifo(name.as_ptr(), 0o600));
    let open = |flags: i32, data: u64| Sqe {
        addr: name.as_ptr() as u64,
        op_flags: flags as u32,
        ..sqe(OPENAT, libc::AT_FDCWD, data)
    };
    // These do not wait at all.
    eq!(ring.one(open(libc::O_WRONLY, 1))?, -libc::ENXIO);
    let reader = ring.one(open(libc::O_RDONLY, 2))?;
    ck!(reader > 0, "{reader}");
    eq!(c!(libc::fcntl(reader, libc::F_GETFL)) & libc::O_NONBLOCK, 0);
    close(reader);
    // This does, for it might cut a file.
    ring.put(open(libc::O_RDONLY | libc::O_TRUNC, 3));
    eq!(ring.enter(1, 0)?, 1);
    for n in 10..20 {
        eq!(ring.one(sqe(NOP, -1, n))?, 0);
    }
    let writer = c!(libc::open(name.as_ptr(), libc::O_WRONLY));
    let (data, reader, _) = ring.next()?;
    ck!(data == 3 && reader > 0, "{data}: {reader}");
    close(reader);
    close(writer);
    // A queue of connections that is full.
    let (at, size, server) = short_queue()?;
    let connect =
        |fd: i32, data: u64| Sqe { addr: &raw const at as u64, off: u64::from(size), ..sqe(CONNECT, fd, data) };
    let socket = || -> Result<i32, String> { Ok(c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0))) };
    let (first, second) = (socket()?, socket()?);
    eq!(ring.one(connect(first, 4))?, 0);
    ring.put(connect(second, 5));
    eq!(ring.enter(1, 0)?, 1);
    sleep_ms(20);
    eq!(ring.one(sqe(NOP, -1, 6))?, 0);
    let accept =
        || -> Result<i32, String> { Ok(c!(libc::accept(server, core::ptr::null_mut(), core::ptr::null_mut()))) };
    let accepted = [accept()?, accept()?];
    eq!(ring.next()?, (5, 0, 0));
    [first, second, server].into_iter().chain(accepted).for_each(close);
    Ok(())
}

/// A listening socket that keeps one connection for who accepts, and its address.
fn short_queue() -> Result<(libc::sockaddr_un, u32, i32), String> {
    let server = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    // SAFETY: zeroes are a value of the structure.
    let mut at: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    at.sun_family = libc::AF_UNIX as u16;
    for (to, from) in at.sun_path.iter_mut().zip((dir()? + "/short").bytes()) {
        *to = from as libc::c_char;
    }
    let size = size_of::<libc::sockaddr_un>() as u32;
    c!(libc::bind(server, (&raw const at).cast(), size));
    c!(libc::listen(server, 0));
    Ok((at, size, server))
}

fn write_all(fd: i32, count: usize) -> Outcome {
    eq!(write(fd, &vec![b'x'; count])?, count);
    Ok(())
}
