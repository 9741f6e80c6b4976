// SPDX-License-Identifier: GPL-2.0
//! Pages of files. Whole pages of one piece of a file are read straight into the cache; the last page, and those in which a piece ends,
//! by way of memory of their own.

use crate::node::Shared;
use isofs_format::SECTOR;
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KVec};
use kernel::filesystem::block::{self, OpFlags};
use kernel::filesystem::buffer::bios;
use kernel::filesystem::mm::{Mapping, MappingOps, ReadIo, ReadRun};
use kernel::filesystem::mm_alloc::Page;
use kernel::prelude::*;

const PAGE: usize = 4096;

/// Where the pages of a file come from.
pub(crate) struct Pages(pub(crate) Arc<Shared>);

impl Pages {
    /// Where byte `pos` is on the disc, and how many bytes of its piece follow; `None` behind the end.
    fn place(&self, pos: u64) -> Option<(u64, u64)> {
        let Shared { mounted, disc } = &*self.0;
        let mut start = 0;
        for section in disc.sections.iter() {
            let end = start + u64::from(section.size);
            if pos < end {
                return Some((mounted.volume.block(section.block).0.checked_add(pos - start)?, end - pos));
            }
            start = end;
        }
        None
    }

    fn read(&self, io: &Arc<ReadIo>, first: u64, flags: OpFlags) -> Result {
        let bdev = self.0.mounted.volume.store.bdev();
        let count = io.pages().len();
        let mut at = 0;
        while at < count {
            let pos = (first + at as u64).saturating_mul(PAGE as u64);
            let whole = self.place(pos).filter(|(byte, left)| byte % 512 == 0 && *left >= PAGE as u64);
            if let Some((byte, left)) = whole {
                let run = usize::try_from(left / PAGE as u64).unwrap_or(usize::MAX).min(count - at);
                bios::transfer(bdev, io, at, run, byte, flags)?;
                at += run;
            } else {
                self.read_pieces(pos, io.pages().get(at).ok_or(EIO)?)?;
                at += 1;
            }
        }
        Ok(())
    }

    /// Fills a page from what pieces of the file there are in it; the rest is zero.
    fn read_pieces(&self, pos: u64, page: &Page) -> Result {
        let bdev = self.0.mounted.volume.store.bdev();
        let mut bytes = KVec::from_elem(0u8, PAGE, GFP_NOFS)?;
        let (mut pos, mut rest) = (pos, bytes.as_mut_slice());
        while let Some((byte, left)) = self.place(pos).filter(|_| !rest.is_empty()) {
            let n = usize::try_from(left).unwrap_or(PAGE).min(rest.len());
            let (part, others) = rest.split_at_mut(n);
            block::read_bytes(bdev, byte, part)?;
            pos += n as u64;
            rest = others;
        }
        page.write(0, &bytes)
    }
}

impl MappingOps for Pages {
    fn read_pages(&self, _: &Mapping, run: ReadRun) {
        let first = run.first();
        let flags = if run.is_ahead() { OpFlags::RAHEAD } else { OpFlags::SYNC };
        let Ok(io) = run.start() else { return };
        if let Err(error) = self.read(&io, first, flags) {
            io.fail(error);
        }
    }
}

/// Reads what is not a file's: through the device's buffers, a sector each.
pub(crate) fn read_cached(device: &kernel::filesystem::buffer::MountedDevice, pos: u64, to: &mut [u8]) -> Result {
    let (mut pos, mut rest) = (pos, to);
    while !rest.is_empty() {
        let offset = (pos % SECTOR) as usize;
        let n = rest.len().min(SECTOR as usize - offset);
        let (part, others) = rest.split_at_mut(n);
        let buffer = device.cache().bread(pos / SECTOR, SECTOR as u32)?;
        part.copy_from_slice(buffer.read().get(offset..offset + n).ok_or(EIO)?);
        pos = pos.checked_add(n as u64).ok_or(EIO)?;
        rest = others;
    }
    Ok(())
}
