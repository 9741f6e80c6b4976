// SPDX-License-Identifier: GPL-2.0
//! Growing while mounted: the last group is filled up, then groups are added one by one, an operation each.
//!
//! Descriptors of new groups go to the blocks kept for them after each superblock; those blocks belong to the hidden inode 7,
//! whose block of pointers leads to the primary ones, and each of those to its copies. With `meta_bg` a new meta group has
//! its descriptors in itself.

use crate::bitmap;
use crate::fs::Fs;
use crate::tx::Tx;
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use ext4_format::group::{self, DescCsum};
use ext4_format::inode::ino;
use ext4_format::{GroupDesc, SuperBlock, le};
use ext4_store::{Buffer, MutexLike, Store};
use kalloc::{KVVec, KVec, flags::GFP_NOFS};

/// Blocks that a new last group must have beyond its metadata, or it is left out.
const LEAST: u64 = 50;

impl<S: Store> Fs<S> {
    /// Checks a new size in blocks and gives the one that will be reached (a last group too small for its own metadata is
    /// left out). `EINVAL` if it is smaller than now or larger than the device, `EOPNOTSUPP` with `bigalloc`.
    pub fn grow_begin(&self, blocks: u64) -> Result<u64> {
        if blocks < self.blocks_count() || blocks > self.store.device_blocks() {
            return Err(EINVAL);
        }
        let geo = &self.geo;
        if geo.cluster_bits != 0 {
            return Err(EOPNOTSUPP);
        }
        let blocks = blocks & !(u64::from(geo.cluster_blocks()) - 1);
        let (last, _) = geo.locate(blocks.saturating_sub(1));
        let start = geo.group_start(last);
        if last < self.groups_count() || blocks.saturating_sub(start) >= self.meta_of(last) + LEAST {
            return Ok(blocks.max(self.blocks_count()));
        }
        Ok(start)
    }

    fn meta_of(&self, number: u32) -> u64 {
        u64::from(self.geo.base_meta_blocks(number)) + 2 + u64::from(self.geo.itable_blocks)
    }

    /// Credits for a step of growing.
    pub fn credits_for_grow(&self) -> u32 {
        // Bitmaps, descriptors, superblock, the inode of reserved blocks and its pointers, one for each reserved block.
        16 + self.geo.gdt_span()
    }

    /// A step towards `target` blocks (from [`Self::grow_begin`]); true when it is reached. One caller at a time. `ENOSPC` if
    /// there is no room for descriptors.
    pub fn grow_step(&self, tx: &mut Tx<S>, target: u64) -> Result<bool> {
        let now = self.blocks_count();
        if now >= target {
            return Ok(true);
        }
        let count = self.groups_count();
        let end = self.geo.group_start(count);
        if now < end {
            self.fill_last_group(tx, count - 1, target.min(end))?;
        } else {
            let blocks = (target - now).min(self.geo.blocks_per_group.into()) as u32;
            self.add_group(tx, count, blocks)?;
        }
        Ok(self.blocks_count() >= target)
    }

    /// Makes the last group larger.
    fn fill_last_group(&self, tx: &mut Tx<S>, number: u32, blocks: u64) -> Result {
        let group = self.group(number)?;
        let before = self.clusters_in(number);
        let after = ((blocks - self.geo.group_start(number)) >> self.geo.cluster_bits) as u32;
        let mut state = group.state.lock();
        self.load_map(number, group, &mut state)?;
        self.change_bitmap(tx, number, group, &mut state, (0, 0), true)?;
        self.set_size(blocks, self.groups_count());
        if after > before {
            self.change_bitmap(tx, number, group, &mut state, (before, after - before), false)?;
            if let Some(map) = &mut state.map {
                bitmap::fill(map, before, after - before, false);
            }
            group.free_clusters.fetch_add(after - before, Ordering::Relaxed);
            group.longest.store(u32::MAX, Ordering::Relaxed);
        }
        drop(state);
        self.free_clusters.add(self.store.cpu(), i64::from(after) - i64::from(before));
        self.update_super(tx, |sb| sb.set_blocks_count(blocks))
    }

