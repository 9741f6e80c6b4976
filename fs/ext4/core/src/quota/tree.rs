// SPDX-License-Identifier: GPL-2.0
//! The quota file: its head, the tree over the bits of the id, blocks of entries. The file's lock is held.

use super::{BLOCK, ENTRY, Quota, info};
use crate::fs::Fs;
use crate::inode::Inode;
use crate::map::Create;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::le;
use ext4_store::{Buffer, Store};

/// Block of the tree's root.
const ROOT: u32 = 1;
/// Levels of the tree: eight bits of the id each.
const LEVELS: u32 = 4;
/// Bytes before the entries of a block of entries.
const HEAD: usize = 16;
const PER_BLOCK: usize = (BLOCK as usize - HEAD) / ENTRY;

impl<S: Store> Fs<S> {
    /// Buffer, and offset in it, of a block of a quota file.
    pub(super) fn quota_block(&self, file: &Inode, block: u32) -> Result<(S::Buf, usize)> {
        let at = u64::from(block) * BLOCK;
        let found = self.map(file, (at >> self.geo.block_bits) as u32, 1)?;
        let place = found.block().ok_or_else(|| self.corrupt("quota_hole", file.ino, 0))?;
        Ok((self.store.bread(place)?, (at % self.geo.block_size as u64) as usize))
    }

    /// The entry of an id in the file.
    pub(super) fn quota_find(&self, file: &Inode, id: u32) -> Result<Option<(S::Buf, usize)>> {
        let mut block = ROOT;
        for level in 0..LEVELS {
            let (buf, offset) = self.quota_block(file, block)?;
            let slot = (id >> (8 * (LEVELS - 1 - level)) & 0xff) as usize;
            block = le::u32_at(&buf.read(), offset + slot * 4);
            if block == 0 {
                return Ok(None);
            }
            self.check_quota_block(file, block)?;
        }
        let (buf, offset) = self.quota_block(file, block)?;
        let data = buf.read();
        let at = |index: usize| offset + HEAD + index * ENTRY;
        let used = |index: usize| {
            data.get(at(index)..at(index) + ENTRY).is_some_and(|entry| entry.iter().any(|&byte| byte != 0))
        };
        let found = (0..PER_BLOCK).find(|&index| used(index) && le::u32_at(&data, at(index)) == id).map(at);
        drop(data);
        Ok(found.map(|at| (buf, at)))
    }

    /// The first id from `from` on that the tree leads to.
    pub(super) fn quota_next_id(&self, file: &Inode, from: u32) -> Result<Option<u32>> {
        self.quota_next_below(file, ROOT, 0, 0, from)
    }

