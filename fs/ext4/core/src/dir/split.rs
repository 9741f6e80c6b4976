// SPDX-License-Identifier: GPL-2.0
//! Adding to an indexed directory: splitting leaves, and nodes of the index, when they are full.

use super::index::{Frame, Way};
use super::insert::New;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use containers::sort;
use errno::{Result, code::*};
use ext4_format::dir::{self, Entries, Entry, dx, record_len};
use ext4_format::le;
use ext4_store::{Buffer, Store};
use kalloc::{KVec, flags::GFP_NOFS};

/// An entry of a leaf that is split.
struct Part {
    hash: u32,
    entry: Entry,
}

impl<S: Store> Fs<S> {
    /// Adds an entry by the index.
    pub(crate) fn index_add(&self, tx: &mut Tx<S>, dir: &mut Inode, new: New<'_>) -> Result {
        // Each round that does not end makes one node more; a level more at most once for each level.
        for _ in 0..=2 * self.geo.dir_levels() + 2 {
            let mut major = 0;
            let way = self.probe(dir, |version| {
                major = self.hash_name(dir, new.name, version)?.major;
                Ok(major)
            })?;
            let leaf = self.index_leaf(dir, way.leaf()?)?;
            if self.insert_in_leaf(tx, dir, &leaf, new)? {
                return Ok(());
            }
            let bottom = way.frames.last().ok_or(EUCLEAN)?;
            if bottom.count < dx::stored_limit(&bottom.buf.read(), bottom.at) {
                return self.split_leaf(tx, dir, &way, &leaf, major, new);
            }
            self.grow_index(tx, dir, &way)?;
        }
        Err(ENOSPC)
    }

    /// Inserts an entry after the one a frame has taken.
    fn insert_index(
        &self,
        tx: &mut Tx<S>,
        dir: &Inode,
        frame: &Frame<S>,
        after: usize,
        hash: u32,
        child: u32,
    ) -> Result {
        let (at, csum, seed) = (frame.at, self.geo.csum, dir.seed);
        self.modify(tx, &frame.buf, |data| {
            let count = dx::count(data, at);
            let from = at + (after + 1) * dx::ENTRY;
            let to = at + count * dx::ENTRY;
            if from <= to && to + dx::ENTRY <= data.len() {
                data.copy_within(from..to, from + dx::ENTRY);
            }
            dx::set(data, at, after + 1, hash, child);
            dx::set_count(data, at, count + 1);
            if csum {
                dx::set_checksum(data, at, seed);
            }
        })
    }

    /// Moves the upper half of a full leaf to a new one, and adds the entry to the one it belongs to.
    fn split_leaf(
        &self,
        tx: &mut Tx<S>,
        dir: &mut Inode,
        way: &Way<S>,
        leaf: &S::Buf,
        major: u32,
        new: New<'_>,
    ) -> Result {
        let (size, end, csum, filetype) = (self.geo.block_size, self.leaf_end(), self.geo.csum, self.geo.filetype());
        let old = KVec::from_slice(&leaf.read(), GFP_NOFS)?;
        let mut parts: KVec<Part> = KVec::new();
        for entry in Entries::new(old.get(..end).unwrap_or(&[]), 0, size, filetype) {
            let entry = entry.map_err(|_| self.corrupt("dir_entry", dir.ino, leaf.block()))?;
            if entry.inode != 0 {
                let hash = self.hash_name(dir, entry.name(&old), way.version)?.major;
                parts.push(Part { hash, entry }, GFP_NOFS)?;
            }
        }
        sort::sort_by_key(&mut parts, |part| (part.hash, part.entry.offset));
        if parts.len() < 2 {
            return Err(self.corrupt("dir_leaf_full", dir.ino, leaf.block()));
        }
        // As many from the end as make up half of the block; at least one on each side.
        let mut bytes = 0;
        let mut middle = parts.len();
        for part in parts.iter().rev() {
            let len = record_len(part.entry.name_len);
            if bytes + len / 2 > size / 2 {
                break;
            }
            bytes += len;
            middle -= 1;
        }
        let middle = middle.clamp(1, parts.len() - 1);
        let hash_at = |index: usize| parts.get(index).map_or(0, |part| part.hash);
        let second = hash_at(middle);
        let goes_on = u32::from(hash_at(middle - 1) == second);
        let (lower, upper) = parts.split_at(middle);
        let seed = dir.seed;
        let finish = |data: &mut [u8]| {
            if csum {
                dir::init_tail(data);
                dir::set_leaf_checksum(data, seed);
            }
        };
        let (lblk, fresh) = self.append_block(tx, dir, |data| {
            pack(data, &old, upper, end, size);
            finish(data);
        })?;
        self.modify(tx, leaf, |data| {
            data.fill(0);
            pack(data, &old, lower, end, size);
            finish(data);
        })?;
        let bottom = way.frames.last().ok_or(EUCLEAN)?;
        self.insert_index(tx, dir, bottom, bottom.pos, second + goes_on, lblk)?;
        let target = if major >= second { &fresh } else { leaf };
        if self.insert_in_leaf(tx, dir, target, new)? {
            return Ok(());
        }
        Err(self.corrupt("dir_leaf_split", dir.ino, leaf.block()))
    }

