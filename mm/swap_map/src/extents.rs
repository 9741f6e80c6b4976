// SPDX-License-Identifier: GPL-2.0
//! `Extents`: where the pages of an area are on its device. A partition is one extent; a file has as many as the file system made, cut
//! to whole pages (as `iomap_swapfile_activate` does: a page whose blocks do not follow each other, or are not aligned, is not used).

use crate::PAGE_SIZE;
use kalloc::flags::GFP_KERNEL;
use kalloc::{AllocError, KVec};

/// Consecutive pages of the area that follow each other on the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// First page of the area.
    pub page: u64,
    /// How many.
    pub pages: u64,
    /// Byte of the device where they begin.
    pub pos: u64,
}

/// All extents of an area, ascending.
#[derive(Default)]
pub struct Extents {
    list: KVec<Extent>,
    pages: u64,
}

impl Extents {
    /// None yet.
    pub const fn new() -> Self {
        Self { list: KVec::new(), pages: 0 }
    }

    /// Adds `bytes` bytes of the device from `pos` on, at the area's end: those pages that are whole and aligned there, up to `most` pages
    /// altogether.
    pub fn add(&mut self, pos: u64, bytes: u64, most: u64) -> Result<(), AllocError> {
        let size = PAGE_SIZE as u64;
        let first = pos.div_ceil(size);
        let end = pos.saturating_add(bytes) / size;
        let pages = end.saturating_sub(first).min(most.saturating_sub(self.pages));
        if pages == 0 {
            return Ok(());
        }
        let extent = Extent { page: self.pages, pages, pos: first * size };
        match self.list.last_mut() {
            Some(last) if last.pos.saturating_add(last.pages.saturating_mul(size)) == extent.pos => last.pages += pages,
            _ => self.list.push(extent, GFP_KERNEL)?,
        }
        self.pages += pages;
        Ok(())
    }

    /// Pages altogether.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The extents.
    pub fn list(&self) -> &[Extent] {
        &self.list
    }

    /// Where page `page` is on the device (in bytes), and how many pages from it on follow each other there.
    pub fn find(&self, page: u64) -> Option<(u64, u64)> {
        let after = self.list.partition_point(|extent| extent.page <= page);
        let extent = self.list.get(after.checked_sub(1)?)?;
        let skip = page - extent.page;
        let left = extent.pages.checked_sub(skip).filter(|&left| left != 0)?;
        Some((extent.pos.checked_add(skip.checked_mul(PAGE_SIZE as u64)?)?, left))
    }
}
