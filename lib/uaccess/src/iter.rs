// SPDX-License-Identifier: GPL-2.0
//! `IovIter`: where a read puts its bytes, or a write takes them from: one user buffer, several (`readv`), or a kernel buffer.
//! It moves on as bytes are copied; a copy that stops short says how far it came.

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Allocator, Flags, KVec, Vec};
use mm_alloc::Page;
use mm_alloc::layout::PAGE_SIZE;
use x86_uaccess::{
    UserPtr, access_ok, clear_user, copy_from_user_append, copy_from_user_partial, copy_page_from_user,
    copy_page_to_user, copy_to_user_partial,
};

/// Most bytes that one system call transfers (`MAX_RW_COUNT`).
pub const MAX_RW_COUNT: usize = i32::MAX as usize & !(PAGE_SIZE - 1);
/// Most segments of one call (`UIO_MAXIOV`).
const MAX_SEGMENTS: usize = 1024;

/// A user buffer, checked to lie in user space.
#[derive(Clone, Copy, Debug)]
pub struct IoVec {
    base: UserPtr,
    len: usize,
}

enum Kind<'a> {
    User(UserPtr),
    /// The current segment's rest is first.
    Segments {
        segments: KVec<IoVec>,
        at: usize,
        offset: usize,
    },
    KernelIn(&'a [u8]),
    KernelOut(&'a mut [u8]),
}

/// Bytes on their way between a file and a program (or the kernel).
pub struct IovIter<'a> {
    kind: Kind<'a>,
    count: usize,
}

impl<'a> IovIter<'a> {
    /// One user buffer. EFAULT if it is not in user space. Longer than `MAX_RW_COUNT` is cut.
    #[inline]
    pub fn user(base: UserPtr, len: usize) -> Result<Self> {
        if !access_ok(base, len) {
            return Err(EFAULT);
        }
        Ok(Self { kind: Kind::User(base), count: len.min(MAX_RW_COUNT) })
    }

    /// The `count` segments of a `struct iovec` array at `vec`. EINVAL for too many or a length above `isize::MAX`, EFAULT,
    /// ENOMEM. The sum is cut to `MAX_RW_COUNT`.
    pub fn from_iovec(vec: UserPtr, count: usize) -> Result<Self> {
        if count > MAX_SEGMENTS {
            return Err(EINVAL);
        }
        let mut segments = KVec::with_capacity(count, GFP_KERNEL)?;
        let mut total = 0usize;
        for i in 0..count {
            let [base, len] = x86_uaccess::get_user::<[usize; 2]>(vec.wrapping_byte_add(i * 16))?;
            if len > isize::MAX as usize {
                return Err(EINVAL);
            }
            if !access_ok(UserPtr::from_addr(base), len) {
                return Err(EFAULT);
            }
            let len = len.min(MAX_RW_COUNT - total);
            total += len;
            segments.push(IoVec { base: UserPtr::from_addr(base), len }, GFP_KERNEL)?;
        }
        Ok(Self { kind: Kind::Segments { segments, at: 0, offset: 0 }, count: total })
    }

    /// The kernel's bytes, to be written to a file.
    pub fn kernel_source(bytes: &'a [u8]) -> Self {
        Self { count: bytes.len(), kind: Kind::KernelIn(bytes) }
    }

    /// A kernel buffer, to be read into.
    pub fn kernel_dest(bytes: &'a mut [u8]) -> Self {
        Self { count: bytes.len(), kind: Kind::KernelOut(bytes) }
    }

    /// Bytes left.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether nothing is left.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Cuts what is left to `max` bytes.
    pub fn truncate(&mut self, max: usize) {
        self.count = self.count.min(max);
    }

