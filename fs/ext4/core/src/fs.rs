// SPDX-License-Identifier: GPL-2.0
//! A mounted file system: mounting, the superblock, counters, errors.

use crate::counter::Counter;
use crate::geometry::Geometry;
use crate::group::Groups;
use crate::inode::Inode;
use crate::tx::Tx;
use containers::sort;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use errno::{Error, Result, code::*};
use ext4_format::feature::{compat, incompat};
use ext4_format::{GroupDesc, SuperBlock, group};
use ext4_store::{Buffer, MutexLike, OnceLike, Report, Store};
use kalloc::flags::GFP_NOFS;
use kalloc::{KBox, KVVec, KVec, flags::GFP_KERNEL};

/// How to mount.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Nothing is written.
    pub read_only: bool,
    /// Clusters kept back so that conversions of extents cannot fail; `None` as Linux: 2 %, at most 4096.
    pub reserved_clusters: Option<u64>,
    /// `stripe=`: allocations are aligned to so many blocks.
    pub stripe: u32,
    /// `data=journal`: the caller writes the data of files as it writes metadata; what is freed must be revoked.
    pub journal_data: bool,
    /// Only what is needed to find an inode is loaded: the log has not been replayed, so the rest may be of different times.
    pub bare: bool,
    /// For the replay of fast commits ([`crate::Replayer`]): checksums that it makes right are not looked at, and what is freed stays
    /// taken.
    pub replay: bool,
}

impl Options {
    /// For a look before the log is replayed.
    pub fn before_recovery() -> Self {
        Self { read_only: true, bare: true, ..Self::default() }
    }
}

/// A stripe of `blocks` in clusters; 0 if that is not a whole number of them.
fn stripe_of(geo: &Geometry, blocks: u32) -> u32 {
    if blocks & (geo.cluster_blocks() - 1) == 0 { blocks >> geo.cluster_bits } else { 0 }
}

/// Where the superblock is, and the list of orphans that begins in it.
pub(crate) struct SuperState<S: Store> {
    pub(crate) buf: S::Buf,
    pub(crate) offset: usize,
    pub(crate) sb: KBox<SuperBlock>,
    /// Orphans in the order of the list on the disk, the newest last.
    pub(crate) orphans: KVec<u32>,
}

/// Numbers for `statfs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatFs {
    /// Blocks that files may use.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks that are not reserved.
    pub available: u64,
    /// Inodes.
    pub inodes: u64,
    /// Free inodes.
    pub free_inodes: u64,
}

/// A mounted file system.
pub struct Fs<S: Store> {
    /// Buffers, journal, clock.
    pub store: S,
    /// Its shape.
    pub geo: Geometry,
    pub(crate) groups: Groups<S>,
    blocks: AtomicU64,
    groups_count: AtomicU32,
    reserved_blocks: AtomicU64,
    overhead: AtomicU64,
    pub(crate) super_state: S::Mutex<SuperState<S>>,
    pub(crate) free_clusters: Counter,
    pub(crate) dirty_clusters: Counter,
    pub(crate) free_inodes: Counter,
    pub(crate) dirs: Counter,
    /// Clusters that only a last resort may take.
    pub(crate) last_clusters: AtomicU64,
    pub(crate) journal_data: bool,
    /// Directories of so many KB do not grow; 0: no such limit.
    pub(crate) max_dir_kb: AtomicU32,
    /// In clusters; 0 or 1: no matter.
    pub(crate) stripe: AtomicU32,
    /// Blocks of the journal's inode: no file has them.
    pub(crate) protected: S::Once<KVec<(u64, u64)>>,
    pub(crate) locality: KVec<S::Mutex<u32>>,
    pub(crate) orphan_file: S::Once<crate::orphan::OrphanFile<S>>,
    pub(crate) quota: S::Once<crate::quota::Quotas<S>>,
    /// While fast commits are replayed: runs of blocks that were freed.
    pub(crate) freed: S::Once<S::Mutex<KVVec<(u64, u32)>>>,
    read_only: AtomicBool,
    next_generation: AtomicU32,
}

impl<S: Store> Fs<S> {
    /// Mounts: checks superblock and group descriptors as Linux does. The store must have the block size that the superblock
    /// names (`Geometry::new` tells it). The journal was replayed before; orphans are the caller's next step
    /// ([`Self::recover_orphans`]). Errors: `EINVAL` for what is not supported, `EUCLEAN`, `EBADMSG`, `EIO`.
    #[inline(never)]
    pub fn mount(store: S, options: Options) -> Result<Self> {
        Self::mount_boxed(store, options).map(KBox::into_inner)
    }

