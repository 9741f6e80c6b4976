// SPDX-License-Identifier: GPL-2.0
//! Who is killed inside a call that takes long does not do it to the end.

use super::map;
use crate::util::*;
use crate::{c, ck, eq};
use std::time::{Duration, Instant};

const PIECE: usize = 2 << 20;
/// The most pieces a call takes.
const PIECES: usize = 1024;

/// `body` goes on for ever; how long its process lives on after `SIGKILL`.
fn outlives(body: impl Fn()) -> Result<Duration, String> {
    let pid = child(|| {
        loop {
            body();
        }
    })?;
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(start.elapsed())
}

/// Two gigabytes of a process's memory, all of it the same two megabytes, into two others.
pub fn copying() -> Outcome {
    let (from, to) = (map(PIECE)?, map(PIECE)?);
    let pieces = |at: usize| vec![libc::iovec { iov_base: at as *mut libc::c_void, iov_len: PIECE }; PIECES];
    let (far, own) = (pieces(from), pieces(to));
    let me = c!(libc::getpid());
    let lived = outlives(|| {
        // SAFETY: live arrays of as many pieces; the memory is there in both processes.
        unsafe { libc::process_vm_readv(me, own.as_ptr(), PIECES as u64, far.as_ptr(), PIECES as u64, 0) };
    })?;
    ck!(lived < Duration::from_secs(3), "it went on for {lived:?}");
    Ok(())
}

/// Two gigabytes that a file does not have, all into the same two megabytes.
pub fn reading_holes() -> Outcome {
    let to = map(PIECE)?;
    let own = vec![libc::iovec { iov_base: to as *mut libc::c_void, iov_len: PIECE }; PIECES];
    let file = c!(libc::memfd_create(c"holes".as_ptr(), 0));
    c!(libc::ftruncate(file, (PIECE * PIECES) as i64));
    let lived = outlives(|| {
        // SAFETY: a live array of as many pieces, whose memory is there.
        unsafe { libc::preadv(file, own.as_ptr(), PIECES as i32, 0) };
    })?;
    ck!(lived < Duration::from_secs(10), "it went on for {lived:?}");
    Ok(())
}