    /// The same below `block`, which stands for ids that begin with the bits of `prefix`.
    fn quota_next_below(&self, file: &Inode, block: u32, level: u32, prefix: u32, from: u32) -> Result<Option<u32>> {
        let (buf, offset) = self.quota_block(file, block)?;
        let shift = 8 * (LEVELS - 1 - level);
        for slot in from >> shift & 0xff..256 {
            let child = le::u32_at(&buf.read(), offset + slot as usize * 4);
            if child == 0 {
                continue;
            }
            self.check_quota_block(file, child)?;
            let id = prefix | slot << shift;
            if level == LEVELS - 1 {
                return Ok(Some(id));
            }
            // What lies behind the first slot begins anew.
            let found = self.quota_next_below(file, child, level + 1, id, if id > from { id } else { from })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn check_quota_block(&self, file: &Inode, block: u32) -> Result {
        if block <= ROOT || u64::from(block) * BLOCK >= file.raw.size {
            return Err(self.corrupt("quota_tree", file.ino, block.into()));
        }
        Ok(())
    }

    /// Changes a number in the head of a quota file.
    fn quota_info(&self, tx: &mut Tx<S>, file: &Inode, at: usize, value: u32) -> Result {
        let (buf, offset) = self.quota_block(file, 0)?;
        self.modify(tx, &buf, |data| le::put_u32(data, offset + at, value))
    }

    /// A fresh block of a quota file.
    fn quota_new_block(&self, tx: &mut Tx<S>, file: &mut Inode) -> Result<u32> {
        let (head, offset) = self.quota_block(file, 0)?;
        let (blocks, free) = {
            let data = head.read();
            (le::u32_at(&data, offset + info::BLOCKS), le::u32_at(&data, offset + info::FREE_BLOCK))
        };
        if free != 0 {
            self.check_quota_block(file, free)?;
            let (buf, at) = self.quota_block(file, free)?;
            let next = le::u32_at(&buf.read(), at);
            self.quota_info(tx, file, info::FREE_BLOCK, next)?;
            self.modify(tx, &buf, |data| data.get_mut(at..at + BLOCK as usize).map(|bytes| bytes.fill(0)))?;
            return Ok(free);
        }
        if u64::from(blocks) * BLOCK > file.raw.size {
            return Err(self.corrupt("quota_blocks", file.ino, blocks.into()));
        }
        let end = (u64::from(blocks) + 1) * BLOCK;
        let lblk = ((end - 1) >> self.geo.block_bits) as u32;
        if self.map(file, lblk, 1)?.block().is_none() {
            let found =
                self.map_create(tx, file, lblk, 1, Create { exact: true, convert: true, ..Create::default() })?;
            self.create_block(tx, found.block().ok_or(EIO)?, |_| {})?;
        }
        file.raw.size = file.raw.size.max(end);
        self.write_inode(tx, file)?;
        self.quota_info(tx, file, info::BLOCKS, blocks.saturating_add(1))?;
        let (buf, at) = self.quota_block(file, blocks)?;
        self.modify(tx, &buf, |data| data.get_mut(at..at + BLOCK as usize).map(|bytes| bytes.fill(0)))?;
        Ok(blocks)
    }

    /// Adds an entry for an id to the file.
    pub(super) fn quota_insert(&self, tx: &mut Tx<S>, file: &mut Inode, id: u32) -> Result<(S::Buf, usize)> {
        let mut block = ROOT;
        for level in 0..LEVELS - 1 {
            block = self.quota_child(tx, file, block, id, level)?;
        }
        let (head, offset) = self.quota_block(file, 0)?;
        let mut target = le::u32_at(&head.read(), offset + info::FREE_ENTRY);
        if target == 0 {
            target = self.quota_new_block(tx, file)?;
            self.quota_info(tx, file, info::FREE_ENTRY, target)?;
        } else {
            self.check_quota_block(file, target)?;
        }
        let (buf, offset) = self.quota_block(file, target)?;
        let at = |index: usize| offset + HEAD + index * ENTRY;
        let (index, entries, next) = {
            let data = buf.read();
            let unused = |index: &usize| {
                data.get(at(*index)..at(*index) + ENTRY).is_some_and(|entry| entry.iter().all(|&byte| byte == 0))
            };
            ((0..PER_BLOCK).find(unused), le::u16_at(&data, offset + 8), le::u32_at(&data, offset))
        };
        let index = index
            .filter(|_| usize::from(entries) < PER_BLOCK)
            .ok_or_else(|| self.corrupt("quota_entries", file.ino, target.into()))?;
        let full = usize::from(entries) + 1 >= PER_BLOCK;
        self.modify(tx, &buf, |data| {
            if let Some(entry) = data.get_mut(at(index)..at(index) + ENTRY) {
                Quota::default().encode(id, entry);
            }
            le::put_u16(data, offset + 8, entries + 1);
            if full {
                le::put_u64(data, offset, 0);
            }
        })?;
        if full {
            self.quota_info(tx, file, info::FREE_ENTRY, next)?;
            if next != 0 {
                self.check_quota_block(file, next)?;
                let (after, at) = self.quota_block(file, next)?;
                self.modify(tx, &after, |data| le::put_u32(data, at + 4, 0))?;
            }
        }
        let (leaf, offset) = self.quota_block(file, block)?;
        self.modify(tx, &leaf, |data| le::put_u32(data, offset + (id & 0xff) as usize * 4, target))?;
        Ok((buf, at(index)))
    }

    /// The block of the tree below `block`; made if it is not there.
    fn quota_child(&self, tx: &mut Tx<S>, file: &mut Inode, block: u32, id: u32, level: u32) -> Result<u32> {
        let slot = (id >> (8 * (LEVELS - 1 - level)) & 0xff) as usize * 4;
        let (buf, offset) = self.quota_block(file, block)?;
        let child = le::u32_at(&buf.read(), offset + slot);
        if child != 0 {
            self.check_quota_block(file, child)?;
            return Ok(child);
        }
        let child = self.quota_new_block(tx, file)?;
        self.modify(tx, &buf, |data| le::put_u32(data, offset + slot, child))?;
        Ok(child)
    }
}
