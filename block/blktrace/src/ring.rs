// SPDX-License-Identifier: GPL-2.0
//! `Ring`: the records of one CPU, until a program has read them. What finds no room is counted and dropped, so that what is there stays
//! whole. No locks.

use errno::{Result, code::*};
use kalloc::KVVec;
use kalloc::flags::GFP_KERNEL;

/// Bytes, first in, first out.
pub(crate) struct Ring {
    bytes: KVVec<u8>,
    first: usize,
    len: usize,
    dropped: u64,
}

impl Ring {
    /// One with room for `size` bytes. ENOMEM.
    pub(crate) fn new(size: usize) -> Result<Self> {
        Ok(Self { bytes: KVVec::zeroed(size, GFP_KERNEL)?, first: 0, len: 0, dropped: 0 })
    }

    /// Bytes that wait to be read.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Records that found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Adds a record that consists of two parts, all of it or nothing.
    pub(crate) fn push(&mut self, head: &[u8], rest: &[u8]) {
        if self.bytes.len() - self.len < head.len() + rest.len() {
            self.dropped += 1;
            return;
        }
        self.append(head);
        self.append(rest);
    }

    fn append(&mut self, data: &[u8]) {
        let size = self.bytes.len();
        let at = (self.first + self.len) % size.max(1);
        let (now, later) = data.split_at(data.len().min(size - at));
        for (at, part) in [(at, now), (0, later)] {
            if let Some(to) = self.bytes.get_mut(at..at + part.len()) {
                to.copy_from_slice(part);
            }
        }
        self.len += data.len();
    }

    /// Copies the oldest bytes, as many as go in one piece into `to`; how many. They stay.
    pub(crate) fn peek(&self, to: &mut [u8]) -> usize {
        let count = to.len().min(self.len).min(self.bytes.len() - self.first);
        match (to.get_mut(..count), self.bytes.get(self.first..self.first + count)) {
            (Some(to), Some(from)) => to.copy_from_slice(from),
            _ => return 0,
        }
        count
    }

    /// Drops the oldest `count` bytes, which were read.
    pub(crate) fn advance(&mut self, count: usize) {
        let count = count.min(self.len);
        self.first = (self.first + count) % self.bytes.len().max(1);
        self.len -= count;
    }
}

/// The bytes of `count` buffers of `size`, as a program asks for them. EINVAL, ENOMEM.
pub(crate) fn room(size: u32, count: u32) -> Result<usize> {
    if size == 0 || count == 0 {
        return Err(EINVAL);
    }
    Ok(size.checked_mul(count).ok_or(ENOMEM)? as usize)
}

#[macros::kunit_tests(blktrace_ring)]
mod tests {
    use super::{Ring, room};
    use errno::{Result, code::*};

    #[test]
    fn records_stay_whole() -> Result {
        let mut ring = Ring::new(10)?;
        ring.push(b"abcd", b"ef");
        ring.push(b"ghij", b"k");
        assert_eq!((ring.len(), ring.dropped()), (6, 1));
        let mut out = [0; 4];
        assert_eq!((ring.peek(&mut out), &out), (4, b"abcd"));
        ring.advance(4);
        // Goes round: read in two pieces.
        ring.push(b"123456", b"");
        let mut out = [0; 16];
        assert_eq!(ring.peek(&mut out), 6);
        assert_eq!(out.get(..6), Some(&b"ef1234"[..]));
        ring.advance(6);
        assert_eq!(ring.peek(&mut out), 2);
        assert_eq!(out.get(..2), Some(&b"56"[..]));
        ring.advance(2);
        assert_eq!((ring.len(), ring.peek(&mut out)), (0, 0));
        Ok(())
    }

    #[test]
    fn sizes_that_are_asked_for() {
        assert_eq!((room(512, 4), room(0, 4), room(1 << 20, 1 << 12)), (Ok(2048), Err(EINVAL), Err(ENOMEM)));
    }
}
