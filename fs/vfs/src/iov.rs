// SPDX-License-Identifier: GPL-2.0
//! `IovIter`: where the bytes of a read go, or those of a write come from: a program's memory in one or more pieces, or the
//! kernel's own. No locks; copying from or to a program may sleep (page faults).

use crate::user;
use errno::{Result, code::*};
use kalloc::KVec;

/// A piece of a program's memory.
#[derive(Clone, Copy, Debug)]
pub struct UserVec {
    /// Address.
    pub base: usize,
    /// Bytes.
    pub len: usize,
}

enum Source<'a> {
    User(UserVec),
    Vector { pieces: &'a [UserVec], first: UserVec },
    KernelOut(&'a mut [u8]),
    KernelIn(&'a [u8]),
}

/// See the module's text. Bytes are consumed as they are copied.
pub struct IovIter<'a> {
    source: Source<'a>,
    count: usize,
}

impl<'a> IovIter<'a> {
    /// One piece of a program's memory.
    #[inline(always)]
    pub fn user(base: usize, len: usize) -> Self {
        Self { source: Source::User(UserVec { base, len }), count: len }
    }

    /// Several pieces. The caller has checked that the lengths add up below `isize::MAX`.
    pub fn user_vec(pieces: &'a [UserVec]) -> Self {
        let count = pieces.iter().fold(0usize, |sum, piece| sum.saturating_add(piece.len));
        let first = pieces.first().copied().unwrap_or(UserVec { base: 0, len: 0 });
        Self { source: Source::Vector { pieces: pieces.get(1..).unwrap_or(&[]), first }, count }
    }

    /// A kernel buffer to be filled.
    pub fn kernel_out(buffer: &'a mut [u8]) -> Self {
        Self { count: buffer.len(), source: Source::KernelOut(buffer) }
    }

    /// A kernel buffer to be read.
    pub fn kernel_in(buffer: &'a [u8]) -> Self {
        Self { count: buffer.len(), source: Source::KernelIn(buffer) }
    }

    /// Bytes left.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Forgets all but the first `n` bytes.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        self.count = self.count.min(n);
    }

    /// Raises the count again to what it was before a `truncate`, less what was consumed since. `n` comes from [`Self::count`].
    pub fn reexpand(&mut self, n: usize) {
        self.count = n;
    }

    /// Copies as much of `bytes` as fits. Returns how much; a fault ends it early, `EFAULT` if nothing was copied.
    #[inline]
    pub fn copy_to(&mut self, bytes: &[u8]) -> Result<usize> {
        let want = bytes.len().min(self.count);
        let Some(bytes) = bytes.get(..want) else { return Ok(0) };
        self.each(want, |piece, done| match piece {
            Piece::User(at) => user::copy_out(at.base, bytes.get(done..done + at.len).ok_or(EFAULT)?),
            Piece::Out(buffer) => {
                buffer.copy_from_slice(bytes.get(done..done + buffer.len()).ok_or(EFAULT)?);
                Ok(())
            }
            Piece::In(_) => Err(EFAULT),
        })
    }

    /// Fills `bytes` as far as there are bytes left. As [`Self::copy_to`].
    #[inline]
    pub fn copy_from(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let want = bytes.len().min(self.count);
        self.each(want, |piece, done| match piece {
            Piece::User(at) => user::copy_in(at.base, bytes.get_mut(done..done + at.len).ok_or(EFAULT)?),
            Piece::In(buffer) => {
                bytes.get_mut(done..done + buffer.len()).ok_or(EFAULT)?.copy_from_slice(buffer);
                Ok(())
            }
            Piece::Out(_) => Err(EFAULT),
        })
    }

    /// Writes up to `n` zero bytes. As [`Self::copy_to`].
    pub fn zero(&mut self, n: usize) -> Result<usize> {
        let want = n.min(self.count);
        self.each(want, |piece, _| match piece {
            Piece::User(at) => user::clear(at.base, at.len),
            Piece::Out(buffer) => {
                buffer.fill(0);
                Ok(())
            }
            Piece::In(_) => Err(EFAULT),
        })
    }

    /// Skips `n` bytes (at most all).
    pub fn advance(&mut self, n: usize) {
        let want = n.min(self.count);
        // Consuming copies nothing, so it cannot fail.
        let _ = self.each(want, |_, _| Ok(()));
    }

    /// All that is left, in kernel memory. `EFAULT` if any byte cannot be read, `ENOMEM`.
    pub fn collect(&mut self) -> Result<KVec<u8>> {
        let mut out = KVec::from_elem(0u8, self.count, kalloc::flags::GFP_KERNEL)?;
        let n = self.copy_from(&mut out)?;
        if n == out.len() { Ok(out) } else { Err(EFAULT) }
    }

    /// Runs `copy` over pieces that make up the next `want` bytes.
    #[inline(always)]
    fn each(&mut self, want: usize, mut copy: impl FnMut(Piece<'_>, usize) -> Result) -> Result<usize> {
        let mut done = 0;
        while done < want {
            let left = want - done;
            let (len, result) = match &mut self.source {
                Source::User(at) => {
                    let len = left.min(at.len);
                    let result = copy(Piece::User(UserVec { base: at.base, len }), done);
                    if result.is_ok() {
                        at.base = at.base.wrapping_add(len);
                        at.len -= len;
                    }
                    (len, result)
                }
                Source::Vector { pieces, first } => {
                    if first.len == 0 {
                        let Some((next, rest)) = pieces.split_first() else { break };
                        *first = *next;
                        *pieces = rest;
                        continue;
                    }
                    let len = left.min(first.len);
                    let result = copy(Piece::User(UserVec { base: first.base, len }), done);
                    if result.is_ok() {
                        first.base = first.base.wrapping_add(len);
                        first.len -= len;
                    }
                    (len, result)
                }
                Source::KernelOut(buffer) => {
                    let len = left.min(buffer.len());
                    let Some((now, rest)) = core::mem::take(buffer).split_at_mut_checked(len) else { break };
                    *buffer = rest;
                    (len, copy(Piece::Out(now), done))
                }
                Source::KernelIn(buffer) => {
                    let len = left.min(buffer.len());
                    let Some((now, rest)) = buffer.split_at_checked(len) else { break };
                    *buffer = rest;
                    (len, copy(Piece::In(now), done))
                }
            };
            match result {
                Ok(()) => {
                    done += len;
                    self.count -= len;
                    if len == 0 {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

enum Piece<'b> {
    User(UserVec),
    Out(&'b mut [u8]),
    In(&'b [u8]),
}
