// SPDX-License-Identifier: GPL-2.0
//! Unix sockets: which error comes first, what a look at a stream finds, and who sent its end.

use crate::sockets::pair;
use crate::util::{Outcome, close, send_fds, write};
use crate::{Test, c, eq, fails};

pub const TESTS: &[Test] = &[
    ("alike.packet_error_first", packet_error_first),
    ("alike.peer_turned_away", peer_turned_away),
    ("alike.look_finds_files", look_finds_files),
    ("alike.end_has_sender", end_has_sender),
];

/// A name without a place in a file system, of this process.
fn name_of_mine() -> (libc::sockaddr_un, u32) {
    // SAFETY: may be all zeroes.
    let mut name: libc::sockaddr_un = unsafe { core::mem::zeroed() };
    name.sun_family = libc::AF_UNIX as u16;
    let text = format!("alike{}", std::process::id());
    for (to, from) in name.sun_path[1..].iter_mut().zip(text.bytes()) {
        *to = from as libc::c_char;
    }
    (name, 3 + text.len() as u32)
}

/// Receives a byte at most with `flags` and `room` bytes for control messages: what it gave, flags, and the control messages' bytes.
fn receive(fd: i32, most: usize, flags: i32, room: usize) -> Result<(isize, i32, Vec<u32>), String> {
    let (mut byte, mut control) = (0_u8, [0_u32; 32]);
    let mut data = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: most.min(1) };
    // SAFETY: may be all zeroes.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&mut data, 1);
    (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), room);
    let n = c!(libc::recvmsg(fd, &mut message, flags | libc::MSG_DONTWAIT));
    Ok((n, message.msg_flags, control[..message.msg_controllen / 4].to_vec()))
}

/// A packet socket that was reset says so before it looks at the packet.
fn packet_error_first() -> Outcome {
    let [a, b] = pair(libc::SOCK_SEQPACKET)?;
    write(a, b"not read")?;
    close(b);
    let large = vec![0_u8; 1 << 20];
    fails!(libc::send(a, large.as_ptr().cast(), large.len(), libc::MSG_DONTWAIT), libc::ECONNRESET);
    fails!(libc::send(a, large.as_ptr().cast(), large.len(), libc::MSG_DONTWAIT), libc::EMSGSIZE);
    Ok(())
}

/// A datagram socket that sends to another now hears only that one, also of those who were connected to it before.
fn peer_turned_away() -> Outcome {
    let [a, b] = pair(libc::SOCK_DGRAM)?;
    write(a, b"x")?;
    let other = c!(libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0));
    let (name, len) = name_of_mine();
    c!(libc::bind(other, (&raw const name).cast(), len));
    c!(libc::connect(b, (&raw const name).cast(), len));
    // What it had not received was lost.
    fails!(libc::send(a, b"x".as_ptr().cast(), 1, 0), libc::ECONNRESET);
    fails!(libc::send(a, b"x".as_ptr().cast(), 1, 0), libc::EPERM);
    // The bytes are read before anybody looks whom they are for.
    fails!(libc::send(a, core::ptr::without_provenance(8), 1, 0), libc::EFAULT);
    Ok(())
}

/// A look at a stream goes on to the first message with files, even without room for its bytes.
fn look_finds_files() -> Outcome {
    let [a, b] = pair(libc::SOCK_STREAM)?;
    write(a, b"ab")?;
    eq!(receive(b, 1, libc::MSG_PEEK, 10)?.1, 0);
    eq!(send_fds(a, &[a]), 1);
    for most in [0, 1] {
        eq!(receive(b, most, libc::MSG_PEEK, 10)?, (most as isize, libc::MSG_CTRUNC, vec![]));
    }
    let (n, flags, control) = receive(b, 1, libc::MSG_PEEK, 64)?;
    eq!((n, flags, control.get(3)), (1, 0, Some(&(libc::SCM_RIGHTS as u32))));
    // Who takes the bytes takes them alone.
    eq!(receive(b, 1, 0, 64)?, (1, 0, vec![]));
    Ok(())
}

/// Who wants to know who sends is told of process 0 and user 0 at the end of a stream; packets have no such end.
fn end_has_sender() -> Outcome {
    let on = 1_i32;
    for (kind, control) in [
        (libc::SOCK_STREAM, vec![28, 0, libc::SOL_SOCKET as u32, libc::SCM_CREDENTIALS as u32, 0, 0, 0, 0]),
        (libc::SOCK_SEQPACKET, vec![]),
    ] {
        let [a, b] = pair(kind)?;
        c!(libc::setsockopt(b, libc::SOL_SOCKET, libc::SO_PASSCRED, (&raw const on).cast(), 4));
        close(a);
        for flags in [libc::MSG_PEEK, 0] {
            eq!(receive(b, 1, flags, 64)?, (0, 0, control.clone()));
        }
    }
    Ok(())
}
