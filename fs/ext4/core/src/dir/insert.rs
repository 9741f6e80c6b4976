// SPDX-License-Identifier: GPL-2.0
//! Putting an entry into a directory.

use super::Kind;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::map::Create;
use crate::tx::Tx;
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use ext4_format::dir::{Entries, Entry, record_len};
use ext4_format::feature::incompat;
use ext4_store::{Buffer, Store};

/// The largest directory without `large_dir`.
const SIZE_MAX: u64 = 0x7fff_ffff;

/// What goes into an entry.
#[derive(Clone, Copy)]
pub(crate) struct New<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) ino: u32,
    /// 0 without `filetype`.
    pub(crate) file_type: u8,
}

impl New<'_> {
    pub(crate) fn len(&self) -> usize {
        record_len(self.name.len())
    }
}

impl<S: Store> Fs<S> {
    /// Credits for adding one entry: splits of a leaf and of each level of the index, with their allocations.
    pub(crate) fn credits_for_entry(&self, dir: &Inode) -> u32 {
        let splits = self.geo.dir_levels() as u32 + 2;
        6 + splits * (self.credits_for_map(dir) + 3)
    }

    /// Adds an entry. The name must not be there yet. `ENOSPC` if the disk, or the index, is full.
    pub(crate) fn add_entry(&self, tx: &mut Tx<S>, dir: &mut Inode, name: &[u8], ino: u32, file_type: u8) -> Result {
        let new = New { name, ino, file_type: if self.geo.filetype() { file_type } else { 0 } };
        if dir.is_inline() {
            if self.inline_add(tx, dir, new)? {
                return self.entry_added(tx, dir);
            }
            self.inline_dir_to_block(tx, dir)?;
        }
        if self.is_indexed(dir) {
            match self.index_add(tx, dir, new) {
                Err(error) if error == EOPNOTSUPP => dir.raw.flags &= !ext4_format::inode::flag::INDEX,
                Err(error) => return Err(error),
                Ok(()) => return self.entry_added(tx, dir),
            }
        }
        let blocks = self.dir_blocks(dir);
        let first = if dir.dir_hint < blocks { dir.dir_hint } else { 0 };
        let mut next = first;
        while let Some((lblk, buf)) = self.next_dir_block(dir, next, blocks, Kind::Leaf)? {
            next = lblk + 1;
            if self.insert_in_leaf(tx, dir, &buf, new)? {
                dir.dir_hint = lblk;
                return self.entry_added(tx, dir);
            }
            if blocks == 1
                && self.dir_index()
                && !dir.has_flag(ext4_format::inode::flag::INDEX)
                && self.make_index(tx, dir)?
            {
                self.index_add(tx, dir, new)?;
                return self.entry_added(tx, dir);
            }
        }
        let (_, buf) = self.append_leaf(tx, dir)?;
        if !self.insert_in_leaf(tx, dir, &buf, new)? {
            return Err(self.corrupt("dir_new_block", dir.ino, buf.block()));
        }
        dir.dir_hint = blocks;
        self.entry_added(tx, dir)
    }

    fn entry_added(&self, tx: &mut Tx<S>, dir: &mut Inode) -> Result {
        self.touch(dir, true);
        self.write_inode(tx, dir)
    }

    /// Puts an entry into a leaf; false if there is no room.
    pub(crate) fn insert_in_leaf(&self, tx: &mut Tx<S>, dir: &Inode, buf: &S::Buf, new: New<'_>) -> Result<bool> {
        let end = self.leaf_end();
        let place = self.find_room(dir, buf.read().get(..end).unwrap_or(&[]), 0, new.len())?;
        let Some(entry) = place else { return Ok(false) };
        let size = self.geo.block_size;
        let used = if entry.inode == 0 { 0 } else { record_len(entry.name_len) };
        let to = entry.offset + used + new.len();
        self.modify(tx, buf, |data| {
            self.edit_leaf_bytes(dir, data, entry.offset, to, |data| put_entry(data, entry, new, size))
        })?;
        Ok(true)
    }

    /// The entry whose room holds `needed` bytes more.
    pub(crate) fn find_room(&self, dir: &Inode, region: &[u8], start: usize, needed: usize) -> Result<Option<Entry>> {
        for entry in Entries::new(region, start, self.geo.block_size, self.geo.filetype()) {
            let entry = entry.map_err(|_| self.corrupt("dir_entry", dir.ino, 0))?;
            let used = if entry.inode == 0 { 0 } else { record_len(entry.name_len) };
            if entry.rec_len - used >= needed {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Adds a block without entries to the end of a directory.
    pub(crate) fn append_leaf(&self, tx: &mut Tx<S>, dir: &mut Inode) -> Result<(u32, S::Buf)> {
        let end = self.leaf_end();
        let (size, csum) = (self.geo.block_size, self.geo.csum);
        let seed = dir.seed;
        self.append_block(tx, dir, |data| {
            Entry::write(data, 0, 0, end, b"", 0, size);
            if csum {
                ext4_format::dir::init_tail(data);
                ext4_format::dir::set_leaf_checksum(data, seed);
            }
        })
    }

    /// Adds a block to the end of a directory; the caller writes the inode.
    pub(crate) fn append_block(
        &self,
        tx: &mut Tx<S>,
        dir: &mut Inode,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(u32, S::Buf)> {
        let most = self.max_dir_kb.load(Ordering::Relaxed);
        if most != 0 && dir.raw.size >> 10 >= most.into() {
            return Err(ENOSPC);
        }
        let size = dir.raw.size.saturating_add(self.geo.block_size as u64);
        if size > SIZE_MAX && !self.geo.has_incompat(incompat::LARGEDIR) {
            return Err(ENOSPC);
        }
        let lblk = self.dir_blocks(dir);
        let found = self.map_create(tx, dir, lblk, 1, Create { exact: true, ..Create::default() })?;
        let block = found.block().ok_or_else(|| self.corrupt("dir_block_unwritten", dir.ino, 0))?;
        let buf = self.create_block(tx, block, fill)?;
        dir.raw.size = size;
        Ok((lblk, buf))
    }
}

/// Puts an entry into the room of another.
pub(crate) fn put_entry(region: &mut [u8], room: Entry, new: New<'_>, block_size: usize) {
    let used = if room.inode == 0 { 0 } else { record_len(room.name_len) };
    if used > 0 {
        Entry::set_len(region, room.offset, used, block_size);
    }
    Entry::write(region, room.offset + used, new.ino, room.rec_len - used, new.name, new.file_type, block_size);
}
