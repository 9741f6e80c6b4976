// SPDX-License-Identifier: GPL-2.0
//! Going through a directory.

use crate::inode::{Inode, S_IFDIR, S_IFMT};
use crate::record::{Record, flag, joliet, mapped};
use crate::{Place, SECTOR, Store, Volume, byte};
use errno::Result;
use errno::code::{EIO, ENOTDIR};
use kalloc::flags::GFP_NOFS;
use kalloc::{KVVec, KVec};

/// An entry, `.` and `..` among them.
pub struct Entry {
    /// Its name.
    pub name: KVec<u8>,
    /// Its inode's record.
    pub at: Place,
    /// Its type in a mode, or 0 for a regular file of which nothing is said.
    pub kind: u32,
    /// How many of the first two entries (`.`, `..`) it is; 0 for others.
    pub dots: usize,
    /// The byte of the directory behind it.
    pub next: u64,
}

/// A directory's reader: one sector at a time.
pub struct DirReader {
    sector: KVVec<u8>,
    loaded: Option<u64>,
    start: u64,
    size: u64,
    pos: u64,
    /// The first record of the file in several pieces that is being read.
    first: Option<Place>,
}

impl DirReader {
    /// Reads `dir` from byte `from` on. `ENOTDIR`.
    pub fn new<S: Store>(volume: &Volume<S>, dir: &Inode, from: u64) -> Result<Self> {
        if !dir.is_dir {
            return Err(ENOTDIR);
        }
        let start = dir.sections.first().map_or(0, |section| volume.block(section.block).0);
        let sector = KVVec::from_elem(0u8, SECTOR as usize, GFP_NOFS)?;
        Ok(Self { sector, loaded: None, start, size: dir.size, pos: from, first: None })
    }

    /// The next entry that is shown; `None` at the end. EIO.
    pub fn next<S: Store>(&mut self, volume: &Volume<S>) -> Result<Option<Entry>> {
        while self.pos < self.size {
            let (sector, offset) = (self.pos / SECTOR, self.pos % SECTOR);
            let at = self.start.checked_add(sector * SECTOR).ok_or(EIO)?;
            if self.loaded != Some(sector) {
                volume.store.read(at, &mut self.sector)?;
                self.loaded = Some(sector);
            }
            let bytes = self.sector.get(offset as usize..).unwrap_or(b"");
            // Records do not cross sectors; nothing more is in this one.
            if byte(bytes, 0) == 0 {
                self.pos = (sector + 1) * SECTOR;
                continue;
            }
            let record = Record::new(bytes)?;
            self.pos += record.len() as u64;
            let here = Place(at + offset);
            let first = self.first.take().unwrap_or(here);
            if record.flags() & flag::MORE != 0 {
                self.first = Some(first);
                continue;
            }
            if let Some((name, kind)) = volume.shown_name(&record)? {
                // A directory's place is its own first record.
                let is_dir = record.flags() & flag::DIR != 0;
                let at = if is_dir { volume.block(record.extent()) } else { first };
                return Ok(Some(Entry { name, at, kind, dots: record.dots(), next: self.pos }));
            }
        }
        Ok(None)
    }
}

impl<S: Store> Volume<S> {
    /// The name that a record shows, with the type that its mode says, or `None` if it shows none.
    fn shown_name(&self, record: &Record<'_>) -> Result<Option<(KVec<u8>, u32)>> {
        let flags = record.flags();
        let mut kind = if flags & flag::DIR != 0 { S_IFDIR } else { 0 };
        match record.dots() {
            0 => {}
            n => return Ok(Some((KVec::from_slice(b"..".get(..n).unwrap_or(b""), GFP_NOFS)?, S_IFDIR))),
        }
        if flags & flag::HIDDEN != 0 && self.choice.hide || flags & flag::ASSOCIATED != 0 && !self.choice.associated {
            return Ok(None);
        }
        if let Some(rock) = self.rock_of(record)? {
            if rock.relocated {
                return Ok(None);
            }
            kind = rock.posix.map_or(kind, |posix| posix[0] & S_IFMT);
            if rock.child.is_some() {
                kind = S_IFDIR;
            }
            if !rock.name.is_empty() {
                let usable = !rock.name.contains(&b'/') && !rock.name.contains(&0);
                return Ok(usable.then_some((rock.name, kind)));
            }
        }
        let name = match self.joliet {
            0 => mapped(record, self.choice.names)?,
            _ => joliet(record.name(), self.choice.utf8)?,
        };
        // Such names cannot be said.
        Ok((!name.is_empty() && !name.contains(&0) && !name.contains(&b'/')).then_some((name, kind)))
    }

    /// The record of entry `name` of a directory.
    pub fn lookup(&self, dir: &Inode, name: &[u8]) -> Result<Option<Place>> {
        let mut reader = DirReader::new(self, dir, 0)?;
        while let Some(entry) = reader.next(self)? {
            if entry.dots == 0 && self.same(&entry.name, name) {
                return Ok(Some(entry.at));
            }
        }
        Ok(None)
    }

    /// Whether a name is the one that is looked for: with Joliet full stops at the end do not count, and relaxed the case of letters.
    fn same(&self, shown: &[u8], name: &[u8]) -> bool {
        let (shown, name) = if self.joliet != 0 { (without_stops(shown), without_stops(name)) } else { (shown, name) };
        if self.relaxed() { shown.eq_ignore_ascii_case(name) } else { shown == name }
    }
}

fn without_stops(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|c| *c != b'.').map_or(0, |last| last + 1);
    name.get(..end).unwrap_or(b"")
}
