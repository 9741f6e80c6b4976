// SPDX-License-Identifier: GPL-2.0
//! Block groups in memory: a table that grows without a lock, and for each group its descriptor and bitmaps behind its lock.

use crate::bitmap;
use crate::fs::Fs;
use crate::tx::Tx;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use errno::{Result, code::*};
use ext4_format::GroupDesc;
use ext4_format::crc::crc32c;
use ext4_format::group::{self, BLOCK_UNINIT, INODE_UNINIT};
use ext4_store::{Buffer, Locks, MutexLike, OnceLike, Store};
use kalloc::{KVVec, KVec, flags::GFP_NOFS};

/// Groups of the first chunk of the table; each further chunk is twice as large as the one before.
const FIRST: u64 = 64;
const CHUNKS: usize = 28;

/// A group's blocks kept for an inode (or, with `ino` 0, for small files of one processor), taken in memory, free on the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prealloc {
    /// The inode, or 0.
    pub(crate) ino: u32,
    /// The processor, where `ino` is 0.
    pub(crate) cpu: u32,
    /// The block of the file (a multiple of the cluster) that the first cluster is for.
    pub(crate) lblk: u32,
    /// First cluster within the group.
    pub(crate) start: u32,
    /// Clusters left.
    pub(crate) len: u32,
}

/// Clusters that were freed by a transaction not yet committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) tid: u32,
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// What a group's lock guards.
pub(crate) struct GroupState<S: Store> {
    /// The descriptor, as on the disk.
    pub(crate) desc: GroupDesc,
    /// Buffer of the descriptor's block.
    pub(crate) desc_buf: Option<S::Buf>,
    /// Clusters that cannot be given out now: those of the block bitmap, preallocations and what is `pending`.
    pub(crate) map: Option<KVec<u8>>,
    /// Buffer of the block bitmap, there if `map` is.
    pub(crate) bitmap: Option<S::Buf>,
    /// Buffer of the inode bitmap.
    pub(crate) inode_bitmap: Option<S::Buf>,
    pub(crate) prealloc: KVec<Prealloc>,
    pub(crate) pending: KVec<Pending>,
}

/// The block bitmap (or what was read of it) is wrong: no block is taken from the group.
pub(crate) const BLOCKS_CORRUPT: u32 = 1;
/// The inode bitmap is wrong.
pub(crate) const INODES_CORRUPT: u32 = 2;
/// The inode table is zeroed on the disk.
pub(crate) const ZEROED: u32 = 4;

/// A block group.
pub(crate) struct Group<S: Store> {
    pub(crate) block_bitmap: u64,
    pub(crate) inode_bitmap: u64,
    pub(crate) inode_table: u64,
    /// Clusters in use by bitmaps, inode tables, superblocks and descriptors: `(start, length)`, in order.
    pub(crate) meta: KVec<(u32, u32)>,
    /// Copies of numbers under the lock, to choose a group without it.
    pub(crate) free_clusters: AtomicU32,
    pub(crate) free_inodes: AtomicU32,
    pub(crate) used_dirs: AtomicU32,
    /// No run of free clusters is longer (`u32::MAX`: not known).
    pub(crate) longest: AtomicU32,
    /// Whether `pending` may have entries: set with them, under the lock.
    pub(crate) waits: AtomicBool,
    pub(crate) flags: AtomicU32,
    pub(crate) state: S::Mutex<GroupState<S>>,
}

impl<S: Store> Group<S> {
    fn new(desc: GroupDesc, meta: KVec<(u32, u32)>) -> Self {
        Self {
            block_bitmap: desc.block_bitmap,
            inode_bitmap: desc.inode_bitmap,
            inode_table: desc.inode_table,
            meta,
            free_clusters: AtomicU32::new(desc.free_blocks_count),
            free_inodes: AtomicU32::new(desc.free_inodes_count),
            used_dirs: AtomicU32::new(desc.used_dirs_count),
            longest: AtomicU32::new(u32::MAX),
            waits: AtomicBool::new(false),
            flags: AtomicU32::new(if desc.flags & group::INODE_ZEROED != 0 { ZEROED } else { 0 }),
            state: S::Mutex::new(GroupState {
                desc,
                desc_buf: None,
                map: None,
                bitmap: None,
                inode_bitmap: None,
                prealloc: KVec::new(),
                pending: KVec::new(),
            }),
        }
    }

