// SPDX-License-Identifier: GPL-2.0
//! The area for fast commits: records of single changes (little-endian tag, length, value) after the last whole transaction.
//! Here they are found and checked; what they mean is the file system's business ([`Replay`]).

use crate::Tid;
use crate::csum::crc32c;
use crate::journal::Area;
use crate::recovery::Recovery;
use errno::Result;
use errno::code::{EBADMSG, ECANCELED, EOPNOTSUPP, EUCLEAN};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;

/// A range of a file was mapped.
pub const ADD_RANGE: u16 = 1;
/// A range of a file was unmapped.
pub const DEL_RANGE: u16 = 2;
/// A file was created.
pub const CREAT: u16 = 3;
/// A name was linked.
pub const LINK: u16 = 4;
/// A name was unlinked.
pub const UNLINK: u16 = 5;
/// The inode as it is now.
pub const INODE: u16 = 6;
/// Nothing; fills a block.
pub const PAD: u16 = 7;
/// End of a fast commit: transaction and checksum.
pub const TAIL: u16 = 8;
/// Start of the area: features and transaction.
pub const HEAD: u16 = 9;

const TAG_SIZE: usize = 4;

/// The file system that replays records.
pub trait Replay {
    /// Replays one record (`ADD_RANGE` to `INODE`).
    fn record(&mut self, tag: u16, value: &[u8]) -> Result;
    /// All records are replayed.
    fn finish(&mut self) -> Result;
}

/// The area of one log.
pub(crate) struct FastLog<'a> {
    pub(crate) recovery: &'a Recovery<'a>,
    pub(crate) area: &'a Area,
    /// The transaction that the records belong to: the one after the last whole one.
    pub(crate) tid: Tid,
}

/// How many records count, and how far the scan has come.
#[derive(Default)]
struct Scan {
    seen: u32,
    valid: u32,
    crc: u32,
}

fn word(value: &[u8], index: usize) -> u32 {
    value.as_chunks::<4>().0.get(index).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn length_is_valid(tag: u16, length: usize) -> bool {
    match tag {
        ADD_RANGE => length == 16,
        DEL_RANGE => length == 12,
        CREAT | LINK | UNLINK => (8 + 1..=8 + 255).contains(&length),
        INODE => length >= 4 + 128,
        PAD => true,
        TAIL => length >= 8,
        HEAD => length == 8,
        _ => false,
    }
}

impl Scan {
    /// One record. False: the area ends here.
    fn record(&mut self, tid: Tid, tag: u16, record: &[u8], value: &[u8]) -> Result<bool> {
        match tag {
            HEAD if word(value, 0) != 0 => return Err(EOPNOTSUPP),
            HEAD if word(value, 1) != tid => return Ok(false),
            TAIL => {
                self.seen += 1;
                let covered = record.get(..TAG_SIZE + 4).unwrap_or(record);
                let good = word(value, 0) == tid && word(value, 1) == crc32c(self.crc, covered);
                self.crc = 0;
                if !good {
                    return if self.valid != 0 { Ok(false) } else { Err(EBADMSG) };
                }
                self.valid = self.seen;
            }
            _ => {
                self.seen += 1;
                self.crc = crc32c(self.crc, record);
            }
        }
        Ok(true)
    }
}

impl FastLog<'_> {
    /// Calls `f` for each record: tag, the whole of it, its value. `f` returns false to end. A record that cannot be is
    /// given as `None`.
    fn walk(&self, mut f: impl FnMut(u16, Option<(&[u8], &[u8])>) -> Result<bool>) -> Result {
        let mut block = KVec::from_elem(0u8, self.recovery.superblock.block_size() as usize, GFP_KERNEL)?;
        for at in self.area.fast_first..=self.area.fast_last {
            self.recovery.log.read(self.recovery.geometry.map(at)?, &mut block)?;
            let mut rest: &[u8] = &block;
            if at == self.area.fast_first && rest.get(..2) != Some(&HEAD.to_le_bytes()) {
                return Ok(());
            }
            while let Some([a, b, c, d]) = rest.first_chunk::<TAG_SIZE>() {
                let (tag, length) = (u16::from_le_bytes([*a, *b]), usize::from(u16::from_le_bytes([*c, *d])));
                let record = rest.get(..TAG_SIZE + length).filter(|_| length_is_valid(tag, length));
                let Some((record, value)) = record.and_then(|record| Some((record, record.get(TAG_SIZE..)?))) else {
                    f(tag, None)?;
                    return Ok(());
                };
                if !f(tag, Some((record, value)))? {
                    return Ok(());
                }
                rest = rest.get(record.len()..).unwrap_or(&[]);
            }
        }
        Ok(())
    }

    /// How many records belong to complete fast commits.
    pub(crate) fn scan(&self) -> Result<u32> {
        let mut scan = Scan::default();
        self.walk(|tag, record| match record {
            Some((record, value)) => scan.record(self.tid, tag, record, value),
            None if scan.valid != 0 => Ok(false),
            None => Err(ECANCELED),
        })?;
        Ok(scan.valid)
    }

    /// Gives the first `count` records to the file system.
    pub(crate) fn replay(&self, count: u32, replay: &mut dyn Replay) -> Result {
        let mut left = count;
        self.walk(|tag, record| {
            let (_, value) = record.ok_or(EUCLEAN)?;
            if !matches!(tag, HEAD | PAD | TAIL) {
                replay.record(tag, value)?;
            }
            left -= 1;
            Ok(left != 0)
        })?;
        replay.finish()
    }
}
