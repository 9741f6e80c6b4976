// SPDX-License-Identifier: GPL-2.0
//! RAM disks (`/dev/ram*`): pages that are made when they are first written; what was never written reads as zeros.
//!
//! Locks: each disk's spin lock around its tree of pages; bytes are copied without it.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kernel::block::{
    Bio, BlockOps, DiskOps, Gendisk, GendiskParams, Op, OpFlags, QueueLimits, register_blkdev, unregister_blkdev,
};
use kernel::ext::{KString, Page, SpinLock, XArray};
use kernel::prelude::*;
use kernel::sync::Arc;

const RAMDISK_MAJOR: u32 = 1;
const PAGE: usize = 4096;

module! {
    type: Brd,
    name: "brd",
    authors: ["The Rideau developers"],
    description: "Ram backed block device driver",
    license: "GPL",
    alias: ["block-major-1-*", "rd"],
    params: {
        rd_nr: i32 {
            default: 16,
            description: "Maximum number of brd devices",
            permissions: 0o444,
        },
        rd_size: u64 {
            default: 4096,
            description: "Size of each RAM disk in kbytes.",
            permissions: 0o444,
        },
        max_part: i32 {
            default: 1,
            description: "Num Minors to reserve between devices",
            permissions: 0o444,
        },
    },
}

#[derive(Default)]
struct Ram {
    pages: SpinLock<XArray<Page>>,
    count: AtomicU64,
}

impl Ram {
    fn page(&self, index: u64) -> Option<Page> {
        self.pages.lock().load(index).cloned()
    }

    /// The page, made if it is missing.
    fn page_or_new(&self, index: u64, nowait: bool) -> Result<Page> {
        if let Some(page) = self.page(index) {
            return Ok(page);
        }
        let new = Page::alloc_zeroed(if nowait { GFP_NOWAIT } else { GFP_NOIO })?;
        let mut pages = self.pages.lock();
        // Another writer may have been faster.
        if let Some(page) = pages.load(index) {
            return Ok(page.clone());
        }
        pages.store(index, new.clone(), GFP_ATOMIC)?;
        self.count.fetch_add(1, Relaxed);
        Ok(new)
    }

    fn transfer(&self, bio: &Bio) -> Result {
        let nowait = bio.flags().has(OpFlags::NOWAIT);
        let mut at = bio.sector().checked_mul(512).ok_or(EIO)?;
        for piece in bio.segments() {
            let (mut offset, mut left) = (piece.offset as usize, piece.len as usize);
            while left != 0 {
                let (index, inside) = (at / PAGE as u64, (at % PAGE as u64) as usize);
                let len = left.min(PAGE - inside);
                match bio.op() {
                    Op::Read => match self.page(index) {
                        Some(page) => piece.page.copy_range(offset, &page, inside, len)?,
                        None => piece.page.fill(offset, len, 0)?,
                    },
                    Op::Write => self.page_or_new(index, nowait)?.copy_range(inside, &piece.page, offset, len)?,
                    _ => return Err(EOPNOTSUPP),
                }
                (offset, left, at) = (offset + len, left - len, at + len as u64);
            }
        }
        Ok(())
    }
}

impl DiskOps for Ram {}

impl BlockOps for Ram {
    fn submit_bio(&self, _: &Arc<Gendisk>, bio: KBox<Bio>) {
        let status = match self.transfer(&bio) {
            Err(ENOMEM) if bio.flags().has(OpFlags::NOWAIT) => Err(EAGAIN),
            status => status,
        };
        bio.end(status);
    }
}

struct Brd {
    disks: KVec<Arc<Gendisk>>,
}

impl kernel::Module for Brd {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let count = u32::try_from(module_parameters::rd_nr.value()).map_err(|_| EINVAL)?;
        let minors = u32::try_from(module_parameters::max_part.value()).unwrap_or(0).clamp(1, 256);
        register_blkdev(RAMDISK_MAJOR, "ramdisk")?;
        let mut brd = Self { disks: KVec::new() };
        for index in 0..count {
            let disk = make(index, minors)?;
            brd.disks.push(disk.clone(), GFP_KERNEL)?;
            disk.add()?;
        }
        Ok(brd)
    }
}

fn make(index: u32, minors: u32) -> Result<Arc<Gendisk>> {
    let name = KString::from_fmt(format_args!("ram{index}"), GFP_KERNEL)?;
    let params = GendiskParams {
        name: name.to_str().ok_or(EINVAL)?,
        major: RAMDISK_MAJOR,
        first_minor: index.checked_mul(minors).ok_or(EINVAL)?,
        minors,
        parent: None,
        removable: false,
        no_part: minors == 1,
        owner: <Brd as kernel::ModuleMetadata>::this_module().header(),
    };
    let limits = QueueLimits {
        physical_block_size: PAGE as u32,
        max_hw_sectors: u32::MAX >> 9,
        max_sectors: u32::MAX >> 9,
        max_segments: u32::from(u16::MAX),
        max_segment_size: u32::MAX,
        rotational: false,
        ..QueueLimits::default()
    };
    let disk = Gendisk::new(&params, limits, KBox::new(Ram::default(), GFP_KERNEL)?)?;
    disk.set_capacity(module_parameters::rd_size.value().saturating_mul(2));
    Ok(disk)
}

impl Drop for Brd {
    fn drop(&mut self) {
        self.disks.drain_all().for_each(Gendisk::remove_and_wait);
        unregister_blkdev(RAMDISK_MAJOR);
    }
}
