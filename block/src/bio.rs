// SPDX-License-Identifier: GPL-2.0
//! `Bio`: one transfer between pieces of pages and consecutive sectors of a device (or an operation on sectors without pages).
//!
//! A bio belongs to one owner at a time: who makes it, the block layer after `submit_bio`, and at the end whoever [`Bio::set_end`]
//! named, who gets it back with all its pages. It holds a reference to each page. No locks.

use crate::bdev::BlockDevice;
use crate::trace::{Action, Extra};
use crate::types::{Op, OpFlags, SECTOR_SHIFT};
use errno::{Result, code::*};
use kalloc::{Arc, Flags, KBox, KVec};
use mm_alloc::{PAGE_SIZE, Page};

/// A piece of a page.
#[derive(Clone, Debug)]
pub struct BioVec {
    /// The page.
    pub page: Page,
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

/// Who is told that a bio is done.
pub trait EndIo: Send + Sync {
    /// The bio is done; [`Bio::status`] says how. Any context, often a device's interrupt with interrupts off: must not sleep.
    fn end_io(&self, bio: KBox<Bio>);
}

/// The receiver of a finished bio.
pub enum BioEnd {
    /// Nobody: it is dropped.
    Nobody,
    /// One that is always there.
    Static(&'static dyn EndIo),
    /// One that the bio keeps alive.
    Shared(Arc<dyn EndIo>),
}

/// A transfer.
pub struct Bio {
    bdev: Arc<BlockDevice>,
    op: Op,
    flags: OpFlags,
    sector: u64,
    /// Bytes.
    len: u64,
    segments: KVec<BioVec>,
    status: Result,
    end: BioEnd,
    /// The priority it goes with, as `ioprio_set(2)` has it; 0: the submitter's own.
    priority: u16,
    /// For the submitter: the block layer does not look at it.
    pub private: u64,
    /// The partition's offset has been added.
    pub(crate) remapped: bool,
    /// Its end is to be told of: its driver has no requests.
    pub(crate) traced: bool,
}

impl Bio {
    /// An empty bio for `bdev` with room for `pages` pieces. ENOMEM. May sleep if `flags` say so.
    pub fn new(bdev: &Arc<BlockDevice>, op: Op, op_flags: OpFlags, pages: usize, flags: Flags) -> Result<KBox<Self>> {
        let segments = if pages == 0 { KVec::new() } else { KVec::with_capacity(pages, flags)? };
        let bio = Self {
            bdev: bdev.clone(),
            op,
            flags: op_flags,
            sector: 0,
            len: 0,
            segments,
            status: Ok(()),
            end: BioEnd::Nobody,
            priority: 0,
            private: 0,
            remapped: false,
            traced: false,
        };
        Ok(KBox::new(bio, flags)?)
    }

    /// The device (after submission the whole disk is meant by [`Bio::sector`], but this stays).
    #[inline]
    pub fn bdev(&self) -> &Arc<BlockDevice> {
        &self.bdev
    }

    /// The operation.
    #[inline]
    pub fn op(&self) -> Op {
        self.op
    }

    /// How.
    #[inline]
    pub fn flags(&self) -> OpFlags {
        self.flags
    }

    /// Changes how.
    pub fn set_flags(&mut self, flags: OpFlags) {
        self.flags = flags;
    }

    /// First sector: of the device until it is submitted, of the whole disk for a driver.
    #[inline]
    pub fn sector(&self) -> u64 {
        self.sector
    }

    /// Sets the first sector.
    pub fn set_sector(&mut self, sector: u64) {
        self.sector = sector;
    }

    /// Bytes.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no sectors are concerned (a flush alone).
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sectors.
    #[inline]
    pub fn sectors(&self) -> u64 {
        self.len >> SECTOR_SHIFT
    }

    /// The sector after the last.
    #[inline]
    pub fn end_sector(&self) -> u64 {
        self.sector.saturating_add(self.sectors())
    }

    /// The pieces, in order. Who gets a finished bio finds all of them here.
    #[inline]
    pub fn segments(&self) -> &[BioVec] {
        &self.segments
    }

