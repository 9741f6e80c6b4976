// SPDX-License-Identifier: GPL-2.0
//! The superblock: 1024 bytes at byte 1024 of the device.

use crate::crc::crc32c;
use crate::feature::{compat, incompat, ro_compat};
use errno::Result;
use errno::code::EINVAL;
use kalloc::KBox;
use kalloc::flags::GFP_NOFS;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The superblock as it is on the disk; names are Linux's without `s_`.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)]
pub struct SuperBlock {
    pub inodes_count: U32,
    pub blocks_count_lo: U32,
    pub r_blocks_count_lo: U32,
    pub free_blocks_count_lo: U32,
    pub free_inodes_count: U32,
    pub first_data_block: U32,
    pub log_block_size: U32,
    pub log_cluster_size: U32,
    pub blocks_per_group: U32,
    pub clusters_per_group: U32,
    pub inodes_per_group: U32,
    pub mtime: U32,
    pub wtime: U32,
    pub mnt_count: U16,
    pub max_mnt_count: U16,
    pub magic: U16,
    pub state: U16,
    pub errors: U16,
    pub minor_rev_level: U16,
    pub lastcheck: U32,
    pub checkinterval: U32,
    pub creator_os: U32,
    pub rev_level: U32,
    pub def_resuid: U16,
    pub def_resgid: U16,
    pub first_ino: U32,
    pub inode_size: U16,
    pub block_group_nr: U16,
    pub feature_compat: U32,
    pub feature_incompat: U32,
    pub feature_ro_compat: U32,
    pub uuid: [u8; 16],
    pub volume_name: [u8; 16],
    pub last_mounted: [u8; 64],
    pub algorithm_usage_bitmap: U32,
    pub prealloc_blocks: u8,
    pub prealloc_dir_blocks: u8,
    pub reserved_gdt_blocks: U16,
    pub journal_uuid: [u8; 16],
    pub journal_inum: U32,
    pub journal_dev: U32,
    pub last_orphan: U32,
    pub hash_seed: [U32; 4],
    pub def_hash_version: u8,
    pub jnl_backup_type: u8,
    pub desc_size: U16,
    pub default_mount_opts: U32,
    pub first_meta_bg: U32,
    pub mkfs_time: U32,
    pub jnl_blocks: [U32; 17],
    pub blocks_count_hi: U32,
    pub r_blocks_count_hi: U32,
    pub free_blocks_count_hi: U32,
    pub min_extra_isize: U16,
    pub want_extra_isize: U16,
    pub flags: U32,
    pub raid_stride: U16,
    pub mmp_interval: U16,
    pub mmp_block: U64,
    pub raid_stripe_width: U32,
    pub log_groups_per_flex: u8,
    pub checksum_type: u8,
    pub encryption_level: u8,
    pub reserved_pad: u8,
    pub kbytes_written: U64,
    pub snapshot_inum: U32,
    pub snapshot_id: U32,
    pub snapshot_r_blocks_count: U64,
    pub snapshot_list: U32,
    pub error_count: U32,
    pub first_error_time: U32,
    pub first_error_ino: U32,
    pub first_error_block: U64,
    pub first_error_func: [u8; 32],
    pub first_error_line: U32,
    pub last_error_time: U32,
    pub last_error_ino: U32,
    pub last_error_line: U32,
    pub last_error_block: U64,
    pub last_error_func: [u8; 32],
    pub mount_opts: [u8; 64],
    pub usr_quota_inum: U32,
    pub grp_quota_inum: U32,
    pub overhead_clusters: U32,
    pub backup_bgs: [U32; 2],
    pub encrypt_algos: [u8; 4],
    pub encrypt_pw_salt: [u8; 16],
    pub lpf_ino: U32,
    pub prj_quota_inum: U32,
    pub checksum_seed: U32,
    pub wtime_hi: u8,
    pub mtime_hi: u8,
    pub mkfs_time_hi: u8,
    pub lastcheck_hi: u8,
    pub first_error_time_hi: u8,
    pub last_error_time_hi: u8,
    pub first_error_errcode: u8,
    pub last_error_errcode: u8,
    pub encoding: U16,
    pub encoding_flags: U16,
    pub orphan_file_inum: U32,
    pub reserved: [U32; 94],
    pub checksum: U32,
}

/// Bytes of a superblock.
pub const SIZE: usize = 1024;
/// Where it is on the device.
pub const OFFSET: u64 = 1024;
const _: () = assert!(size_of::<SuperBlock>() == SIZE);