    pub(crate) fn is(&self, flag: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    pub(crate) fn mark(&self, flag: u32) {
        self.flags.fetch_or(flag, Ordering::Relaxed);
    }

    /// Whether clusters `start..start+len` hold none of the group's own metadata.
    pub(crate) fn is_data(&self, start: u32, len: u32) -> bool {
        let end = u64::from(start) + u64::from(len);
        !self.meta.iter().any(|&(at, n)| u64::from(at) < end && start < at.saturating_add(n))
    }
}

type Chunk<S> = KVVec<<S as Locks>::Once<Group<S>>>;

/// All groups.
pub(crate) struct Groups<S: Store> {
    chunks: KVec<S::Once<Chunk<S>>>,
}

impl<S: Store> Groups<S> {
    pub(crate) fn new() -> Result<Self> {
        let mut chunks = KVec::with_capacity(CHUNKS, GFP_NOFS)?;
        for _ in 0..CHUNKS {
            chunks.push(S::Once::new(), GFP_NOFS)?;
        }
        Ok(Self { chunks })
    }

    fn place(number: u32) -> (usize, usize) {
        let n = u64::from(number) / FIRST + 1;
        let chunk = n.ilog2();
        (chunk as usize, (u64::from(number) - FIRST * ((1 << chunk) - 1)) as usize)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Group<S>> {
        let (chunk, index) = Self::place(number);
        self.chunks.get(chunk)?.get()?.get(index)?.get()
    }

    /// Adds group `number`. `EBUSY` if it is there.
    pub(crate) fn add(&self, number: u32, desc: GroupDesc, meta: KVec<(u32, u32)>) -> Result {
        let (chunk, index) = Self::place(number);
        let chunk_cell = self.chunks.get(chunk).ok_or(EINVAL)?;
        if chunk_cell.get().is_none() {
            let size = (FIRST as usize) << chunk;
            let mut groups = KVVec::with_capacity(size, GFP_NOFS)?;
            for _ in 0..size {
                groups.push(S::Once::new(), GFP_NOFS)?;
            }
            // Whoever lost the race uses the winner's.
            let _ = chunk_cell.set(groups);
        }
        let cell = chunk_cell.get().and_then(|groups| groups.get(index)).ok_or(EINVAL)?;
        cell.set(Group::new(desc, meta)).map_err(|_| EBUSY)
    }
}

/// The checksum of a bitmap of `bytes` bytes in which a run of bits was flipped. None for long runs: then it is computed anew.
fn flipped(crc: u32, start: u32, len: u32, bytes: usize) -> Option<u32> {
    let mut delta = [0u8; 32];
    let (from, end) = (start as usize / 8, (start as usize + len as usize).div_ceil(8));
    let changed = delta.get_mut(..end.checked_sub(from)?)?;
    bitmap::fill(changed, start % 8, len, true);
    ext4_format::crc::crc32c_changed(crc, changed, bytes.checked_sub(end)?)
}

impl<S: Store> Fs<S> {
    /// Group `number`; `EUCLEAN` if there is none.
    pub(crate) fn group(&self, number: u32) -> Result<&Group<S>> {
        if number >= self.groups_count() {
            return Err(EUCLEAN);
        }
        self.groups.get(number).ok_or(EUCLEAN)
    }

    /// Clusters of a group: fewer in the last.
    pub(crate) fn clusters_in(&self, number: u32) -> u32 {
        let left = self.blocks_count().saturating_sub(self.geo.group_start(number));
        let blocks = left.min(self.geo.blocks_per_group.into()) as u32;
        blocks.div_ceil(self.geo.cluster_blocks())
    }

    /// Buffer and offset of a group's descriptor.
    pub(crate) fn desc_place(&self, number: u32) -> Result<(S::Buf, usize)> {
        let block = self.geo.gdt_block(number / self.geo.desc_per_block);
        let buf = self.store.bread(block)?;
        Ok((buf, (number % self.geo.desc_per_block) as usize * self.geo.desc_size))
    }

    /// Access to the block of a group's descriptor: what may fail of writing it. Asked for before the bitmap is changed, which cannot be
    /// undone.
    pub(crate) fn open_desc(&self, tx: &mut Tx<S>, number: u32, state: &mut GroupState<S>) -> Result<S::Buf> {
        let buf = match &state.desc_buf {
            Some(buf) => buf.clone(),
            None => {
                let buf = self.desc_place(number)?.0;
                state.desc_buf = Some(buf.clone());
                buf
            }
        };
        self.store.get_write_access(&mut tx.handle, &buf)?;
        Ok(buf)
    }

    /// Writes the descriptor and the numbers derived from it.
    pub(crate) fn write_desc(
        &self,
        tx: &mut Tx<S>,
        number: u32,
        group: &Group<S>,
        state: &mut GroupState<S>,
    ) -> Result {
        let offset = (number % self.geo.desc_per_block) as usize * self.geo.desc_size;
        let buf = self.open_desc(tx, number, state)?;
        {
            let mut data = buf.write();
            if let Some(record) = data.get_mut(offset..offset + self.geo.desc_size) {
                state.desc.encode(record, number, self.geo.desc_csum);
            }
        }
        group.free_inodes.store(state.desc.free_inodes_count, Ordering::Relaxed);
        group.used_dirs.store(state.desc.used_dirs_count, Ordering::Relaxed);
        self.store.dirty_metadata(&mut tx.handle, &buf)
    }

