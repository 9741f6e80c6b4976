// SPDX-License-Identifier: GPL-2.0
//! Open files in messages between sockets: those that nobody can receive any more are closed, however they hang together, and
//! nobody may have too many on their way.

use crate::util::*;
use crate::{Test, c, ck, eq};

pub const TESTS: &[Test] = &[
    ("flight.own_queue", own_queue),
    ("flight.vain_connect", vain_connect),
    ("flight.circle", circle),
    ("flight.held_from_outside", held_from_outside),
    ("flight.listener", listener),
    ("flight.chain", chain),
    ("flight.limit", limit),
    ("flight.peek", peek),
    ("flight.border", border),
    ("flight.long_chain", long_chain),
    ("flight.live_circle", live_circle),
];

fn pair() -> Result<[i32; 2], String> {
    let mut ends = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()));
    Ok(ends)
}

fn send(to: i32, fds: &[i32]) -> Outcome {
    eq!(c!(send_fds(to, fds)), 1);
    Ok(())
}

/// Receives a descriptor.
fn receive(from: i32, flags: i32) -> Result<i32, String> {
    let mut byte = [0u8; 4];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 4 };
    let mut control = [0u64; 3];
    // SAFETY: the buffers are live, and large enough for one descriptor.
    unsafe {
        let mut msg: libc::msghdr = core::mem::zeroed();
        msg.msg_iov = &mut vector;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        // Room for one alone: what else comes is closed.
        msg.msg_controllen = libc::CMSG_LEN(4) as usize;
        c!(libc::recvmsg(from, &mut msg, flags));
        let head = libc::CMSG_FIRSTHDR(&msg);
        ck!(!head.is_null(), "no descriptor");
        Ok(libc::CMSG_DATA(head).cast::<i32>().read_unaligned())
    }
}

/// Whether all writers of the pipe are gone.
fn at_end(r: i32) -> bool {
    let mut entry = libc::pollfd { fd: r, events: libc::POLLIN, revents: 0 };
    // SAFETY: one live entry.
    unsafe { libc::poll(&mut entry, 1, 0) == 1 && entry.revents & libc::POLLHUP != 0 }
}

/// Closes some unix socket: that is when garbage is looked for.
fn look() -> Outcome {
    let [a, b] = pair()?;
    close(a);
    close(b);
    Ok(())
}

fn collected(r: i32) -> Outcome {
    until("the files are closed", || {
        let _ = look();
        at_end(r)
    })
}

fn own_queue() -> Outcome {
    let (r, w) = pipe()?;
    let [a, b] = pair()?;
    // The receiving end is in its own queue, and a pipe's end with it.
    send(a, &[b, w])?;
    close(b);
    close(w);
    // Its peer can still send there, but nobody can receive.
    ck!(!at_end(r));
    close(a);
    collected(r)
}

/// A connection that fails is a socket that is closed, too.
fn vain_connect() -> Outcome {
    let (r, w) = pipe()?;
    let [a, b] = pair()?;
    send(a, &[b, w])?;
    close(b);
    close(w);
    let client = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    // SAFETY: may be all zeroes.
    let mut nobody: libc::sockaddr_un = unsafe { core::mem::zeroed() };
    nobody.sun_family = libc::AF_UNIX as u16;
    nobody.sun_path[1] = b'?' as libc::c_char;
    until("the files are closed", || {
        // SAFETY: a live address.
        let result = unsafe { libc::connect(client, (&raw const nobody).cast(), 4) };
        result == -1 && at_end(r)
    })?;
    // Nobody is there to receive.
    // SAFETY: a live byte.
    eq!((unsafe { libc::send(a, b"x".as_ptr().cast(), 1, libc::MSG_NOSIGNAL) }, errno()), (-1, libc::EPIPE));
    close(a);
    Ok(())
}

fn circle() -> Outcome {
    let (r, w) = pipe()?;
    let (one, two, three) = (pair()?, pair()?, pair()?);
    send(one[0], &[two[1]])?;
    send(two[0], &[three[1], w])?;
    send(three[0], &[one[1]])?;
    close(w);
    for end in [one, two, three].concat() {
        close(end);
    }
    collected(r)
}

fn held_from_outside() -> Outcome {
    let (r, w) = pipe()?;
    let (one, two) = (pair()?, pair()?);
    send(one[0], &[two[1]])?;
    send(two[0], &[one[1], w])?;
    close(w);
    // One end of the circle is kept, in a queue that somebody can receive from.
    let outside = pair()?;
    send(outside[0], &[one[1]])?;
    for end in [one, two].concat() {
        close(end);
    }
    for _ in 0..5 {
        look()?;
    }
    ck!(!at_end(r));
    let first = receive(outside[1], 0)?;
    look()?;
    let second = receive(first, 0)?;
    look()?;
    ck!(!at_end(r));
    close(first);
    look()?;
    ck!(!at_end(r));
    let last = receive(second, libc::MSG_DONTWAIT)?;
    close(second);
    close(last);
    collected(r)
}