    /// Passes over bytes.
    pub fn advance(&mut self, bytes: usize) {
        let bytes = bytes.min(self.count);
        self.count -= bytes;
        match &mut self.kind {
            Kind::User(base) => *base = base.wrapping_byte_add(bytes),
            Kind::Segments { segments, at, offset } => {
                let mut left = bytes;
                while let Some(segment) = segments.get(*at) {
                    let room = segment.len - *offset;
                    if left < room {
                        *offset += left;
                        break;
                    }
                    left -= room;
                    *at += 1;
                    *offset = 0;
                }
            }
            Kind::KernelIn(slice) => *slice = slice.get(bytes..).unwrap_or(&[]),
            Kind::KernelOut(slice) => {
                let all = core::mem::take(slice);
                *slice = all.get_mut(bytes..).unwrap_or(&mut []);
            }
        }
    }

    /// Goes back by `bytes` that were just passed in the same segment or before (user buffers only).
    pub fn revert(&mut self, bytes: usize) {
        match &mut self.kind {
            Kind::User(base) => {
                *base = UserPtr::from_addr(base.addr().wrapping_sub(bytes));
                self.count += bytes;
            }
            Kind::Segments { segments, at, offset } => {
                let mut left = bytes;
                loop {
                    let step = left.min(*offset);
                    *offset -= step;
                    self.count += step;
                    left -= step;
                    if left == 0 || *at == 0 {
                        break;
                    }
                    *at -= 1;
                    *offset = segments.get(*at).map_or(0, |s| s.len);
                }
            }
            Kind::KernelIn(_) | Kind::KernelOut(_) => {}
        }
    }

    /// The next stretch of user memory, `None` for kernel buffers.
    #[inline]
    fn user_part(&self, max: usize) -> Option<(UserPtr, usize)> {
        let max = max.min(self.count);
        match &self.kind {
            Kind::User(base) => Some((*base, max)),
            Kind::Segments { segments, at, offset } => {
                let mut offset = *offset;
                for segment in segments.iter().skip(*at) {
                    if segment.len > offset {
                        return Some((segment.base.wrapping_byte_add(offset), max.min(segment.len - offset)));
                    }
                    offset = 0;
                }
                Some((UserPtr::NULL, 0))
            }
            Kind::KernelIn(_) | Kind::KernelOut(_) => None,
        }
    }

    /// The bits of all addresses, and those of all lengths, or'ed: what the least aligned of the program's buffers are aligned to. `None`
    /// for the kernel's own memory.
    pub fn user_alignment(&self) -> Option<(usize, usize)> {
        match &self.kind {
            Kind::User(base) => Some((base.addr(), self.count)),
            Kind::Segments { segments, at, offset } => {
                let (mut bits, mut skip, mut left) = ((0, 0), *offset, self.count);
                for segment in segments.iter().skip(*at) {
                    let len = segment.len.saturating_sub(skip).min(left);
                    if len != 0 {
                        bits = (bits.0 | segment.base.addr().wrapping_add(skip), bits.1 | len);
                    }
                    (skip, left) = (0, left - len);
                }
                Some(bits)
            }
            Kind::KernelIn(_) | Kind::KernelOut(_) => None,
        }
    }

    /// Where the program's next bytes are, and how many lie there together; `None` for the kernel's own memory. For those who
    /// access them in another way; [`Self::advance`] follows.
    pub fn next_part(&self) -> Option<(UserPtr, usize)> {
        self.user_part(self.count)
    }

    /// Moves `len` bytes at most part by part; `copy` says how many of a part it moved. Returns the sum.
    #[inline]
    fn each_part(&mut self, len: usize, mut copy: impl FnMut(UserPtr, usize, usize) -> usize) -> usize {
        let mut done = 0;
        while done < len {
            let Some((at, part)) = self.user_part(len - done) else { break };
            if part == 0 {
                break;
            }
            let moved = copy(at, part, done);
            self.advance(moved);
            done += moved;
            if moved < part {
                break;
            }
        }
        done
    }

