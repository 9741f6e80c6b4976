// SPDX-License-Identifier: GPL-2.0
//! Buffers that the program gives in advance, in groups: a request that says `IOSQE_BUFFER_SELECT` gets one when its turn comes, and its
//! result names it. A group is a list (`PROVIDE_BUFFERS`), or a ring in the program's memory (`IORING_REGISTER_PBUF_RING`), which the
//! program fills and the kernel takes from: what is read there is checked where it is used, as any address of a program.
//!
//! Lock: the mutex around the groups; nothing is taken inside.

use crate::abi::{CQE_BUFFER, Sqe};
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use mm_alloc::Page;
use mm_alloc::layout::PAGE_SIZE;
use sync::Mutex;
use x86_mm::uaccess::{access_ok, get_user};

/// Buffers of a list have numbers of 16 bits.
const MAX_LIST: usize = 1 << 16;
/// Bytes of an entry of a ring: address, length, number, and in the first entry the tail.
const ENTRY: usize = 16;
const TAIL_WORD: usize = 12;

/// A buffer that was given.
#[derive(Clone, Copy)]
struct Buffer {
    addr: u64,
    len: u32,
    bid: u16,
}

enum Kind {
    /// Those from `start` on are free.
    List { buffers: KVec<Buffer>, start: usize },
    /// The program's ring, of `mask + 1` entries.
    Ring { pages: KVec<Page>, mask: u16, head: u16 },
}

struct Group {
    id: u16,
    kind: Kind,
}

/// The groups of a ring, by their numbers.
pub(crate) struct Groups(Mutex<KVec<Group>>);

/// A buffer that a request got.
pub(crate) struct Selected {
    group: u16,
    buffer: Buffer,
    /// Bytes that may be used.
    pub(crate) len: u32,
}

impl Selected {
    /// Where it is.
    pub(crate) fn addr(&self) -> u64 {
        self.buffer.addr
    }

    /// What the result says of it.
    pub(crate) fn cqe_flags(&self) -> u32 {
        CQE_BUFFER | u32::from(self.buffer.bid) << 16
    }
}

impl Kind {
    /// The word at `offset` of a ring.
    fn load(pages: &KVec<Page>, offset: usize) -> Option<u64> {
        let place = pages.get(offset / PAGE_SIZE)?.atomic_u64(offset % PAGE_SIZE)?;
        // The tail is read first, and what it counts after it.
        Some(place.load(core::sync::atomic::Ordering::Acquire))
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::List { buffers, start } => *start >= buffers.len(),
            Self::Ring { pages, head, .. } => {
                Self::load(pages, TAIL_WORD - 4).is_none_or(|word| (word >> 48) as u16 == *head)
            }
        }
    }

    fn take(&mut self) -> Option<Buffer> {
        if self.is_empty() {
            return None;
        }
        match self {
            Self::List { buffers, start } => {
                let buffer = *buffers.get(*start)?;
                *start += 1;
                // What was taken goes when it is more than what is left.
                if *start > 64 && *start > buffers.len() / 2 {
                    drop(buffers.drain(..*start - 1));
                    *start = 1;
                }
                Some(buffer)
            }
            Self::Ring { pages, mask, head } => {
                let at = usize::from(*head & *mask) * ENTRY;
                let (addr, rest) = (Self::load(pages, at)?, Self::load(pages, at + 8)?);
                *head = head.wrapping_add(1);
                Some(Buffer { addr, len: rest as u32, bid: (rest >> 32) as u16 })
            }
        }
    }
}

