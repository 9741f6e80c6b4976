// SPDX-License-Identifier: GPL-2.0
//! The shape of a file system, computed once from a checked superblock, and where things are in it.

use errno::{Result, code::*};
use ext4_format::feature::{FLAGS_UNSIGNED_HASH, MAGIC, compat, incompat, ro_compat};
use ext4_format::group::DescCsum;
use ext4_format::{SuperBlock, extent};

/// What does not change while a file system is mounted (numbers of blocks, groups and inodes may, by resizing: they are in
/// `Fs`).
#[derive(Clone, Debug)]
pub struct Geometry {
    /// Bytes of a block.
    pub block_size: usize,
    /// Its binary logarithm.
    pub block_bits: u32,
    /// Binary logarithm of the blocks of a cluster (0 without `bigalloc`).
    pub cluster_bits: u32,
    /// Blocks of a group.
    pub blocks_per_group: u32,
    /// Clusters of a group.
    pub clusters_per_group: u32,
    /// Inodes of a group.
    pub inodes_per_group: u32,
    /// Bytes of an inode.
    pub inode_size: usize,
    /// Inodes of a block.
    pub inodes_per_block: u32,
    /// Blocks of a group's inode table.
    pub itable_blocks: u32,
    /// Bytes of a group descriptor.
    pub desc_size: usize,
    /// Descriptors of a block.
    pub desc_per_block: u32,
    /// The first block that belongs to group 0.
    pub first_data_block: u64,
    /// The first inode that is not reserved.
    pub first_ino: u32,
    /// Groups of a flexible group, as a logarithm.
    pub log_groups_per_flex: u32,
    /// Metadata has CRC-32C checksums.
    pub csum: bool,
    /// What starts them.
    pub csum_seed: u32,
    /// How descriptors are protected.
    pub desc_csum: DescCsum,
    /// `s_hash_seed`.
    pub hash_seed: [u32; 4],
    /// The hash of new indexed directories, without the choice of signedness.
    pub def_hash: u8,
    /// Names are hashed as unsigned characters.
    pub hash_unsigned: bool,
    /// `i_extra_isize` of new inodes.
    pub want_extra_isize: u16,
    compat: u32,
    incompat: u32,
    ro_compat: u32,
    first_meta_bg: u32,
    /// Blocks for descriptors after a superblock: in use, and kept so that they can grow.
    gdt_span: u32,
    sparse2: Option<[u32; 2]>,
    /// User and group that may use reserved blocks.
    pub reserved_for: (u32, u32),
}

