// SPDX-License-Identifier: GPL-2.0
//! Sockets in the queues of sockets.

use crate::util::{Outcome, close, in_child, pipe, read, send_fds};
use crate::{c, eq};

/// Sockets sent through each other, in a long chain and in a circle.
pub(super) fn in_sockets() -> Outcome {
    in_child(|| {
        let mut last = [0; 2];
        c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, last.as_mut_ptr()));
        for _ in 0..2000 {
            let mut next = [0; 2];
            c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, next.as_mut_ptr()));
            send_fd(next[0], last[0])?;
            send_fd(next[0], last[1])?;
            close(last[0]);
            close(last[1]);
            last = next;
        }
        send_fd(last[0], last[0])?;
        send_fd(last[1], last[1])?;
        Ok(())
    })
}

/// A long chain of sockets, each in the queue of the next, goes with the last one.
pub(super) fn chain_closed() -> Outcome {
    in_child(|| {
        let (r, w) = pipe()?;
        let mut held = w;
        for _ in 0..3000 {
            let mut next = [0; 2];
            c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, next.as_mut_ptr()));
            send_fd(next[0], held)?;
            close(held);
            close(next[0]);
            held = next[1];
        }
        close(held);
        // The pipe's other end was at the bottom.
        eq!(read(r, 1)?.len(), 0);
        Ok(())
    })
}

fn send_fd(through: i32, fd: i32) -> Outcome {
    c!(send_fds(through, &[fd]));
    Ok(())
}
