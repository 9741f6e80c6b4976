// SPDX-License-Identifier: GPL-2.0
//! The descriptors; which of the trees is shown: that with Rock Ridge, else Joliet's, else the plain one.

use crate::dir::DirReader;
use crate::record::{Names, Record};
use crate::rock::{self, Rock};
use crate::{Place, SECTOR, Store, byte, le16, le32};
use errno::Error;
use errno::Result;
use errno::code::{EINVAL, EIO, ENOMEM};
use kalloc::KVVec;
use kalloc::flags::{GFP_KERNEL, GFP_NOFS};

/// What a mount asks for.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Look for Rock Ridge.
    pub rock: bool,
    /// Look for Joliet.
    pub joliet: bool,
    /// Names of Joliet in UTF-8, else in Latin-1.
    pub utf8: bool,
    /// Leave hidden files out.
    pub hide: bool,
    /// Show associated files.
    pub associated: bool,
    /// Only the low 24 bits of sizes count.
    pub cruft: bool,
    /// Whether the case of letters counts for nothing; `None`: with Joliet alone.
    pub relaxed: Option<bool>,
    /// How plain names are shown.
    pub names: Names,
    /// The sector that the disc is taken to begin at, for its descriptors.
    pub start: u32,
}

/// An open disc.
pub struct Volume<S> {
    /// Where it is.
    pub store: S,
    /// What was asked for.
    pub choice: Choice,
    /// The root's record, as an inode's place is: its own `.`.
    pub root: Place,
    /// Blocks in all.
    pub blocks: u32,
    /// Bytes of a block: 512, 1024 or 2048.
    pub block_size: u32,
    /// 1 to 3: names are Joliet's.
    pub joliet: u8,
    /// Bytes before the fields of Rock Ridge, if they are looked for.
    pub rock: Option<usize>,
}

/// A tree that a descriptor leads to.
#[derive(Clone, Copy)]
struct Tree {
    root: u32,
    blocks: u32,
    block_size: u32,
}

/// The first descriptor's sector.
const FIRST: u64 = 16;
/// Descriptors that are looked at.
const DESCRIPTORS: u64 = 84;

impl<S: Store> Volume<S> {
    /// Opens a disc. `EINVAL` with the reason.
    pub fn open(store: S, choice: Choice) -> Result<Self, (Error, &'static str)> {
        let mut primary = None;
        let mut joliet = None;
        let mut sector = KVVec::from_elem(0u8, SECTOR as usize, GFP_KERNEL).map_err(|_| (ENOMEM, "no memory"))?;
        let first = u64::from(choice.start) + FIRST;
        for at in first..first + DESCRIPTORS {
            if store.read(at * SECTOR, &mut sector).is_err() || sector.get(1..6) != Some(b"CD001") {
                break;
            }
            match byte(&sector, 0) {
                1 if primary.is_none() => primary = Some(Self::descriptor(&sector)?),
                2 if choice.joliet && joliet.is_none() => {
                    let level = match sector.get(88..91) {
                        Some(b"%/@") => 1,
                        Some(b"%/C") => 2,
                        Some(b"%/E") => 3,
                        _ => 0,
                    };
                    if level != 0 {
                        joliet = Some((Self::descriptor(&sector)?, level));
                    }
                }
                255 => break,
                _ => {}
            }
        }
        let tree = primary.or(joliet.map(|found| found.0)).ok_or((EINVAL, "Unable to identify CD-ROM format."))?;
        let (blocks, block_size) = (tree.blocks, tree.block_size);
        let mut volume = Self { store, choice, root: Place(0), blocks, block_size, joliet: 0, rock: None };
        volume.root = volume.block(tree.root);
        let mut says = false;
        if choice.rock && primary.is_some() {
            says = volume.find_rock().map_err(|error| (error, "the root directory cannot be read"))?;
        }
        if let Some((tree, level)) = joliet
            && (!says || volume.is_empty())
        {
            (volume.blocks, volume.block_size) = (tree.blocks, tree.block_size);
            volume.root = volume.block(tree.root);
            (volume.rock, volume.joliet) = (None, level);
        }
        Ok(volume)
    }

    fn descriptor(sector: &[u8]) -> Result<Tree, (Error, &'static str)> {
        let block_size = u32::from(le16(sector, 128));
        if !matches!(block_size, 512 | 1024 | 2048) {
            return Err((EINVAL, "Bad logical zone size"));
        }
        let record = sector.get(156..190).ok_or(EIO).and_then(Record::new);
        let record = record.map_err(|_| (EINVAL, "the root directory's record is damaged"))?;
        Ok(Tree { root: record.extent(), blocks: le32(sector, 80), block_size })
    }

    /// Finds where the fields of Rock Ridge are; whether the disc says that it has them. Those of a disc without the mark are read all
    /// the same.
    fn find_rock(&mut self) -> Result<bool> {
        self.rock = Some(self.with_record(self.root, |record| Ok(rock::skip(record.system_use(0)).unwrap_or(0)))?);
        self.with_record(self.root, |record| Ok(self.rock_of(record)?.is_some_and(|rock| rock.extensions)))
    }

    /// Whether nothing is in the root: discs that have all in Joliet's tree alone.
    fn is_empty(&self) -> bool {
        let first = || {
            let root = self.inode(self.root)?;
            let mut reader = DirReader::new(self, &root, 0)?;
            while let Some(entry) = reader.next(self)? {
                if entry.dots == 0 {
                    return Ok(false);
                }
            }
            Ok::<_, Error>(true)
        };
        first().unwrap_or(false)
    }

    /// Where a block is.
    pub fn block(&self, number: u32) -> Place {
        Place(u64::from(number) * u64::from(self.block_size))
    }

    /// Whether names are found whatever the case of their letters.
    pub fn relaxed(&self) -> bool {
        self.choice.relaxed.unwrap_or(self.joliet != 0)
    }

    /// Calls `f` with the record at `at`.
    pub(crate) fn with_record<R>(&self, at: Place, f: impl FnOnce(&Record<'_>) -> Result<R>) -> Result<R> {
        // A record's length is one byte, and it does not cross sectors.
        let mut bytes = [0u8; 256];
        let len = (SECTOR - at.0 % SECTOR).min(256) as usize;
        let bytes = bytes.get_mut(..len).ok_or(EIO)?;
        self.store.read(at.0, bytes)?;
        f(&Record::new(bytes)?)
    }

    /// What Rock Ridge says of a record, if it is looked for.
    pub(crate) fn rock_of(&self, record: &Record<'_>) -> Result<Option<Rock>> {
        match self.rock {
            Some(skip) => Rock::read(self, record.system_use(skip)).map(Some),
            None => Ok(None),
        }
    }

    /// Bytes of a block, as many as are wanted of its sector.
    pub(crate) fn continuation(&self, block: u32, offset: u32, len: u32) -> Result<KVVec<u8>> {
        // Fields go on within one sector.
        if u64::from(offset) + u64::from(len) > SECTOR {
            return Err(EIO);
        }
        let mut more = KVVec::from_elem(0u8, len as usize, GFP_NOFS)?;
        self.store.read(self.block(block).0 + u64::from(offset), &mut more)?;
        Ok(more)
    }
}
