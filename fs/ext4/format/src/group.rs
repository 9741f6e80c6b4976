// SPDX-License-Identifier: GPL-2.0
//! Group descriptors: 32 bytes, or `s_desc_size` with `64bit`.

use crate::crc::{crc16, crc32c};
use crate::le::*;

/// `bg_flags`: the inode table and bitmap are not in use.
pub const INODE_UNINIT: u16 = 1;
/// `bg_flags`: the block bitmap is not written.
pub const BLOCK_UNINIT: u16 = 2;
/// `bg_flags`: the inode table is zeroed on the disk.
pub const INODE_ZEROED: u16 = 4;

const CHECKSUM: usize = 0x1e;

/// A group descriptor; names are Linux's without `bg_`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct GroupDesc {
    pub block_bitmap: u64,
    pub inode_bitmap: u64,
    pub inode_table: u64,
    pub free_blocks_count: u32,
    pub free_inodes_count: u32,
    pub used_dirs_count: u32,
    pub flags: u16,
    pub itable_unused: u32,
    pub block_bitmap_csum: u32,
    pub inode_bitmap_csum: u32,
    pub checksum: u16,
}

/// How descriptors are protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DescCsum {
    /// Not at all.
    None,
    /// CRC-16 (`uninit_bg`), over this UUID.
    Crc16([u8; 16]),
    /// CRC-32C, from this seed.
    Crc32c(u32),
}

impl GroupDesc {
    /// Decodes a descriptor (`bytes` is the whole record).
    pub fn decode(bytes: &[u8]) -> Self {
        let wide = bytes.len() >= 64;
        let pair = |lo: usize, hi: usize| {
            u64::from(u32_at(bytes, lo)) | if wide { u64::from(u32_at(bytes, hi)) << 32 } else { 0 }
        };
        let half = |lo: usize, hi: usize| {
            u32::from(u16_at(bytes, lo)) | if wide { u32::from(u16_at(bytes, hi)) << 16 } else { 0 }
        };
        Self {
            block_bitmap: pair(0, 0x20),
            inode_bitmap: pair(4, 0x24),
            inode_table: pair(8, 0x28),
            free_blocks_count: half(0xc, 0x2c),
            free_inodes_count: half(0xe, 0x2e),
            used_dirs_count: half(0x10, 0x30),
            flags: u16_at(bytes, 0x12),
            block_bitmap_csum: half(0x18, 0x38),
            inode_bitmap_csum: half(0x1a, 0x3a),
            itable_unused: half(0x1c, 0x32),
            checksum: u16_at(bytes, CHECKSUM),
        }
    }

    /// Encodes it into its record, which keeps the fields not decoded, and sets the checksum.
    pub fn encode(&self, bytes: &mut [u8], group: u32, csum: DescCsum) {
        let wide = bytes.len() >= 64;
        for (lo, hi, value) in [(0, 0x20, self.block_bitmap), (4, 0x24, self.inode_bitmap), (8, 0x28, self.inode_table)]
        {
            put_u32(bytes, lo, lo32(value));
            if wide {
                put_u32(bytes, hi, hi32(value));
            }
        }
        for (lo, hi, value) in [
            (0xc, 0x2c, self.free_blocks_count),
            (0xe, 0x2e, self.free_inodes_count),
            (0x10, 0x30, self.used_dirs_count),
            (0x18, 0x38, self.block_bitmap_csum),
            (0x1a, 0x3a, self.inode_bitmap_csum),
            (0x1c, 0x32, self.itable_unused),
        ] {
            put_u16(bytes, lo, value as u16);
            if wide {
                put_u16(bytes, hi, (value >> 16) as u16);
            }
        }
        put_u16(bytes, 0x12, self.flags);
        if csum != DescCsum::None {
            let value = checksum(bytes, group, csum);
            put_u16(bytes, CHECKSUM, value);
        }
    }
}

/// The checksum that a descriptor's record should have (0 without checksums).
pub fn checksum(bytes: &[u8], group: u32, csum: DescCsum) -> u16 {
    let (head, tail) = bytes.split_at(CHECKSUM.min(bytes.len()));
    let tail = tail.get(2..).unwrap_or(&[]);
    let number = group.to_le_bytes();
    match csum {
        DescCsum::None => 0,
        DescCsum::Crc16(uuid) => crc16(crc16(crc16(crc16(!0, &uuid), &number), head), tail),
        DescCsum::Crc32c(seed) => crc32c(crc32c(crc32c(crc32c(seed, &number), head), &[0; 2]), tail) as u16,
    }
}

/// Whether the low 16 bits of a bitmap's checksum are all that a record of this size can hold.
pub fn bitmap_csum_mask(desc_size: usize) -> u32 {
    if desc_size >= 64 { u32::MAX } else { 0xffff }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let desc = GroupDesc {
            block_bitmap: 0x1_0000_0002,
            inode_bitmap: 0x3_0000_0004,
            inode_table: 0x5_0000_0006,
            free_blocks_count: 0x12345,
            free_inodes_count: 0x23456,
            used_dirs_count: 0x34567,
            flags: 5,
            itable_unused: 0x45678,
            block_bitmap_csum: 0x1234_5678,
            inode_bitmap_csum: 0x8765_4321,
            checksum: 0,
        };
        let mut bytes = [0u8; 64];
        desc.encode(&mut bytes, 3, DescCsum::Crc32c(9));
        let back = GroupDesc::decode(&bytes);
        assert_eq!(back.checksum, checksum(&bytes, 3, DescCsum::Crc32c(9)));
        assert_eq!(GroupDesc { checksum: 0, ..back }, desc);
        assert_ne!(checksum(&bytes, 4, DescCsum::Crc32c(9)), back.checksum);
    }
}