impl SuperBlock {
    /// The superblock in the first 1024 bytes of `bytes`; None if there are fewer.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read_from_prefix(bytes).ok().map(|(sb, _)| sb)
    }

    /// As [`Self::parse`], where it stays: it is large for a stack. `EINVAL` if there are fewer bytes.
    #[inline(never)]
    pub fn boxed(bytes: &[u8]) -> Result<KBox<Self>> {
        let mut sb = KBox::new_with(Self::new_zeroed, GFP_NOFS)?;
        sb.as_mut_bytes().copy_from_slice(bytes.get(..SIZE).ok_or(EINVAL)?);
        Ok(sb)
    }

    /// Whether all these bits of `s_feature_compat` are set.
    pub fn has_compat(&self, bits: u32) -> bool {
        self.rev_level.get() > 0 && self.feature_compat.get() & bits == bits
    }

    /// Whether all these bits of `s_feature_incompat` are set.
    pub fn has_incompat(&self, bits: u32) -> bool {
        self.rev_level.get() > 0 && self.feature_incompat.get() & bits == bits
    }

    /// Whether all these bits of `s_feature_ro_compat` are set.
    pub fn has_ro_compat(&self, bits: u32) -> bool {
        self.rev_level.get() > 0 && self.feature_ro_compat.get() & bits == bits
    }

    /// Whether metadata carries CRC-32C checksums.
    pub fn has_metadata_csum(&self) -> bool {
        self.has_ro_compat(ro_compat::METADATA_CSUM)
    }

    /// Blocks of the file system.
    pub fn blocks_count(&self) -> u64 {
        self.wide(self.blocks_count_lo, self.blocks_count_hi)
    }

    /// Blocks that are free.
    pub fn free_blocks_count(&self) -> u64 {
        self.wide(self.free_blocks_count_lo, self.free_blocks_count_hi)
    }

    /// Blocks that only root may take.
    pub fn r_blocks_count(&self) -> u64 {
        self.wide(self.r_blocks_count_lo, self.r_blocks_count_hi)
    }

    fn wide(&self, lo: U32, hi: U32) -> u64 {
        let high = if self.has_incompat(incompat::BIT64) { u64::from(hi.get()) << 32 } else { 0 };
        u64::from(lo.get()) | high
    }

    /// Sets the number of blocks.
    pub fn set_blocks_count(&mut self, n: u64) {
        self.blocks_count_lo.set(crate::le::lo32(n));
        self.blocks_count_hi.set(crate::le::hi32(n));
    }

    /// Sets the number of free blocks.
    pub fn set_free_blocks_count(&mut self, n: u64) {
        self.free_blocks_count_lo.set(crate::le::lo32(n));
        self.free_blocks_count_hi.set(crate::le::hi32(n));
    }

    /// Sets the number of reserved blocks.
    pub fn set_r_blocks_count(&mut self, n: u64) {
        self.r_blocks_count_lo.set(crate::le::lo32(n));
        self.r_blocks_count_hi.set(crate::le::hi32(n));
    }

    /// Size of an inode on the disk.
    pub fn inode_size(&self) -> usize {
        if self.rev_level.get() == 0 { 128 } else { usize::from(self.inode_size.get()) }
    }

    /// The first inode that is not reserved.
    pub fn first_ino(&self) -> u32 {
        if self.rev_level.get() == 0 { 11 } else { self.first_ino.get() }
    }

    /// Bytes of a group descriptor.
    pub fn desc_size(&self) -> usize {
        if self.has_incompat(incompat::BIT64) { usize::from(self.desc_size.get()) } else { 32 }
    }

    /// Whether there is a journal.
    pub fn has_journal(&self) -> bool {
        self.has_compat(compat::HAS_JOURNAL)
    }

    /// What starts all CRC-32C checksums of metadata.
    pub fn csum_seed(&self) -> u32 {
        if self.has_incompat(incompat::CSUM_SEED) { self.checksum_seed.get() } else { crc32c(!0, &self.uuid) }
    }

    /// The checksum that the superblock should have.
    pub fn compute_checksum(&self) -> u32 {
        let bytes = self.as_bytes();
        crc32c(!0, bytes.get(..SIZE - 4).unwrap_or(&[]))
    }

    /// Puts the checksum in, if the file system has checksums.
    pub fn update_checksum(&mut self) {
        if self.has_metadata_csum() {
            self.checksum.set(self.compute_checksum());
        }
    }
}
