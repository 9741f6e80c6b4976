// SPDX-License-Identifier: GPL-2.0
//! Unix sockets: what a second look sees while somebody receives, SO_RCVLOWAT, large messages.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = &[
    ("sockets.ready_while_peeked", ready_while_peeked),
    ("sockets.ready_while_received", ready_while_received),
    ("sockets.rcvlowat", rcvlowat),
    ("sockets.large_datagram", large_datagram),
    ("sockets.forced_buffers", forced_buffers),
    ("sockets.peek_across", peek_across),
    ("sockets.peek_offset", peek_offset),
    ("sockets.many_datagrams", many_datagrams),
    ("sockets.later_name", later_name),
    ("sockets.errors_first", errors_first),
    ("sockets.timestamps", timestamps),
    ("sockets.cut_control", cut_control),
    ("sockets.name_for_credentials", name_for_credentials),
];

const PEEK: i32 = libc::MSG_PEEK | libc::MSG_DONTWAIT;

fn put(fd: i32, text: &[u8]) -> Outcome {
    eq!(c!(libc::send(fd, text.as_ptr().cast(), text.len(), libc::MSG_DONTWAIT)), text.len() as isize);
    Ok(())
}

/// At most `most` bytes; what `recv` returned beside them.
fn get(fd: i32, most: usize, flags: i32) -> Result<(Vec<u8>, isize), String> {
    let mut bytes = vec![0u8; most];
    let n = c!(libc::recv(fd, bytes.as_mut_ptr().cast(), most, flags));
    bytes.truncate(n as usize);
    Ok((bytes, n))
}

fn offset(fd: i32) -> Result<i32, String> {
    let (mut value, mut len) = (0i32, 4u32);
    c!(libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, (&raw mut value).cast(), &mut len));
    Ok(value)
}

fn set_offset(fd: i32, value: i32) -> Outcome {
    c!(libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, (&raw const value).cast(), 4));
    Ok(())
}

/// A look at a stream sees all that is there, however often was written; one at packets one of them.
fn peek_across() -> Outcome {
    let [a, b] = pair(libc::SOCK_STREAM)?;
    put(a, b"abc")?;
    put(a, b"def")?;
    eq!(get(b, 10, PEEK)?.0, b"abcdef");
    eq!(get(b, 4, PEEK)?.0, b"abcd");
    eq!(get(b, 2, libc::MSG_DONTWAIT)?.0, b"ab");
    eq!(get(b, 10, PEEK)?.0, b"cdef");
    let [a, b] = pair(libc::SOCK_SEQPACKET)?;
    put(a, b"abc")?;
    put(a, b"def")?;
    eq!(get(b, 10, PEEK)?.0, b"abc");
    eq!(get(b, 2, PEEK | libc::MSG_TRUNC)?.1, 3);
    Ok(())
}

fn peek_offset() -> Outcome {
    let [a, b] = pair(libc::SOCK_STREAM)?;
    eq!(offset(b)?, -1);
    put(a, b"abc")?;
    put(a, b"def")?;
    set_offset(b, 2)?;
    eq!(get(b, 2, PEEK)?.0, b"cd");
    eq!(offset(b)?, 4);
    eq!(get(b, 10, PEEK)?.0, b"ef");
    fails!(libc::recv(b, [0u8; 4].as_mut_ptr().cast(), 4, PEEK), libc::EAGAIN);
    // What is received counts no more.
    eq!(get(b, 4, libc::MSG_DONTWAIT)?.0, b"abcd");
    eq!(offset(b)?, 2);
    put(a, b"g")?;
    eq!(get(b, 10, PEEK)?.0, b"g");
    set_offset(b, -1)?;
    eq!(get(b, 10, PEEK)?.0, b"efg");
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let [a, b] = pair(kind)?;
        put(a, b"abc")?;
        put(a, b"defg")?;
        set_offset(b, 1)?;
        eq!(get(b, 10, PEEK)?.0, b"bc");
        eq!(offset(b)?, 3);
        eq!(get(b, 2, PEEK)?.0, b"de");
        eq!(offset(b)?, 5);
        eq!(get(b, 10, libc::MSG_DONTWAIT)?.0, b"abc");
        eq!(offset(b)?, 2);
        eq!(get(b, 1, PEEK | libc::MSG_TRUNC)?.1, 2);
    }
    Ok(())
}

