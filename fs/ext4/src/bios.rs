// SPDX-License-Identifier: GPL-2.0
//! Transfers between pages of files and the device: pieces that follow each other on the disk go into one bio. No locks.

use crate::device::Blocks;
use errno::Result;
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KBox};
use kernel::filesystem::block::{self, Bio, BioEnd, EndIo, Op, OpFlags};
use kernel::filesystem::mm::{ReadIo, WriteIo};
use kernel::filesystem::mm_alloc::Page;

/// Most pieces of a bio.
const PIECES: usize = 256;

/// Gathers pieces into bios and submits those that are full.
pub(crate) struct Bios<'a> {
    device: &'a Blocks,
    op: Op,
    flags: OpFlags,
    end: Arc<dyn EndIo>,
    bio: Option<KBox<Bio>>,
    next: u64,
    /// Most pieces of a bio.
    most: usize,
}

impl<'a> Bios<'a> {
    /// For `pages` pages.
    pub(crate) fn new(device: &'a Blocks, op: Op, flags: OpFlags, end: Arc<dyn EndIo>, pages: usize) -> Self {
        Self { device, op, flags, end, bio: None, next: 0, most: pages.clamp(1, PIECES) }
    }

    /// Adds `len` bytes of a page (one block) that belong to `block`.
    pub(crate) fn push(&mut self, block: u64, page: &Page, offset: usize, len: usize) -> Result {
        if self.next == block
            && let Some(bio) = &mut self.bio
            && bio.add_page(page.clone(), offset as u32, len as u32).is_ok()
        {
            self.next = block + 1;
            return Ok(());
        }
        self.submit();
        let mut bio = Bio::new(&self.device.bdev, self.op, self.flags, self.most, GFP_NOFS)?;
        bio.set_sector(self.device.sector(block));
        bio.add_page(page.clone(), offset as u32, len as u32)?;
        self.bio = Some(bio);
        self.next = block + 1;
        Ok(())
    }

    /// Submits what is left.
    pub(crate) fn submit(&mut self) {
        let Some(mut bio) = self.bio.take() else { return };
        bio.set_end(BioEnd::Shared(self.end.clone()));
        block::submit_bio(bio);
    }
}

impl Drop for Bios<'_> {
    fn drop(&mut self) {
        self.submit();
    }
}

/// Pages that are being read.
pub(crate) struct ReadEnd(Arc<ReadIo>);

impl ReadEnd {
    pub(crate) fn shared(io: Arc<ReadIo>) -> Result<Arc<dyn EndIo>> {
        let end: Arc<dyn EndIo> = Arc::new(Self(io), GFP_NOFS)?;
        Ok(end)
    }
}

impl EndIo for ReadEnd {
    fn end_io(&self, bio: KBox<Bio>) {
        if let Err(error) = bio.status() {
            self.0.fail(error);
        }
    }
}

/// Pages that are being written.
pub(crate) struct WriteEnd(Arc<WriteIo>);

impl WriteEnd {
    pub(crate) fn shared(io: Arc<WriteIo>) -> Result<Arc<dyn EndIo>> {
        let end: Arc<dyn EndIo> = Arc::new(Self(io), GFP_NOFS)?;
        Ok(end)
    }
}

impl EndIo for WriteEnd {
    fn end_io(&self, bio: KBox<Bio>) {
        if let Err(error) = bio.status() {
            self.0.fail(error);
        }
    }
}
