// SPDX-License-Identifier: GPL-2.0
//! Directories: groups of entries, each behind a header, in the order of their names; long ones have an index. No locks.

use crate::image::{Cursor, Image, Store};
use crate::inode::{Data, Inode, TYPES};
use crate::le::Fields;
use core::cmp::Ordering;
use errno::Result;
use errno::code::{EIO, ENOTDIR};

/// Longest name.
pub const NAME_LEN: usize = 256;
/// Most entries behind one header.
const GROUP: u32 = 256;
/// What the size of a directory is larger than its entries.
const EXTRA: u64 = 3;
const HEADER: u64 = 12;
const ENTRY: u64 = 8;

/// An entry; its name is the reader's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Number of the inode.
    pub ino: u32,
    /// Where the inode is.
    pub at: u64,
    /// Type, as mode (`S_IF*`).
    pub mode: u32,
    /// Byte of the directory that the next entry (or header) begins with.
    pub next: u64,
}

/// Goes through a directory.
pub struct DirReader {
    cursor: Cursor,
    pos: u64,
    end: u64,
    left: u32,
    block: u32,
    base: u32,
    name: [u8; NAME_LEN],
    len: usize,
}

impl DirReader {
    /// The name of the entry that was returned last.
    pub fn name(&self) -> &[u8] {
        self.name.get(..self.len).unwrap_or(&[])
    }

    fn new(inode: &Inode) -> Result<Self> {
        let Data::Dir { entries, .. } = inode.data else { return Err(ENOTDIR) };
        Ok(Self {
            cursor: entries,
            pos: 0,
            end: inode.size.saturating_sub(EXTRA),
            left: 0,
            block: 0,
            base: 0,
            name: [0; NAME_LEN],
            len: 0,
        })
    }

    /// The next entry; none at the end. EIO.
    pub fn next<S: Store>(&mut self, image: &Image<S>) -> Result<Option<Entry>> {
        if self.left == 0 {
            if self.pos >= self.end {
                return Ok(None);
            }
            let bytes = image.record::<12>(&mut self.cursor)?;
            let mut f = Fields(&bytes);
            self.left = f.u32()?.checked_add(1).filter(|count| *count <= GROUP).ok_or(EIO)?;
            self.block = f.u32()?;
            self.base = f.u32()?;
            self.pos += HEADER;
        }
        let bytes = image.record::<8>(&mut self.cursor)?;
        let mut f = Fields(&bytes);
        let (offset, delta, kind, len) = (f.u16()?, f.u16()?.cast_signed(), f.u16()?, usize::from(f.u16()?) + 1);
        let name = self.name.get_mut(..len).ok_or(EIO)?;
        image.read(&mut self.cursor, name)?;
        if name.contains(&b'/') || name.contains(&0) {
            return Err(EIO);
        }
        self.len = len;
        self.left -= 1;
        self.pos += ENTRY + len as u64;
        if self.pos > self.end {
            return Err(EIO);
        }
        let mode = *TYPES.get(usize::from(kind).wrapping_sub(1)).ok_or(EIO)?;
        Ok(Some(Entry {
            ino: self.base.wrapping_add_signed(delta.into()),
            at: u64::from(self.block) << 16 | u64::from(offset),
            mode,
            next: self.pos,
        }))
    }
}

impl<S: Store> Image<S> {
    /// A reader of directory `inode` whose next entry is one that ends behind byte `from`. EIO, ENOTDIR.
    pub fn list(&self, inode: &Inode, from: u64) -> Result<DirReader> {
        self.indexed(inode, |start, _| u64::from(start) <= from)
    }

    /// The entry `name` of directory `inode`. EIO, ENOTDIR.
    pub fn lookup(&self, inode: &Inode, name: &[u8]) -> Result<Option<Entry>> {
        let mut reader = self.indexed(inode, |_, first| first <= name)?;
        while let Some(entry) = reader.next(self)? {
            match reader.name().cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(entry)),
                Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// A reader from the last group on that the index has and `before` (told the group's byte and first name) accepts.
    fn indexed(&self, inode: &Inode, before: impl Fn(u32, &[u8]) -> bool) -> Result<DirReader> {
        let mut reader = DirReader::new(inode)?;
        let Data::Dir { index: (count, mut cursor), entries, .. } = inode.data else { return Err(ENOTDIR) };
        for _ in 0..count {
            let bytes = self.record::<12>(&mut cursor)?;
            let mut f = Fields(&bytes);
            let (start, block, len) = (f.u32()?, f.u32()?, f.u32()?);
            let len = len.checked_add(1).map(|len| len as usize).filter(|len| *len <= NAME_LEN).ok_or(EIO)?;
            let mut name = [0u8; NAME_LEN];
            let name = name.get_mut(..len).ok_or(EIO)?;
            self.read(&mut cursor, name)?;
            if !before(start, name) {
                break;
            }
            // A group begins with a metadata block, or within one where the bytes before it end.
            reader.pos = start.into();
            reader.cursor.block = self.sb.directory_table.checked_add(block.into()).ok_or(EIO)?;
            reader.cursor.offset = (entries.offset as u64 + u64::from(start)) as usize % crate::METADATA;
        }
        Ok(reader)
    }
}
