// SPDX-License-Identifier: GPL-2.0
//! The area for fast commits: records of single changes (little-endian tag, length, value) after the last whole transaction.
//! Here they are found, checked and taken apart; what they do to the file system is its own business ([`Replay`]).

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
/// The shortest record of an inode.
const INODE_MIN: usize = 128;
/// Lengths of extents above this one mean unwritten ones.
const WRITTEN_MAX: u32 = 0x8000;

/// What happened to a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The inode is new, and this is its name.
    Create,
    /// One name more.
    Link,
    /// The name is gone.
    Unlink,
}

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// Blocks `block..block + len` of a file are at `start` of the disk.
    AddRange {
        /// The file.
        ino: u32,
        /// First block within it.
        block: u32,
        /// Blocks.
        len: u32,
        /// First block on the disk.
        start: u64,
        /// They read as zeros.
        unwritten: bool,
    },
    /// Blocks of a file are a hole.
    DelRange {
        /// The file.
        ino: u32,
        /// First block within it.
        block: u32,
        /// Blocks.
        len: u32,
    },
    /// A change of a name.
    Name {
        /// Which.
        change: Change,
        /// The directory.
        parent: u32,
        /// What the name stands for.
        ino: u32,
        /// The name: 1 to 255 bytes.
        name: &'a [u8],
    },
    /// An inode's record, without the tree of its blocks; attributes behind the fixed part may be left out.
    Inode {
        /// Its number.
        ino: u32,
        /// At least 128 bytes.
        bytes: &'a [u8],
    },
}

impl<'a> Record<'a> {
    /// From a tag and its value, whose length was checked. `None` for those that change nothing.
    fn parse(tag: u16, value: &'a [u8]) -> Option<Self> {
        let change = match tag {
            CREAT => Change::Create,
            LINK => Change::Link,
            UNLINK => Change::Unlink,
            ADD_RANGE => {
                let (sizes, low) = (word(value, 2), word(value, 3));
                let (raw, high) = (sizes & 0xffff, sizes >> 16);
                let unwritten = raw > WRITTEN_MAX;
                let len = if unwritten { raw - WRITTEN_MAX } else { raw };
                let start = u64::from(high) << 32 | u64::from(low);
                return Some(Self::AddRange { ino: word(value, 0), block: word(value, 1), len, start, unwritten });
            }
            DEL_RANGE => {
                return Some(Self::DelRange { ino: word(value, 0), block: word(value, 1), len: word(value, 2) });
            }
            INODE => return Some(Self::Inode { ino: word(value, 0), bytes: value.get(4..)? }),
            _ => return None,
        };
        Some(Self::Name { change, parent: word(value, 0), ino: word(value, 1), name: value.get(8..)? })
    }

    /// Tells what it is about.
    fn announce(&self, replay: &mut dyn Replay) -> Result {
        match *self {
            Self::AddRange { ino, len, start, .. } => {
                replay.announce(ino)?;
                replay.announce_blocks(start, len)
            }
            Self::DelRange { ino, .. } | Self::Inode { ino, .. } => replay.announce(ino),
            Self::Name { parent, ino, .. } => {
                replay.announce(parent)?;
                replay.announce(ino)
            }
        }
    }
}

/// The file system that replays records. What it changes stays in memory until [`Self::write_home`].
pub trait Replay {
    /// Bytes of an inode's record on the disk: longer ones end the scan.
    fn inode_size(&self) -> usize;
    /// An inode that a record is about. All are announced before the first record is replayed, and so are the blocks.
    fn announce(&mut self, ino: u32) -> Result;
    /// Blocks that a record gives to a file.
    fn announce_blocks(&mut self, start: u64, len: u32) -> Result;
    /// Replays one record.
    fn record(&mut self, record: &Record<'_>) -> Result;
    /// All records are replayed.
    fn finish(&mut self) -> Result;
    /// Tells the blocks that were changed: number and content.
    fn changed(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result) -> Result;
    /// Writes them to their places.
    fn write_home(&mut self) -> Result;
}

/// The area of one log.
pub(crate) struct FastLog<'a> {
    pub(crate) recovery: &'a Recovery<'a>,
    pub(crate) area: &'a Area,
    /// The transaction that the records belong to: the one after the last whole one.
    pub(crate) tid: Tid,
    /// The longest record of an inode.
    pub(crate) inode_size: usize,
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
    fn length_is_valid(&self, tag: u16, length: usize) -> bool {
        match tag {
            ADD_RANGE => length == 16,
            DEL_RANGE => length == 12,
            CREAT | LINK | UNLINK => (8 + 1..=8 + 255).contains(&length),
            INODE => (INODE_MIN..=self.inode_size).contains(&length.saturating_sub(4)),
            PAD => true,
            TAIL => length >= 8,
            HEAD => length == 8,
            _ => false,
        }
    }

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
                let record = rest.get(..TAG_SIZE + length).filter(|_| self.length_is_valid(tag, length));
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

    /// Gives each of the first `count` records (one at least) to `f`.
    fn each(&self, count: u32, mut f: impl FnMut(&Record<'_>) -> Result) -> Result {
        let mut left = count;
        self.walk(|tag, record| {
            let (_, value) = record.ok_or(EUCLEAN)?;
            if let Some(record) = Record::parse(tag, value) {
                f(&record)?;
            }
            left = left.saturating_sub(1);
            Ok(left != 0)
        })
    }

    /// Gives the first `count` records to the file system.
    pub(crate) fn replay(&self, count: u32, replay: &mut dyn Replay) -> Result {
        self.each(count, |record| record.announce(replay))?;
        self.each(count, |record| replay.record(record))?;
        replay.finish()
    }
}