fn address(name: &[u8]) -> (libc::sockaddr_un, u32) {
    // SAFETY: zeros are a valid address.
    let mut address: libc::sockaddr_un = unsafe { core::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    for (to, from) in address.sun_path.iter_mut().skip(1).zip(name) {
        *to = *from as libc::c_char;
    }
    (address, 3 + name.len() as u32)
}

/// Two that are connected with each other are limited by their buffers, one that sends to a busy one by the number of messages.
fn many_datagrams() -> Outcome {
    let [a, b] = pair(libc::SOCK_DGRAM)?;
    for _ in 0..100 {
        put(a, b"x")?;
    }
    let mut poll = libc::pollfd { fd: a, events: libc::POLLOUT, revents: 0 };
    eq!(c!(libc::poll(&mut poll, 1, 0)), 0);
    for _ in 0..60 {
        get(b, 1, libc::MSG_DONTWAIT)?;
    }
    eq!(c!(libc::poll(&mut poll, 1, 0)), 1);
    let server = c!(libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0));
    let (name, len) = address(b"many_datagrams");
    c!(libc::bind(server, (&raw const name).cast(), len));
    let client = c!(libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0));
    c!(libc::connect(client, (&raw const name).cast(), len));
    for _ in 0..11 {
        put(client, b"x")?;
    }
    fails!(libc::send(client, b"x".as_ptr().cast(), 1, libc::MSG_DONTWAIT), libc::EAGAIN);
    let mut poll = libc::pollfd { fd: client, events: libc::POLLOUT, revents: 0 };
    eq!(c!(libc::poll(&mut poll, 1, 0)), 0);
    get(server, 1, libc::MSG_DONTWAIT)?;
    eq!(c!(libc::poll(&mut poll, 1, 1000)), 1);
    Ok(())
}

/// The sender's name is the one that it has when its message is received.
fn later_name() -> Outcome {
    let [a, b] = pair(libc::SOCK_DGRAM)?;
    put(a, b"x")?;
    let (name, len) = address(b"later");
    c!(libc::bind(a, (&raw const name).cast(), len));
    let (mut from, mut from_len, mut byte) = (address(b"").0, 110u32, [0u8; 1]);
    c!(libc::recvfrom(b, byte.as_mut_ptr().cast(), 1, 0, (&raw mut from).cast(), &mut from_len));
    eq!((from_len, from.sun_path[1] as u8), (len, b'l'));
    Ok(())
}

/// What is wrong with the socket counts before whom a packet is for and what has come.
fn errors_first() -> Outcome {
    let nobody = address(b"nobody");
    let dgram = c!(libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0));
    let send = |fd: i32| {
        // SAFETY: live objects.
        unsafe { libc::sendto(fd, b"x".as_ptr().cast(), 1, libc::MSG_NOSIGNAL, (&raw const nobody.0).cast(), nobody.1) }
    };
    fails!(send(dgram), libc::ECONNREFUSED);
    c!(libc::shutdown(dgram, libc::SHUT_WR));
    fails!(send(dgram), libc::EPIPE);
    // The peer closes with something unread: that is told before what it had sent, once.
    let [a, b] = pair(libc::SOCK_SEQPACKET)?;
    put(a, b"to b")?;
    put(b, b"to a")?;
    close(b);
    fails!(libc::recv(a, [0u8; 9].as_mut_ptr().cast(), 9, 0), libc::ECONNRESET);
    eq!(get(a, 9, 0)?.0, b"to a");
    let alone = c!(libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0));
    c!(libc::shutdown(alone, libc::SHUT_RDWR));
    fails!(libc::recv(alone, [0u8; 9].as_mut_ptr().cast(), 9, 0), libc::ENOTCONN);
    fails!(libc::send(alone, b"x".as_ptr().cast(), 1, libc::MSG_NOSIGNAL), libc::ENOTCONN);
    Ok(())
}

/// A pair of connected sockets.
pub fn pair(kind: i32) -> Result<[i32; 2], String> {
    let mut fds = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()));
    Ok(fds)
}

fn ready(fd: i32) -> Result<bool, String> {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    Ok(c!(libc::poll(&mut poll, 1, 0)) == 1)
}

/// Runs `busy` in a thread for 300 ms, and looks all the time whether `fd` can be read: it always can.
fn stays_ready(fd: i32, busy: impl Fn() + Send) -> Outcome {
    let stop = &AtomicBool::new(false);
    let (looks, empty) = std::thread::scope(|scope| {
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                busy();
            }
        });
        let end = Instant::now() + Duration::from_millis(300);
        let (mut looks, mut empty) = (0, 0);
        while Instant::now() < end {
            looks += 1;
            empty += i32::from(ready(fd) != Ok(true));
        }
        stop.store(true, Ordering::Relaxed);
        (looks, empty)
    });
    eq!((empty, looks > 10), (0, true));
    Ok(())
}

fn ready_while_peeked() -> Outcome {
    for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET, libc::SOCK_DGRAM] {
        let [to, from] = pair(kind)?;
        let message = [1u8; 4096];
        eq!(c!(libc::send(to, message.as_ptr().cast(), 4096, 0)), 4096);
        stays_ready(from, move || {
            let mut buffer = [0u8; 4096];
            // SAFETY: the buffer is as long as said.
            unsafe { libc::recv(from, buffer.as_mut_ptr().cast(), 4096, libc::MSG_PEEK) };
        })?;
    }
    Ok(())
}

