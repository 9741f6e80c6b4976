// SPDX-License-Identifier: GPL-2.0
//! The index of a directory: from a name's hash to the leaf that would hold it.

use super::{Kind, Place};
use crate::fs::Fs;
use crate::inode::Inode;
use errno::{Result, code::*};
use ext4_format::dir::{Entry, dx};
use ext4_format::hash::{self, Hash};
use ext4_format::le;
use ext4_store::{Buffer, Store};
use kalloc::{KVec, flags::GFP_NOFS};

/// A level of the way down.
pub(crate) struct Frame<S: Store> {
    pub(crate) buf: S::Buf,
    /// Where its entries begin.
    pub(crate) at: usize,
    /// Entries in use.
    pub(crate) count: usize,
    /// The entry taken.
    pub(crate) pos: usize,
}

impl<S: Store> Frame<S> {
    pub(crate) fn child(&self) -> u32 {
        dx::child(&self.buf.read(), self.at, self.pos)
    }
    fn hash_of(&self, pos: usize) -> u32 {
        dx::hash(&self.buf.read(), self.at, pos)
    }
}

/// The way from the root to a leaf; the last frame's entry points to the leaf.
pub(crate) struct Way<S: Store> {
    pub(crate) frames: KVec<Frame<S>>,
    /// The directory's hash function, with the choice of signedness.
    pub(crate) version: u8,
}

impl<S: Store> Way<S> {
    pub(crate) fn leaf(&self) -> Result<u32> {
        Ok(self.frames.last().ok_or(EUCLEAN)?.child())
    }
}

impl<S: Store> Fs<S> {
    /// The hash of a name.
    pub(crate) fn hash_name(&self, dir: &Inode, name: &[u8], version: u8) -> Result<Hash> {
        hash::hash(name, version, &self.geo.hash_seed).ok_or_else(|| self.corrupt("dir_hash_version", dir.ino, 0))
    }

    /// The hash function that a directory's root names.
    pub(crate) fn hash_version(&self, stored: u8) -> u8 {
        if stored <= hash::TEA && self.geo.hash_unsigned { stored + 3 } else { stored }
    }

    /// Checks the root of an index: levels below it and hash function. `EOPNOTSUPP` for an index that we cannot use.
    fn check_root(&self, dir: &Inode, buf: &S::Buf) -> Result<(usize, u8)> {
        let data = buf.read();
        let byte = |at: usize| data.get(dx::ROOT_INFO + at).copied().unwrap_or(0);
        let (version, length, levels, unused) = (byte(4), byte(5), usize::from(byte(6)), byte(7));
        let at = dx::ROOT_INFO + 8;
        let limit = dx::limit(self.geo.block_size, at, self.geo.csum);
        let good = le::u32_at(&data, dx::ROOT_INFO) == 0
            && length == 8
            && dx::stored_limit(&data, at) == limit
            && (1..=limit).contains(&dx::count(&data, at));
        drop(data);
        if !good || levels >= self.geo.dir_levels() {
            return Err(self.corrupt("dir_index_root", dir.ino, buf.block()));
        }
        if version > hash::TEA_UNSIGNED || unused & 1 != 0 {
            return Err(EOPNOTSUPP);
        }
        Ok((levels, self.hash_version(version)))
    }

    /// The way to the leaf for `major`.
    pub(crate) fn probe(&self, dir: &Inode, hash_of: impl FnOnce(u8) -> Result<u32>) -> Result<Way<S>> {
        let root = self.dir_block_there(dir, 0, Kind::Index)?;
        let (levels, version) = self.check_root(dir, &root)?;
        let major = hash_of(version)?;
        let mut frames = KVec::with_capacity(4, GFP_NOFS)?;
        let (mut buf, mut at) = (root, dx::ROOT_INFO + 8);
        for level in 0..=levels {
            let count = dx::count(&buf.read(), at);
            let pos = search(&buf.read(), at, count, major);
            let frame = Frame { buf, at, count, pos };
            let child = frame.child();
            frames.push(frame, GFP_NOFS)?;
            if level == levels {
                break;
            }
            (buf, at) = (self.index_node(dir, child)?, dx::NODE_ENTRIES);
        }
        Ok(Way { frames, version })
    }

