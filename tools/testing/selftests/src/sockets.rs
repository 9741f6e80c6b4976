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
];

fn pair(kind: i32) -> Result<[i32; 2], String> {
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