/// A reader takes a byte at a time of a message that is never used up.
fn ready_while_received() -> Outcome {
    let [to, from] = pair(libc::SOCK_STREAM)?;
    let message = [1u8; 32768];
    for _ in 0..4 {
        eq!(c!(libc::send(to, message.as_ptr().cast(), message.len(), 0)), 32768);
    }
    stays_ready(from, move || {
        let mut byte = 0u8;
        let more = [1u8; 1];
        // SAFETY: the buffers are a byte long.
        unsafe {
            libc::recv(from, (&raw mut byte).cast(), 1, 0);
            libc::send(to, more.as_ptr().cast(), 1, libc::MSG_DONTWAIT);
        }
    })
}

fn rcvlowat() -> Outcome {
    let [to, from] = pair(libc::SOCK_STREAM)?;
    let least = 10i32;
    c!(libc::setsockopt(from, libc::SOL_SOCKET, libc::SO_RCVLOWAT, (&raw const least).cast(), 4));
    let sender = std::thread::spawn(move || {
        for part in ["abcd", "efghij"] {
            std::thread::sleep(Duration::from_millis(30));
            // SAFETY: the text is as long as it says.
            unsafe { libc::send(to, part.as_ptr().cast(), part.len(), 0) };
        }
    });
    let mut buffer = [0u8; 64];
    let got = c!(libc::recv(from, buffer.as_mut_ptr().cast(), buffer.len(), 0));
    sender.join().map_err(|_| "panic")?;
    eq!(&buffer[..got as usize], b"abcdefghij");
    // Not more than is asked for.
    eq!(c!(libc::send(to, b"xyz".as_ptr().cast(), 3, 0)), 3);
    eq!(c!(libc::recv(from, buffer.as_mut_ptr().cast(), 2, 0)), 2);
    // What is there comes if nothing more can be waited for.
    eq!(c!(libc::recv(from, buffer.as_mut_ptr().cast(), 64, libc::MSG_DONTWAIT)), 1);
    fails!(libc::recv(from, buffer.as_mut_ptr().cast(), 64, libc::MSG_DONTWAIT), libc::EAGAIN);
    Ok(())
}

fn large_datagram() -> Outcome {
    let [to, from] = pair(libc::SOCK_DGRAM)?;
    let message: Vec<u8> = (0..200_000u32).map(|i| (i * 7 >> 3) as u8).collect();
    eq!(c!(libc::send(to, message.as_ptr().cast(), message.len(), 0)), 200_000);
    let mut buffer = vec![0u8; 250_000];
    eq!(c!(libc::recv(from, buffer.as_mut_ptr().cast(), buffer.len(), 0)), 200_000);
    ck!(buffer.starts_with(&message));
    fails!(libc::send(to, core::ptr::without_provenance(4096), 200_000, 0), libc::EFAULT);
    Ok(())
}

fn forced_buffers() -> Outcome {
    let [fd, _] = pair(libc::SOCK_STREAM)?;
    let (size, mut got, mut len) = (-5i32, 0i32, 4u32);
    c!(libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, (&raw const size).cast(), 4));
    c!(libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, (&raw mut got).cast(), &mut len));
    ck!(got > 0 && got < 10_000, "a buffer of {got}");
    Ok(())
}

/// The kinds and sizes of the control messages that come with the next message, and what the first has in it.
fn control_of(fd: i32) -> Result<(Vec<(i32, usize)>, [u64; 2]), String> {
    let (mut byte, mut room) = (0_u8, [0_u64; 16]);
    let mut data = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: may be all zeroes.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&mut data, 1);
    (message.msg_control, message.msg_controllen) = (room.as_mut_ptr().cast(), 128);
    c!(libc::recvmsg(fd, &mut message, libc::MSG_DONTWAIT));
    eq!(message.msg_flags & libc::MSG_CTRUNC, 0);
    let mut found = Vec::new();
    let mut at = 0;
    while at * 8 < message.msg_controllen {
        let len = room[at] as usize;
        eq!(room[at + 1] as i32, libc::SOL_SOCKET);
        found.push(((room[at + 1] >> 32) as i32, len - 16));
        at += len.div_ceil(8);
    }
    Ok((found, [room[2], room[3]]))
}