    /// Makes room in the full bottom of an index: the lowest full node under one with room is split; if the root is full, a
    /// level is put below it. `ENOSPC` if that may not be.
    fn grow_index(&self, tx: &mut Tx<S>, dir: &mut Inode, way: &Way<S>) -> Result {
        let (size, csum, seed) = (self.geo.block_size, self.geo.csum, dir.seed);
        let limit = dx::limit(size, dx::NODE_ENTRIES, csum);
        let full = |frame: &Frame<S>| frame.count >= dx::stored_limit(&frame.buf.read(), frame.at);
        let room = way.frames.iter().rposition(|frame| !full(frame));
        let level = room.map_or(0, |level| level + 1);
        let frame = way.frames.get(level).ok_or(EUCLEAN)?;
        let old = KVec::from_slice(&frame.buf.read(), GFP_NOFS)?;
        let entries =
            |from: usize, to: usize| old.get(frame.at + from * dx::ENTRY..frame.at + to * dx::ENTRY).unwrap_or(&[]);
        let fill = |data: &mut [u8], from: usize| {
            Entry::write(data, 0, 0, size, b"", 0, size);
            le::put(data, dx::NODE_ENTRIES, entries(from, frame.count));
            dx::set_limit_count(data, dx::NODE_ENTRIES, limit, frame.count - from);
            if csum {
                dx::set_checksum(data, dx::NODE_ENTRIES, seed);
            }
        };
        if let Some(parent) = room {
            let middle = frame.count / 2;
            let hash = dx::hash(&old, frame.at, middle);
            let (lblk, _) = self.append_block(tx, dir, |data| fill(data, middle))?;
            self.modify(tx, &frame.buf, |data| {
                dx::set_count(data, frame.at, middle);
                if csum {
                    dx::set_checksum(data, frame.at, seed);
                }
            })?;
            let parent = way.frames.get(parent).ok_or(EUCLEAN)?;
            return self.insert_index(tx, dir, parent, parent.pos, hash, lblk);
        }
        if way.frames.len() >= self.geo.dir_levels() {
            return Err(ENOSPC);
        }
        let levels = way.frames.len() as u8;
        let (lblk, _) = self.append_block(tx, dir, |data| fill(data, 0))?;
        self.modify(tx, &frame.buf, |data| {
            dx::set_count(data, frame.at, 1);
            dx::set(data, frame.at, 0, 0, lblk);
            le::put(data, dx::ROOT_INFO + 6, &[levels]);
            if csum {
                dx::set_checksum(data, frame.at, seed);
            }
        })
    }
}

/// Writes entries one after another; the last one's room goes up to `end`.
fn pack(data: &mut [u8], old: &[u8], parts: &[Part], end: usize, block_size: usize) {
    let mut at = 0;
    for (index, part) in parts.iter().enumerate() {
        let used = record_len(part.entry.name_len);
        let len = if index + 1 == parts.len() { end - at } else { used };
        let entry = part.entry;
        Entry::write(data, at, entry.inode, len, entry.name(old), entry.file_type, block_size);
        at += used;
    }
}
