// SPDX-License-Identifier: GPL-2.0
//! What readers get. No locks; see the crate's header.

use crate::{DISABLED_CHAR, MASK, NTty};
use containers::bitmap;
use uapi::*;

/// How a `read` waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadMode {
    /// For a line.
    Line,
    /// For `min` bytes (at least 1), each further one at most `time` tenths of a second after the one before, without
    /// limit if `time` is 0.
    Bytes {
        /// `VMIN`.
        min: u8,
        /// `VTIME`.
        time: u8,
    },
    /// For one byte, at most `time` tenths of a second from now; 0 is not at all.
    Timed {
        /// `VTIME`.
        time: u8,
    },
}

impl NTty {
    /// How a `read` waits with the settings.
    pub fn read_mode(&self) -> ReadMode {
        let (min, time) = (self.cc(VMIN), self.cc(VTIME));
        if self.is_canon() {
            ReadMode::Line
        } else if min == 0 {
            ReadMode::Timed { time }
        } else {
            ReadMode::Bytes { min, time }
        }
    }

    /// Whether `read` would give something, an end of file being something too.
    #[inline]
    pub fn is_readable(&self) -> bool {
        if self.is_canon() { self.canon_head != self.tail } else { self.head != self.tail }
    }

    /// Whether `poll` tells of input: without lines and without a time limit, `VMIN` bytes are waited for.
    pub fn poll_readable(&self) -> bool {
        match self.read_mode() {
            ReadMode::Bytes { min, time: 0 } => self.head.wrapping_sub(self.tail) >= usize::from(min),
            _ => self.is_readable(),
        }
    }

    /// How many bytes can be read (`FIONREAD`, `TIOCINQ`): the ends of files in between do not count.
    pub fn input_len(&self) -> usize {
        if !self.is_canon() {
            return self.head.wrapping_sub(self.tail);
        }
        let (mut n, mut pos) = (0usize, self.tail);
        while pos != self.canon_head {
            n = n.wrapping_add(usize::from(!self.is_eof(pos)));
            pos = pos.wrapping_add(1);
        }
        n
    }

    /// Whether the byte ends a line, and does not belong to it.
    fn is_eof(&self, pos: usize) -> bool {
        self.at(pos) == DISABLED_CHAR && bitmap::test_bit(&*self.line_end, pos & MASK)
    }

    /// Takes bytes for a reader: what there is, of one line at most. `None`: nothing there; `Some(0)`: end of file (or
    /// `out` is empty).
    pub fn read(&mut self, out: &mut [u8]) -> Option<usize> {
        if !self.is_readable() {
            return None;
        }
        if out.is_empty() {
            return Some(0);
        }
        if self.is_canon() {
            return Some(self.read_line(out));
        }
        let n = out.len().min(self.head.wrapping_sub(self.tail));
        self.copy(out, n);
        let was_eof = n == 1 && out.first() == Some(&self.cc(VEOF)) && self.cc(VEOF) != DISABLED_CHAR;
        self.tail = self.tail.wrapping_add(n);
        if self.tail == self.head && was_eof && self.l(EXTPROC) && self.l(ICANON) {
            return Some(0);
        }
        if self.canon_head.wrapping_sub(self.tail) > crate::N_TTY_BUF_SIZE {
            self.canon_head = self.tail;
        }
        Some(n)
    }

    /// Copies `n` bytes, which are there, from the tail.
    fn copy(&self, out: &mut [u8], n: usize) {
        let (low, high) = self.buf.split_at(self.tail & MASK);
        let first = n.min(high.len());
        if let (Some(to), Some(from)) = (out.get_mut(..first), high.get(..first)) {
            to.copy_from_slice(from);
        }
        if let (Some(to), Some(from)) = (out.get_mut(first..n), low.get(..n.wrapping_sub(first))) {
            to.copy_from_slice(from);
        }
    }

    fn read_line(&mut self, out: &mut [u8]) -> usize {
        let available = self.canon_head.wrapping_sub(self.tail);
        let (start, all) = (self.tail & MASK, self.line_end.len().saturating_mul(64));
        // The first end of a line, before the wrap or behind it.
        let end = bitmap::find_next_bit(&*self.line_end, all, start)
            .map(|at| at.wrapping_sub(start))
            .or_else(|| Some(bitmap::find_next_bit(&*self.line_end, start, 0)?.wrapping_add(all).wrapping_sub(start)))
            .filter(|&n| n < available);
        let length = end.map_or(available, |e| e.wrapping_add(1));
        let eof = end.is_some_and(|e| self.is_eof(self.tail.wrapping_add(e)));
        // An end of file right behind what was asked for goes along, or the next read would find only it.
        let data = length.wrapping_sub(usize::from(eof));
        let n = data.min(out.len());
        self.copy(out, n);
        let taken = if n == data { length } else { n };
        if let Some(end) = end.filter(|_| n == data) {
            bitmap::clear_bit(&mut *self.line_end, self.tail.wrapping_add(end) & MASK);
        }
        self.tail = self.tail.wrapping_add(taken);
        n
    }
}
