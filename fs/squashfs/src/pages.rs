// SPDX-License-Identifier: GPL-2.0
//! Pages of files. A block of the image gives many pages: those that were not asked for go into the cache too, unless somebody has
//! put one there.

use crate::node::Shared;
use core::ops::Deref;
use kalloc::flags::{__GFP_MOVABLE, GFP_NOFS};
use kalloc::{Arc, KVVec};
use kernel::filesystem::mm::{Mapping, MappingOps, ReadRun};
use kernel::filesystem::mm_alloc::Page;
use kernel::prelude::*;
use squashfs_format::{Block, BlockAt};

const PAGE: usize = 4096;

/// Where the pages of a file come from.
pub(crate) struct Pages(pub(crate) Arc<Shared>);

/// A block's bytes.
enum Bytes {
    Zeros,
    Own(KVVec<u8>),
    /// Of a fragment, from here, so many.
    Part(Arc<Block>, usize, usize),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Zeros => &[],
            Self::Own(data) => data,
            Self::Part(block, from, len) => block.data.get(*from..).and_then(|rest| rest.get(..*len)).unwrap_or(&[]),
        }
    }
}

impl Pages {
    /// The bytes of block `number`. EIO.
    fn block(&self, number: u64) -> Result<Bytes> {
        let Shared { mounted, disk, map } = &*self.0;
        let image = &mounted.image;
        let start = number << image.sb.block_log;
        let left = disk.size.checked_sub(start).ok_or(EIO)?;
        let len = left.min(image.sb.block_size.into()) as usize;
        let at = map.lock().locate(image, disk, number)?;
        match at {
            BlockAt::Hole => Ok(Bytes::Zeros),
            BlockAt::Data(pos, word) => Ok(Bytes::Own(image.file_block(pos, word, len)?)),
            BlockAt::Fragment(block, from) => {
                let part = Bytes::Part(block, from, len);
                if part.len() == len { Ok(part) } else { Err(EIO) }
            }
        }
    }

    /// Puts the pages of `bytes`, which begin with page `first` of the file, into the cache, but for those of `run`.
    fn offer(&self, mapping: &Mapping, first: u64, bytes: &[u8], run: core::ops::Range<u64>) {
        for (i, chunk) in bytes.chunks(PAGE).enumerate() {
            let index = first + i as u64;
            if run.contains(&index) || mapping.find(index).is_some() {
                continue;
            }
            // Without memory for it, it is read when it is wanted.
            let Ok(page) = Page::alloc(GFP_NOFS | __GFP_MOVABLE) else { return };
            if fill(&page, chunk).is_err() || mapping.offer(index, &page).is_err() {
                return;
            }
        }
    }
}

fn fill(page: &Page, chunk: &[u8]) -> Result {
    page.write(0, chunk)?;
    page.fill(chunk.len(), PAGE - chunk.len(), 0)
}

impl MappingOps for Pages {
    fn read_pages(&self, mapping: &Mapping, run: ReadRun) {
        let mut run = run;
        let mounted = &self.0.mounted;
        let in_block = u64::from(mounted.image.sb.block_size) / PAGE as u64;
        while !run.pages().is_empty() {
            let number = run.first() / in_block;
            let first = number * in_block;
            let count = (first + in_block - run.first()) as usize;
            let Ok(mut front) = run.split_front(count) else { return };
            let from = front.first();
            let wanted = from..from + front.pages().len() as u64;
            if from.saturating_mul(PAGE as u64) >= self.0.disk.size {
                front.zero_front(count);
                continue;
            }
            let block = mounted.checked("a block of a file", self.block(number));
            // A run that is dropped has failed.
            let Ok(bytes) = block else { continue };
            if matches!(bytes, Bytes::Zeros) {
                front.zero_front(count);
                continue;
            }
            let skip = (from - first) as usize * PAGE;
            let mut chunks = bytes.get(skip..).unwrap_or(&[]).chunks(PAGE);
            let filled = front.pages().iter().try_for_each(|page| fill(page, chunks.next().unwrap_or(&[])));
            if filled.is_ok() {
                drop(front.start());
                self.offer(mapping, first, &bytes, wanted);
            }
        }
    }
}
