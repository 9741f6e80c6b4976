// SPDX-License-Identifier: GPL-2.0
//! Nodes of extent trees: a header, then records of 12 bytes that are extents in leaves and indices elsewhere.

use crate::le::*;

/// `eh_magic`.
pub const MAGIC: u16 = 0xf30a;
/// Bytes of a header, and of each record.
pub const RECORD: usize = 12;
/// The longest initialised extent; longer lengths mean an unwritten one.
pub const MAX_LEN: u32 = 0x8000;
/// The longest unwritten extent.
pub const MAX_UNWRITTEN_LEN: u32 = 0x7fff;
/// Levels below the root that a tree may have.
pub const MAX_DEPTH: u16 = 5;

/// Head of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Records in use.
    pub entries: u16,
    /// Records that there is room for.
    pub max: u16,
    /// Levels below this node; 0 for a leaf.
    pub depth: u16,
    /// Generation of the tree (unused by Linux, kept).
    pub generation: u32,
}

impl Header {
    /// Decodes a header; None without the magic.
    pub fn decode(node: &[u8]) -> Option<Self> {
        (u16_at(node, 0) == MAGIC).then(|| Self {
            entries: u16_at(node, 2),
            max: u16_at(node, 4),
            depth: u16_at(node, 6),
            generation: u32_at(node, 8),
        })
    }

    /// Encodes it to the start of a node.
    pub fn encode(&self, node: &mut [u8]) {
        put_u16(node, 0, MAGIC);
        put_u16(node, 2, self.entries);
        put_u16(node, 4, self.max);
        put_u16(node, 6, self.depth);
        put_u32(node, 8, self.generation);
    }
}

/// A run of blocks of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// First block within the file.
    pub block: u32,
    /// Blocks.
    pub len: u32,
    /// First block on the disk (48 bits).
    pub start: u64,
    /// Allocated, but reads as zeros.
    pub unwritten: bool,
}

impl Extent {
    /// The block of the file after it.
    pub fn end(&self) -> u64 {
        u64::from(self.block) + u64::from(self.len)
    }

    /// The extent in record `index` of a leaf.
    pub fn decode(node: &[u8], index: usize) -> Self {
        let at = RECORD.wrapping_mul(index.wrapping_add(1));
        let raw = u32::from(u16_at(node, at.wrapping_add(4)));
        let unwritten = raw > MAX_LEN;
        Self {
            block: u32_at(node, at),
            len: if unwritten { raw - MAX_LEN } else { raw },
            start: u64::from(u32_at(node, at.wrapping_add(8))) | u64::from(u16_at(node, at.wrapping_add(6))) << 32,
            unwritten,
        }
    }

    /// Puts it into record `index` of a leaf.
    pub fn encode(&self, node: &mut [u8], index: usize) {
        let at = RECORD.wrapping_mul(index.wrapping_add(1));
        let raw = if self.unwritten { self.len.wrapping_add(MAX_LEN) } else { self.len };
        put_u32(node, at, self.block);
        put_u16(node, at.wrapping_add(4), raw as u16);
        put_u16(node, at.wrapping_add(6), (self.start >> 32) as u16);
        put_u32(node, at.wrapping_add(8), lo32(self.start));
    }

    /// The most blocks that an extent of this kind may have.
    pub fn max_len(unwritten: bool) -> u32 {
        if unwritten { MAX_UNWRITTEN_LEN } else { MAX_LEN }
    }

    /// Whether `next` follows this one in the file and on the disk, is of the same kind, and both fit one record.
    pub fn can_merge(&self, next: &Self) -> bool {
        self.unwritten == next.unwritten
            && self.end() == u64::from(next.block)
            && self.start.wrapping_add(u64::from(self.len)) == next.start
            && self.len + next.len <= Self::max_len(self.unwritten)
    }
}

/// An entry of an inner node: the first block that the child covers, and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Index {
    /// First block of the file below the child.
    pub block: u32,
    /// The child's block on the disk (48 bits).
    pub leaf: u64,
}

impl Index {
    /// The index in record `index` of an inner node.
    pub fn decode(node: &[u8], index: usize) -> Self {
        let at = RECORD.wrapping_mul(index.wrapping_add(1));
        Self {
            block: u32_at(node, at),
            leaf: u64::from(u32_at(node, at.wrapping_add(4))) | u64::from(u16_at(node, at.wrapping_add(8))) << 32,
        }
    }

    /// Puts it into record `index` of an inner node.
    pub fn encode(&self, node: &mut [u8], index: usize) {
        let at = RECORD.wrapping_mul(index.wrapping_add(1));
        put_u32(node, at, self.block);
        put_u32(node, at.wrapping_add(4), lo32(self.leaf));
        put_u16(node, at.wrapping_add(8), (self.leaf >> 32) as u16);
        put_u16(node, at.wrapping_add(10), 0);
    }
}

/// Records that fit a node of `bytes` bytes. A node in a block of its own ends with a checksum of 4 bytes; 12-byte records
/// always leave room for it in blocks whose size is a power of two.
pub const fn max_entries(bytes: usize) -> u16 {
    (bytes.saturating_sub(RECORD) / RECORD) as u16
}

/// Where the checksum of a node in a block is.
pub fn tail_offset(header: &Header) -> usize {
    RECORD * (1 + usize::from(header.max))
}
