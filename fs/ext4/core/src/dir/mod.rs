// SPDX-License-Identifier: GPL-2.0
//! Directories: blocks of entries, with an index (`htree`) once there is more than one block.
//!
//! The caller holds the directory's lock: shared to look up and list, exclusive to change. Blocks are checked once when they
//! come into memory; entries again whenever they are walked, which also bounds each walk.

mod build;
mod index;
mod insert;
mod list;
mod split;

pub(crate) use insert::{New, put_entry};
pub use list::{Cursor, Found};

use crate::fs::Fs;
use crate::inode::Inode;
use crate::map::State;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::dir::{self, Entries, Entry, TAIL, dx};
use ext4_format::inode::flag;
use ext4_format::le;
use ext4_store::{Buffer, Store};

/// What a block of a directory is expected to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Entries.
    Leaf,
    /// The index's root, or a node of it.
    Index,
    /// Whatever its first entry says (as a walk over all blocks meets both).
    Any,
}

/// An entry that was found.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) entry: Entry,
    /// The entry before it in its block.
    pub(crate) before: Option<Entry>,
}

/// Where index entries begin in a block of the index, if it is one: by the shape of its first entries.
fn index_offset(data: &[u8], block_size: usize, filetype: bool) -> Option<usize> {
    let first = Entry::decode(data, 0, block_size, filetype)?;
    if first.rec_len == block_size && first.inode == 0 {
        return Some(dx::NODE_ENTRIES);
    }
    if first.rec_len != 12 {
        return None;
    }
    let second = Entry::decode(data, 12, block_size, filetype)?;
    let good = second.rec_len == block_size - 12
        && le::u32_at(data, dx::ROOT_INFO) == 0
        && data.get(dx::ROOT_INFO + 5) == Some(&8);
    good.then_some(dx::ROOT_INFO + 8)
}

impl<S: Store> Fs<S> {
    /// Blocks of a directory.
    pub(crate) fn dir_blocks(&self, dir: &Inode) -> u32 {
        (dir.raw.size >> self.geo.block_bits).min(u64::from(u32::MAX)) as u32
    }

    /// Whether a directory has an index that we use.
    pub(crate) fn is_indexed(&self, dir: &Inode) -> bool {
        self.dir_index() && dir.has_flag(flag::INDEX) && !dir.is_inline()
    }

    /// Reads block `lblk` of a directory and checks its checksum. `Ok(None)` for a hole.
    pub(crate) fn dir_block(&self, dir: &Inode, lblk: u32, kind: Kind) -> Result<Option<S::Buf>> {
        let found = self.map(dir, lblk, 1)?;
        let State::Written(block) = found.state else { return Ok(None) };
        let buf = self.store.bread(block)?;
        if !self.geo.csum || buf.is_verified() {
            return Ok(Some(buf));
        }
        let (size, filetype) = (self.geo.block_size, self.geo.filetype());
        let good = {
            let data = buf.read();
            let index =
                if kind == Kind::Leaf || !self.is_indexed(dir) { None } else { index_offset(&data, size, filetype) };
            match index {
                Some(at) => {
                    let limit = dx::stored_limit(&data, at);
                    limit == dx::limit(size, at, true)
                        && dx::count(&data, at) <= limit
                        && dx::checksum_ok(&data, at, dir.seed)
                }
                None => kind != Kind::Index && dir::leaf_checksum_ok(&data, dir.seed),
            }
        };
        if !good {
            return Err(self.bad_csum("dir_block", dir.ino, block));
        }
        buf.set_verified();
        Ok(Some(buf))
    }

    /// The first block of `lblk..end` that is there. Holes are passed over in one step: a damaged directory may say that it is terabytes long.
    pub(crate) fn next_dir_block(
        &self,
        dir: &Inode,
        mut lblk: u32,
        end: u32,
        kind: Kind,
    ) -> Result<Option<(u32, S::Buf)>> {
        while lblk < end {
            match self.dir_block(dir, lblk, kind)? {
                Some(buf) => return Ok(Some((lblk, buf))),
                None => lblk = lblk.saturating_add(self.map(dir, lblk, end - lblk)?.len.max(1)),
            }
        }
        Ok(None)
    }