    /// Adds group `number`, of so many blocks.
    fn add_group(&self, tx: &mut Tx<S>, number: u32, blocks: u32) -> Result {
        let geo = &self.geo;
        let start = geo.group_start(number);
        let base = geo.base_meta_blocks(number);
        let index = number / geo.desc_per_block;
        let new_block = number.is_multiple_of(geo.desc_per_block);
        if !geo.is_meta(number) && index >= geo.gdt_span() {
            return Err(ENOSPC);
        }
        let (first, last) = (start + u64::from(base), self.meta_of(number));
        let clusters = blocks >> geo.cluster_bits;
        let used = (last.div_ceil(geo.cluster_blocks().into())) as u32;
        if used >= clusters {
            return Err(EINVAL);
        }
        let mut desc = GroupDesc {
            block_bitmap: first,
            inode_bitmap: first + 1,
            inode_table: first + 2,
            free_blocks_count: clusters - used,
            free_inodes_count: geo.inodes_per_group,
            ..GroupDesc::default()
        };
        match self.store.zeroout(desc.inode_table, geo.itable_blocks) {
            Ok(()) => desc.flags |= group::INODE_ZEROED,
            Err(error) if error == EOPNOTSUPP && geo.desc_csum != DescCsum::None => {}
            Err(error) => return Err(error),
        }
        if geo.desc_csum != DescCsum::None {
            desc.itable_unused = geo.inodes_per_group;
        }
        let mask = group::bitmap_csum_mask(geo.desc_size);
        self.create_block(tx, desc.block_bitmap, |map| {
            bitmap::fill(map, 0, used, true);
            bitmap::fill(map, clusters, u32::MAX - clusters, true);
            let bytes = map.get(..geo.clusters_per_group as usize / 8).unwrap_or(&[]);
            desc.block_bitmap_csum = if geo.csum { ext4_format::crc::crc32c(geo.csum_seed, bytes) & mask } else { 0 };
        })?;
        self.create_block(tx, desc.inode_bitmap, |map| {
            bitmap::fill(map, geo.inodes_per_group, u32::MAX - geo.inodes_per_group, true);
            let bytes = map.get(..geo.inodes_per_group as usize / 8).unwrap_or(&[]);
            desc.inode_bitmap_csum = if geo.csum { ext4_format::crc::crc32c(geo.csum_seed, bytes) & mask } else { 0 };
        })?;
        if !geo.is_meta(number) {
            if new_block {
                self.take_reserved_block(tx, index)?;
            }
            if geo.has_super(number) {
                self.reserve_copies(tx, number)?;
            }
        }
        self.put_desc(tx, number, new_block, &desc)?;
        let mut owned: KVVec<KVec<(u32, u32)>> = KVVec::with_capacity(number as usize + 1, GFP_NOFS)?;
        for _ in 0..=number {
            owned.push(KVec::new(), GFP_NOFS)?;
        }
        self.note_meta(&mut owned, start, last as u32)?;
        self.groups.add(number, desc, owned.pop().unwrap_or_default())?;
        let total = start + u64::from(blocks);
        let share = {
            let state = self.super_state.lock();
            // As much of the new blocks is reserved for root as of the old ones.
            u128::from(state.sb.r_blocks_count().min(state.sb.blocks_count())) * u128::from(blocks)
                / u128::from(state.sb.blocks_count().max(1))
        } as u64;
        self.set_size(total, number + 1);
        self.add_reserved_blocks(share, last);
        let cpu = self.store.cpu();
        self.free_clusters.add(cpu, desc.free_blocks_count.into());
        self.free_inodes.add(cpu, desc.free_inodes_count.into());
        let free = (self.free_clusters.sum().max(0) as u64) << geo.cluster_bits;
        self.update_super(tx, |sb| {
            sb.set_blocks_count(total);
            sb.set_r_blocks_count(sb.r_blocks_count().saturating_add(share).min(total));
            sb.set_free_blocks_count(free);
            sb.inodes_count.set(sb.inodes_count.get().saturating_add(geo.inodes_per_group));
            sb.free_inodes_count.set(sb.free_inodes_count.get().saturating_add(geo.inodes_per_group));
            if new_block && !geo.is_meta(number) {
                sb.reserved_gdt_blocks.set(sb.reserved_gdt_blocks.get().saturating_sub(1));
            }
        })
    }

