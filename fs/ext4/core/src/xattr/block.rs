// SPDX-License-Identifier: GPL-2.0
//! The block of attributes. Inodes with the same attributes may share one (`h_refcount`): a change then goes to a new block.

use super::{Item, build, parse};
use crate::balloc::Request;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use errno::Result;
use ext4_format::le;
use ext4_format::xattr::{self, BLOCK_HEADER, MAGIC};
use ext4_store::{Buffer, Store};
use kalloc::KVec;

const REFCOUNT: usize = 4;
const BLOCKS: usize = 8;
const HASH: usize = 12;
const CHECKSUM: usize = 16;

impl<S: Store> Fs<S> {
    /// The attributes in the inode's block.
    pub(crate) fn block_items(&self, inode: &Inode) -> Result<KVec<Item>> {
        if inode.raw.file_acl == 0 {
            return Ok(KVec::new());
        }
        let buf = self.xattr_block(inode)?;
        let parsed = parse(&buf.read(), BLOCK_HEADER, 0, true);
        parsed.map_err(|_| self.corrupt("xattr_block_entries", inode.ino, buf.block()))
    }

    fn xattr_block(&self, inode: &Inode) -> Result<S::Buf> {
        if !self.valid_blocks(inode.raw.file_acl, 1) {
            return Err(self.corrupt("inode_file_acl", inode.ino, inode.raw.file_acl));
        }
        let buf = self.store.bread(inode.raw.file_acl)?;
        self.check_xattr_block(inode.ino, &buf)?;
        Ok(buf)
    }

    /// How many inodes share the inode's block.
    pub(crate) fn block_refcount(&self, inode: &Inode) -> Result<u32> {
        Ok(le::u32_at(&self.xattr_block(inode)?.read(), REFCOUNT))
    }

    fn finish(&self, data: &mut [u8], block: u64) {
        if self.geo.csum {
            let crc = xattr::block_checksum(data, block, self.geo.csum_seed);
            le::put_u32(data, CHECKSUM, crc);
        }
    }

    fn fill_block(&self, data: &mut [u8], items: &[Item], block: u64) {
        data.fill(0);
        le::put_u32(data, 0, MAGIC);
        le::put_u32(data, REFCOUNT, 1);
        le::put_u32(data, BLOCKS, 1);
        build(items, data, BLOCK_HEADER, 0, true);
        let hash =
            |item: &Item| if item.inum != 0 { item.hash } else { xattr::entry_hash(&item.name, &item.value, false) };
        le::put_u32(data, HASH, xattr::block_hash(items.iter().map(hash)));
        self.finish(data, block);
    }

    /// Puts a list into the inode's block: changed in place, or a new one if it was shared or there was none; freed if the
    /// list is empty. The list must fit. The caller writes the inode.
    pub(crate) fn set_block_items(&self, tx: &mut Tx<S>, inode: &mut Inode, mut items: KVec<Item>) -> Result {
        sort(&mut items);
        if inode.raw.file_acl != 0 {
            let buf = self.xattr_block(inode)?;
            let block = buf.block();
            let shared = le::u32_at(&buf.read(), REFCOUNT) > 1;
            if !shared && !items.is_empty() {
                return self.modify(tx, &buf, |data| self.fill_block(data, &items, block));
            }
            let new = if items.is_empty() { 0 } else { self.new_xattr_block(tx, inode, &items)? };
            if shared {
                self.modify(tx, &buf, |data| {
                    let count = le::u32_at(data, REFCOUNT).saturating_sub(1);
                    le::put_u32(data, REFCOUNT, count);
                    self.finish(data, block);
                })?;
                self.quota_charge(tx, inode, -1)?;
                self.add_blocks(inode, -(1 << self.geo.cluster_bits))?;
            } else {
                drop(buf);
                self.free(tx, inode, block, 1, true)?;
            }
            inode.raw.file_acl = new;
            return Ok(());
        }
        if !items.is_empty() {
            inode.raw.file_acl = self.new_xattr_block(tx, inode, &items)?;
        }
        Ok(())
    }

    fn new_xattr_block(&self, tx: &mut Tx<S>, inode: &mut Inode, items: &[Item]) -> Result<u64> {
        let goal = self.default_goal(inode);
        let (block, _) = self.allocate(tx, inode, Request::meta(goal))?;
        if !self.geo.extents() && block > u64::from(u32::MAX) {
            self.free(tx, inode, block, 1, false)?;
            return Err(errno::code::ENOSPC);
        }
        self.create_block(tx, block, |data| self.fill_block(data, items, block))?;
        Ok(block)
    }
}

/// Sorts attributes as a block has them. There are few, and the library's sort takes 3 KB of stack for them.
fn sort(items: &mut [Item]) {
    let key = |item: &Item| (item.index, item.name.len());
    let before = |a: &Item, b: &Item| key(a).cmp(&key(b)).then_with(|| (*a.name).cmp(&*b.name)).is_lt();
    for end in 1..items.len() {
        let mut at = end;
        while let Some([left, right]) = at.checked_sub(1).and_then(|from| items.get_mut(from..=at)) {
            if !before(right, left) {
                break;
            }
            core::mem::swap(left, right);
            at -= 1;
        }
    }
}
