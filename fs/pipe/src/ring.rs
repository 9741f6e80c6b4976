// SPDX-License-Identifier: GPL-2.0
//! The buffers of a pipe. Each slot holds part of a page; small writes share the last page. One page is kept for the next write.

use crate::user::UserPages;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use errno::Result;
use errno::code::{EBUSY, EFAULT, EINVAL, ENFILE, EPERM};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use mm_alloc::{PAGE_SIZE, Page};
use sync::{Mutex, WaitQueue};
use vfs::FasyncList;
use x86_mm::uaccess::IovIter;

/// Slots of a new pipe (`PIPE_DEF_BUFFERS`).
const DEFAULT_SLOTS: usize = 16;
/// Slots of one whose user has too many already (`PIPE_MIN_DEF_BUFFERS`).
const LEAST_SLOTS: usize = 2;
/// Largest size that a process without `CAP_SYS_RESOURCE` gets or may set (`/proc/sys/fs/pipe-max-size`).
static MAX_SIZE: AtomicUsize = AtomicUsize::new(1 << 20);
/// Largest size of all.
const LIMIT: usize = 1 << 31;

/// Most bytes that an unprivileged process may set.
pub fn max_size() -> usize {
    MAX_SIZE.load(Ordering::Relaxed)
}

/// Sets [`max_size`], rounded up to a power of two of pages. `EINVAL`.
pub fn set_max_size(size: usize) -> Result {
    MAX_SIZE.store(rounded(size)?, Ordering::Relaxed);
    Ok(())
}

/// The size of the pipe that has room for `size` bytes: a power of two of pages. `EINVAL` above the largest there can be.
fn rounded(size: usize) -> Result<usize> {
    size.max(PAGE_SIZE).checked_next_power_of_two().filter(|size| *size <= LIMIT).ok_or(EINVAL)
}

struct Buffer {
    page: Page,
    offset: usize,
    len: usize,
    /// A packet of its own (`O_DIRECT`): a read takes it alone, and loses what it has no room for.
    packet: bool,
    /// The page's rest belongs to this buffer: a small write may go there.
    merge: bool,
    /// The page was made for a pipe: no file has it.
    own: bool,
}

/// Buffers, oldest at `head`.
pub(crate) struct Ring {
    slots: KVec<Option<Buffer>>,
    head: usize,
    count: usize,
    spare: Option<Page>,
}

/// What both ends share.
pub(crate) struct Pipe {
    pub(crate) ring: Mutex<Ring>,
    /// Copies of the ring's state for waiters, who must not take the mutex.
    used: AtomicU32,
    slots: AtomicU32,
    pub(crate) readers: AtomicU32,
    pub(crate) writers: AtomicU32,
    /// Opens so far of either kind: FIFO opens wait for a change.
    pub(crate) reader_opens: AtomicU32,
    pub(crate) writer_opens: AtomicU32,
    pub(crate) read_wait: Arc<WaitQueue>,
    pub(crate) write_wait: Arc<WaitQueue>,
    /// Who wants signals when there is something to read, and when there is room.
    pub(crate) async_readers: FasyncList,
    pub(crate) async_writers: FasyncList,
    /// Of two changes of both lists one comes first. Not the ring's lock: who closes a file waits for nobody.
    pub(crate) async_change: Mutex<()>,
    /// Somebody polls (perhaps edge-triggered epoll, which wants to hear of every write).
    pub(crate) polled: AtomicBool,
    /// The slots count for who made the pipe.
    pages: UserPages,
}