impl Geometry {
    /// Checks the superblock (as `ext4_fill_super` does) and derives the geometry. `EINVAL` for what is no ext4 or not
    /// supported, `EBADMSG` for a wrong checksum, `EUCLEAN` for values that cannot be.
    pub fn new(sb: &SuperBlock, read_only: bool) -> Result<Self> {
        if sb.magic.get() != MAGIC {
            return Err(EINVAL);
        }
        let (compat, incompat, ro_compat) = match sb.rev_level.get() {
            0 => (0, 0, 0),
            1 => (sb.feature_compat.get(), sb.feature_incompat.get(), sb.feature_ro_compat.get()),
            _ => return Err(EINVAL),
        };
        if incompat & !incompat::SUPPORTED != 0 || (!read_only && ro_compat & !ro_compat::SUPPORTED != 0) {
            return Err(EINVAL);
        }
        let csum = ro_compat & ro_compat::METADATA_CSUM != 0;
        if csum {
            if sb.checksum_type != 1 {
                return Err(EINVAL);
            }
            if sb.checksum.get() != sb.compute_checksum() {
                return Err(EBADMSG);
            }
        } else if incompat & incompat::CSUM_SEED != 0 {
            return Err(EINVAL);
        }
        if sb.log_block_size.get() > 6 {
            return Err(EINVAL);
        }
        let block_bits = 10 + sb.log_block_size.get();
        let block_size = 1usize << block_bits;
        let bits_per_block = block_size as u32 * 8;
        let cluster_bits = Self::cluster_bits(sb, ro_compat & ro_compat::BIGALLOC != 0)?;
        let inode_size = sb.inode_size();
        if !inode_size.is_power_of_two() || inode_size < 128 || inode_size > block_size || sb.first_ino() < 11 {
            return Err(EINVAL);
        }
        let desc_size = sb.desc_size();
        let least = if incompat & incompat::BIT64 != 0 { 64 } else { 32 };
        if desc_size < least || !desc_size.is_power_of_two() || desc_size > block_size {
            return Err(EINVAL);
        }
        let (bpg, ipg) = (sb.blocks_per_group.get(), sb.inodes_per_group.get());
        let cpg = if cluster_bits == 0 { bpg } else { sb.clusters_per_group.get() };
        let inodes_per_block = (block_size / inode_size) as u32;
        if cpg == 0 || cpg > bits_per_block || u64::from(cpg) << cluster_bits != u64::from(bpg) || bpg % 8 != 0 {
            return Err(EINVAL);
        }
        if ipg < inodes_per_block || ipg > bits_per_block || ipg % 8 != 0 || cpg % 8 != 0 {
            return Err(EINVAL);
        }
        let first_data_block = u64::from(sb.first_data_block.get());
        let itable_blocks = ipg.div_ceil(inodes_per_block);
        let total = sb.blocks_count();
        if first_data_block >= total || (first_data_block == 0 && block_size == 1024 && cluster_bits == 0) {
            return Err(EINVAL);
        }
        if u64::from(itable_blocks) >= total || first_data_block > 1 {
            return Err(EINVAL);
        }
        if sb.log_groups_per_flex > 31 || usize::from(sb.reserved_gdt_blocks.get()) > block_size / 4 {
            return Err(EUCLEAN);
        }
        let groups = (total - first_data_block).div_ceil(u64::from(bpg));
        if groups > u64::from(u32::MAX) || groups.checked_mul(ipg.into()) != Some(sb.inodes_count.get().into()) {
            return Err(EINVAL);
        }
        let desc_per_block = (block_size / desc_size) as u32;
        let gdt_blocks = groups.div_ceil(desc_per_block.into());
        if incompat & incompat::META_BG != 0 && u64::from(sb.first_meta_bg.get()) > gdt_blocks {
            return Err(EINVAL);
        }
        let desc_csum = if csum {
            DescCsum::Crc32c(sb.csum_seed())
        } else if ro_compat & ro_compat::GDT_CSUM != 0 {
            DescCsum::Crc16(sb.uuid)
        } else {
            DescCsum::None
        };
        let mut want = 0;
        if inode_size > 128 {
            let most = inode_size as u16 - 128;
            want = ext4_format::inode::EXTRA_ISIZE;
            if ro_compat & ro_compat::EXTRA_ISIZE != 0 {
                want = want.max(sb.want_extra_isize.get()).max(sb.min_extra_isize.get());
            }
            if want > most {
                want = ext4_format::inode::EXTRA_ISIZE.min(most);
            }
        }
        Ok(Self {
            block_size,
            block_bits,
            cluster_bits,
            blocks_per_group: bpg,
            clusters_per_group: cpg,
            inodes_per_group: ipg,
            inode_size,
            inodes_per_block,
            itable_blocks,
            desc_size,
            desc_per_block,
            first_data_block,
            first_ino: sb.first_ino(),
            log_groups_per_flex: if incompat & incompat::FLEX_BG != 0 { sb.log_groups_per_flex.into() } else { 0 },
            csum,
            csum_seed: sb.csum_seed(),
            desc_csum,
            hash_seed: sb.hash_seed.map(|word| word.get()),
            def_hash: sb.def_hash_version.min(2),
            hash_unsigned: sb.flags.get() & FLAGS_UNSIGNED_HASH != 0,
            want_extra_isize: want & !3,
            compat,
            incompat,
            ro_compat,
            first_meta_bg: sb.first_meta_bg.get(),
            gdt_span: if incompat & incompat::META_BG != 0 { sb.first_meta_bg.get() } else { gdt_blocks as u32 }
                .saturating_add(sb.reserved_gdt_blocks.get().into()),
            sparse2: (compat & compat::SPARSE_SUPER2 != 0).then(|| sb.backup_bgs.map(|group| group.get())),
            reserved_for: (sb.def_resuid.get().into(), sb.def_resgid.get().into()),
        })
    }

    fn cluster_bits(sb: &SuperBlock, bigalloc: bool) -> Result<u32> {
        if !bigalloc {
            return if sb.log_cluster_size.get() == sb.log_block_size.get() { Ok(0) } else { Err(EINVAL) };
        }
        match sb.log_cluster_size.get().checked_sub(sb.log_block_size.get()) {
            Some(bits) if sb.log_cluster_size.get() <= 20 => Ok(bits),
            _ => Err(EINVAL),
        }
    }

    /// Whether a compatible feature is on.
    pub fn has_compat(&self, bit: u32) -> bool {
        self.compat & bit != 0
    }
    /// Whether an incompatible feature is on.
    pub fn has_incompat(&self, bit: u32) -> bool {
        self.incompat & bit != 0
    }
    /// Whether a read-only compatible feature is on.
    pub fn has_ro_compat(&self, bit: u32) -> bool {
        self.ro_compat & bit != 0
    }
    /// Whether new files use extents.
    pub fn extents(&self) -> bool {
        self.has_incompat(incompat::EXTENTS)
    }
    /// Whether entries of directories have a type.
    pub fn filetype(&self) -> bool {
        self.has_incompat(incompat::FILETYPE)
    }
    /// Blocks of a cluster.
    pub fn cluster_blocks(&self) -> u32 {
        1 << self.cluster_bits
    }
    /// Block pointers of an indirect block.
    pub fn pointers(&self) -> u32 {
        self.block_size as u32 / 4
    }
    /// Levels that a directory's index may have.
    pub fn dir_levels(&self) -> usize {
        if self.has_incompat(incompat::LARGEDIR) { 3 } else { 2 }
    }

