// SPDX-License-Identifier: GPL-2.0
//! Where a decoder of matches (xz, zstd) writes: memory in which it also looks back. Either all that comes out fits (a block of a file
//! system), or it is a window that is handed to a sink and moved on when it is full.

use crate::Error;
use kalloc::KVVec;
use kalloc::flags::GFP_KERNEL;

/// Least bytes of a window beside what has to be kept.
const SLACK: usize = 4 << 20;

enum Buffer<'a> {
    /// All that comes out.
    Whole(&'a mut [u8]),
    /// A window; it grows up to what is to be kept and half of that, but by [`SLACK`] at least.
    Window(KVVec<u8>, &'a mut dyn FnMut(&[u8]) -> Result<(), Error>),
}

/// What came out.
pub(crate) struct Output<'a> {
    buffer: Buffer<'a>,
    /// Where the next byte goes.
    pos: usize,
    /// The first byte that may be looked back at.
    start: usize,
    /// Bytes that were handed on and are not in the buffer any more.
    gone: u64,
    /// Up to where the buffer was handed on.
    sent: usize,
    /// How far back may be looked.
    keep: usize,
}

impl<'a> Output<'a> {
    /// Into memory for all.
    pub(crate) fn whole(to: &'a mut [u8]) -> Self {
        let keep = to.len();
        Self { buffer: Buffer::Whole(to), pos: 0, start: 0, gone: 0, sent: 0, keep }
    }

    /// To `sink`.
    pub(crate) fn sink(sink: &'a mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Self {
        Self { buffer: Buffer::Window(KVVec::new(), sink), pos: 0, start: 0, gone: 0, sent: 0, keep: 0 }
    }

    /// What is written is also written elsewhere, and cannot be changed later.
    pub(crate) fn is_sink(&self) -> bool {
        matches!(self.buffer, Buffer::Window(..))
    }

    /// From now on at most `keep` bytes back are looked at, and nothing from before.
    pub(crate) fn restart(&mut self, keep: u64) {
        self.keep = usize::try_from(keep).unwrap_or(usize::MAX);
        self.start = self.pos;
    }

    /// Bytes that came out so far.
    pub(crate) fn total(&self) -> u64 {
        self.gone.wrapping_add(self.pos as u64)
    }

    /// How far back may be looked.
    #[inline]
    pub(crate) fn history(&self) -> usize {
        (self.pos - self.start).min(self.keep)
    }

    /// At most how far back may be looked.
    #[inline]
    pub(crate) fn keep(&self) -> usize {
        self.keep
    }

    /// All of the buffer, and the place of the next byte in it.
    #[inline]
    pub(crate) fn parts(&mut self) -> (&mut [u8], usize) {
        let pos = self.pos;
        match &mut self.buffer {
            Buffer::Whole(to) => (to, pos),
            Buffer::Window(to, _) => (to, pos),
        }
    }

    /// Bytes were written up to `pos`, which is inside.
    #[inline]
    pub(crate) fn advance_to(&mut self, pos: usize) {
        self.pos = pos;
    }

    /// What was written from the place `from` on.
    pub(crate) fn since(&mut self, from: usize) -> &mut [u8] {
        let (all, pos) = self.parts();
        all.get_mut(from..pos).unwrap_or_default()
    }

    /// The last `n` bytes that were written.
    pub(crate) fn last(&mut self, n: usize) -> &mut [u8] {
        self.since(self.pos.saturating_sub(n))
    }

    /// Where the next byte goes.
    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// Makes room for `n` bytes. `TooLong` if all memory is used up.
    pub(crate) fn room(&mut self, n: usize) -> Result<(), Error> {
        let end = self.pos.checked_add(n).ok_or(Error::TooLong)?;
        match &self.buffer {
            Buffer::Whole(to) => return if end <= to.len() { Ok(()) } else { Err(Error::TooLong) },
            Buffer::Window(to, _) if end <= to.len() => return Ok(()),
            Buffer::Window(..) => {}
        }
        self.flush()?;
        let Buffer::Window(to, _) = &mut self.buffer else { return Ok(()) };
        let most = self.keep.saturating_add((self.keep / 2).max(SLACK).max(n));
        // It is not made larger than it comes to be used.
        if to.len() < most {
            let wanted = end.max(to.len().saturating_mul(2)).max(256 << 10).min(most);
            if wanted > to.len() {
                to.resize(wanted, 0, GFP_KERNEL)?;
            }
        }
        if end > to.len() {
            let kept = self.pos.saturating_sub(self.start).min(self.keep);
            let shift = self.pos - kept;
            to.copy_within(shift..self.pos, 0);
            self.gone = self.gone.wrapping_add(shift as u64);
            self.pos = kept;
            self.start = self.start.saturating_sub(shift);
            self.sent = kept;
        }
        // Without that much room the window itself was too small, which `most` rules out.
        if self.pos.saturating_add(n) <= to.len() { Ok(()) } else { Err(Error::NoMemory) }
    }

    /// Hands on what was not handed on yet.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        if let Buffer::Window(from, sink) = &mut self.buffer {
            if let Some(piece) = from.get(self.sent..self.pos).filter(|piece| !piece.is_empty()) {
                sink(piece)?;
            }
            self.sent = self.pos;
        }
        Ok(())
    }

    /// Copies bytes; there must be room ([`Self::room`]).
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (all, pos) = self.parts();
        let end = pos.checked_add(bytes.len()).ok_or(Error::TooLong)?;
        all.get_mut(pos..end).ok_or(Error::TooLong)?.copy_from_slice(bytes);
        self.pos = end;
        Ok(())
    }

    /// Writes `n` times the same byte; there must be room.
    pub(crate) fn fill(&mut self, byte: u8, n: usize) -> Result<(), Error> {
        let (all, pos) = self.parts();
        let end = pos.checked_add(n).ok_or(Error::TooLong)?;
        all.get_mut(pos..end).ok_or(Error::TooLong)?.fill(byte);
        self.pos = end;
        Ok(())
    }

    /// Repeats `len` bytes from `distance` back; there must be room. `Corrupt` if that is further than may be looked.
    #[inline]
    pub(crate) fn repeat(&mut self, distance: usize, len: usize) -> Result<(), Error> {
        if distance == 0 || distance > self.history() {
            return Err(Error::Corrupt);
        }
        let (all, pos) = self.parts();
        repeat(all, pos, distance, len).ok_or(Error::TooLong)?;
        self.pos = pos + len;
        Ok(())
    }
}

/// Repeats `len` bytes of `all` from `distance` before `pos` at `pos`; none if that is outside.
#[inline]
pub(crate) fn repeat(all: &mut [u8], pos: usize, distance: usize, len: usize) -> Option<()> {
    let (before, to) = all.get_mut(..pos.checked_add(len)?)?.split_at_mut(pos);
    let from = before.get(pos.checked_sub(distance)?..)?;
    if distance >= len {
        to.copy_from_slice(from.get(..len)?);
        return Some(());
    }
    match from {
        [] => return None,
        [byte] => to.fill(*byte),
        _ => {
            for chunk in to.chunks_mut(distance) {
                chunk.copy_from_slice(from.get(..chunk.len())?);
            }
        }
    }
    Some(())
}