    /// Makes room for `more` pieces. ENOMEM.
    pub fn reserve(&mut self, more: usize, flags: Flags) -> Result {
        Ok(self.segments.reserve(more, flags)?)
    }

    /// Appends a piece of a page; joined with the last one if it goes on in the same page. EINVAL if it leaves the page or is empty
    /// or the operation takes none; ENOSPC if the room given to `new` is used up (submit and make another).
    pub fn add_page(&mut self, page: Page, offset: u32, len: u32) -> Result {
        let end = offset.checked_add(len).ok_or(EINVAL)?;
        if len == 0 || end as usize > PAGE_SIZE || !self.op.has_data() {
            return Err(EINVAL);
        }
        if let Some(last) = self.segments.last_mut()
            && last.page.same(&page)
            && last.offset.checked_add(last.len) == Some(offset)
        {
            last.len += len;
        } else {
            self.segments.push_within_capacity(BioVec { page, offset, len }).map_err(|_| ENOSPC)?;
        }
        self.len += u64::from(len);
        Ok(())
    }

    /// Sets the number of sectors of an operation without pages. EINVAL for one with pages.
    pub fn set_sectors(&mut self, sectors: u64) -> Result {
        if self.op.has_data() {
            return Err(EINVAL);
        }
        self.len = sectors.checked_mul(1 << SECTOR_SHIFT).ok_or(EINVAL)?;
        Ok(())
    }

    /// Its priority (`ioprio_set(2)`).
    #[inline]
    pub fn priority(&self) -> u16 {
        self.priority
    }

    /// Sets its priority.
    pub fn set_priority(&mut self, priority: u16) {
        self.priority = priority;
    }

    /// Says who gets the bio back.
    pub fn set_end(&mut self, end: BioEnd) {
        self.end = end;
    }

    /// How it ended.
    #[inline]
    pub fn status(&self) -> Result {
        self.status
    }

    /// It is done: tells the receiver. Any context; the receiver's `end_io` runs here.
    pub fn end(mut self: KBox<Self>, status: Result) {
        self.status = status;
        if self.traced {
            self.traced = false;
            self.trace(Action::Complete, Extra::None);
        }
        match core::mem::replace(&mut self.end, BioEnd::Nobody) {
            BioEnd::Nobody => {}
            BioEnd::Static(end) => end.end_io(self),
            BioEnd::Shared(end) => end.end_io(self),
        }
    }

    /// Makes it empty again, for another transfer on the same device: pages are given up, their room stays.
    pub fn reset(&mut self, op: Op, flags: OpFlags) {
        self.segments.clear();
        self.op = op;
        self.flags = flags;
        self.sector = 0;
        self.len = 0;
        self.status = Ok(());
        self.remapped = false;
        self.traced = false;
    }

    /// A new bio for the `len` bytes from byte `skip` on; pages are shared. The pieces wanted are counted first. ENOMEM.
    pub(crate) fn part(&self, skip: u64, len: u64, flags: Flags) -> Result<KBox<Self>> {
        let pieces = self.pieces(skip, len).count();
        let mut part = Self::new(&self.bdev, self.op, self.flags, pieces, flags)?;
        part.sector = self.sector.saturating_add(skip >> SECTOR_SHIFT);
        part.remapped = self.remapped;
        part.priority = self.priority;
        if !self.op.has_data() {
            part.len = len;
            return Ok(part);
        }
        for (page, offset, len) in self.pieces(skip, len) {
            part.segments.push(BioVec { page: page.clone(), offset, len }, flags)?;
            part.len += u64::from(len);
        }
        Ok(part)
    }

    /// The pieces of bytes `skip` to `skip + len`.
    fn pieces(&self, skip: u64, len: u64) -> impl Iterator<Item = (&Page, u32, u32)> {
        let end = skip.saturating_add(len);
        let mut at = 0u64;
        self.segments.iter().filter_map(move |segment| {
            let first = at;
            at += u64::from(segment.len);
            let (from, to) = (first.max(skip), at.min(end));
            // Both differences are at most the piece's length.
            (from < to).then(|| (&segment.page, segment.offset + (from - first) as u32, (to - from) as u32))
        })
    }
}