    /// The group of a block, and its cluster there. The block must not be below `first_data_block`.
    pub fn locate(&self, block: u64) -> (u32, u32) {
        let rel = block.saturating_sub(self.first_data_block);
        let bpg = u64::from(self.blocks_per_group);
        ((rel / bpg) as u32, (rel % bpg) as u32 >> self.cluster_bits)
    }

    /// The first block of a group.
    pub fn group_start(&self, group: u32) -> u64 {
        self.first_data_block + u64::from(group) * u64::from(self.blocks_per_group)
    }

    /// The first block of a cluster of a group.
    pub fn cluster_start(&self, group: u32, cluster: u32) -> u64 {
        self.group_start(group) + (u64::from(cluster) << self.cluster_bits)
    }

    /// Whether a group has a copy of the superblock.
    pub fn has_super(&self, group: u32) -> bool {
        if group == 0 {
            return true;
        }
        if let Some(backups) = self.sparse2 {
            return backups.contains(&group);
        }
        if group == 1 || !self.has_ro_compat(ro_compat::SPARSE_SUPER) {
            return true;
        }
        [3u64, 5, 7].iter().any(|&base| {
            let mut power = base;
            while power < group.into() {
                power *= base;
            }
            power == group.into()
        })
    }

    /// Whether the descriptors of this group lie in meta groups, not after the superblock.
    pub fn is_meta(&self, group: u32) -> bool {
        self.has_incompat(incompat::META_BG) && group / self.desc_per_block >= self.first_meta_bg
    }

    /// Blocks of the descriptors that follow each superblock, for so many groups.
    pub fn plain_gdt_blocks(&self, groups: u32) -> u32 {
        if self.has_incompat(incompat::META_BG) { self.first_meta_bg } else { groups.div_ceil(self.desc_per_block) }
    }

    /// Where block `index` of the primary descriptors is.
    pub fn gdt_block(&self, index: u32) -> u64 {
        let group = index.saturating_mul(self.desc_per_block);
        if !self.is_meta(group) {
            // The superblock is in block 1 for blocks of 1 KiB, else in block 0.
            return u64::from(self.block_size == 1024) + 1 + u64::from(index);
        }
        let mut skip = u64::from(self.has_super(group));
        if self.block_size == 1024 && index == 0 && self.first_data_block == 0 {
            skip += 1;
        }
        self.group_start(group) + skip
    }

    /// Blocks at a group's start for superblock and descriptors.
    pub fn base_meta_blocks(&self, group: u32) -> u32 {
        let mut blocks = u32::from(self.has_super(group));
        if self.is_meta(group) {
            let first = group / self.desc_per_block * self.desc_per_block;
            let last = first + self.desc_per_block - 1;
            if group == first || group == first + 1 || group == last {
                blocks += 1;
            }
        } else if blocks != 0 {
            blocks = blocks.saturating_add(self.gdt_span);
        }
        blocks
    }

    /// Blocks of descriptors that there is room for after each superblock.
    pub fn gdt_span(&self) -> u32 {
        self.gdt_span
    }

    /// The group of an inode, and its place there. The number must not be zero.
    pub fn locate_inode(&self, ino: u32) -> (u32, u32) {
        let index = ino.saturating_sub(1);
        (index / self.inodes_per_group, index % self.inodes_per_group)
    }

    /// The largest size of a file with extents, or with block pointers.
    pub fn max_size(&self, extents: bool) -> u64 {
        let huge = self.has_ro_compat(ro_compat::HUGE_FILE);
        let limit = if huge { i64::MAX as u64 } else { (u64::from(u32::MAX) << 9) & !(self.block_size as u64 - 1) };
        if extents {
            return ((u64::from(u32::MAX)) << self.block_bits).min(limit);
        }
        let n = u64::from(self.pointers());
        let blocks = 12 + n + n * n + n * n * n;
        // Without huge_file the meta-blocks count against 2^32 sectors too; with it, against 2^48.
        let meta = 1 + (1 + n) + (1 + n + n * n);
        let most = if huge { (1u64 << 48) - 1 } else { u64::from(u32::MAX) >> (self.block_bits - 9) };
        (blocks.min(most.saturating_sub(meta)) << self.block_bits).min(u64::from(u32::MAX) << self.block_bits)
    }

    /// Records of an extent node in a block.
    pub fn node_max(&self) -> u16 {
        extent::max_entries(self.block_size)
    }
}