    /// As [`Self::mount`], for callers with a small stack: each step has its large values off it before the next begins.
    pub fn mount_boxed(store: S, options: Options) -> Result<KBox<Self>> {
        let (buf, offset, sb) = Self::first_super(&store)?;
        let fs = Self::assemble(store, options, buf, offset, sb)?;
        fs.load_groups()?;
        if options.bare {
            return Ok(fs);
        }
        fs.load_protected()?;
        fs.load_orphan_file()?;
        if options.replay {
            return Ok(fs);
        }
        match fs.load_for_writing() {
            // Without writing there is nothing to count.
            Err(_) if options.read_only => {}
            other => other?,
        }
        Ok(fs)
    }

    /// Loads what only writing needs (quotas), if a read-only mount could not: before the file system is made writable.
    pub fn load_for_writing(&self) -> Result {
        if self.has_quotas() { Ok(()) } else { self.load_quotas() }
    }

    /// The superblock, wherever the block size puts it.
    #[inline(never)]
    fn first_super(store: &S) -> Result<(S::Buf, usize, KBox<SuperBlock>)> {
        let (block, offset) = if store.block_size() > 1024 { (0, 1024) } else { (1, 0) };
        let buf = store.bread(block)?;
        let sb = SuperBlock::boxed(buf.read().get(offset..).ok_or(EINVAL)?)?;
        Ok((buf, offset, sb))
    }

    /// The shape that the superblock says. In a box: it is on no stack while the rest is made.
    #[inline(never)]
    fn shape(sb: &SuperBlock, read_only: bool) -> Result<KBox<Geometry>> {
        Ok(KBox::new(Geometry::new(sb, read_only)?, GFP_KERNEL)?)
    }

    /// The value with nothing loaded yet.
    #[inline(never)]
    fn assemble(store: S, options: Options, buf: S::Buf, offset: usize, sb: KBox<SuperBlock>) -> Result<KBox<Self>> {
        let geo = Self::shape(&sb, options.read_only)?;
        if geo.block_size != store.block_size() {
            return Err(EINVAL);
        }
        let blocks = sb.blocks_count();
        if blocks > store.device_blocks() {
            return Err(EINVAL);
        }
        let groups_count = (blocks - geo.first_data_block).div_ceil(geo.blocks_per_group.into()) as u32;
        let cpus = store.cpus();
        let mut locality = KVec::with_capacity(cpus, GFP_KERNEL)?;
        for _ in 0..cpus.max(1) {
            locality.push(S::Mutex::new(u32::MAX), GFP_KERNEL)?;
        }
        let clusters = blocks >> geo.cluster_bits;
        let free_clusters = Counter::new(0, cpus)?;
        let dirty_clusters = Counter::new(0, cpus)?;
        let free_inodes = Counter::new(0, cpus)?;
        let dirs = Counter::new(0, cpus)?;
        let groups = Groups::new()?;
        let freed = S::Once::new();
        if options.replay {
            // A new cell.
            let _ = freed.set(S::Mutex::new(KVVec::new()));
        }
        let make = move || Self {
            groups,
            blocks: AtomicU64::new(blocks),
            groups_count: AtomicU32::new(groups_count),
            reserved_blocks: AtomicU64::new(sb.r_blocks_count().min(blocks)),
            overhead: AtomicU64::new(0),
            super_state: S::Mutex::new(SuperState { buf, offset, sb, orphans: KVec::new() }),
            free_clusters,
            dirty_clusters,
            free_inodes,
            dirs,
            last_clusters: AtomicU64::new(if geo.extents() {
                options.reserved_clusters.unwrap_or((clusters / 50).min(4096))
            } else {
                0
            }),
            max_dir_kb: AtomicU32::new(0),
            stripe: AtomicU32::new(stripe_of(&geo, options.stripe)),
            journal_data: options.journal_data,
            protected: S::Once::new(),
            locality,
            orphan_file: S::Once::new(),
            quota: S::Once::new(),
            freed,
            read_only: AtomicBool::new(options.read_only),
            next_generation: AtomicU32::new(store.random()),
            store,
            geo: KBox::into_inner(geo),
        };
        Ok(KBox::new_with(make, GFP_KERNEL)?)
    }

    /// Aligns allocations to `blocks` from now on; 0: to nothing.
    pub fn set_stripe(&self, blocks: u32) {
        self.stripe.store(stripe_of(&self.geo, blocks), Ordering::Relaxed);
    }