    /// As [`Self::dir_block`]; a hole is `EUCLEAN`.
    pub(crate) fn dir_block_there(&self, dir: &Inode, lblk: u32, kind: Kind) -> Result<S::Buf> {
        match self.dir_block(dir, lblk, kind)? {
            Some(buf) => Ok(buf),
            None => Err(self.corrupt("dir_hole", dir.ino, 0)),
        }
    }

    /// Bytes of a leaf that hold entries.
    pub(crate) fn leaf_end(&self) -> usize {
        self.geo.block_size - if self.geo.csum { TAIL } else { 0 }
    }

    /// Sets the checksum of a leaf after a change.
    pub(crate) fn finish_leaf(&self, dir: &Inode, data: &mut [u8]) {
        if self.geo.csum {
            dir::set_leaf_checksum(data, dir.seed);
        }
    }

    /// Changes bytes `from..to` of a leaf, with its checksum, which costs as much as what changes. The old checksum is right:
    /// the block was verified when it was read.
    pub(crate) fn edit_leaf_bytes(
        &self,
        dir: &Inode,
        data: &mut [u8],
        from: usize,
        to: usize,
        f: impl FnOnce(&mut [u8]),
    ) {
        let end = data.len().saturating_sub(TAIL);
        let mut delta = [0u8; 600];
        let before = data.get(from..to).filter(|_| self.geo.csum && to <= end);
        let kept = match (before, delta.get_mut(..to.saturating_sub(from))) {
            (Some(old), Some(place)) => {
                place.copy_from_slice(old);
                true
            }
            _ => false,
        };
        f(data);
        if !kept {
            return self.finish_leaf(dir, data);
        }
        for (old, new) in delta.iter_mut().zip(data.get(from..to).unwrap_or(&[])) {
            *old ^= new;
        }
        let at = data.len().saturating_sub(4);
        let changed = delta.get(..to - from).unwrap_or(&[]);
        match ext4_format::crc::crc32c_changed(le::u32_at(data, at), changed, end - to) {
            Some(crc) => le::put_u32(data, at, crc),
            None => self.finish_leaf(dir, data),
        }
    }

    /// The entry with this name in a region. `EUCLEAN` if the entries are damaged.
    pub(crate) fn find_entry(&self, dir: &Inode, region: &[u8], start: usize, name: &[u8]) -> Result<Option<Entry>> {
        Ok(self.find_place(dir, region, start, name)?.map(|place| place.entry))
    }

    /// As [`Self::find_entry`], with the entry before it.
    pub(crate) fn find_place(&self, dir: &Inode, region: &[u8], start: usize, name: &[u8]) -> Result<Option<Place>> {
        let mut before = None;
        for entry in Entries::new(region, start, self.geo.block_size, self.geo.filetype()) {
            let entry = entry.map_err(|_| self.corrupt("dir_entry", dir.ino, 0))?;
            if entry.inode != 0 && entry.name(region) == name {
                return Ok(Some(Place { entry, before }));
            }
            before = Some(entry);
        }
        Ok(None)
    }

    /// The block of a directory that has an entry with this name, and the entry. Not for inline directories.
    pub(crate) fn find_in_blocks(&self, dir: &Inode, name: &[u8]) -> Result<Option<(S::Buf, Place)>> {
        let dots = name == b"." || name == b"..";
        if self.is_indexed(dir) && !dots {
            match self.index_find(dir, name) {
                Ok(found) => return Ok(found),
                // An index that cannot be used is passed over, as Linux does; damage of entries is not.
                Err(error) if error == EOPNOTSUPP => {}
                Err(error) => return Err(error),
            }
        }
        let blocks = if dots && self.is_indexed(dir) { 1 } else { self.dir_blocks(dir) };
        let first = if dir.dir_hint < blocks { dir.dir_hint } else { 0 };
        for (mut next, end) in [(first, blocks), (0, first)] {
            while let Some((lblk, buf)) = self.next_dir_block(dir, next, end, Kind::Any)? {
                let found = self.find_place(dir, &buf.read(), 0, name)?;
                if let Some(place) = found {
                    return Ok(Some((buf, place)));
                }
                next = lblk + 1;
            }
        }
        Ok(None)
    }

