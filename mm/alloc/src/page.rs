// SPDX-License-Identifier: GPL-2.0
//! `Page`: a counted reference to one page frame. Cloning adds a reference, dropping the last frees the frame. A page's bytes
//! may be mapped by user programs, so they are only ever copied in and out, never borrowed. No locks.

use crate::frame::Frame;
use crate::layout::{PAGE_SIZE, PhysAddr};
use crate::{mem, pcp};
use core::sync::atomic::{AtomicU64, Ordering, fence};
use errno::{Result, code::*};
use kalloc::Flags;

pub use mm_base::PageFlags;

/// A counted reference to a page frame.
///
/// # Invariants
/// `frame` has at least the one reference that this handle owns; the frame is a single page.
#[repr(transparent)]
pub struct Page {
    frame: &'static Frame,
}

impl Page {
    /// A page with undefined contents. It must not reach user space before it was overwritten completely.
    #[inline(always)]
    pub fn alloc(flags: Flags) -> Result<Self> {
        match pcp::alloc_page(flags) {
            Some(frame) => Ok(Self { frame }),
            None => Err(ENOMEM),
        }
    }

    /// A page of zeros.
    #[inline(always)]
    pub fn alloc_zeroed(flags: Flags) -> Result<Self> {
        let page = Self::alloc(flags)?;
        // SAFETY: The page was just allocated; nobody else knows it.
        unsafe { mem::clear_page(page.frame.virt()) };
        Ok(page)
    }

    /// Takes over a reference.
    ///
    /// # Safety
    /// The caller owns one reference to the frame and gives it to the result.
    #[inline(always)]
    pub unsafe fn from_frame(frame: &'static Frame) -> Self {
        Self { frame }
    }