    /// Directories of so many KB do not grow from now on (`max_dir_size_kb=`); 0: no such limit.
    pub fn set_max_dir(&self, kb: u32) {
        self.max_dir_kb.store(kb, Ordering::Relaxed);
    }

    /// Reads and checks all group descriptors, and fills the table.
    #[inline(never)]
    fn load_groups(&self) -> Result {
        let (geo, count) = (&self.geo, self.groups_count());
        let mut descs: KVVec<GroupDesc> = KVVec::with_capacity(count as usize, GFP_KERNEL)?;
        let (mut free, mut free_inodes, mut dirs) = (0u64, 0u64, 0u64);
        for number in 0..count {
            let (buf, offset) = self.desc_place(number)?;
            let data = buf.read();
            let record = data.get(offset..offset + geo.desc_size).ok_or(EUCLEAN)?;
            let desc = GroupDesc::decode(record);
            if group::checksum(record, number, geo.desc_csum) != desc.checksum && geo.desc_csum != group::DescCsum::None
            {
                drop(data);
                return Err(self.bad_csum("group_desc", 0, buf.block()));
            }
            drop(data);
            if !self.good_desc(number, &desc) {
                return Err(self.corrupt("group_desc", 0, buf.block()));
            }
            free += u64::from(desc.free_blocks_count);
            free_inodes += u64::from(desc.free_inodes_count);
            dirs += u64::from(desc.used_dirs_count);
            descs.push(desc, GFP_KERNEL)?;
        }
        let mut owned: KVVec<KVec<(u32, u32)>> = KVVec::with_capacity(count as usize, GFP_KERNEL)?;
        for _ in 0..count {
            owned.push(KVec::new(), GFP_KERNEL)?;
        }
        let mut overhead = geo.first_data_block;
        for (number, desc) in descs.iter().enumerate() {
            let base = geo.base_meta_blocks(number as u32);
            overhead += u64::from(base) + 2 + u64::from(geo.itable_blocks);
            let start = geo.group_start(number as u32);
            let runs =
                [(start, base), (desc.block_bitmap, 1), (desc.inode_bitmap, 1), (desc.inode_table, geo.itable_blocks)];
            for (block, len) in runs {
                self.note_meta(&mut owned, block, len)?;
            }
        }
        for (number, (desc, mut meta)) in descs.iter().zip(owned).enumerate() {
            sort::sort(&mut meta);
            join(&mut meta);
            self.groups.add(number as u32, *desc, meta)?;
        }
        self.overhead.store(overhead, Ordering::Relaxed);
        self.free_clusters.add(0, free as i64);
        self.free_inodes.add(0, free_inodes as i64);
        self.dirs.add(0, dirs as i64);
        Ok(())
    }

    /// Whether a descriptor's numbers can be.
    pub(crate) fn good_desc(&self, number: u32, desc: &GroupDesc) -> bool {
        let geo = &self.geo;
        let (first, end) = if geo.has_incompat(incompat::FLEX_BG) {
            (geo.first_data_block, self.blocks_count())
        } else {
            let start = geo.group_start(number);
            (start, (start + u64::from(geo.blocks_per_group)).min(self.blocks_count()))
        };
        let within =
            |block: u64, len: u32| block >= first && block.checked_add(len.into()).is_some_and(|last| last <= end);
        let sb_end = 1 + u64::from(geo.block_size == 1024);
        let clear = |block: u64| block >= sb_end;
        within(desc.block_bitmap, 1)
            && within(desc.inode_bitmap, 1)
            && within(desc.inode_table, geo.itable_blocks)
            && clear(desc.block_bitmap)
            && clear(desc.inode_bitmap)
            && clear(desc.inode_table)
            && desc.free_blocks_count <= geo.clusters_per_group
            && desc.free_inodes_count <= geo.inodes_per_group
            && desc.itable_unused <= geo.inodes_per_group
            && desc.used_dirs_count <= geo.inodes_per_group
    }

    /// Notes a run of metadata with the groups it lies in.
    pub(crate) fn note_meta(&self, owned: &mut KVVec<KVec<(u32, u32)>>, block: u64, len: u32) -> Result {
        let (mut at, end) = (block, block.saturating_add(len.into()));
        while at < end {
            let (number, cluster) = self.geo.locate(at);
            let stop = end.min(self.geo.group_start(number) + u64::from(self.geo.blocks_per_group));
            let last = self.geo.locate(stop.saturating_sub(1)).1;
            if let Some(list) = owned.get_mut(number as usize) {
                list.push((cluster, last.saturating_sub(cluster) + 1), GFP_KERNEL)?;
            }
            at = stop;
        }
        Ok(())
    }

