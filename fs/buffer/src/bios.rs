// SPDX-License-Identifier: GPL-2.0
//! Bios for runs of pages: the last of them to end drops the run's I/O, which ends it. For the device's own pages here, and for file
//! systems, which cut their runs at extents.

use block::{Bio, BioEnd, BlockDevice, EndIo, Op, OpFlags, SECTOR_SHIFT, submit_bio};
use errno::{Error, Result};
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KBox};
use mm::{ReadIo, WriteIo};
use mm_alloc::Page;
use mm_alloc::layout::PAGE_SIZE;

/// Most pages of one bio (`BIO_MAX_VECS`).
const MOST_PAGES: usize = 256;

/// Ends reads.
pub struct ReadEnd(pub Arc<ReadIo>);
/// Ends writes.
pub struct WriteEnd(pub Arc<WriteIo>);

impl EndIo for ReadEnd {
    fn end_io(&self, bio: KBox<Bio>) {
        if let Err(error) = bio.status() {
            self.0.fail(error);
        }
    }
}

impl EndIo for WriteEnd {
    fn end_io(&self, bio: KBox<Bio>) {
        if let Err(error) = bio.status() {
            self.0.fail(error);
        }
    }
}

/// A piece of a page.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The page.
    pub page: Page,
    /// First byte.
    pub offset: usize,
    /// Bytes.
    pub len: usize,
}

/// Sends `pieces`, which lie on consecutive sectors from byte `pos` of the device on; `end` hears of each bio. ENOMEM: the rest was
/// not sent.
pub fn submit(
    bdev: &Arc<BlockDevice>,
    op: Op,
    flags: OpFlags,
    pos: u64,
    pieces: impl Iterator<Item = Piece> + Clone,
    end: &Arc<dyn EndIo>,
) -> Result {
    let mut at = pos;
    let mut rest = pieces;
    loop {
        let count = rest.clone().take(MOST_PAGES).count();
        if count == 0 {
            return Ok(());
        }
        let mut bio = Bio::new(bdev, op, flags, count, GFP_NOFS)?;
        bio.set_sector(at >> SECTOR_SHIFT);
        for piece in rest.by_ref().take(count) {
            bio.add_page(piece.page, piece.offset as u32, piece.len as u32)?;
            at = at.saturating_add(piece.len as u64);
        }
        bio.set_end(BioEnd::Shared(end.clone()));
        submit_bio(bio);
    }
}

fn whole(pages: &[Page]) -> impl Iterator<Item = Piece> + Clone + '_ {
    pages.iter().map(|page| Piece { page: page.clone(), offset: 0, len: PAGE_SIZE })
}

/// Reads the pages `[skip, skip + count)` of `io` from byte `pos` of the device on. Several calls may share one `io`, whose pages are
/// up to date when all are done.
pub fn read_into(
    bdev: &Arc<BlockDevice>,
    io: &Arc<ReadIo>,
    skip: usize,
    count: usize,
    pos: u64,
    flags: OpFlags,
) -> Result {
    let end: Arc<dyn EndIo> = Arc::new(ReadEnd(io.clone()), GFP_NOFS).map_err(|error| failed(io, error.into()))?;
    let pages = io.pages().get(skip..skip.saturating_add(count)).unwrap_or(&[]);
    submit(bdev, Op::Read, flags, pos, whole(pages), &end).map_err(|error| failed(io, error))
}

fn failed(io: &ReadIo, error: Error) -> Error {
    io.fail(error);
    error
}

/// Writes the pages `[skip, skip + count)` of `io` to byte `pos` of the device on.
pub fn write_from(
    bdev: &Arc<BlockDevice>,
    io: &Arc<WriteIo>,
    skip: usize,
    count: usize,
    pos: u64,
    flags: OpFlags,
) -> Result {
    let pages = io.pages().get(skip..skip.saturating_add(count)).unwrap_or(&[]);
    write_pieces(bdev, io, pos, whole(pages), flags)
}

/// Writes pieces of the pages of `io`.
pub fn write_pieces(
    bdev: &Arc<BlockDevice>,
    io: &Arc<WriteIo>,
    pos: u64,
    pieces: impl Iterator<Item = Piece> + Clone,
    flags: OpFlags,
) -> Result {
    let end: Arc<dyn EndIo> = Arc::new(WriteEnd(io.clone()), GFP_NOFS)?;
    let sent = submit(bdev, Op::Write, flags, pos, pieces, &end);
    if let Err(error) = sent {
        io.fail(error);
    }
    sent
}