    /// Gives bytes to the reader; returns how many it took (fewer when its buffer ended or faulted).
    #[inline]
    pub fn copy_to_iter(&mut self, from: &[u8]) -> usize {
        if let Kind::KernelOut(slice) = &mut self.kind {
            let n = from.len().min(self.count).min(slice.len());
            if let (Some(to), Some(from)) = (slice.get_mut(..n), from.get(..n)) {
                to.copy_from_slice(from);
            }
            self.advance(n);
            return n;
        }
        self.each_part(from.len(), |at, len, done| match from.get(done..done + len) {
            Some(bytes) => len - copy_to_user_partial(at, bytes),
            None => 0,
        })
    }

    /// Takes bytes from the writer; returns how many there were (fewer when its buffer ended or faulted).
    #[inline]
    pub fn copy_from_iter(&mut self, to: &mut [u8]) -> usize {
        if let Kind::KernelIn(slice) = &mut self.kind {
            let n = to.len().min(self.count).min(slice.len());
            if let (Some(to), Some(from)) = (to.get_mut(..n), slice.get(..n)) {
                to.copy_from_slice(from);
            }
            self.advance(n);
            return n;
        }
        self.each_part(to.len(), |at, len, done| match to.get_mut(done..done + len) {
            Some(bytes) => len - copy_from_user_partial(bytes, at),
            None => 0,
        })
    }

    /// Takes `len` bytes from the writer to the end of a vector, whose memory is not cleared before; returns how many there were
    /// (fewer when its buffer ended or faulted). ENOMEM if the vector cannot grow.
    pub fn append_to<A: Allocator>(&mut self, to: &mut Vec<u8, A>, len: usize, flags: Flags) -> Result<usize> {
        let len = len.min(self.count);
        if let Kind::KernelIn(slice) = &self.kind {
            let part = slice.get(..len.min(slice.len())).unwrap_or(&[]);
            to.extend_from_slice(part, flags)?;
            let n = part.len();
            self.advance(n);
            return Ok(n);
        }
        to.reserve(len, flags)?;
        Ok(self.each_part(len, |at, part, _| copy_from_user_append(to, at, part)))
    }

    /// Takes exactly `to.len()` bytes. EFAULT if there are fewer.
    pub fn copy_from_iter_full(&mut self, to: &mut [u8]) -> Result {
        if self.copy_from_iter(to) == to.len() { Ok(()) } else { Err(EFAULT) }
    }

    /// Gives `len` bytes of a page from `offset` to the reader; returns how many it took.
    pub fn copy_page_to_iter(&mut self, page: &Page, offset: usize, len: usize) -> usize {
        let len = len.min(PAGE_SIZE.saturating_sub(offset));
        if let Kind::KernelOut(slice) = &mut self.kind {
            let n = len.min(self.count).min(slice.len());
            let copied = slice.get_mut(..n).is_some_and(|to| page.read(offset, to).is_ok());
            let n = if copied { n } else { 0 };
            self.advance(n);
            return n;
        }
        self.each_part(len, |at, part, done| copy_page_to_user(at, page, offset + done, part))
    }

    /// Takes `len` bytes from the writer into a page at `offset`; returns how many there were.
    pub fn copy_page_from_iter(&mut self, page: &Page, offset: usize, len: usize) -> usize {
        let len = len.min(PAGE_SIZE.saturating_sub(offset));
        if let Kind::KernelIn(slice) = &mut self.kind {
            let n = len.min(self.count).min(slice.len());
            let copied = slice.get(..n).is_some_and(|from| page.write(offset, from).is_ok());
            let n = if copied { n } else { 0 };
            self.advance(n);
            return n;
        }
        self.each_part(len, |at, part, done| copy_page_from_user(page, offset + done, at, part))
    }

    /// Gives `len` zero bytes to the reader; returns how many it took.
    pub fn zero(&mut self, len: usize) -> usize {
        if let Kind::KernelOut(slice) = &mut self.kind {
            let n = len.min(self.count).min(slice.len());
            if let Some(to) = slice.get_mut(..n) {
                to.fill(0);
            }
            self.advance(n);
            return n;
        }
        self.each_part(len, |at, part, _| part - clear_user(at, part))
    }
}