    /// Notes the journal's blocks, so that no damaged file is taken to own them, and counts them as overhead.
    #[inline(never)]
    fn load_protected(&self) -> Result {
        let (journal, recorded) = {
            let state = self.super_state.lock();
            let journal = if state.sb.has_journal() { state.sb.journal_inum.get() } else { 0 };
            (journal, u64::from(state.sb.overhead_clusters.get()) << self.geo.cluster_bits)
        };
        let mut zones = KVec::new();
        if journal != 0 {
            let inode = self.inode(journal)?;
            let blocks = (inode.raw.size >> self.geo.block_bits).min(u64::from(u32::MAX)) as u32;
            let clusters = u64::from(blocks).div_ceil(1 << self.geo.cluster_bits);
            self.overhead.fetch_add(clusters << self.geo.cluster_bits, Ordering::Relaxed);
            let mut at = 0;
            while at < blocks && zones.len() < 65536 {
                let found = self.map(&inode, at, blocks - at)?;
                if let Some(block) = found.block() {
                    zones.push((block, found.len.into()), GFP_NOFS)?;
                }
                at = at.saturating_add(found.len.max(1));
            }
        }
        let _ = self.protected.set(zones);
        if self.geo.cluster_bits != 0 && (1..=self.blocks_count()).contains(&recorded) {
            // Clusters that hold metadata in part are counted by who made the file system.
            self.overhead.store(recorded, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Groups of the file system.
    pub fn groups_count(&self) -> u32 {
        self.groups_count.load(Ordering::Acquire)
    }
    /// Blocks of the file system.
    pub fn blocks_count(&self) -> u64 {
        self.blocks.load(Ordering::Acquire)
    }
    /// Inodes of the file system.
    pub fn inodes_count(&self) -> u32 {
        self.groups_count().saturating_mul(self.geo.inodes_per_group)
    }
    pub(crate) fn set_size(&self, blocks: u64, groups: u32) {
        self.blocks.store(blocks, Ordering::Release);
        self.groups_count.store(groups, Ordering::Release);
    }
    pub(crate) fn add_reserved_blocks(&self, blocks: u64, overhead: u64) {
        self.reserved_blocks.fetch_add(blocks, Ordering::Relaxed);
        self.overhead.fetch_add(overhead, Ordering::Relaxed);
    }
    /// Blocks that only root may take.
    pub fn reserved_blocks(&self) -> u64 {
        self.reserved_blocks.load(Ordering::Relaxed)
    }
    /// Clusters kept so that splitting an extent cannot fail (`reserved_clusters`).
    pub fn last_clusters(&self) -> u64 {
        self.last_clusters.load(Ordering::Relaxed)
    }
    /// Sets that number: `EINVAL` for more than there are.
    pub fn set_last_clusters(&self, clusters: u64) -> Result {
        if clusters > self.blocks_count() >> self.geo.cluster_bits {
            return Err(EINVAL);
        }
        self.last_clusters.store(clusters, Ordering::Relaxed);
        Ok(())
    }
    /// Whether nothing may be written.
    pub fn read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }
    /// Whether fast commits are being replayed.
    pub(crate) fn replaying(&self) -> bool {
        self.freed.get().is_some()
    }
    /// Remounted read-only, or for writing; the caller has checked that it may be.
    pub fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::Relaxed);
    }
    pub(crate) fn generation(&self) -> u32 {
        self.next_generation.fetch_add(1, Ordering::Relaxed)
    }

    /// Numbers for `statfs`, with the overhead taken off the size (`minixdf` not given).
    pub fn statfs(&self) -> StatFs {
        let clusters = |counter: &Counter| (counter.sum().max(0) as u64) << self.geo.cluster_bits;
        let free = clusters(&self.free_clusters).saturating_sub(clusters(&self.dirty_clusters));
        let kept = self.reserved_blocks() + (self.last_clusters() << self.geo.cluster_bits);
        StatFs {
            blocks: self.blocks_count().saturating_sub(self.overhead.load(Ordering::Relaxed)),
            free,
            available: free.saturating_sub(kept),
            inodes: self.inodes_count().into(),
            free_inodes: self.free_inodes.sum().max(0) as u64,
        }
    }

    /// A structure that cannot be: `EUCLEAN` through the store's error handling.
    pub(crate) fn corrupt(&self, what: &'static str, ino: u32, block: u64) -> Error {
        self.store.error(&Report { what, ino, block, error: EUCLEAN })
    }