    /// Gives the reference up as a plain record; [`Page::from_frame`] takes it back, else it leaks.
    #[inline(always)]
    pub fn into_frame(self) -> &'static Frame {
        let frame = self.frame;
        core::mem::forget(self);
        frame
    }

    /// Adds a reference to the frame at `phys`, if that is managed memory in use.
    pub fn try_get(phys: PhysAddr) -> Option<Self> {
        let frame = Frame::lookup(phys)?;
        let mut refs = frame.refs.load(Ordering::Relaxed);
        loop {
            if refs == 0 {
                return None;
            }
            match frame.refs.compare_exchange_weak(refs, refs.checked_add(1)?, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Self { frame }),
                Err(now) => refs = now,
            }
        }
    }

    /// The frame's record.
    #[inline(always)]
    pub fn frame(&self) -> &'static Frame {
        self.frame
    }

    /// Physical address.
    #[inline(always)]
    pub fn phys(&self) -> PhysAddr {
        self.frame.phys()
    }

    /// Frame number.
    #[inline(always)]
    pub fn pfn(&self) -> usize {
        self.frame.pfn()
    }

    /// Where the bytes are. Reading or writing through it is for trusted code: user programs may write the page meanwhile.
    #[inline(always)]
    pub fn as_ptr(&self) -> *mut u8 {
        self.frame.virt()
    }

    /// Whether both are the same frame.
    #[inline(always)]
    pub fn same(&self, other: &Page) -> bool {
        core::ptr::eq(self.frame, other.frame)
    }

    /// References to the frame at this moment.
    #[inline(always)]
    pub fn ref_count(&self) -> u32 {
        self.frame.refs.load(Ordering::Acquire)
    }

    /// Clears the page.
    #[inline(always)]
    pub fn zero(&self) {
        // SAFETY: We hold a reference, so the frame is live; page contents are shared bytes by definition.
        unsafe { mem::clear_page(self.frame.virt()) };
    }

    /// Copies the whole contents of `from`.
    #[inline(always)]
    pub fn copy_from(&self, from: &Page) {
        // SAFETY: Both frames are live; page contents are shared bytes by definition. The same frame copies to itself.
        unsafe { mem::copy_page(self.frame.virt(), from.frame.virt()) };
    }

    /// Copies out `to.len()` bytes from `offset`. EINVAL if that leaves the page.
    #[inline]
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        check(offset, to.len())?;
        // SAFETY: In bounds of a live frame; `to` is exclusively ours.
        unsafe { mem::copy_shared(to.as_mut_ptr(), self.frame.virt().add(offset), to.len()) };
        Ok(())
    }

    /// Copies in `from` at `offset`. EINVAL if that leaves the page.
    #[inline]
    pub fn write(&self, offset: usize, from: &[u8]) -> Result {
        check(offset, from.len())?;
        // SAFETY: In bounds of a live frame, whose contents are shared bytes.
        unsafe { mem::copy_shared(self.frame.virt().add(offset), from.as_ptr(), from.len()) };
        Ok(())
    }

    /// Fills `len` bytes from `offset` with `byte`. EINVAL if that leaves the page.
    #[inline]
    pub fn fill(&self, offset: usize, len: usize, byte: u8) -> Result {
        check(offset, len)?;
        // SAFETY: In bounds of a live frame, whose contents are shared bytes.
        unsafe { mem::fill_shared(self.frame.virt().add(offset), byte, len) };
        Ok(())
    }

    /// Copies `len` bytes from another page. EINVAL if either range leaves its page, or they are the same page.
    pub fn copy_range(&self, offset: usize, from: &Page, from_offset: usize, len: usize) -> Result {
        check(offset, len)?;
        check(from_offset, len)?;
        if self.same(from) {
            return Err(EINVAL);
        }
        // SAFETY: In bounds of two different live frames.
        unsafe { mem::copy_shared(self.frame.virt().add(offset), from.frame.virt().add(from_offset), len) };
        Ok(())
    }

    /// Reads the aligned 64-bit word at byte `offset` (volatile). Zero outside.
    #[inline]
    pub fn read_u64(&self, offset: usize) -> u64 {
        if !offset.is_multiple_of(8) || offset >= PAGE_SIZE {
            return 0;
        }
        // SAFETY: An aligned word of a live frame.
        unsafe { (*self.frame.virt().add(offset).cast::<AtomicU64>()).load(Ordering::Relaxed) }
    }

    /// The atomic 32-bit word at `offset`, for data that is shared with user programs (vDSO data). `None` if misaligned or outside.
    pub fn atomic_u32(&self, offset: usize) -> Option<&core::sync::atomic::AtomicU32> {
        if !offset.is_multiple_of(4) || offset > PAGE_SIZE - 4 {
            return None;
        }
        // SAFETY: An aligned word of a frame that lives as long as this handle.
        Some(unsafe { &*self.frame.virt().add(offset).cast() })
    }

    /// The atomic 64-bit word at `offset`. `None` if misaligned or outside.
    pub fn atomic_u64(&self, offset: usize) -> Option<&AtomicU64> {
        if !offset.is_multiple_of(8) || offset > PAGE_SIZE - 8 {
            return None;
        }
        // SAFETY: An aligned word of a frame that lives as long as this handle.
        Some(unsafe { &*self.frame.virt().add(offset).cast() })
    }

    /// Whether all of `flags` are set.
    #[inline(always)]
    pub fn has(&self, flags: PageFlags) -> bool {
        self.frame.flags.load(Ordering::Acquire) & flags.0 == flags.0
    }

    /// Whether the contents are the file's and nothing else is to be done about the page.
    #[inline(always)]
    pub fn is_ready(&self) -> bool {
        self.frame.flags.load(Ordering::Acquire) & (PageFlags::UPTODATE.0 | PageFlags::READAHEAD.0)
            == PageFlags::UPTODATE.0
    }

    /// The page was used: the first time it is `REFERENCED`, the second time `ACTIVE`.
    #[inline(always)]
    pub fn mark_accessed(&self) {
        let flags = self.frame.flags.load(Ordering::Relaxed);
        if flags & PageFlags::ACTIVE.0 == 0 {
            let flag = if flags & PageFlags::REFERENCED.0 == 0 { PageFlags::REFERENCED } else { PageFlags::ACTIVE };
            self.frame.flags.fetch_or(flag.0, Ordering::Relaxed);
        }
    }

    // In these internal flags stay as they are, whatever is asked for.

    /// Sets `flags`; returns whether all were set before.
    #[inline(always)]
    pub fn set(&self, flags: PageFlags) -> bool {
        let flags = flags.owners();
        if self.has(flags) {
            return true;
        }
        self.frame.flags.fetch_or(flags.0, Ordering::AcqRel) & flags.0 == flags.0
    }

    /// Clears `flags`; returns whether any was set before.
    #[inline(always)]
    pub fn clear(&self, flags: PageFlags) -> bool {
        let flags = flags.owners();
        if self.frame.flags.load(Ordering::Relaxed) & flags.0 == 0 {
            return false;
        }
        self.frame.flags.fetch_and(!flags.0, Ordering::AcqRel) & flags.0 != 0
    }

    /// Sets `flags` if none of them is set; false if one is. What the setter does next happens after it (a lock is taken).
    #[inline(always)]
    pub fn try_set(&self, flags: PageFlags) -> bool {
        let flags = flags.owners();
        self.frame.flags.fetch_or(flags.0, Ordering::Acquire) & flags.0 == 0
    }

    /// Clears `flags` and returns all that were set before (a lock is given up).
    #[inline(always)]
    pub fn clear_all(&self, flags: PageFlags) -> PageFlags {
        PageFlags(self.frame.flags.fetch_and(!flags.owners().0, Ordering::AcqRel))
    }

    /// The owner's word; its meaning is the owner's.
    #[inline(always)]
    pub fn private(&self) -> &AtomicU64 {
        &self.frame.private
    }

    /// Takes the reference count from exactly `expected` to 0, so that nobody can get the page any more; `None` if there are
    /// other references. The references that there are stay where they are meanwhile.
    pub fn freeze(&self, expected: u32) -> Option<Frozen<'_>> {
        self.frame.refs.compare_exchange(expected, 0, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        Some(Frozen { page: self, refs: expected })
    }

    /// Says whose page this is (0: nobody's), and its index there. For the page cache, under its lock.
    #[inline(always)]
    pub fn set_owner(&self, owner: usize, index: u64) {
        self.frame.owner.store(owner, Ordering::Relaxed);
        self.frame.index.store(index, Ordering::Relaxed);
    }

    /// The owner's identity, 0 if none.
    #[inline(always)]
    pub fn owner(&self) -> usize {
        self.frame.owner.load(Ordering::Relaxed)
    }

    /// Index in the owner, in pages.
    #[inline(always)]
    pub fn index(&self) -> u64 {
        self.frame.index.load(Ordering::Relaxed)
    }
}