impl Pipe {
    /// A pipe of the current user's. `ENFILE` above the limit, `ENOMEM`; callers have one error for both.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let mut slots = DEFAULT_SLOTS;
        let most = max_size() / PAGE_SIZE;
        if slots > most && !cred::capable(cred::CAP_SYS_RESOURCE) {
            slots = most;
        }
        let pages = UserPages::new(slots)?;
        if pages.above_soft() {
            slots = LEAST_SLOTS;
            pages.set(slots);
        }
        if pages.above_hard() {
            return Err(ENFILE);
        }
        let pipe = Self {
            ring: Mutex::new(Ring { slots: empty_slots(slots)?, head: 0, count: 0, spare: None }),
            used: AtomicU32::new(0),
            slots: AtomicU32::new(slots as u32),
            readers: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            reader_opens: AtomicU32::new(0),
            writer_opens: AtomicU32::new(0),
            read_wait: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
            write_wait: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
            async_readers: FasyncList::new(),
            async_writers: FasyncList::new(),
            async_change: Mutex::new(()),
            polled: AtomicBool::new(false),
            pages,
        };
        Ok(Arc::new(pipe, GFP_KERNEL)?)
    }

    /// Whether there is something to read.
    pub(crate) fn has_data(&self) -> bool {
        self.used.load(Ordering::SeqCst) != 0
    }

    /// Whether no slot is free.
    pub(crate) fn is_full(&self) -> bool {
        self.used.load(Ordering::SeqCst) >= self.slots.load(Ordering::SeqCst)
    }

    /// Whether a reader need not wait.
    pub(crate) fn readable(&self) -> bool {
        self.has_data() || self.writers.load(Ordering::SeqCst) == 0
    }

    /// Whether a writer need not wait.
    pub(crate) fn writable(&self) -> bool {
        !self.is_full() || self.readers.load(Ordering::SeqCst) == 0
    }

    /// Publishes how many slots are used after a change, under the ring's lock. In order with the look for waiters that follows.
    pub(crate) fn publish(&self, ring: &Ring) {
        self.used.store(ring.count as u32, Ordering::SeqCst);
    }

    /// Capacity in bytes.
    pub(crate) fn size(&self) -> usize {
        self.slots.load(Ordering::Relaxed) as usize * PAGE_SIZE
    }

    /// `F_SETPIPE_SZ`: rounds up to a power of two of pages; returns the new size. `EINVAL` for what no pipe can be, `EPERM` for a
    /// larger one above the limits of a pipe (`CAP_SYS_RESOURCE` goes beyond) and of a user (that, or `CAP_SYS_ADMIN`), `EBUSY` if what
    /// is in it does not fit.
    pub(crate) fn resize(&self, size: usize) -> Result<usize> {
        let size = rounded(size)?;
        let pages = size / PAGE_SIZE;
        let mut ring = self.ring.lock_killable()?;
        let before = ring.slots.len();
        if pages > before && size > max_size() && !cred::capable(cred::CAP_SYS_RESOURCE) {
            return Err(EPERM);
        }
        self.pages.set(pages);
        let slots = if pages > before && (self.pages.above_hard() || self.pages.above_soft()) {
            Err(EPERM)
        } else if pages < ring.count {
            Err(EBUSY)
        } else {
            empty_slots(pages)
        };
        let mut slots = slots.inspect_err(|_| self.pages.set(before))?;
        for index in 0..ring.count {
            let moved = ring.slot(index).and_then(Option::take);
            if let Some(slot) = slots.get_mut(index) {
                *slot = moved;
            }
        }
        ring.slots = slots;
        ring.head = 0;
        // Only here does their number change.
        self.slots.store(pages as u32, Ordering::SeqCst);
        self.publish(&ring);
        drop(ring);
        self.write_wait.wake_up_all();
        Ok(pages * PAGE_SIZE)
    }
}

fn empty_slots(n: usize) -> Result<KVec<Option<Buffer>>> {
    let mut slots = KVec::with_capacity(n, GFP_KERNEL)?;
    for _ in 0..n {
        slots.push(None, GFP_KERNEL)?;
    }
    Ok(slots)
}

impl Ring {
    /// The `index`th slot from the oldest.
    fn slot(&mut self, index: usize) -> Option<&mut Option<Buffer>> {
        let len = self.slots.len();
        let at = self.head.wrapping_add(index) & len.wrapping_sub(1);
        self.slots.get_mut(at)
    }

    fn front(&mut self) -> Option<&mut Buffer> {
        if self.count == 0 {
            return None;
        }
        self.slot(0)?.as_mut()
    }

    fn pop(&mut self) {
        if self.count == 0 {
            return;
        }
        let buffer = self.slot(0).and_then(Option::take).filter(|buffer| buffer.own);
        self.head = self.head.wrapping_add(1) & self.slots.len().wrapping_sub(1);
        self.count -= 1;
        if self.spare.is_none() {
            // A page that another pipe has too (`tee`) is not written again.
            self.spare = buffer.map(|b| b.page).filter(|page| page.ref_count() == 1);
        }
    }

    /// Reads up to `to.len()` bytes from the front without taking them: one buffer's at most (writers see packets apart).
    pub(crate) fn peek(&mut self, to: &mut [u8]) -> Result<usize> {
        let Some(buffer) = self.front() else { return Ok(0) };
        let n = buffer.len.min(to.len());
        buffer.page.read(buffer.offset, to.get_mut(..n).ok_or(EINVAL)?)?;
        Ok(n)
    }

    /// Takes `n` bytes, which [`Self::peek`] gave, from the front.
    pub(crate) fn consume(&mut self, n: usize) {
        let Some(buffer) = self.front() else { return };
        buffer.offset += n.min(buffer.len);
        buffer.len -= n.min(buffer.len);
        if buffer.len == 0 {
            self.pop();
        }
    }

