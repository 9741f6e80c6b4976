// SPDX-License-Identifier: GPL-2.0
//! Blocks of regular files: a list of sizes behind the inode, whose sums are the blocks' places. No locks.

use crate::image::{Block, Cursor, Image, Store};
use crate::inode::{Data, Inode, NO_FRAGMENT};
use errno::Result;
use errno::code::{EIO, EISDIR};
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KVVec};

/// Sizes that are kept at a time; between two remembered places there are so many.
const STRIDE: u64 = 512;

/// Where a block of a file is.
pub enum BlockAt {
    /// Nowhere: zeros.
    Hole,
    /// In the image: its place, and its size with the bit that says how it is stored.
    Data(u64, u32),
    /// In a fragment: it, and the first byte.
    Fragment(Arc<Block>, usize),
}

/// What is remembered of a file's list. The caller serialises.
pub struct FileMap {
    /// For each so many blocks: where their sizes are, and where the first block is.
    marks: KVVec<(Cursor, u64)>,
    /// Sizes from one of the marks on.
    window: KVVec<u32>,
    of: u64,
}

impl FileMap {
    /// Nothing is remembered yet.
    pub const fn new() -> Self {
        Self { marks: KVVec::new(), window: KVVec::new(), of: u64::MAX }
    }

    /// Where block `number` of `inode` is, which has it. EIO.
    pub fn locate<S: Store>(&mut self, image: &Image<S>, inode: &Inode, number: u64) -> Result<BlockAt> {
        let Data::Reg { start, list, fragment, offset, .. } = inode.data else { return Err(EISDIR) };
        let full = inode.size >> image.sb.block_log;
        let partial = inode.size & u64::from(image.sb.block_size - 1) != 0;
        let blocks = full + u64::from(partial && fragment == NO_FRAGMENT);
        if number == full && partial && fragment != NO_FRAGMENT {
            return Ok(BlockAt::Fragment(image.fragment(fragment)?, offset as usize));
        }
        if number >= blocks {
            return Err(EIO);
        }
        let wanted = number / STRIDE;
        if self.marks.is_empty() {
            self.marks.push((list, start), GFP_NOFS)?;
        }
        while self.of != wanted {
            // The last mark that is known, or the wanted one.
            let at = wanted.min(self.marks.len() as u64 - 1);
            self.load(image, at, (blocks - at * STRIDE).min(STRIDE))?;
        }
        let (_, mut pos) = *self.marks.get(wanted as usize).ok_or(EIO)?;
        let index = (number % STRIDE) as usize;
        for word in self.window.iter().take(index) {
            pos = pos.checked_add(size_of(*word)).ok_or(EIO)?;
        }
        match *self.window.get(index).ok_or(EIO)? {
            0 => Ok(BlockAt::Hole),
            word => Ok(BlockAt::Data(pos, word)),
        }
    }

    /// Reads the sizes from mark `at` on, and sets the next mark.
    fn load<S: Store>(&mut self, image: &Image<S>, at: u64, count: u64) -> Result {
        let (mut cursor, mut pos) = *self.marks.get(at as usize).ok_or(EIO)?;
        self.of = u64::MAX;
        self.window.clear();
        for _ in 0..count {
            let word = u32::from_le_bytes(image.record(&mut cursor)?);
            if word >> 25 != 0 {
                return Err(EIO);
            }
            pos = pos.checked_add(size_of(word)).ok_or(EIO)?;
            self.window.push(word, GFP_NOFS)?;
        }
        if at + 1 == self.marks.len() as u64 && count == STRIDE {
            self.marks.push((cursor, pos), GFP_NOFS)?;
        }
        self.of = at;
        Ok(())
    }
}

impl Default for FileMap {
    fn default() -> Self {
        Self::new()
    }
}

fn size_of(word: u32) -> u64 {
    u64::from(word & !(1 << 24))
}

impl<S: Store> Image<S> {
    /// The bytes of a block of data, of which there must be `len`. EIO.
    pub fn file_block(&self, pos: u64, word: u32, len: usize) -> Result<KVVec<u8>> {
        let data = self.data(pos, word)?;
        if data.len() == len { Ok(data) } else { Err(EIO) }
    }
}