impl Groups {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(KVec::new()))
    }

    /// Whether group `id` has no buffer now.
    pub(crate) fn is_empty(&self, id: u16) -> bool {
        let groups = self.0.lock();
        let found = groups.binary_search_by_key(&id, |group| group.id).ok().and_then(|at| groups.get(at));
        found.is_none_or(|group| group.kind.is_empty())
    }

    /// Takes a buffer of group `id` for at most `len` bytes; 0: as many as it has. ENOBUFS.
    pub(crate) fn select(&self, id: u16, len: u32) -> Result<Selected> {
        let mut groups = self.0.lock();
        let at = groups.binary_search_by_key(&id, |group| group.id).map_err(|_| ENOBUFS)?;
        let buffer = groups.get_mut(at).and_then(|group| group.kind.take()).ok_or(ENOBUFS)?;
        let len = if len == 0 { buffer.len } else { len.min(buffer.len) };
        Ok(Selected { group: id, buffer, len })
    }

    /// A buffer was not used: it is the next again, if nobody took another one meanwhile.
    pub(crate) fn give_back(&self, selected: &Selected) {
        let mut groups = self.0.lock();
        let Ok(at) = groups.binary_search_by_key(&selected.group, |group| group.id) else { return };
        match groups.get_mut(at).map(|group| &mut group.kind) {
            Some(Kind::List { buffers, start }) => {
                // The place before the first free one was its own, or another's that was taken after it.
                if let Some(place) = start.checked_sub(1).and_then(|at| buffers.get_mut(at)) {
                    *place = selected.buffer;
                    *start -= 1;
                }
            }
            Some(Kind::Ring { pages, mask, head }) => {
                let before = head.wrapping_sub(1);
                let its = Kind::load(pages, usize::from(before & *mask) * ENTRY + 8).map(|word| (word >> 32) as u16);
                if its == Some(selected.buffer.bid) {
                    *head = before;
                }
            }
            None => {}
        }
    }

    /// `PROVIDE_BUFFERS`: so many buffers of the same length, one after the other.
    pub(crate) fn provide(&self, sqe: &Sqe) -> Result<usize> {
        if sqe.op_flags != 0 || sqe.last != 0 {
            return Err(EINVAL);
        }
        let count = u16::try_from(sqe.fd).ok().filter(|count| *count != 0).ok_or(E2BIG)?;
        let first = u16::try_from(sqe.off).map_err(|_| E2BIG)?;
        if u32::from(first) + u32::from(count) > MAX_LIST as u32 {
            return Err(EINVAL);
        }
        let size = u64::from(sqe.len) * u64::from(count);
        sqe.addr.checked_add(size).ok_or(EOVERFLOW)?;
        if !access_ok(sqe.addr as usize, usize::try_from(size)?) {
            return Err(EFAULT);
        }
        let mut groups = self.0.lock();
        let at = match groups.binary_search_by_key(&sqe.buf_index, |group| group.id) {
            Ok(at) => at,
            Err(at) => {
                let kind = Kind::List { buffers: KVec::new(), start: 0 };
                groups.insert(at, Group { id: sqe.buf_index, kind }, GFP_KERNEL)?;
                at
            }
        };
        let Some(Group { kind: Kind::List { buffers, start }, .. }) = groups.get_mut(at) else { return Err(EINVAL) };
        drop(buffers.drain(..*start));
        *start = 0;
        if buffers.len() + usize::from(count) > MAX_LIST {
            return Err(EOVERFLOW);
        }
        buffers.reserve(count.into(), GFP_KERNEL)?;
        for i in 0..count {
            let addr = sqe.addr + u64::from(i) * u64::from(sqe.len);
            // The room was made.
            let _ = buffers.push_within_capacity(Buffer { addr, len: sqe.len, bid: first.wrapping_add(i) });
        }
        Ok(0)
    }

    /// `REMOVE_BUFFERS`: at most so many; how many there were.
    pub(crate) fn remove(&self, sqe: &Sqe) -> Result<usize> {
        if sqe.op_flags != 0 || sqe.last != 0 || sqe.addr != 0 || sqe.len != 0 || sqe.off != 0 {
            return Err(EINVAL);
        }
        let count = u16::try_from(sqe.fd).ok().filter(|count| *count != 0).ok_or(EINVAL)?;
        let mut groups = self.0.lock();
        let at = groups.binary_search_by_key(&sqe.buf_index, |group| group.id).map_err(|_| ENOENT)?;
        match groups.get_mut(at).map(|group| &mut group.kind) {
            Some(Kind::List { buffers, start }) => {
                let there = buffers.len().saturating_sub(*start).min(count.into());
                drop(buffers.drain(..*start + there));
                *start = 0;
                Ok(there)
            }
            _ => Err(EINVAL),
        }
    }

    /// `IORING_REGISTER_PBUF_RING`: a group that is a ring in the program's memory.
    pub(crate) fn register(&self, arg: usize) -> Result {
        let (addr, entries, id) = registration(arg)?;
        if addr == 0 {
            return Err(EFAULT);
        }
        if !addr.is_multiple_of(PAGE_SIZE as u64) || !entries.is_power_of_two() {
            return Err(EINVAL);
        }
        // With more, head and tail could not tell a full ring from an empty one.
        let mask = u16::try_from(entries - 1).ok().filter(|mask| *mask != u16::MAX).ok_or(EINVAL)?;
        let mut groups = self.0.lock();
        let found = groups.binary_search_by_key(&id, |group| group.id);
        if let Ok(at) = found
            && groups.get(at).is_some_and(|group| matches!(group.kind, Kind::Ring { .. }) || !group.kind.is_empty())
        {
            return Err(EEXIST);
        }
        let pages = pin(usize::try_from(addr)?, entries as usize * ENTRY)?;
        let kind = Kind::Ring { pages, mask, head: 0 };
        match found {
            Ok(at) => groups.get_mut(at).ok_or(EINVAL)?.kind = kind,
            Err(at) => groups.insert(at, Group { id, kind }, GFP_KERNEL)?,
        }
        Ok(())
    }

    /// `IORING_UNREGISTER_PBUF_RING`.
    pub(crate) fn unregister(&self, arg: usize) -> Result {
        let (.., id) = registration(arg)?;
        let mut groups = self.0.lock();
        let at = groups.binary_search_by_key(&id, |group| group.id).map_err(|_| ENOENT)?;
        if groups.get(at).is_some_and(|group| matches!(group.kind, Kind::List { .. })) {
            return Err(EINVAL);
        }
        let old = groups.remove(at);
        drop(groups);
        drop(old);
        Ok(())
    }
}

/// `struct io_uring_buf_reg`: address, entries, group. Its flags (memory of the kernel's) and the rest must be 0.
fn registration(arg: usize) -> Result<(u64, u32, u16)> {
    let [addr, second, rest @ ..] = get_user::<[u64; 5]>(arg)?;
    if second >> 48 != 0 || rest != [0; 3] {
        return Err(EINVAL);
    }
    Ok((addr, second as u32, (second >> 32) as u16))
}

/// The pages behind a ring in the program's memory.
fn pin(start: usize, len: usize) -> Result<KVec<Page>> {
    let mm = mm::current_mm().ok_or(EFAULT)?;
    let end = start.checked_add(len).ok_or(EFAULT)?;
    let mut pages = KVec::with_capacity(len.div_ceil(PAGE_SIZE), GFP_KERNEL)?;
    for at in (start..end).step_by(PAGE_SIZE) {
        pages.push(mm.pin_page(at, true)?, GFP_KERNEL)?;
    }
    Ok(pages)
}
