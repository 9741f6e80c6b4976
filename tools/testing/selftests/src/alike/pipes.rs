// SPDX-License-Identifier: GPL-2.0
//! Pipes: what takes a slot, whose pages are in it, and what is said first.

use crate::util::{Outcome, close, handle, home, pipe_flags, read, write};
use crate::{Test, c, ck, eq, fails};
use core::ptr::null_mut;

pub const TESTS: &[Test] = &[
    ("alike.splice_shares_pages", splice_shares_pages),
    ("alike.splice_by_pages", splice_by_pages),
    ("alike.tee_leaves_merging", tee_leaves_merging),
    ("alike.packets_merge_into_bytes", packets_merge_into_bytes),
    ("alike.splice_full_first", splice_full_first),
    ("alike.fault_takes_nothing", fault_takes_nothing),
    ("alike.hangup_per_reader", hangup_per_reader),
    ("alike.edges_of_pipes", edges_of_pipes),
    ("alike.shut_is_full", shut_is_full),
    ("alike.peer_left", peer_left),
    ("alike.sender_if_asked", sender_if_asked),
    ("alike.reset_before_rights", reset_before_rights),
];

fn splice(from: i32, at: i64, to: i32, len: usize) -> Result<isize, String> {
    let mut at = at;
    let place = if at < 0 { null_mut() } else { &raw mut at };
    Ok(c!(libc::splice(from, place, to, null_mut(), len, 0)))
}

fn file(len: usize) -> Result<i32, String> {
    home()?;
    let fd = c!(libc::open(c"f".as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o600));
    eq!(write(fd, &vec![b'a'; len])?, len);
    Ok(fd)
}

/// What is written to a file is seen in a pipe that has its pages, and in what was made from that by `tee`.
fn splice_shares_pages() -> Outcome {
    let fd = file(9000)?;
    let (r, w) = pipe_flags(libc::O_NONBLOCK)?;
    let (r2, w2) = pipe_flags(libc::O_NONBLOCK)?;
    eq!(splice(fd, 100, w, 10)?, 10);
    eq!(c!(libc::tee(r, w2, 100, 0)), 10);
    eq!(c!(libc::pwrite(fd, b"new".as_ptr().cast(), 3, 102)), 3);
    eq!(read(r, 100)?, b"aanewaaaaa");
    eq!(read(r2, 100)?, b"aanewaaaaa");
    // What was written to the pipe goes nowhere else.
    write(w, b"x")?;
    let mut byte = 0_u8;
    c!(libc::pread(fd, (&raw mut byte).cast(), 1, 110));
    eq!(byte, b'a');
    Ok(())
}

/// Each page of a file takes a slot, a part of one too.
fn splice_by_pages() -> Outcome {
    let fd = file(9000)?;
    let (_r, w) = pipe_flags(libc::O_NONBLOCK)?;
    eq!(splice(fd, 2214, w, 8191)?, 6786);
    eq!(c!(libc::write(w, vec![0_u8; 100_000].as_ptr().cast(), 100_000)), 13 * 4096);
    Ok(())
}

/// After `tee` a small write still goes behind the last bytes of the first pipe, and is not seen in the second.
fn tee_leaves_merging() -> Outcome {
    let (r, w) = pipe_flags(libc::O_NONBLOCK)?;
    let (r2, w2) = pipe_flags(libc::O_NONBLOCK)?;
    write(w, b"abc")?;
    eq!(c!(libc::tee(r, w2, 100, 0)), 3);
    write(w, b"def")?;
    eq!(c!(libc::write(w, vec![0_u8; 98304].as_ptr().cast(), 98304)), 15 * 4096);
    eq!(read(r2, 100)?, b"abc");
    eq!(read(r, 6)?, b"abcdef");
    Ok(())
}

/// A write of packets goes behind bytes that are no packet, if it fits there.
fn packets_merge_into_bytes() -> Outcome {
    let (r, w) = pipe_flags(libc::O_NONBLOCK)?;
    write(w, b"abc")?;
    c!(libc::fcntl(w, libc::F_SETFL, libc::O_NONBLOCK | libc::O_DIRECT));
    write(w, b"def")?;
    write(w, &[1; 4095])?;
    eq!(read(r, 6)?, b"abcdef");
    eq!(read(r, 5000)?.len(), 4095);
    Ok(())
}