    /// The inode that `name` stands for in a directory, with the type from its entry. `Ok(None)` if there is no such name;
    /// `ENAMETOOLONG`.
    pub fn lookup(&self, dir: &Inode, name: &[u8]) -> Result<Option<(u32, u8)>> {
        if name.len() > dir::NAME_LEN {
            return Err(ENAMETOOLONG);
        }
        let found = if dir.is_inline() {
            self.inline_find(dir, name)?.map(|entry| (entry.0, entry.1))
        } else {
            self.find_in_blocks(dir, name)?.map(|(_, place)| (place.entry.inode, place.entry.file_type))
        };
        match found {
            Some((number, _)) if !self.valid_ino(number) || (number == dir.ino && name != b"." && name != b"..") => {
                Err(self.corrupt("dir_entry_inode", dir.ino, number.into()))
            }
            other => Ok(other),
        }
    }

    /// Whether a directory has no entries but `.` and `..`.
    pub fn is_empty_dir(&self, dir: &Inode) -> Result<bool> {
        if dir.is_inline() {
            return self.inline_is_empty(dir);
        }
        let mut next = 0;
        while let Some((lblk, buf)) = self.next_dir_block(dir, next, self.dir_blocks(dir), Kind::Any)? {
            next = lblk + 1;
            let data = buf.read();
            for entry in Entries::new(&data, 0, self.geo.block_size, self.geo.filetype()) {
                let entry = entry.map_err(|_| self.corrupt("dir_entry", dir.ino, buf.block()))?;
                let dots = lblk == 0 && matches!(entry.name(&data), b"." | b"..");
                if entry.inode != 0 && !dots {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Points the entry `name` to another inode (`rename` over a file, and `..`).
    pub(crate) fn set_entry(&self, tx: &mut Tx<S>, dir: &mut Inode, name: &[u8], number: u32, file_type: u8) -> Result {
        if dir.is_inline() {
            return self.inline_set(tx, dir, name, number, file_type);
        }
        let (buf, Place { entry, .. }) = self.find_in_blocks(dir, name)?.ok_or(ENOENT)?;
        let (filetype, seed, csum, size) = (self.geo.filetype(), dir.seed, self.geo.csum, self.geo.block_size);
        let root = if self.is_indexed(dir) { index_offset(&buf.read(), size, filetype) } else { None };
        let change = |data: &mut [u8]| {
            le::put_u32(data, entry.offset, number);
            if filetype {
                le::put(data, entry.offset + 7, &[file_type]);
            }
        };
        self.modify(tx, &buf, |data| match root {
            Some(at) => {
                change(data);
                if csum {
                    dx::set_checksum(data, at, seed);
                }
            }
            None => self.edit_leaf_bytes(dir, data, entry.offset, entry.offset + dir::HEAD, change),
        })?;
        self.touch(dir, true);
        self.write_inode(tx, dir)
    }

    /// Takes an entry out of a directory. `ENOENT` if it is not there.
    pub(crate) fn remove_entry(&self, tx: &mut Tx<S>, dir: &mut Inode, name: &[u8]) -> Result {
        if dir.is_inline() {
            self.inline_remove(tx, dir, name)?;
        } else {
            let (buf, Place { entry, before }) = self.find_in_blocks(dir, name)?.ok_or(ENOENT)?;
            let size = self.geo.block_size;
            let from = before.map_or(entry.offset, |before| before.offset);
            let to = entry.offset + dir::record_len(entry.name_len);
            self.modify(tx, &buf, |data| {
                self.edit_leaf_bytes(dir, data, from, to, |data| delete(data, entry, before, size))
            })?;
            dir.dir_hint = 0;
        }
        self.touch(dir, true);
        self.write_inode(tx, dir)
    }
}

/// Takes an entry out of a region: its room goes to the one before it.
pub(crate) fn delete(region: &mut [u8], entry: Entry, before: Option<Entry>, block_size: usize) {
    let end = entry.offset + entry.rec_len;
    match before {
        Some(before) => {
            Entry::set_len(region, before.offset, end - before.offset, block_size);
            // The name goes; what is behind it was empty.
            if let Some(old) = region.get_mut(entry.offset..(entry.offset + dir::record_len(entry.name_len)).min(end)) {
                old.fill(0);
            }
        }
        None => {
            le::put_u32(region, entry.offset, 0);
            if let Some(old) =
                region.get_mut(entry.offset + dir::HEAD..(entry.offset + dir::record_len(entry.name_len)).min(end))
            {
                old.fill(0);
            }
        }
    }
}
