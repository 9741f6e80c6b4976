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

/// The I/O of a run of pages, which ends when its last reference goes.
pub trait RunIo: Send + Sync + 'static {
    /// What it does.
    const OP: Op;
    /// Its pages.
    fn pages(&self) -> &[Page];
    /// Something of it failed.
    fn fail(&self, error: Error);
}

impl RunIo for ReadIo {
    const OP: Op = Op::Read;

    fn pages(&self) -> &[Page] {
        self.pages()
    }

    fn fail(&self, error: Error) {
        self.fail(error);
    }
}

impl RunIo for WriteIo {
    const OP: Op = Op::Write;

    fn pages(&self) -> &[Page] {
        self.pages()
    }

    fn fail(&self, error: Error) {
        self.fail(error);
    }
}

/// Hears of a run's bios.
struct RunEnd<I>(Arc<I>);

impl<I: RunIo> EndIo for RunEnd<I> {
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
pub(crate) fn submit(
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

/// Transfers the pages `[skip, skip + count)` of `io` at byte `pos` of the device. Several calls may share one `io`, which ends when
/// all are done. An error is also the run's.
pub fn transfer<I: RunIo>(
    bdev: &Arc<BlockDevice>,
    io: &Arc<I>,
    skip: usize,
    count: usize,
    pos: u64,
    flags: OpFlags,
) -> Result {
    let pages = io.pages().get(skip..skip.saturating_add(count)).unwrap_or(&[]);
    let whole = pages.iter().map(|page| Piece { page: page.clone(), offset: 0, len: PAGE_SIZE });
    transfer_pieces(bdev, io, pos, whole, flags)
}

/// Transfers pieces of the pages of `io`.
pub fn transfer_pieces<I: RunIo>(
    bdev: &Arc<BlockDevice>,
    io: &Arc<I>,
    pos: u64,
    pieces: impl Iterator<Item = Piece> + Clone,
    flags: OpFlags,
) -> Result {
    let sent = Arc::new(RunEnd(io.clone()), GFP_NOFS).map_err(Error::from).and_then(|end| {
        let end: Arc<dyn EndIo> = end;
        submit(bdev, I::OP, flags, pos, pieces, &end)
    });
    sent.inspect_err(|&error| io.fail(error))
}
