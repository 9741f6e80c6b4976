// SPDX-License-Identifier: GPL-2.0
//! Pages of files: read and written in messages of the greatest size, straight from and to the cache.

use crate::node::{Opened, Shared};
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KVec};
use kernel::filesystem::mm::{Mapping, MappingOps, ReadRun, WriteIo, WriteRun};
use kernel::filesystem::mm_alloc::{PAGE_SIZE, Page};
use kernel::prelude::*;
use p9net::Piece;

const PAGE: u64 = PAGE_SIZE as u64;

/// Where the pages of a file come from, and where they go.
pub(crate) struct Pages(pub(crate) Arc<Shared>);

/// Bytes `[from, to)` of `pages`, as pieces.
fn pieces(pages: &[Page], from: usize, to: usize) -> Result<KVec<Piece>> {
    let mut out = KVec::with_capacity(pages.len(), GFP_NOFS)?;
    let mut at = from;
    while at < to {
        let page = pages.get(at / PAGE_SIZE).ok_or(EINVAL)?.clone();
        let offset = at % PAGE_SIZE;
        let len = (PAGE_SIZE - offset).min(to - at);
        out.push(Piece { page, offset, len }, GFP_NOFS)?;
        at += len;
    }
    Ok(out)
}

/// Pages of the greatest message.
fn most(opened: &Opened) -> usize {
    (opened.fid.max_io() as usize / PAGE_SIZE).max(1)
}

/// Fills `pages`, the first of which is at byte `pos`; what is behind the file's end becomes zero.
fn fill(opened: &Opened, pages: &[Page], pos: u64) -> Result {
    let len = pages.len() * PAGE_SIZE;
    let most = opened.fid.max_io() as usize;
    let mut at = 0;
    while at < len {
        let part = pieces(pages, at, len.min(at.saturating_add(most)))?;
        let (n, _) = opened.fid.read(pos.checked_add(at as u64).ok_or(EIO)?, part)?;
        if n == 0 {
            break;
        }
        at += n;
    }
    for piece in &pieces(pages, at, len)? {
        piece.page.fill(piece.offset, piece.len, 0)?;
    }
    Ok(())
}

/// Writes the bytes of `pages`, the first of which is at byte `pos`, up to the file's `size`.
fn write(opened: &Opened, pages: &[Page], pos: u64, size: u64) -> Result {
    let len = usize::try_from(size.saturating_sub(pos)).unwrap_or(usize::MAX).min(pages.len() * PAGE_SIZE);
    let most = opened.fid.max_io() as usize;
    let mut at = 0;
    while at < len {
        let n = opened.fid.write(pos + at as u64, pieces(pages, at, len.min(at.saturating_add(most)))?)?;
        if n == 0 {
            return Err(EIO);
        }
        at += n;
    }
    Ok(())
}

impl Pages {
    fn write_all(&self, io: &WriteIo, first: u64, size: u64) -> Result {
        let opened = self.0.for_pages(true)?;
        write(&opened, io.pages(), first.saturating_mul(PAGE), size)
    }
}

impl MappingOps for Pages {
    fn read_pages(&self, _: &Mapping, run: ReadRun) {
        let Ok(opened) = self.0.for_pages(false) else { return };
        let mut run = run;
        while !run.pages().is_empty() {
            let Ok(part) = run.split_front(most(&opened)) else { return };
            let pos = part.pos();
            let Ok(io) = part.start() else { continue };
            if let Err(error) = fill(&opened, io.pages(), pos) {
                io.fail(error);
            }
        }
    }

    fn write_run(&self, run: WriteRun) -> Result {
        let (first, size) = (run.first(), run.mapping().size());
        let io = run.start()?;
        self.write_all(&io, first, size).inspect_err(|error| io.fail(*error))
    }
}