fn listener() -> Outcome {
    let (r, w) = pipe()?;
    let path = format!("{}/listener", dir()?);
    let l = std::os::unix::net::UnixListener::bind(&path).map_err(|e| e.to_string())?;
    let client = std::os::unix::net::UnixStream::connect(&path).map_err(|e| e.to_string())?;
    let (l, client) = (std::os::fd::IntoRawFd::into_raw_fd(l), std::os::fd::IntoRawFd::into_raw_fd(client));
    // The listener waits in a connection that nobody can accept any more.
    send(client, &[l, w])?;
    close(w);
    close(l);
    close(client);
    collected(r)
}

/// One inside the other, as many as there are.
fn chain() -> Outcome {
    let (r, w) = pipe()?;
    let mut last = w;
    for _ in 0..400 {
        let [a, b] = pair()?;
        send(a, &[last])?;
        close(last);
        close(a);
        last = b;
    }
    look()?;
    ck!(!at_end(r));
    close(last);
    collected(r)
}

/// Files come with all that was written before them and with their own byte, and what follows them does not.
fn border() -> Outcome {
    let (r, _w) = pipe()?;
    let [a, b] = pair()?;
    eq!(write(a, b"four")?, 4);
    send(a, &[r])?;
    eq!(write(a, b"more")?, 4);
    for flags in [libc::MSG_PEEK, 0] {
        let mut bytes = [0u8; 20];
        let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 20 };
        let mut control = [0u64; 3];
        // SAFETY: the buffers are live, and large enough for one descriptor.
        let (n, files) = unsafe {
            let mut msg: libc::msghdr = core::mem::zeroed();
            msg.msg_iov = &mut vector;
            msg.msg_iovlen = 1;
            msg.msg_control = control.as_mut_ptr().cast();
            msg.msg_controllen = libc::CMSG_LEN(4) as usize;
            (c!(libc::recvmsg(b, &mut msg, flags)), !libc::CMSG_FIRSTHDR(&msg).is_null())
        };
        eq!((&bytes[..n as usize], files), (&b"fourf"[..], true));
    }
    eq!(read(b, 20)?, b"more");
    Ok(())
}

/// How long it takes to look as often as a chain has links.
fn chain_time(links: usize) -> Result<u64, String> {
    let (r, w) = pipe()?;
    let mut last = w;
    for _ in 0..links {
        let [a, b] = pair()?;
        send(a, &[last])?;
        close(last);
        close(a);
        last = b;
    }
    let start = now_ms();
    for _ in 0..links {
        look()?;
    }
    close(last);
    collected(r)?;
    Ok(now_ms() - start)
}

/// A chain without circles takes no longer a socket than a short one, however many are in flight.
fn long_chain() -> Outcome {
    let (short, long) = (chain_time(100)?.max(20), chain_time(2000)?);
    ck!(long < short * 20 * 6, "{long} ms for 2000, {short} ms for 100");
    Ok(())
}

/// The same beside a circle that is in use; and one that is not is found, though few sockets are closed afterwards.
fn live_circle() -> Outcome {
    let (one, two) = (pair()?, pair()?);
    send(one[0], &[two[1]])?;
    send(two[0], &[one[1]])?;
    let (short, long) = (chain_time(100)?.max(20), chain_time(2000)?);
    ck!(long < short * 20 * 6, "{long} ms for 2000, {short} ms for 100");
    // Many in flight, so that the next look is far away.
    let mut kept = Vec::new();
    for _ in 0..300 {
        let [a, b] = pair()?;
        send(a, &[b])?;
        kept.extend([a, b]);
    }
    look()?;
    let (r, w) = pipe()?;
    let [a, b] = pair()?;
    send(a, &[b, w])?;
    for end in [b, w, a] {
        close(end);
    }
    until("the files are closed, though nobody closes more", || at_end(r))?;
    for end in kept.into_iter().chain(one).chain(two) {
        close(end);
    }
    Ok(())
}

fn limit() -> Outcome {
    in_child(|| {
        c!(libc::setresuid(4321, 4321, 4321));
        let few = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
        c!(libc::setrlimit(libc::RLIMIT_NOFILE, &few));
        let (r, _w) = pipe()?;
        let mut pairs = Vec::new();
        let mut sent = 0;
        let refused = 'all: loop {
            let [a, b] = pair()?;
            pairs.push([a, b]);
            // A socket takes a few messages only.
            for _ in 0..8 {
                if send_fds(a, &[r; 10]) < 0 {
                    break 'all errno();
                }
                sent += 10;
            }
            ck!(sent < 500, "{sent} are on their way");
        };
        eq!(refused, libc::ETOOMANYREFS);
        // More than the limit must be on their way before the next message is refused.
        eq!(sent, 110);
        // What is received counts no more.
        let mut buf = [0u8; 1];
        let first = pairs[0][1];
        eq!(c!(libc::recv(first, buf.as_mut_ptr().cast(), 1, 0)), 1);
        send(pairs[1][0], &[r; 10])?;
        Ok(())
    })
}

fn peek() -> Outcome {
    let (r, w) = pipe()?;
    let [a, b] = pair()?;
    let [c, d] = pair()?;
    send(c, &[d, w])?;
    close(w);
    send(a, &[d])?;
    close(c);
    close(d);
    // A copy of the descriptor: the message keeps its own.
    let copy = receive(b, libc::MSG_PEEK)?;
    look()?;
    close(copy);
    look()?;
    ck!(!at_end(r));
    close(b);
    close(a);
    collected(r)
}