    /// Marks what a group's own metadata takes, and what lies beyond the end, in a bitmap.
    fn init_block_bitmap(&self, number: u32, group: &Group<S>, map: &mut [u8]) {
        map.fill(0);
        for &(start, len) in group.meta.iter() {
            bitmap::fill(map, start, len, true);
        }
        bitmap::fill(map, self.clusters_in(number), u32::MAX, true);
    }

    fn block_bitmap_csum(&self, data: &[u8]) -> u32 {
        let bytes = data.get(..self.geo.clusters_per_group as usize / 8).unwrap_or(data);
        crc32c(self.geo.csum_seed, bytes) & group::bitmap_csum_mask(self.geo.desc_size)
    }

    fn inode_bitmap_csum(&self, data: &[u8]) -> u32 {
        let bytes = data.get(..self.geo.inodes_per_group as usize / 8).unwrap_or(data);
        crc32c(self.geo.csum_seed, bytes) & group::bitmap_csum_mask(self.geo.desc_size)
    }

    /// Makes `state.map` and `state.bitmap` there. `EUCLEAN` or `EBADMSG` if the bitmap on the disk cannot be trusted; the
    /// group is then left alone for good.
    pub(crate) fn load_map(&self, number: u32, group: &Group<S>, state: &mut GroupState<S>) -> Result {
        if state.map.is_some() {
            return Ok(());
        }
        if group.is(BLOCKS_CORRUPT) {
            return Err(EUCLEAN);
        }
        let mut map = KVec::from_elem(0u8, self.geo.block_size, GFP_NOFS)?;
        let end = self.clusters_in(number);
        if state.desc.flags & BLOCK_UNINIT != 0 {
            // The buffer gets its content when the first cluster is taken.
            self.init_block_bitmap(number, group, &mut map);
            state.bitmap = Some(self.store.getblk(group.block_bitmap)?);
        } else {
            let buf = self.bread_vital("read_block_bitmap", 0, group.block_bitmap)?;
            {
                let data = buf.read();
                if self.geo.csum && !buf.is_verified() && self.block_bitmap_csum(&data) != state.desc.block_bitmap_csum
                {
                    drop(data);
                    group.mark(BLOCKS_CORRUPT);
                    return Err(self.bad_csum("block_bitmap", 0, group.block_bitmap));
                }
                for (to, from) in map.iter_mut().zip(data.iter()) {
                    *to = *from;
                }
            }
            let own = group.meta.iter().all(|&(start, len)| {
                bitmap::next_zero(&map, start, start.saturating_add(len).min(end)) == start.saturating_add(len).min(end)
            });
            if !own {
                group.mark(BLOCKS_CORRUPT);
                return Err(self.corrupt("block_bitmap", 0, group.block_bitmap));
            }
            buf.set_verified();
            state.bitmap = Some(buf);
            bitmap::fill(&mut map, end, u32::MAX, true);
        }
        let free = bitmap::count_zeros(&map, end);
        if free != state.desc.free_blocks_count {
            group.mark(BLOCKS_CORRUPT);
            return Err(self.corrupt("group_free_blocks", 0, group.block_bitmap));
        }
        group.free_clusters.store(free, Ordering::Relaxed);
        state.map = Some(map);
        Ok(())
    }

    /// Sets or clears a run of clusters in the bitmap on the disk, with descriptor and checksums. A run that is not wholly in
    /// the other state is `EUCLEAN`, and nothing is changed.
    pub(crate) fn change_bitmap(
        &self,
        tx: &mut Tx<S>,
        number: u32,
        group: &Group<S>,
        state: &mut GroupState<S>,
        (start, len): (u32, u32),
        used: bool,
    ) -> Result {
        let buf = state.bitmap.clone().ok_or(EUCLEAN)?;
        let end = start.checked_add(len).filter(|&end| end <= self.clusters_in(number)).ok_or(EUCLEAN)?;
        self.open_desc(tx, number, state)?;
        self.store.get_write_access(&mut tx.handle, &buf)?;
        let good = {
            let mut data = buf.write();
            let fresh = state.desc.flags & BLOCK_UNINIT != 0;
            if fresh {
                self.init_block_bitmap(number, group, &mut data);
                state.desc.flags &= !BLOCK_UNINIT;
                buf.set_verified();
            }
            let first = if used { bitmap::next_set(&data, start, end) } else { bitmap::next_zero(&data, start, end) };
            let good = first == end;
            if good {
                bitmap::fill(&mut data, start, len, used);
            }
            if self.geo.csum {
                let bytes = self.geo.clusters_per_group as usize / 8;
                let quick =
                    if good && !fresh { flipped(state.desc.block_bitmap_csum, start, len, bytes) } else { None };
                state.desc.block_bitmap_csum = match quick {
                    Some(crc) => crc & group::bitmap_csum_mask(self.geo.desc_size),
                    None => self.block_bitmap_csum(&data),
                };
            }
            good
        };
        if good {
            let free = &mut state.desc.free_blocks_count;
            *free = if used { free.saturating_sub(len) } else { free.saturating_add(len) };
        }
        self.store.dirty_metadata(&mut tx.handle, &buf)?;
        self.write_desc(tx, number, group, state)?;
        if good { Ok(()) } else { Err(self.corrupt("block_bitmap_state", 0, self.geo.cluster_start(number, start))) }
    }

