// SPDX-License-Identifier: GPL-2.0
//! Values in inodes of their own (`ea_inode`). The inode's times hold other things: `atime` the value's hash, `ctime` (upper
//! half) and version (lower half) the number of attributes that refer to it.

use super::Item;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::map::Create;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::crc::crc32c;
use ext4_format::inode::{flag, mode};
use ext4_format::xattr::entry_hash_inode;
use ext4_format::{inode::DiskTime, le};
use ext4_store::{Buffer, Store};
use kalloc::{KVec, flags::GFP_NOFS};

/// The largest value (`XATTR_SIZE_MAX`).
const LARGEST: usize = 65536;

impl<S: Store> Fs<S> {
    /// The value of an attribute.
    pub(crate) fn value_of(&self, inode: &Inode, item: Item) -> Result<KVec<u8>> {
        if item.inum == 0 {
            return Ok(item.value);
        }
        if item.size > LARGEST {
            return Err(self.corrupt("xattr_value_size", inode.ino, 0));
        }
        let holder = self.value_inode(inode, item.inum)?;
        if holder.raw.size != item.size as u64 {
            return Err(self.corrupt("xattr_value_inode", item.inum, 0));
        }
        let mut value = KVec::with_capacity(item.size, GFP_NOFS)?;
        let size = self.geo.block_size;
        for lblk in 0..item.size.div_ceil(size) as u32 {
            let block =
                self.map(&holder, lblk, 1)?.block().ok_or_else(|| self.corrupt("xattr_value_hole", item.inum, 0))?;
            let buf = self.store.bread(block)?;
            let left = (item.size - value.len()).min(size);
            value.extend_from_slice(buf.read().get(..left).unwrap_or(&[]), GFP_NOFS)?;
        }
        let hash = crc32c(self.geo.csum_seed, &value);
        if hash != holder.raw.atime.sec as u32 || (item.hash != 0 && !self.hash_matches(&item, hash)) {
            return Err(self.bad_csum("xattr_value", item.inum, 0));
        }
        Ok(value)
    }

    fn hash_matches(&self, item: &Item, value_hash: u32) -> bool {
        [false, true].iter().any(|&signed| entry_hash_inode(&item.name, value_hash, signed) == item.hash)
    }

    fn value_inode(&self, inode: &Inode, number: u32) -> Result<Inode> {
        if !self.valid_ino(number) || number == inode.ino {
            return Err(self.corrupt("xattr_value_number", inode.ino, 0));
        }
        let holder = self.inode(number)?;
        if !holder.has_flag(flag::EA_INODE) || !holder.is_regular() {
            return Err(self.corrupt("xattr_value_flags", number, 0));
        }
        Ok(holder)
    }

    /// Moves an item's value to a new inode.
    pub(crate) fn value_to_inode(&self, tx: &mut Tx<S>, inode: &mut Inode, item: &mut Item) -> Result {
        let value = core::mem::take(&mut item.value);
        let mut holder = self.new_inode_near(tx, inode, mode::IFREG | 0o600, (inode.raw.uid, inode.raw.gid))?;
        holder.raw.flags |= flag::EA_INODE;
        let hash = crc32c(self.geo.csum_seed, &value);
        holder.raw.atime = DiskTime { sec: i64::from(hash as i32), nsec: 0 };
        set_references(&mut holder, 1);
        let result = self.write_value(tx, &mut holder, &value);
        if let Err(error) = result {
            holder.raw.links_count = 0;
            self.remove_range(tx, &mut holder, 0, u64::from(u32::MAX))?;
            self.free_inode(tx, &mut holder)?;
            return Err(error);
        }
        item.inum = holder.ino;
        self.charge_value(tx, inode, item.size, 1)?;
        item.hash = entry_hash_inode(&item.name, hash, false);
        Ok(())
    }

    /// Counts a value's clusters among the blocks of the inode that has the attribute (the holder's own count is beside that).
    fn charge_value(&self, tx: &mut Tx<S>, inode: &mut Inode, size: usize, sign: i64) -> Result {
        let clusters = size.div_ceil(self.geo.block_size << self.geo.cluster_bits) as i64;
        self.quota_charge(tx, inode, sign * clusters)?;
        self.quota_inode(tx, inode, sign)?;
        self.add_blocks(inode, sign * (clusters << self.geo.cluster_bits))
    }

    fn write_value(&self, tx: &mut Tx<S>, holder: &mut Inode, value: &[u8]) -> Result {
        let size = self.geo.block_size;
        for (lblk, chunk) in value.chunks(size).enumerate() {
            let how = Create { exact: true, ..Create::default() };
            let found = self.map_create(tx, holder, lblk as u32, 1, how)?;
            let block = found.allocated().ok_or(EIO)?;
            self.create_block(tx, block, |data| le::put(data, 0, chunk))?;
        }
        holder.raw.size = value.len() as u64;
        self.write_inode(tx, holder)
    }

    /// One reference to a value's inode less; with the last one it is freed.
    pub(crate) fn drop_value(&self, tx: &mut Tx<S>, inode: &mut Inode, number: u32) -> Result {
        let mut holder = self.value_inode(inode, number)?;
        self.charge_value(tx, inode, holder.raw.size.min(LARGEST as u64) as usize, -1)?;
        let left = references(&holder).saturating_sub(1);
        set_references(&mut holder, left);
        if left > 0 {
            return self.write_inode(tx, &holder);
        }
        holder.raw.links_count = 0;
        if !self.remove_range(tx, &mut holder, 0, u64::from(u32::MAX))? {
            // Cannot be finished here: it is on the list of orphans until the next recovery.
            return self.orphan_add(tx, &mut holder);
        }
        self.free_inode(tx, &mut holder)
    }
}

fn references(holder: &Inode) -> u64 {
    u64::from(holder.raw.ctime.sec as u32) << 32 | holder.raw.version & 0xffff_ffff
}

fn set_references(holder: &mut Inode, count: u64) {
    holder.raw.ctime = DiskTime { sec: i64::from((count >> 32) as u32 as i32), nsec: 0 };
    holder.raw.version = holder.raw.version & !0xffff_ffff | count & 0xffff_ffff;
}
