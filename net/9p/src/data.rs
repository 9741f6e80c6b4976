// SPDX-License-Identifier: GPL-2.0
//! Bytes of files on their way: they lie in pages, which the server reads and writes itself.

use kalloc::KVec;
use kernel::filesystem::mm_alloc::{PAGE_SIZE, Page};
use kernel::prelude::*;

/// A piece of a page.
#[derive(Clone)]
pub struct Piece {
    /// The page.
    pub page: Page,
    /// First byte.
    pub offset: usize,
    /// Bytes.
    pub len: usize,
}

/// New pages for `len` bytes. ENOMEM.
pub fn pages_for(len: usize) -> Result<KVec<Piece>> {
    let mut pieces = KVec::with_capacity(len.div_ceil(PAGE_SIZE), GFP_KERNEL)?;
    let mut left = len;
    while left != 0 {
        let n = left.min(PAGE_SIZE);
        // Cleared: a server that says it wrote more than it did must not show what was there before.
        pieces.push(Piece { page: Page::alloc_zeroed(GFP_KERNEL)?, offset: 0, len: n }, GFP_KERNEL)?;
        left -= n;
    }
    Ok(pieces)
}

/// `bytes` in new pages. ENOMEM.
pub fn pieces_of(bytes: &[u8]) -> Result<KVec<Piece>> {
    let pieces = pages_for(bytes.len())?;
    for (piece, part) in pieces.iter().zip(bytes.chunks(PAGE_SIZE)) {
        piece.page.write(piece.offset, part)?;
    }
    Ok(pieces)
}

/// The first `len` bytes of `pieces`. ENOMEM.
pub fn bytes_of(pieces: &[Piece], len: usize) -> Result<KVec<u8>> {
    let mut out = KVec::from_elem(0u8, len, GFP_KERNEL)?;
    let mut rest = out.as_mut_slice();
    for piece in pieces {
        let n = piece.len.min(rest.len());
        let (part, others) = rest.split_at_mut(n);
        piece.page.read(piece.offset, part)?;
        rest = others;
    }
    Ok(out)
}

/// Bytes of all pieces.
pub(crate) fn total(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| piece.len).sum()
}
