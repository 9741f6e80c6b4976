// SPDX-License-Identifier: GPL-2.0
//! The superblock: 96 bytes at the image's start. No locks.

use crate::compress::Method;
use crate::le::Fields;
use errno::Result;
use errno::code::EINVAL;

/// `hsqs`.
pub const MAGIC: u32 = 0x7371_7368;
/// Bytes of the superblock.
pub(crate) const SIZE: usize = 96;
/// A table that the image does not have.
pub(crate) const NO_TABLE: u64 = u64::MAX;

const BLOCK_LOG_MIN: u16 = 12;
const BLOCK_LOG_MAX: u16 = 20;

/// The superblock, checked.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields have the format's names")]
pub struct Super {
    pub inodes: u32,
    pub mkfs_time: u32,
    pub block_size: u32,
    pub block_log: u16,
    pub fragments: u32,
    pub method: Method,
    pub flags: u16,
    pub ids: u16,
    pub root: u64,
    pub bytes_used: u64,
    pub id_table: u64,
    pub xattr_table: u64,
    pub inode_table: u64,
    pub directory_table: u64,
    pub fragment_table: u64,
    pub lookup_table: u64,
}

impl Super {
    /// Of its bytes. `device` is how many bytes there are. `EINVAL` if it is none, of another version, or cannot be right; the text
    /// says what.
    pub fn parse(bytes: &[u8; SIZE], device: u64) -> core::result::Result<Self, &'static str> {
        let (magic, sb, version) = Self::fields(bytes).map_err(|_| "unknown compression")?;
        if magic != MAGIC {
            return Err("no squashfs superblock");
        }
        if version != (4, 0) {
            return Err("unsupported version of squashfs");
        }
        sb.check(device)?;
        Ok(sb)
    }

    fn fields(bytes: &[u8; SIZE]) -> Result<(u32, Self, (u16, u16))> {
        let mut f = Fields(bytes);
        let magic = f.u32()?;
        let (inodes, mkfs_time, block_size, fragments) = (f.u32()?, f.u32()?, f.u32()?, f.u32()?);
        let (method, block_log, flags, ids) = (f.u16()?, f.u16()?, f.u16()?, f.u16()?);
        let version = (f.u16()?, f.u16()?);
        let method = match Method::of(method) {
            Some(method) => method,
            // Whatever it is, the magic counts first.
            None if magic == MAGIC => return Err(EINVAL),
            None => Method::Zlib,
        };
        let sb = Self {
            inodes,
            mkfs_time,
            block_size,
            block_log,
            fragments,
            method,
            flags,
            ids,
            root: f.u64()?,
            bytes_used: f.u64()?,
            id_table: f.u64()?,
            xattr_table: f.u64()?,
            inode_table: f.u64()?,
            directory_table: f.u64()?,
            fragment_table: f.u64()?,
            lookup_table: f.u64()?,
        };
        Ok((magic, sb, version))
    }

    fn check(&self, device: u64) -> core::result::Result<(), &'static str> {
        if self.bytes_used > device || self.bytes_used < SIZE as u64 {
            return Err("the device is smaller than the file system");
        }
        if !(BLOCK_LOG_MIN..=BLOCK_LOG_MAX).contains(&self.block_log) || self.block_size != 1 << self.block_log {
            return Err("bad block size");
        }
        if self.inodes == 0 || self.ids == 0 {
            return Err("no inodes or no ids");
        }
        if self.root & 0xffff > crate::METADATA as u64 {
            return Err("bad root inode");
        }
        let ordered = self.inode_table >= SIZE as u64
            && self.inode_table < self.directory_table
            && self.directory_table <= self.first_after_directories()
            && self.first_after_directories() < self.bytes_used
            && self.id_table < self.bytes_used;
        if ordered { Ok(()) } else { Err("tables out of order") }
    }

    /// Where directories end: the first table behind them.
    pub(crate) fn first_after_directories(&self) -> u64 {
        let fragments = if self.fragments == 0 { NO_TABLE } else { self.fragment_table };
        fragments.min(self.lookup_table).min(self.id_table)
    }
}