#[inline(always)]
fn check(offset: usize, len: usize) -> Result {
    match offset.checked_add(len) {
        Some(end) if end <= PAGE_SIZE => Ok(()),
        _ => Err(EINVAL),
    }
}

impl Clone for Page {
    #[inline(always)]
    fn clone(&self) -> Self {
        // 2^32 references to one page need 32 GB of page-table entries alone; saturation is checked where maps are made.
        self.frame.refs.fetch_add(1, Ordering::Relaxed);
        Self { frame: self.frame }
    }
}

impl Drop for Page {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own a reference, and give it up here.
        unsafe { put_frame(self.frame) };
    }
}

/// A page whose references are frozen ([`Page::freeze`]), until this goes.
pub struct Frozen<'a> {
    page: &'a Page,
    refs: u32,
}

impl Frozen<'_> {
    pub(crate) fn page(&self) -> &Page {
        self.page
    }

    /// Somebody else than the caller had a reference, and has given it up.
    pub(crate) fn give_up_one(&mut self) {
        self.refs = self.refs.saturating_sub(1).max(1);
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.page.frame.refs.store(self.refs, Ordering::Release);
    }
}

/// Gives up one reference; frees the frame with the last.
///
/// # Safety
/// The caller owns a reference and does not use it afterwards.
#[inline(always)]
pub unsafe fn put_frame(frame: &'static Frame) {
    if frame.refs.fetch_sub(1, Ordering::Release) == 1 {
        fence(Ordering::Acquire);
        pcp::free_page(frame);
    }
}

/// [`put_frame`], past the CPU's list: what is freed is to join what is free beside it.
///
/// # Safety
/// As for [`put_frame`].
pub unsafe fn put_frame_far(frame: &'static Frame) {
    if frame.refs.fetch_sub(1, Ordering::Release) == 1 {
        fence(Ordering::Acquire);
        pcp::free_page_far(frame);
    }
}

/// Adds a reference.
///
/// # Safety
/// Somebody owns a reference meanwhile.
#[inline(always)]
pub unsafe fn get_frame(frame: &'static Frame) {
    frame.refs.fetch_add(1, Ordering::Relaxed);
}

impl core::fmt::Debug for Page {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Page({:#x}, refs {})", self.phys(), self.ref_count())
    }
}