/// At the end of the input, too, an output that is full or that nobody reads is said first.
fn splice_full_first() -> Outcome {
    let (r, w) = pipe_flags(libc::O_NONBLOCK)?;
    close(w);
    let (r2, w2) = pipe_flags(libc::O_NONBLOCK)?;
    eq!(splice(r, -1, w2, 10)?, 0);
    eq!(write(w2, &[0; 65536])?, 65536);
    fails!(libc::splice(r, null_mut(), w2, null_mut(), 10, 0), libc::EAGAIN);
    close(r2);
    handle(libc::SIGPIPE, libc::SIG_IGN, 0)?;
    fails!(libc::splice(r, null_mut(), w2, null_mut(), 10, 0), libc::EPIPE);
    Ok(())
}

/// A read that cannot store all of a page takes none of it.
fn fault_takes_nothing() -> Outcome {
    let (r, w) = pipe_flags(libc::O_NONBLOCK)?;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let at = c!(libc::mmap(null_mut(), 8192, prot, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0));
    c!(libc::munmap(at.wrapping_byte_add(4096), 4096));
    write(w, b"0123456789")?;
    fails!(libc::read(r, at.wrapping_byte_add(4092), 10), libc::EFAULT);
    eq!(read(r, 100)?, b"0123456789");
    Ok(())
}

fn events(fd: i32) -> Result<i16, String> {
    let mut p = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    c!(libc::poll(&mut p, 1, 0));
    Ok(p.revents)
}

/// A reader that came when nobody wrote is not hung up before a writer has come and gone, whatever was before it.
fn hangup_per_reader() -> Outcome {
    home()?;
    c!(libc::mkfifo(c"fifo".as_ptr(), 0o600));
    let open = |way| -> Result<i32, String> { Ok(c!(libc::open(c"fifo".as_ptr(), way | libc::O_NONBLOCK))) };
    let first = open(libc::O_RDONLY)?;
    eq!(events(first)?, 0);
    close(open(libc::O_WRONLY)?);
    let second = open(libc::O_RDONLY)?;
    eq!((events(first)?, events(second)?), (libc::POLLHUP, 0));
    close(open(libc::O_WRONLY)?);
    eq!((events(first)?, events(second)?), (libc::POLLHUP, libc::POLLHUP));
    Ok(())
}

/// Who watches for edges hears of a write that finds no room, and nothing of a writer that is not the last to go.
fn edges_of_pipes() -> Outcome {
    home()?;
    c!(libc::mkfifo(c"fifo".as_ptr(), 0o600));
    let open = |way| -> Result<i32, String> { Ok(c!(libc::open(c"fifo".as_ptr(), way | libc::O_NONBLOCK))) };
    let (r, w) = (open(libc::O_RDONLY)?, open(libc::O_WRONLY)?);
    let epoll = c!(libc::epoll_create1(0));
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
    c!(libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, r, &mut event));
    let edges = || -> Result<i32, String> {
        let mut got = libc::epoll_event { events: 0, u64: 0 };
        Ok(c!(libc::epoll_wait(epoll, &mut got, 1, 0)))
    };
    eq!(write(w, &[0; 65536])?, 65536);
    eq!((edges()?, edges()?), (1, 0));
    fails!(libc::write(w, b"x".as_ptr().cast(), 1), libc::EAGAIN);
    eq!((edges()?, edges()?), (1, 0));
    let other = open(libc::O_WRONLY)?;
    eq!(edges()?, 0);
    close(other);
    eq!(edges()?, 0);
    close(w);
    ck!(edges()? == 1, "the last writer's end is an edge");
    Ok(())
}

/// A stream whose way is shut is no readier for writing than before.
fn shut_is_full() -> Outcome {
    let mut fds = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0, fds.as_mut_ptr()));
    let ready = || -> Result<i16, String> {
        let mut p = libc::pollfd { fd: fds[0], events: libc::POLLOUT, revents: 0 };
        c!(libc::poll(&mut p, 1, 0));
        Ok(p.revents)
    };
    eq!(write(fds[0], &[0; 70_000])?, 70_000);
    c!(libc::shutdown(fds[0], libc::SHUT_WR));
    eq!(ready()?, 0);
    eq!(read(fds[1], 70_000)?.len(), 70_000);
    eq!(ready()?, libc::POLLOUT);
    Ok(())
}