    /// Makes `state.inode_bitmap` there (its content too where the bitmap is not initialised yet: only in memory).
    pub(crate) fn load_inode_bitmap(&self, group: &Group<S>, state: &mut GroupState<S>) -> Result<S::Buf> {
        if let Some(buf) = &state.inode_bitmap {
            return Ok(buf.clone());
        }
        if group.is(INODES_CORRUPT) {
            return Err(EUCLEAN);
        }
        let buf = if state.desc.flags & INODE_UNINIT != 0 {
            self.store.getblk(group.inode_bitmap)?
        } else {
            let buf = self.bread_vital("read_inode_bitmap", 0, group.inode_bitmap)?;
            let good = buf.is_verified() || {
                let data = buf.read();
                !self.geo.csum || self.inode_bitmap_csum(&data) == state.desc.inode_bitmap_csum
            };
            if !good {
                group.mark(INODES_CORRUPT);
                return Err(self.bad_csum("inode_bitmap", 0, group.inode_bitmap));
            }
            buf.set_verified();
            buf
        };
        state.inode_bitmap = Some(buf.clone());
        Ok(buf)
    }

    /// Sets or clears an inode's bit, with its checksum; the descriptor is changed in memory only. `EUCLEAN` if the bit was
    /// so already.
    pub(crate) fn change_inode_bitmap(
        &self,
        tx: &mut Tx<S>,
        buf: &S::Buf,
        state: &mut GroupState<S>,
        bit: u32,
        used: bool,
    ) -> Result {
        self.store.get_write_access(&mut tx.handle, buf)?;
        let good = {
            let mut data = buf.write();
            let fresh = state.desc.flags & INODE_UNINIT != 0;
            if fresh {
                data.fill(0);
                bitmap::fill(&mut data, self.geo.inodes_per_group, u32::MAX, true);
                state.desc.flags &= !INODE_UNINIT;
                buf.set_verified();
            }
            let good = bitmap::test(&data, bit) != used;
            bitmap::fill(&mut data, bit, 1, used);
            if self.geo.csum {
                let bytes = self.geo.inodes_per_group as usize / 8;
                let quick = if good && !fresh { flipped(state.desc.inode_bitmap_csum, bit, 1, bytes) } else { None };
                state.desc.inode_bitmap_csum = match quick {
                    Some(crc) => crc & group::bitmap_csum_mask(self.geo.desc_size),
                    None => self.inode_bitmap_csum(&data),
                };
            }
            good
        };
        self.store.dirty_metadata(&mut tx.handle, buf)?;
        if good { Ok(()) } else { Err(self.corrupt("inode_bitmap_state", 0, buf.block())) }
    }

    /// Whether blocks may hold data of files or metadata of inodes: within the file system, and no group's own metadata.
    pub(crate) fn valid_blocks(&self, start: u64, len: u32) -> bool {
        let Some(end) = start.checked_add(len.into()) else { return false };
        if start <= self.geo.first_data_block && (start < self.geo.first_data_block || self.geo.first_data_block > 0) {
            return false;
        }
        if len == 0 || end > self.blocks_count() {
            return false;
        }
        let (mut number, mut cluster) = self.geo.locate(start);
        let (last, last_cluster) = self.geo.locate(end - 1);
        while number <= last {
            let to = if number == last { last_cluster + 1 } else { self.geo.clusters_per_group };
            match self.groups.get(number) {
                Some(group) if group.is_data(cluster, to.saturating_sub(cluster)) => {}
                _ => return false,
            }
            (number, cluster) = (number + 1, 0);
        }
        !self.protected.get().is_some_and(|zones| zones.iter().any(|&(at, n)| at < end && start < at.saturating_add(n)))
    }
}