/// A control message that has no room is cut off behind its header; without room for that there is none.
fn cut_control() -> Outcome {
    let [a, b] = pair(libc::SOCK_STREAM)?;
    let on = 1_i32;
    c!(libc::setsockopt(b, libc::SOL_SOCKET, libc::SO_PASSCRED, (&raw const on).cast(), 4));
    for (room, cut) in [(8, 0), (16, 16), (20, 20), (28, 28), (64, 28)] {
        put(a, b"x")?;
        let (mut byte, mut control) = (0_u8, [0_u32; 16]);
        let mut data = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // SAFETY: may be all zeroes.
        let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&mut data, 1);
        (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), room);
        c!(libc::recvmsg(b, &mut message, 0));
        eq!((message.msg_flags & libc::MSG_CTRUNC != 0, control[0]), (room < 28, cut));
        eq!(message.msg_controllen, if room > 28 { 32 } else { cut as usize });
        eq!(control[4], if cut > 16 { std::process::id() } else { 0 });
        eq!((control[5] != 0, control[6] != 0), (false, false));
    }
    Ok(())
}

/// Packets come with the time at which they were sent, for who asks, in the form that was asked for.
fn timestamps() -> Outcome {
    const NEW: (i32, i32) = (63, 64);
    let option = |fd: i32, name: i32| {
        let (mut value, mut len) = (7_i32, 4_u32);
        c!(libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &mut len));
        Ok::<i32, String>(value)
    };
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let [a, b] = pair(kind)?;
        put(a, b"x")?;
        eq!(control_of(b)?.0, vec![]);
        for (name, units) in [
            (libc::SO_TIMESTAMP, 1_000_000),
            (libc::SO_TIMESTAMPNS, 1_000_000_000),
            (NEW.0, 1_000_000),
            (NEW.1, 1_000_000_000),
        ] {
            let on = 1_i32;
            c!(libc::setsockopt(b, libc::SOL_SOCKET, name, (&raw const on).cast(), 4));
            eq!(option(b, name)?, 1);
            put(a, b"x")?;
            let (found, [seconds, part]) = control_of(b)?;
            eq!(found, vec![(name, 16)]);
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_secs());
            ck!(now.abs_diff(seconds) <= 2 && part < units, "{seconds} and {part} at {now}");
        }
        eq!(option(b, libc::SO_TIMESTAMP)?, 0);
        // The time goes before who sent it.
        let on = 1_i32;
        c!(libc::setsockopt(b, libc::SOL_SOCKET, libc::SO_PASSCRED, (&raw const on).cast(), 4));
        put(a, b"x")?;
        eq!(control_of(b)?.0, vec![(NEW.1, 16), (libc::SCM_CREDENTIALS, 12)]);
        let off = 0_i32;
        c!(libc::setsockopt(b, libc::SOL_SOCKET, NEW.1, (&raw const off).cast(), 4));
        put(a, b"x")?;
        eq!(control_of(b)?.0, vec![(libc::SCM_CREDENTIALS, 12)]);
    }
    // Streams have no times.
    let [a, b] = pair(libc::SOCK_STREAM)?;
    let on = 1_i32;
    c!(libc::setsockopt(b, libc::SOL_SOCKET, libc::SO_TIMESTAMP, (&raw const on).cast(), 4));
    put(a, b"x")?;
    eq!(control_of(b)?.0, vec![]);
    Ok(())
}

/// A socket that wants credentials gets a name when it first sends or connects.
fn name_for_credentials() -> Outcome {
    let named = |fd: i32| {
        // SAFETY: may be all zeroes.
        let mut name: libc::sockaddr_un = unsafe { core::mem::zeroed() };
        let mut len = 110;
        c!(libc::getsockname(fd, (&raw mut name).cast(), &mut len));
        Ok::<(u32, i8), String>((len, name.sun_path[0]))
    };
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let [a, _b] = pair(kind)?;
        put(a, b"x")?;
        eq!(named(a)?, (2, 0));
        let on = 1_i32;
        c!(libc::setsockopt(a, libc::SOL_SOCKET, libc::SO_PASSCRED, (&raw const on).cast(), 4));
        eq!(named(a)?, (2, 0));
        put(a, b"x")?;
        // Five digits after a NUL.
        eq!(named(a)?, (8, 0));
    }
    let listener = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    let family = libc::AF_UNIX as u16;
    c!(libc::bind(listener, (&raw const family).cast(), 2));
    c!(libc::listen(listener, 1));
    // SAFETY: may be all zeroes.
    let mut name: libc::sockaddr_un = unsafe { core::mem::zeroed() };
    let mut len = 110;
    c!(libc::getsockname(listener, (&raw mut name).cast(), &mut len));
    let client = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    let on = 1_i32;
    c!(libc::setsockopt(client, libc::SOL_SOCKET, libc::SO_PASSCRED, (&raw const on).cast(), 4));
    c!(libc::connect(client, (&raw const name).cast(), len));
    eq!(named(client)?, (8, 0));
    Ok(())
}
