// SPDX-License-Identifier: GPL-2.0
//! Extended attributes: entries from one end of a region, values from the other. In an inode the entries follow a magic
//! number; a block of its own has a header of 32 bytes, its entries are sorted and hashed.

use crate::crc::crc32c;
use crate::le::*;

/// Starts the attributes in an inode, and a block of attributes.
pub const MAGIC: u32 = 0xea02_0000;
/// Bytes of a block's header.
pub const BLOCK_HEADER: usize = 32;
/// Bytes of an entry before its name.
pub const ENTRY: usize = 16;
/// The most inodes that share one block.
pub const REFCOUNT_MAX: u32 = 1024;

/// Namespaces as the disk has them (`e_name_index`).
pub mod index {
    #![allow(missing_docs)]
    pub const USER: u8 = 1;
    pub const POSIX_ACL_ACCESS: u8 = 2;
    pub const POSIX_ACL_DEFAULT: u8 = 3;
    pub const TRUSTED: u8 = 4;
    pub const LUSTRE: u8 = 5;
    pub const SECURITY: u8 = 6;
    pub const SYSTEM: u8 = 7;
    pub const RICHACL: u8 = 8;
    pub const ENCRYPTION: u8 = 9;
    pub const HURD: u8 = 10;

    /// The prefix of an index, as programs write it; None for those not shown.
    pub const fn prefix(index: u8) -> Option<&'static str> {
        Some(match index {
            USER => "user.",
            POSIX_ACL_ACCESS => "system.posix_acl_access",
            POSIX_ACL_DEFAULT => "system.posix_acl_default",
            TRUSTED => "trusted.",
            SECURITY => "security.",
            SYSTEM => "system.",
            RICHACL => "system.richacl",
            HURD => "gnu.",
            _ => return None,
        })
    }

    /// Index and rest of a whole name.
    pub fn split(name: &[u8]) -> Option<(u8, &[u8])> {
        for (index, whole) in [
            (POSIX_ACL_ACCESS, true),
            (POSIX_ACL_DEFAULT, true),
            (RICHACL, true),
            (USER, false),
            (TRUSTED, false),
            (SECURITY, false),
            (SYSTEM, false),
            (HURD, false),
        ] {
            if let Some(rest) = prefix(index).and_then(|p| name.strip_prefix(p.as_bytes()))
                && whole == rest.is_empty()
            {
                return Some((index, rest));
            }
        }
        None
    }
}

/// An entry, or what it points to, is not wholly within its region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DoesNotFit;

/// An entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where it begins.
    pub at: usize,
    /// Bytes of the name.
    pub name_len: usize,
    /// Namespace.
    pub index: u8,
    /// Offset of the value, from the first entry in an inode or the start of a block.
    pub value_offs: usize,
    /// The inode that holds the value, or 0.
    pub value_inum: u32,
    /// Bytes of the value.
    pub value_size: usize,
    /// Hash of name and value (blocks, and values in inodes).
    pub hash: u32,
}

/// Bytes of an entry with a name of this length.
pub const fn entry_len(name_len: usize) -> usize {
    (ENTRY + name_len + 3) & !3
}

/// Bytes that a value takes.
pub const fn value_len(size: usize) -> usize {
    (size + 3) & !3
}

impl Entry {
    /// The entry at `at`; None at the end of the list (four zero bytes), `Err` if it does not fit the region.
    pub fn decode(region: &[u8], at: usize) -> Result<Option<Self>, DoesNotFit> {
        let Some(end) = at.checked_add(4) else { return Err(DoesNotFit) };
        if end > region.len() {
            return Err(DoesNotFit);
        }
        if u32_at(region, at) == 0 {
            return Ok(None);
        }
        let name_len = usize::from(u16_at(region, at) & 0xff);
        if at.checked_add(entry_len(name_len)).is_none_or(|next| next.saturating_add(4) > region.len()) {
            return Err(DoesNotFit);
        }
        Ok(Some(Self {
            at,
            name_len,
            index: (u16_at(region, at) >> 8) as u8,
            value_offs: u16_at(region, at + 2).into(),
            value_inum: u32_at(region, at + 4),
            value_size: u32_at(region, at + 8) as usize,
            hash: u32_at(region, at + 12),
        }))
    }

    /// Its name, without the prefix.
    pub fn name<'a>(&self, region: &'a [u8]) -> &'a [u8] {
        region.get(self.at + ENTRY..self.at + ENTRY + self.name_len).unwrap_or(&[])
    }

    /// Where the next one begins.
    pub fn next(&self) -> usize {
        self.at + entry_len(self.name_len)
    }
}

/// Hash of a name.
fn name_hash(name: &[u8], signed: bool) -> u32 {
    name.iter().fold(0u32, |hash, &b| {
        let b = if signed { i32::from(b as i8) as u32 } else { u32::from(b) };
        (hash << 5) ^ (hash >> 27) ^ b
    })
}

/// Hash of an entry whose value lies in the region.
pub fn entry_hash(name: &[u8], value: &[u8], signed: bool) -> u32 {
    value.chunks(4).fold(name_hash(name, signed), |hash, chunk| {
        let mut word = [0; 4];
        put(&mut word, 0, chunk);
        (hash << 16) ^ (hash >> 16) ^ u32::from_le_bytes(word)
    })
}

/// Hash of an entry whose value lies in an inode with this hash.
pub fn entry_hash_inode(name: &[u8], value_hash: u32, signed: bool) -> u32 {
    let hash = name_hash(name, signed);
    (hash << 16) ^ (hash >> 16) ^ value_hash
}

/// Hash of a block, from those of its entries: 0 (never shared) if one has none.
pub fn block_hash(hashes: impl Iterator<Item = u32>) -> u32 {
    let mut all = 0u32;
    for hash in hashes {
        if hash == 0 {
            return 0;
        }
        all = (all << 16) ^ (all >> 16) ^ hash;
    }
    all
}

/// The checksum of block number `number`.
pub fn block_checksum(block: &[u8], number: u64, seed: u32) -> u32 {
    let crc = crc32c(seed, &number.to_le_bytes());
    let crc = crc32c(crc, block.get(..16).unwrap_or(&[]));
    let crc = crc32c(crc, &[0; 4]);
    crc32c(crc, block.get(20..).unwrap_or(&[]))
}
