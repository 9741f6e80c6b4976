// SPDX-License-Identifier: GPL-2.0
//! Pages of regular files. A page is dirty only if all of it that is part of the file has its clusters.

use crate::node::Shared;
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KVec};
use kernel::filesystem::block::{self, OpFlags};
use kernel::filesystem::buffer::bios::{self, Piece};
use kernel::filesystem::mm::{Mapping, MappingOps, ReadIo, ReadRun, WriteIo, WriteRun};
use kernel::filesystem::mm_alloc::{PAGE_SIZE, Page};
use kernel::prelude::*;

/// Where the pages of a file come from, and where they go.
pub(crate) struct Pages(pub(crate) Arc<Shared>);

const PAGE: u64 = PAGE_SIZE as u64;

impl Pages {
    /// Where byte `pos` is on the disk, and how many bytes follow it there, of `wanted`; `None` behind the last cluster.
    fn place(&self, pos: u64, wanted: u64) -> Result<Option<(u64, u64)>> {
        let geo = &self.0.mounted.geo;
        let cluster = u64::from(geo.cluster_bytes());
        let Ok(number) = u32::try_from(pos / cluster) else { return Ok(None) };
        let skip = pos % cluster;
        let count = u32::try_from((skip + wanted).div_ceil(cluster)).unwrap_or(u32::MAX);
        let found = self.0.chain.lock().map(&self.0.mounted, number, count)?;
        Ok(found.map(|(disk, len)| (geo.cluster_at(disk) + skip, (u64::from(len) * cluster - skip).min(wanted))))
    }

    /// As `place`, where there must be something.
    fn inside(&self, pos: u64, wanted: u64) -> Result<(u64, u64)> {
        let missing = || self.0.mounted.error(format_args!("request beyond EOF (byte {pos})"));
        self.place(pos, wanted)?.ok_or_else(missing)
    }

    fn read(&self, io: &Arc<ReadIo>, first: u64, size: u64, flags: OpFlags) -> Result {
        let bdev = self.0.mounted.device.bdev();
        let count = io.pages().len();
        let mut at = 0;
        while at < count {
            let pos = (first + at as u64).saturating_mul(PAGE);
            let whole = (size.saturating_sub(pos) / PAGE).min((count - at) as u64);
            let found = if whole == 0 { None } else { Some(self.inside(pos, whole * PAGE)?) };
            if let Some((byte, len)) = found.filter(|(_, len)| *len >= PAGE) {
                let pages = (len / PAGE) as usize;
                bios::transfer(bdev, io, at, pages, byte, flags)?;
                at += pages;
            } else {
                self.read_pieces(pos, size, io.pages().get(at).ok_or(EIO)?)?;
                at += 1;
            }
        }
        Ok(())
    }

    /// Fills a page that is in several places, or of which the file has a part only: the rest is zero.
    fn read_pieces(&self, pos: u64, size: u64, page: &Page) -> Result {
        let mut bytes = KVec::from_elem(0u8, PAGE_SIZE, GFP_NOFS)?;
        let len = usize::try_from(size.saturating_sub(pos)).unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
        let (mut pos, mut rest) = (pos, bytes.get_mut(..len).unwrap_or(&mut []));
        while !rest.is_empty() {
            let (byte, n) = self.inside(pos, rest.len() as u64)?;
            let (part, others) = rest.split_at_mut(n as usize);
            block::read_bytes(self.0.mounted.device.bdev(), byte, part)?;
            pos += n;
            rest = others;
        }
        page.write(0, &bytes)
    }

    /// Submits the pages of a run under write-back: as far as there are clusters. EIO if they end before the file: its chain is damaged.
    fn write(&self, io: &Arc<WriteIo>, mapping: &Mapping, first: u64) -> Result {
        let bdev = self.0.mounted.device.bdev();
        let mut pieces: KVec<Piece> = KVec::new();
        let mut start = 0;
        let mut end = 0;
        let send = |start: u64, pieces: &mut KVec<Piece>| {
            let sent = bios::transfer_pieces(bdev, io, start, pieces.iter().cloned(), OpFlags::NONE);
            pieces.clear();
            sent
        };
        for (index, page) in io.pages().iter().enumerate() {
            let pos = (first + index as u64).saturating_mul(PAGE);
            let mut offset = 0;
            while offset < PAGE {
                let at = pos + offset;
                let (byte, n) = match self.place(at, PAGE - offset)? {
                    Some(found) => found,
                    // Who cuts a file makes it shorter first.
                    None if at < mapping.size() => self.inside(at, PAGE - offset)?,
                    None => break,
                };
                if byte != end && !pieces.is_empty() {
                    send(start, &mut pieces)?;
                }
                if pieces.is_empty() {
                    start = byte;
                }
                pieces.push(Piece { page: page.clone(), offset: offset as usize, len: n as usize }, GFP_NOFS)?;
                end = byte + n;
                offset += n;
            }
        }
        if pieces.is_empty() { Ok(()) } else { send(start, &mut pieces) }
    }
}

impl MappingOps for Pages {
    fn read_pages(&self, mapping: &Mapping, run: ReadRun) {
        let first = run.first();
        let flags = if run.is_ahead() { OpFlags::RAHEAD } else { OpFlags::SYNC };
        let Ok(io) = run.start() else { return };
        if let Err(error) = self.read(&io, first, mapping.size(), flags) {
            io.fail(error);
        }
    }

    fn write_run(&self, run: WriteRun) -> Result {
        let (first, mapping) = (run.first(), run.mapping().clone());
        let io = run.start()?;
        self.write(&io, &mapping, first).inspect_err(|error| io.fail(*error))
    }

    fn prepare_write(&self, pos: u64, len: usize) -> Result {
        let shared = &self.0;
        let wanted = shared.clusters(pos.checked_add(len as u64).ok_or(EFBIG)?);
        if wanted > shared.allocated() {
            let known = shared.chain.lock().grow(&shared.mounted, wanted)?;
            shared.set_allocated(known);
        }
        Ok(())
    }

    fn make_writable(&self, _index: u64) -> Result {
        self.0.mounted.writable()
    }
}