    /// Reads and checks an inner node.
    pub(crate) fn index_node(&self, dir: &Inode, lblk: u32) -> Result<S::Buf> {
        let size = self.geo.block_size;
        if lblk == 0 || lblk >= self.dir_blocks(dir) {
            return Err(self.corrupt("dir_index_child", dir.ino, lblk.into()));
        }
        let buf = self.dir_block_there(dir, lblk, Kind::Index)?;
        let good = {
            let data = buf.read();
            let first = Entry::decode(&data, 0, size, self.geo.filetype());
            let limit = dx::limit(size, dx::NODE_ENTRIES, self.geo.csum);
            first.is_some_and(|entry| entry.inode == 0 && entry.rec_len == size)
                && dx::stored_limit(&data, dx::NODE_ENTRIES) == limit
                && (1..=limit).contains(&dx::count(&data, dx::NODE_ENTRIES))
        };
        if good { Ok(buf) } else { Err(self.corrupt("dir_index_node", dir.ino, buf.block())) }
    }

    /// Goes to the next leaf. With `only`: just if that leaf goes on with this hash. Gives the hash at which it begins.
    pub(crate) fn next_leaf(&self, dir: &Inode, way: &mut Way<S>, only: Option<u32>) -> Result<Option<u32>> {
        let Some(level) = way.frames.iter().rposition(|frame| frame.pos + 1 < frame.count) else { return Ok(None) };
        let Some(frame) = way.frames.get_mut(level) else { return Ok(None) };
        let next = frame.hash_of(frame.pos + 1);
        if only.is_some_and(|major| next & !1 != major || next & 1 == 0) {
            return Ok(None);
        }
        frame.pos += 1;
        let mut child = frame.child();
        for frame in way.frames.iter_mut().skip(level + 1) {
            let buf = self.index_node(dir, child)?;
            let count = dx::count(&buf.read(), dx::NODE_ENTRIES);
            *frame = Frame { buf, at: dx::NODE_ENTRIES, count, pos: 0 };
            child = frame.child();
        }
        Ok(Some(next))
    }

    /// Reads a leaf that the index points to.
    pub(crate) fn index_leaf(&self, dir: &Inode, lblk: u32) -> Result<S::Buf> {
        if lblk == 0 || lblk >= self.dir_blocks(dir) {
            return Err(self.corrupt("dir_index_leaf", dir.ino, lblk.into()));
        }
        self.dir_block_there(dir, lblk, Kind::Leaf)
    }

    /// Looks a name up by the index.
    pub(crate) fn index_find(&self, dir: &Inode, name: &[u8]) -> Result<Option<(S::Buf, Place)>> {
        let mut major = 0;
        let mut way = self.probe(dir, |version| {
            major = self.hash_name(dir, name, version)?.major;
            Ok(major)
        })?;
        // A damaged index may lead in circles, but not through more leaves than there are blocks.
        for _ in 0..=self.dir_blocks(dir) {
            let buf = self.index_leaf(dir, way.leaf()?)?;
            let found = self.find_place(dir, &buf.read(), 0, name)?;
            if let Some(place) = found {
                return Ok(Some((buf, place)));
            }
            if self.next_leaf(dir, &mut way, Some(major))?.is_none() {
                return Ok(None);
            }
        }
        Err(self.corrupt("dir_index_loop", dir.ino, 0))
    }
}

/// The last entry whose hash is at or before `major`.
fn search(data: &[u8], at: usize, count: usize, major: u32) -> usize {
    let (mut low, mut high) = (1, count);
    while low < high {
        let middle = (low + high) / 2;
        if dx::hash(data, at, middle) <= major {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low - 1
}