    /// A wrong checksum: `EBADMSG`.
    pub(crate) fn bad_csum(&self, what: &'static str, ino: u32, block: u64) -> Error {
        self.store.error(&Report { what, ino, block, error: EBADMSG })
    }

    /// A block without which nothing can be known of an inode or a group: reads it; a failure is one of the file system.
    pub(crate) fn bread_vital(&self, what: &'static str, ino: u32, block: u64) -> Result<S::Buf> {
        self.store.bread(block).map_err(|error| self.vital(error, what, ino, block))
    }

    /// What to say of an error of reading a block that must be there.
    pub(crate) fn vital(&self, error: Error, what: &'static str, ino: u32, block: u64) -> Error {
        if error == EIO { self.store.error(&Report { what, ino, block, error }) } else { error }
    }

    /// Looks at the superblock as it is now.
    pub fn with_super<R>(&self, f: impl FnOnce(&SuperBlock) -> R) -> R {
        f(&self.super_state.lock().sb)
    }

    /// A copy of the superblock as it is now.
    #[inline(never)]
    pub fn superblock(&self) -> SuperBlock {
        SuperBlock::clone(&self.super_state.lock().sb)
    }

    /// Changes the superblock within an operation, with its checksum.
    pub fn update_super<R>(&self, tx: &mut Tx<S>, f: impl FnOnce(&mut SuperBlock) -> R) -> Result<R> {
        let mut state = self.super_state.lock();
        let result = f(&mut state.sb);
        self.write_super(tx, &mut state)?;
        Ok(result)
    }

    /// Takes over a superblock that somebody else changed on the disk, while nothing is written here. One that is damaged, or of
    /// another shape, is not looked at.
    pub fn refresh_super(&self, disk: &SuperBlock) {
        let mut state = self.super_state.lock();
        let now = &*state.sb;
        let same = (!disk.has_metadata_csum() || disk.checksum.get() == disk.compute_checksum())
            && (disk.magic, disk.uuid, disk.blocks_count()) == (now.magic, now.uuid, now.blocks_count())
            && (disk.feature_compat, disk.feature_incompat) == (now.feature_compat, now.feature_incompat)
            && (disk.blocks_per_group, disk.inodes_per_group) == (now.blocks_per_group, now.inodes_per_group)
            && (disk.log_block_size, disk.inode_size, disk.desc_size)
                == (now.log_block_size, now.inode_size, now.desc_size);
        if self.read_only() && same {
            *state.sb = disk.clone();
        }
    }

    pub(crate) fn write_super(&self, tx: &mut Tx<S>, state: &mut SuperState<S>) -> Result {
        state.sb.update_checksum();
        let (buf, offset) = (state.buf.clone(), state.offset);
        let sb = &*state.sb;
        self.modify(tx, &buf, |data| ext4_format::le::put(data, offset, zerocopy::IntoBytes::as_bytes(sb)))
    }

    /// Brings the superblock's counts of free blocks and inodes up to date: at sync, and at unmounting.
    pub fn sync_super(&self, tx: &mut Tx<S>) -> Result {
        let free = (self.free_clusters.sum().max(0) as u64) << self.geo.cluster_bits;
        let inodes = self.free_inodes.sum().max(0) as u32;
        let now = self.store.now();
        self.update_super(tx, |sb| {
            sb.set_free_blocks_count(free);
            sb.free_inodes_count.set(inodes);
            sb.wtime.set(now.sec as u32);
            sb.wtime_hi = (now.sec >> 32) as u8;
        })
    }

    /// Whether new directories may be indexed.
    pub(crate) fn dir_index(&self) -> bool {
        self.geo.has_compat(compat::DIR_INDEX)
    }

    /// The root directory.
    pub fn root(&self) -> Result<Inode> {
        self.inode(ext4_format::inode::ino::ROOT)
    }
}

/// Joins runs that touch or overlap, in a sorted list.
fn join(runs: &mut KVec<(u32, u32)>) {
    let mut last: Option<(u32, u32)> = None;
    let mut kept = 0;
    for index in 0..runs.len() {
        let Some(&(start, len)) = runs.get(index) else { break };
        match last {
            Some((at, n)) if start <= at.saturating_add(n) => {
                let joined = (at, n.max(start.saturating_add(len) - at));
                last = Some(joined);
                if let Some(place) = runs.get_mut(kept - 1) {
                    *place = joined;
                }
            }
            _ => {
                last = Some((start, len));
                if let Some(place) = runs.get_mut(kept) {
                    *place = (start, len);
                }
                kept += 1;
            }
        }
    }
    runs.truncate(kept);
}
