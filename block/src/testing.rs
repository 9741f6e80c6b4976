// SPDX-License-Identifier: GPL-2.0
//! A disk in memory that counts and can fail, for the tests of this crate and of those above.

use crate::{Bio, BlockOps, DiskOps, Gendisk, GendiskParams, Op, OpFlags, QueueLimits};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use mm_alloc::{PAGE_SIZE, Page};

/// The disk's pages, and what was asked of it.
pub struct RamDisk {
    /// Its contents.
    pub pages: KVec<Page>,
    /// Bios that read.
    pub reads: AtomicU64,
    /// Other bios.
    pub writes: AtomicU64,
    /// Bios that flush first.
    pub flushes: AtomicU64,
    /// Writes end with EIO.
    pub fail_writes: AtomicBool,
    /// The first sector that cannot be read, and the error it gives; eight sectors from there on.
    pub bad: AtomicU64,
    /// See `bad`.
    pub bad_error: Error,
}

/// What a test's disk is called and where it belongs: nowhere.
pub fn params(name: &str) -> GendiskParams<'_> {
    GendiskParams {
        name,
        major: 0,
        first_minor: 0,
        minors: 0,
        parent: None,
        removable: false,
        no_part: true,
        owner: None,
    }
}

impl RamDisk {
    /// A disk of `pages` zeroed pages in the registry. The caller removes it.
    pub fn disk(name: &str, pages: usize, limits: QueueLimits, bad: u64, bad_error: Error) -> Result<Arc<Gendisk>> {
        let mut list = KVec::with_capacity(pages, GFP_KERNEL)?;
        for _ in 0..pages {
            list.push(Page::alloc_zeroed(GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let ram = Self {
            pages: list,
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            fail_writes: AtomicBool::new(false),
            bad: AtomicU64::new(bad),
            bad_error,
        };
        let disk = Gendisk::new(&params(name), limits, KBox::new(ram, GFP_KERNEL)?)?;
        disk.set_capacity((pages * PAGE_SIZE / 512) as u64);
        disk.add()?;
        Ok(disk)
    }

    fn copy(&self, bio: &Bio) -> Result {
        if bio.op() == Op::Write && self.fail_writes.load(SeqCst) {
            return Err(EIO);
        }
        let bad = self.bad.load(SeqCst);
        let mut at = bio.sector() as usize * 512;
        for piece in bio.segments() {
            for n in (0..piece.len as usize).step_by(512) {
                let (index, inside) = ((at + n) / PAGE_SIZE, (at + n) % PAGE_SIZE);
                let page = self.pages.get(index).ok_or(EIO)?;
                let offset = piece.offset as usize + n;
                if bio.op() == Op::Read && (((at + n) / 512) as u64).checked_sub(bad).is_some_and(|over| over < 8) {
                    return Err(self.bad_error);
                }
                match bio.op() {
                    Op::Read => piece.page.copy_range(offset, page, inside, 512)?,
                    _ => page.copy_range(inside, &piece.page, offset, 512)?,
                }
            }
            at += piece.len as usize;
        }
        Ok(())
    }
}

impl DiskOps for RamDisk {}

impl BlockOps for RamDisk {
    fn submit_bio(&self, _: &Arc<Gendisk>, bio: KBox<Bio>) {
        match bio.op() {
            Op::Read => self.reads.fetch_add(1, SeqCst),
            _ => self.writes.fetch_add(1, SeqCst),
        };
        if bio.flags().any(OpFlags::PREFLUSH) {
            self.flushes.fetch_add(1, SeqCst);
        }
        let status = self.copy(&bio);
        bio.end(status);
    }
}