    /// Writes a new group's descriptor; `fresh` if it is the first of its block.
    fn put_desc(&self, tx: &mut Tx<S>, number: u32, fresh: bool, desc: &GroupDesc) -> Result {
        let geo = &self.geo;
        let block = geo.gdt_block(number / geo.desc_per_block);
        let offset = (number % geo.desc_per_block) as usize * geo.desc_size;
        let write = |data: &mut [u8]| {
            if let Some(record) = data.get_mut(offset..offset + geo.desc_size) {
                record.fill(0);
                desc.encode(record, number, geo.desc_csum);
            }
        };
        if fresh {
            self.create_block(tx, block, write)?;
            return Ok(());
        }
        let buf = self.store.bread(block)?;
        self.modify(tx, &buf, write)
    }

    /// The block of pointers of inode 7, checked.
    fn reserved_pointers(&self) -> Result<(crate::Inode, S::Buf)> {
        let inode = self.inode(ino::RESIZE)?;
        let block = le::u32_at(&inode.raw.block, 13 * 4);
        if block == 0 || u64::from(block) >= self.blocks_count() {
            return Err(ENOSPC);
        }
        let buf = self.store.bread(block.into())?;
        Ok((inode, buf))
    }

    /// Groups with copies of the superblock, below `count`, but for the first.
    fn copies(&self, count: u32) -> impl Iterator<Item = u32> + '_ {
        (1..count).filter(|&number| self.geo.has_super(number))
    }

    /// A reserved block becomes one of descriptors, here and in its copies.
    fn take_reserved_block(&self, tx: &mut Tx<S>, index: u32) -> Result {
        let (mut inode, pointers) = self.reserved_pointers()?;
        let block = self.geo.gdt_block(index);
        let slot = (index % self.geo.pointers()) as usize * 4;
        if u64::from(le::u32_at(&pointers.read(), slot)) != block {
            return Err(self.corrupt("resize_inode", ino::RESIZE, block));
        }
        self.modify(tx, &pointers, |data| le::put_u32(data, slot, 0))?;
        let copies = self.copies(self.groups_count()).count() as i64;
        self.add_blocks(&mut inode, -(copies + 1))?;
        self.write_inode(tx, &inode)
    }

    /// A new group has a copy of the superblock: its reserved blocks are noted with the primary ones.
    fn reserve_copies(&self, tx: &mut Tx<S>, number: u32) -> Result {
        let in_use = (number + 1).div_ceil(self.geo.desc_per_block);
        if in_use >= self.geo.gdt_span() {
            return Ok(());
        }
        let (mut inode, pointers) = self.reserved_pointers()?;
        let place = self.copies(number).count() * 4;
        let start = self.geo.group_start(number);
        for index in in_use..self.geo.gdt_span() {
            let block = self.geo.gdt_block(index);
            let slot = (index % self.geo.pointers()) as usize * 4;
            if u64::from(le::u32_at(&pointers.read(), slot)) != block {
                return Err(self.corrupt("resize_inode", ino::RESIZE, block));
            }
            let buf = self.store.bread(block)?;
            let copy = start + 1 + u64::from(index);
            let copy = u32::try_from(copy).map_err(|_| EFBIG)?;
            self.modify(tx, &buf, |data| le::put_u32(data, place, copy))?;
            self.add_blocks(&mut inode, 1)?;
        }
        self.write_inode(tx, &inode)
    }

    /// Copies superblock and descriptors to their backups, past the journal's order: they matter only if the first ones are
    /// lost. An operation for each group with a copy: `number` from 1.
    pub fn write_backup(&self, tx: &mut Tx<S>, number: u32) -> Result {
        let geo = &self.geo;
        if number == 0 || number >= self.groups_count() || !geo.has_super(number) {
            return Ok(());
        }
        let start = geo.group_start(number);
        let mut sb = self.with_super(|sb| SuperBlock::boxed(zerocopy::IntoBytes::as_bytes(sb)))?;
        sb.block_group_nr.set(number.min(u32::from(u16::MAX)) as u16);
        sb.update_checksum();
        let buf = self.store.bread(start)?;
        self.modify(tx, &buf, |data| le::put(data, 0, zerocopy::IntoBytes::as_bytes(&*sb)))?;
        for index in 0..geo.plain_gdt_blocks(self.groups_count()) {
            if !self.has_credits(tx, 2)? {
                return Ok(());
            }
            let from = self.store.bread(geo.gdt_block(index))?;
            let bytes = KVec::from_slice(&from.read(), GFP_NOFS)?;
            let to = self.store.bread(start + 1 + u64::from(index))?;
            self.modify(tx, &to, |data| le::put(data, 0, &bytes))?;
        }
        Ok(())
    }
}
