// SPDX-License-Identifier: GPL-2.0
//! One transaction more at the end of a log that is being recovered: what the replay of fast commits made. Once its commit block is on
//! the disk, a crash before all is home does no harm: the next recovery finds a whole transaction, and the fast commits, which have its
//! number, count no more.

use crate::fast_commit::{FastLog, Replay};
use crate::format::*;
use crate::system::WriteFlags;
use errno::Result;
use errno::code::EIO;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;

/// Where the log ends, and when its last transaction was committed.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) head: u32,
    pub(crate) time: u64,
}

struct Appender<'a> {
    log: &'a FastLog<'a>,
    features: Features,
    /// Where the next block goes, and how many may follow.
    at: u32,
    left: u32,
    /// The descriptor under way, and its place.
    open: Option<(u32, DescriptorWriter)>,
    descriptor: KVec<u8>,
    copy: KVec<u8>,
}

impl Appender<'_> {
    fn next(&mut self) -> Result<u32> {
        self.left = self.left.checked_sub(1).ok_or(EIO)?;
        let at = self.at;
        self.at = self.log.area.forward(at, 1);
        Ok(at)
    }

    fn write(&self, at: u32, data: &[u8], flags: WriteFlags) -> Result {
        let recovery = self.log.recovery;
        recovery.log.write(recovery.geometry.map(at)?, data, flags)
    }

    /// Takes one block.
    fn block(&mut self, block: u64, data: &[u8]) -> Result {
        let (place, mut writer) = match self.open.take() {
            Some(open) => open,
            None => (self.next()?, DescriptorWriter::new(self.features, &mut self.descriptor, self.log.tid)),
        };
        if data.len() != self.copy.len() {
            return Err(EIO);
        }
        self.copy.copy_from_slice(data);
        let mut flags = 0;
        // A copied block must not look like one of the journal's own.
        if get32(&self.copy, 0) == Some(MAGIC) {
            put32(&mut self.copy, 0, 0);
            flags |= TAG_ESCAPE;
        }
        let sums = self.features.checksums();
        let checksum = if sums { self.features.data_checksum(self.log.tid, &self.copy) } else { 0 };
        let at = self.next()?;
        self.write(at, &self.copy, WriteFlags::default())?;
        if writer.push(&mut self.descriptor, Tag { block, flags, checksum }) {
            self.open = Some((place, writer));
            return Ok(());
        }
        self.close(place, writer)
    }

    fn close(&mut self, place: u32, writer: DescriptorWriter) -> Result {
        writer.finish(&mut self.descriptor);
        self.write(place, &self.descriptor, WriteFlags::default())
    }

    fn commit(mut self, time: u64) -> Result {
        if let Some((place, writer)) = self.open.take() {
            self.close(place, writer)?;
        }
        write_commit(&self.features, &mut self.copy, self.log.tid, (time, 0), 0);
        let at = self.next()?;
        self.write(at, &self.copy, WriteFlags { preflush: true, fua: true })?;
        // The area is over. A kernel sees that by its number; e2fsck (1.47) takes one of another transaction for damage.
        self.copy.fill(0);
        self.write(self.log.area.fast_first, &self.copy, WriteFlags::default())
    }
}

impl FastLog<'_> {
    /// Makes what was changed a transaction of the log. False, and nothing is written that counts, if there is no room for it, or the
    /// format's checksum (v1) takes more than a block at a time.
    pub(crate) fn append(&self, replay: &dyn Replay, end: End) -> Result<bool> {
        let (sb, area) = (self.recovery.superblock, self.area);
        let features = sb.features();
        let size = sb.block_size() as usize;
        let mut count = 0u32;
        replay.changed(&mut |_, _| {
            count = count.saturating_add(1);
            Ok(())
        })?;
        if count == 0 {
            return Ok(true);
        }
        // A log that is full to the last block ends where it begins.
        let full = end.head == sb.start() && self.tid != sb.sequence();
        let left = (area.last - area.first).saturating_sub(area.distance(sb.start(), end.head));
        let descriptors = count.div_ceil(features.tags_per_block(size).max(1) as u32);
        let needed = count.saturating_add(descriptors).saturating_add(1);
        if full || features.checksum_v1() || needed >= left {
            return Ok(false);
        }
        let mut appender = Appender {
            log: self,
            features,
            at: end.head,
            left: needed,
            open: None,
            descriptor: KVec::from_elem(0, size, GFP_KERNEL)?,
            copy: KVec::from_elem(0, size, GFP_KERNEL)?,
        };
        replay.changed(&mut |block, data| appender.block(block, data))?;
        appender.commit(end.time)?;
        Ok(true)
    }
}