/// Who connects a datagram socket elsewhere, or learns that its peer is gone, loses what it has not received; the old peer is told. What is
/// closed keeps its name.
fn peer_left() -> Outcome {
    let pair = || -> Result<[i32; 2], String> {
        let mut fds = [0; 2];
        c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0, fds.as_mut_ptr()));
        Ok(fds)
    };
    let [a, b] = pair()?;
    // Abstract, so that it goes with the socket.
    let name = [1_u8, 0, 0, b'p', b'l'];
    c!(libc::bind(a, name.as_ptr().cast(), 5));
    write(a, b"lost")?;
    close(a);
    let (mut address, mut len) = ([0_u8; 110], 110);
    c!(libc::getpeername(b, address.as_mut_ptr().cast(), &mut len));
    eq!(address.get(..len as usize), Some(name.as_slice()));
    fails!(libc::send(b, b"x".as_ptr().cast(), 1, 0), libc::ECONNREFUSED);
    fails!(libc::recv(b, address.as_mut_ptr().cast(), 10, 0), libc::EAGAIN);
    let [a, b] = pair()?;
    write(a, b"lost")?;
    c!(libc::connect(b, [0_u8; 2].as_ptr().cast(), 2));
    fails!(libc::recv(b, address.as_mut_ptr().cast(), 10, 0), libc::EAGAIN);
    fails!(libc::recv(a, address.as_mut_ptr().cast(), 10, 0), libc::ECONNRESET);
    fails!(libc::recv(a, address.as_mut_ptr().cast(), 10, 0), libc::EAGAIN);
    Ok(())
}

/// Who sent what was sent before anybody asked is not told, and it is not glued to what came later. An empty packet that nobody read is no
/// loss.
fn sender_if_asked() -> Outcome {
    let mut fds = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0, fds.as_mut_ptr()));
    write(fds[0], b"a")?;
    let on = 1_i32;
    c!(libc::setsockopt(fds[1], libc::SOL_SOCKET, libc::SO_PASSCRED, (&raw const on).cast(), 4));
    write(fds[0], b"b")?;
    let mut seen = [0_u8; 10];
    let mut control = [0_u64; 8];
    let mut take = || -> Result<(isize, [u32; 3]), String> {
        let mut iov = libc::iovec { iov_base: seen.as_mut_ptr().cast(), iov_len: 10 };
        // SAFETY: a `msghdr` may be all zeroes.
        let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&mut iov, 1);
        (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), 64);
        let got = c!(libc::recvmsg(fds[1], &mut message, 0));
        Ok((got, [control[2] as u32, (control[2] >> 32) as u32, control[3] as u32]))
    };
    eq!(take()?, (1, [0, 65534, 65534]));
    eq!(take()?, (1, [std::process::id(), 0, 0]));
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK, 0, fds.as_mut_ptr()));
    eq!(write(fds[0], b"")?, 0);
    close(fds[1]);
    eq!(read(fds[0], 10)?.len(), 0);
    Ok(())
}

/// That a connection of packets was reset is said before what is wrong with descriptors that are sent; who listens, but is shut, has nobody
/// to accept at the moment.
fn reset_before_rights() -> Outcome {
    let mut fds = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK, 0, fds.as_mut_ptr()));
    write(fds[0], b"x")?;
    close(fds[1]);
    // One descriptor, which is none.
    let control = [20_u64, 1 | 1 << 32, 900];
    // SAFETY: a `msghdr` may be all zeroes.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    (message.msg_control, message.msg_controllen) = (control.as_ptr().cast_mut().cast(), 24);
    fails!(libc::sendmsg(fds[0], &message, libc::MSG_NOSIGNAL), libc::ECONNRESET);
    fails!(libc::sendmsg(fds[0], &message, libc::MSG_NOSIGNAL), libc::EBADF);
    let listener = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0));
    let family = libc::AF_UNIX as u16;
    c!(libc::bind(listener, (&raw const family).cast(), 2));
    c!(libc::listen(listener, 1));
    c!(libc::shutdown(listener, libc::SHUT_RDWR));
    fails!(libc::accept4(listener, core::ptr::null_mut(), core::ptr::null_mut(), 0), libc::EAGAIN);
    c!(libc::fcntl(listener, libc::F_SETFL, 0));
    fails!(libc::accept4(listener, core::ptr::null_mut(), core::ptr::null_mut(), 0), libc::EINVAL);
    Ok(())
}