    /// Moves up to `max` bytes from the front of `from` to the end of this ring, a buffer at a time, sharing the page where
    /// a buffer is split. Returns the bytes.
    pub(crate) fn move_from(&mut self, from: &mut Self, max: usize) -> usize {
        let mut done = 0;
        while done < max && !self.is_full() {
            let Some(buffer) = from.front() else { break };
            let n = buffer.len.min(max - done);
            let split = n < buffer.len;
            let part = Buffer {
                page: buffer.page.clone(),
                offset: buffer.offset,
                len: n,
                packet: buffer.packet,
                merge: buffer.merge && !split,
                own: buffer.own,
            };
            if split {
                buffer.offset += n;
                buffer.len -= n;
            } else if let Some(slot) = from.slot(0) {
                *slot = None;
                from.head = from.head.wrapping_add(1) & from.slots.len().wrapping_sub(1);
                from.count -= 1;
            }
            done += n;
            self.push(part);
        }
        done
    }

    /// Puts the first `max` bytes of `from` at the end of this ring too, sharing the pages. Returns the bytes.
    pub(crate) fn copy_from(&mut self, from: &mut Self, max: usize) -> usize {
        let mut done = 0;
        for index in 0..from.count {
            if done == max || self.is_full() {
                break;
            }
            let Some(Some(buffer)) = from.slot(index) else { break };
            let n = buffer.len.min(max - done);
            // A later write to the other pipe goes behind what both have.
            let (page, offset, packet, own) = (buffer.page.clone(), buffer.offset, buffer.packet, buffer.own);
            self.push(Buffer { page, offset, len: n, packet, merge: false, own });
            done += n;
        }
        done
    }

    /// Puts a buffer at the end; a slot is free.
    fn push(&mut self, buffer: Buffer) {
        if let Some(slot) = self.slot(self.count) {
            *slot = Some(buffer);
            self.count += 1;
        }
    }

    /// Slots that are free.
    pub(crate) fn room(&self) -> usize {
        self.slots.len() - self.count
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count >= self.slots.len()
    }

    /// Bytes waiting to be read (`FIONREAD`).
    pub(crate) fn bytes(&mut self) -> usize {
        (0..self.count).filter_map(|i| self.slot(i)?.as_ref().map(|b| b.len)).sum()
    }

    /// Moves bytes to `to` until it is full or nothing is left; with `packets` also until a packet ends, whose rest is lost.
    /// `EFAULT` only if nothing was moved.
    pub(crate) fn take(&mut self, to: &mut IovIter<'_>, packets: bool) -> Result<usize> {
        let mut done = 0;
        while !to.is_empty() {
            let Some(buffer) = self.front() else { break };
            let want = buffer.len.min(to.count());
            if to.copy_page_to_iter(&buffer.page, buffer.offset, want) < want {
                // The buffer stays whole: no part of it counts.
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            let n = want;
            done += n;
            let packet = packets && buffer.packet;
            buffer.offset += n;
            buffer.len -= n;
            if buffer.len == 0 || packet {
                self.pop();
            }
            if packet {
                break;
            }
        }
        Ok(done)
    }

    /// Appends to the last page what fits there as a whole (an atomic small write). Returns the bytes.
    pub(crate) fn merge(&mut self, from: &mut IovIter<'_>) -> Result<usize> {
        let part = from.count() & (PAGE_SIZE - 1);
        if self.count == 0 || part == 0 {
            return Ok(0);
        }
        let Some(Some(last)) = self.slot(self.count - 1) else { return Ok(0) };
        let end = last.offset + last.len;
        if last.packet || !last.merge || end + part > PAGE_SIZE {
            return Ok(0);
        }
        let n = from.copy_page_from_iter(&last.page, end, part);
        if n < part {
            return Err(EFAULT);
        }
        last.len += n;
        Ok(n)
    }

    /// Fills one more slot, which must be free, wholly or not at all. Returns the bytes; `EFAULT`, `ENOMEM`.
    pub(crate) fn append(&mut self, from: &mut IovIter<'_>, packet: bool) -> Result<usize> {
        let page = match self.spare.take() {
            Some(page) => page,
            None => Page::alloc(GFP_KERNEL)?,
        };
        let want = from.count().min(PAGE_SIZE);
        let n = from.copy_page_from_iter(&page, 0, want);
        if n < want {
            self.spare = Some(page);
            return Err(EFAULT);
        }
        self.push(Buffer { page, offset: 0, len: n, packet, merge: !packet, own: true });
        Ok(n)
    }

    /// Fills one more slot, which must be free, with a part of a page of a file's. Whether there is another one.
    pub(crate) fn share(&mut self, page: Page, offset: usize, len: usize) -> bool {
        self.push(Buffer { page, offset, len, packet: false, merge: false, own: false });
        !self.is_full()
    }

    /// No later write goes into the last page: it came whole from elsewhere.
    pub(crate) fn seal_last(&mut self) {
        if let Some(at) = self.count.checked_sub(1)
            && let Some(Some(last)) = self.slot(at)
        {
            last.merge = false;
        }
    }
}
