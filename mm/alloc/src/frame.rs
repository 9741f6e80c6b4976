// SPDX-License-Identifier: GPL-2.0
//! `Frame`: 64 bytes about each physical page frame, in one virtually contiguous array (as Linux's vmemmap), so that frame
//! number and record convert by arithmetic alone. Only sections (128 MB) that hold memory have records: one 2 MB page each.
//! Sections that are all free memory get theirs when it is first wanted (`deferred`), so that much memory costs nothing at boot.
//! All fields are atomics; who may write which is said at each field. No locks here.

use crate::layout::{PAGE_SHIFT, PMD_SIZE, PhysAddr, VMEMMAP_START, phys_to_virt};
use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

pub use crate::memblock::SECTION_FRAMES;

const _: () = assert!(SECTION_FRAMES == PMD_SIZE / size_of::<Frame>());

/// What is known about a page frame.
#[repr(C, align(64))]
pub struct Frame {
    /// `PageFlags` bits. Written by the owner of the only reference plainly, by others with atomic operations.
    pub(crate) flags: AtomicU64,
    /// References; 0 while free. Of any frame that is in use a reader of the page cache may have one for a moment (`PageSlot`).
    pub(crate) refs: AtomicU32,
    /// Order of the block that begins here (free or allocated).
    pub(crate) order: AtomicU32,
    /// Next in the list that this frame is on (free list, per-CPU list, partial slabs): address of a `Frame` or 0.
    pub(crate) next: AtomicUsize,
    /// Previous in a doubly linked list.
    pub(crate) prev: AtomicUsize,
    /// Owner: the page cache mapping's identity, or the slab class.
    pub(crate) owner: AtomicUsize,
    /// Index in the owner, in pages.
    pub(crate) index: AtomicU64,
    /// Owner's word: a slab's free list, a page table's lock.
    pub(crate) private: AtomicU64,
    /// Of a page table: its entries that are not 0. Of a slab: objects that are out.
    pub(crate) entries: AtomicI32,
    /// Of a free block: whose list it is on (`Mobility`). Under the zone's lock.
    pub(crate) list: AtomicU8,
    /// Of the first frame of a page block: whose it is (`Mobility`). Written under the zone's lock.
    pub(crate) block: AtomicU8,
}

const _: () = assert!(size_of::<Frame>() == 64);

impl Frame {
    /// The record of frame `pfn`. It exists only for frames of sections with memory: see [`Frame::lookup`].
    #[inline(always)]
    pub(crate) fn ptr_of(pfn: usize) -> *const Frame {
        core::ptr::with_exposed_provenance(VMEMMAP_START + pfn * size_of::<Frame>())
    }

    /// The record of the frame at `phys`, if that is memory this kernel manages.
    pub fn lookup(phys: PhysAddr) -> Option<&'static Frame> {
        let pfn = (phys >> PAGE_SHIFT) as usize;
        if !crate::deferred::section_ready(pfn / SECTION_FRAMES) {
            return None;
        }
        // SAFETY: The section's records were mapped and zeroed, for ever.
        Some(unsafe { &*Self::ptr_of(pfn) })
    }

    /// The record of the frame at `phys`.
    ///
    /// # Safety
    /// `phys` is in memory that this kernel manages (it was allocated here).
    #[inline(always)]
    pub unsafe fn of_phys(phys: PhysAddr) -> &'static Frame {
        // SAFETY: By the contract the section has records.
        unsafe { &*Self::ptr_of((phys >> PAGE_SHIFT) as usize) }
    }

    /// The record of the frame behind a direct-map address.
    ///
    /// # Safety
    /// `ptr` points into memory that was allocated here, through the direct map.
    #[inline(always)]
    pub(crate) unsafe fn of_virt(ptr: *const u8) -> &'static Frame {
        // SAFETY: As the caller promises.
        unsafe { Self::of_phys((ptr.addr() - crate::layout::PAGE_OFFSET) as u64) }
    }

    /// Frame number.
    #[inline(always)]
    pub fn pfn(&self) -> usize {
        (core::ptr::from_ref(self).addr() - VMEMMAP_START) / size_of::<Frame>()
    }

    /// Physical address.
    #[inline(always)]
    pub fn phys(&self) -> PhysAddr {
        (self.pfn() << PAGE_SHIFT) as PhysAddr
    }

    /// Where the frame's bytes are in the direct map.
    #[inline(always)]
    pub fn virt(&self) -> *mut u8 {
        phys_to_virt(self.phys())
    }

    /// References at this moment.
    #[inline(always)]
    pub fn ref_count(&self) -> u32 {
        self.refs.load(Ordering::Relaxed)
    }

    /// Raw flag bits at this moment.
    #[inline(always)]
    pub fn flag_bits(&self) -> u64 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets flags, atomically; nothing is written if they are set. Internal ones stay as they are.
    #[inline(always)]
    pub fn set_flag(&self, flags: crate::PageFlags) {
        let flags = flags.owners();
        if self.flags.load(Ordering::Relaxed) & flags.0 != flags.0 {
            self.flags.fetch_or(flags.0, Ordering::Relaxed);
        }
    }

    /// Of a page table: the count of its entries that are not 0.
    #[inline(always)]
    pub fn entries(&self) -> &AtomicI32 {
        &self.entries
    }

    /// The owner's word, for page-table locks.
    #[inline(always)]
    pub fn private(&self) -> &AtomicU64 {
        &self.private
    }

    /// Of a page table with huge entries: physical address of the first of the tables that are kept for them, 0 if none; of such a
    /// table, that of the next.
    #[inline(always)]
    pub fn kept(&self) -> &AtomicUsize {
        &self.owner
    }

    /// Of a page table: not 0 if entries of it may have the mark of `MADV_FREE`. Changed under the table's lock.
    #[inline(always)]
    pub fn lazy(&self) -> &AtomicU64 {
        &self.index
    }

    #[inline(always)]
    pub(crate) fn addr(&self) -> usize {
        core::ptr::from_ref(self).expose_provenance()
    }

    /// The frame whose address a list link holds.
    ///
    /// # Safety
    /// `addr` is 0 or came from [`Frame::addr`].
    #[inline(always)]
    pub(crate) unsafe fn from_addr(addr: usize) -> Option<&'static Frame> {
        // SAFETY: Frames are never unmapped.
        unsafe { core::ptr::with_exposed_provenance::<Frame>(addr).as_ref() }
    }
}
