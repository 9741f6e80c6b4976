// SPDX-License-Identifier: GPL-2.0
//! io_uring: requests that wait for all before them.

use super::*;
use crate::eq;

const DRAIN: u8 = 2;
const SKIP: u8 = 1 << 6;

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
