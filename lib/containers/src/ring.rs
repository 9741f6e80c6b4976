// SPDX-License-Identifier: GPL-2.0
//! `ByteRing`: bytes in order, of a fixed capacity. No locks: the owner's lock guards it.

use kalloc::{AllocError, Flags, KVec};

/// A queue of bytes.
#[derive(Default)]
pub struct ByteRing {
    buf: KVec<u8>,
    /// Where the next byte is read and written; free-running, masked on use.
    head: usize,
    tail: usize,
}

impl ByteRing {
    /// A ring for `capacity` bytes, rounded up to a power of two.
    pub fn new(capacity: usize, flags: Flags) -> Result<Self, AllocError> {
        let size = capacity.checked_next_power_of_two().ok_or(AllocError)?;
        Ok(Self { buf: KVec::from_elem(0, size, flags)?, head: 0, tail: 0 })
    }

    /// How many bytes fit in all.
    pub fn capacity(&self) -> usize {
        self.buf.len()
    }

    /// How many bytes are there.
    #[inline]
    pub fn len(&self) -> usize {
        self.tail.wrapping_sub(self.head)
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// How many bytes still fit.
    #[inline]
    pub fn room(&self) -> usize {
        self.buf.len() - self.len()
    }

    #[inline]
    fn at(&self, pos: usize) -> usize {
        pos & self.buf.len().wrapping_sub(1)
    }

    /// Appends a byte; false if there is no room.
    #[inline]
    pub fn push(&mut self, byte: u8) -> bool {
        let at = self.at(self.tail);
        if self.room() == 0 {
            return false;
        }
        if let Some(slot) = self.buf.get_mut(at) {
            *slot = byte;
        }
        self.tail = self.tail.wrapping_add(1);
        true
    }

    /// Takes the oldest byte.
    #[inline]
    pub fn pop(&mut self) -> Option<u8> {
        if self.is_empty() {
            return None;
        }
        let byte = self.buf.get(self.at(self.head)).copied();
        self.head = self.head.wrapping_add(1);
        byte
    }

    /// Appends as much of `data` as fits; returns how much.
    pub fn write(&mut self, data: &[u8]) -> usize {
        let n = data.len().min(self.room());
        let (data, _) = data.split_at(n);
        let at = self.at(self.tail);
        let (low, high) = self.buf.split_at_mut(at);
        let first = n.min(high.len());
        let (a, b) = data.split_at(first);
        for (part, place) in [(a, high), (b, low)] {
            if let Some(place) = place.get_mut(..part.len()) {
                place.copy_from_slice(part);
            }
        }
        self.tail = self.tail.wrapping_add(n);
        n
    }

    /// Takes as much as fits into `out`; returns how much.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        let n = self.peek(out);
        self.consume(n);
        n
    }

    /// Copies the oldest bytes without taking them.
    pub fn peek(&self, out: &mut [u8]) -> usize {
        let (a, b) = self.as_slices();
        let n = out.len().min(self.len());
        let first = n.min(a.len());
        let (out_a, out_b) = out.split_at_mut(first);
        for (part, place) in [(a, out_a), (b, out_b)] {
            let m = part.len().min(place.len());
            if let (Some(part), Some(place)) = (part.get(..m), place.get_mut(..m)) {
                place.copy_from_slice(part);
            }
        }
        n
    }

    /// The bytes, oldest first, in two parts.
    pub fn as_slices(&self) -> (&[u8], &[u8]) {
        let (at, len) = (self.at(self.head), self.len());
        let (low, high) = self.buf.split_at(at);
        let first = len.min(high.len());
        (high.get(..first).unwrap_or(&[]), low.get(..len - first).unwrap_or(&[]))
    }

    /// Drops the `n` oldest bytes.
    pub fn consume(&mut self, n: usize) {
        self.head = self.head.wrapping_add(n.min(self.len()));
    }

    /// Drops all bytes.
    pub fn clear(&mut self) {
        self.head = self.tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kalloc::flags::GFP_KERNEL;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn is_a_queue(ops in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..12)), 0..60)) {
            let mut ring = ByteRing::new(10, GFP_KERNEL).unwrap();
            let mut model = VecDeque::new();
            for (write, data) in ops {
                if write {
                    let n = ring.write(&data);
                    prop_assert_eq!(n, data.len().min(16 - model.len()));
                    model.extend(&data[..n]);
                } else if data.len() == 1 {
                    prop_assert_eq!(ring.pop(), model.pop_front());
                } else {
                    let mut out = vec![0; data.len()];
                    let n = ring.read(&mut out);
                    let want: Vec<u8> = model.drain(..data.len().min(model.len())).collect();
                    prop_assert_eq!(&out[..n], &want[..]);
                }
                prop_assert_eq!((ring.len(), ring.room(), ring.is_empty()), (model.len(), 16 - model.len(), model.is_empty()));
            }
        }
    }

    #[test]
    fn without_memory() {
        let mut ring = ByteRing::default();
        assert_eq!((ring.push(1), ring.write(b"ab"), ring.pop(), ring.read(&mut [0; 4])), (false, 0, None, 0));
    }
}
