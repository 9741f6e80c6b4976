// SPDX-License-Identifier: GPL-2.0
//! Blocks of directories: entries, the checksum at the end of a block, and the index (`htree`).

use crate::crc::crc32c;
use crate::le::*;

/// Bytes before the name.
pub const HEAD: usize = 8;
/// The longest name.
pub const NAME_LEN: usize = 255;
/// Bytes of the fake entry that holds a leaf's checksum.
pub const TAIL: usize = 12;
/// `file_type` of that entry.
pub const FT_CSUM: u8 = 0xde;

/// `file_type` values.
pub mod ft {
    #![allow(missing_docs)]
    pub const UNKNOWN: u8 = 0;
    pub const REG_FILE: u8 = 1;
    pub const DIR: u8 = 2;
    pub const CHRDEV: u8 = 3;
    pub const BLKDEV: u8 = 4;
    pub const FIFO: u8 = 5;
    pub const SOCK: u8 = 6;
    pub const SYMLINK: u8 = 7;

    /// The type for a mode.
    pub const fn of_mode(mode: u16) -> u8 {
        match mode >> 12 {
            1 => FIFO,
            2 => CHRDEV,
            4 => DIR,
            6 => BLKDEV,
            8 => REG_FILE,
            10 => SYMLINK,
            12 => SOCK,
            _ => UNKNOWN,
        }
    }
}

/// Bytes that an entry with a name of this length takes.
pub const fn record_len(name_len: usize) -> usize {
    (HEAD + name_len + 3) & !3
}

/// `rec_len` as a number of bytes: in blocks of 64 KiB the whole block is written as 65535 or 0.
pub fn decode_len(raw: u16, block_size: usize) -> usize {
    if block_size < 65536 {
        return raw.into();
    }
    match raw {
        0xffff | 0 => block_size,
        _ => usize::from(raw & 0xfffc) | usize::from(raw & 3) << 16,
    }
}

/// The reverse of `decode_len`.
pub fn encode_len(len: usize, block_size: usize) -> u16 {
    if len < 65536 {
        len as u16
    } else if len == block_size {
        if block_size == 65536 { 0xffff } else { 0 }
    } else {
        (len & 0xfffc) as u16 | (len >> 16 & 3) as u16
    }
}

/// An entry of a directory block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where it begins in the block.
    pub offset: usize,
    /// The inode; 0 for room that is not in use.
    pub inode: u32,
    /// Bytes up to the next entry.
    pub rec_len: usize,
    /// Bytes of the name.
    pub name_len: usize,
    /// Type of the file (0 without `filetype`).
    pub file_type: u8,
}

impl Entry {
    /// Decodes the entry at `offset` of a region and checks it: it lies within the region, its length is a multiple of four
    /// and holds the name. None if it cannot be.
    pub fn decode(region: &[u8], offset: usize, block_size: usize, filetype: bool) -> Option<Self> {
        let head = region.get(offset..offset.checked_add(HEAD)?)?;
        let rec_len = decode_len(u16_at(head, 4), block_size);
        // Without `filetype` the byte is the upper half of the length in theory, and something else in practice.
        let name_len = usize::from(u16_at(head, 6) & 0xff);
        let file_type = if filetype { (u16_at(head, 6) >> 8) as u8 } else { 0 };
        let good = rec_len >= record_len(1)
            && rec_len.is_multiple_of(4)
            && rec_len >= record_len(name_len)
            && name_len <= NAME_LEN
            && offset.checked_add(rec_len)? <= region.len();
        good.then(|| Self { offset, inode: u32_at(head, 0), rec_len, name_len, file_type })
    }

    /// Its name.
    pub fn name<'a>(&self, region: &'a [u8]) -> &'a [u8] {
        let at = self.offset.wrapping_add(HEAD);
        region.get(at..at.wrapping_add(self.name_len)).unwrap_or(&[])
    }

    /// Writes an entry with its name.
    pub fn write(
        region: &mut [u8],
        offset: usize,
        inode: u32,
        rec_len: usize,
        name: &[u8],
        file_type: u8,
        block_size: usize,
    ) {
        put_u32(region, offset, inode);
        put_u16(region, offset + 4, encode_len(rec_len, block_size));
        put(region, offset + 6, &[name.len() as u8, file_type]);
        put(region, offset + HEAD, name);
    }

    /// Changes the length of the entry at `offset`.
    pub fn set_len(region: &mut [u8], offset: usize, rec_len: usize, block_size: usize) {
        put_u16(region, offset.wrapping_add(4), encode_len(rec_len, block_size));
    }
}

/// Entries of a region, in order. Ends at the first that cannot be, which is an `Err` with its offset.
pub struct Entries<'a> {
    region: &'a [u8],
    offset: usize,
    block_size: usize,
    filetype: bool,
}

impl<'a> Entries<'a> {
    /// Entries of `region` from `offset`.
    pub fn new(region: &'a [u8], offset: usize, block_size: usize, filetype: bool) -> Self {
        Self { region, offset, block_size, filetype }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, usize>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.region.len() {
            return None;
        }
        let at = self.offset;
        match Entry::decode(self.region, at, self.block_size, self.filetype) {
            Some(entry) => {
                self.offset = at + entry.rec_len;
                Some(Ok(entry))
            }
            None => {
                self.offset = self.region.len();
                Some(Err(at))
            }
        }
    }
}

/// Writes the fake entry for the checksum to the end of a leaf.
pub fn init_tail(block: &mut [u8]) {
    let at = block.len().saturating_sub(TAIL);
    put(block, at, &[0, 0, 0, 0, TAIL as u8, 0, 0, FT_CSUM, 0, 0, 0, 0]);
}

/// Whether the block ends with the fake entry.
pub fn has_tail(block: &[u8]) -> bool {
    let at = block.len().saturating_sub(TAIL);
    u32_at(block, at) == 0 && u32_at(block, at + 4) == u32::from_le_bytes([TAIL as u8, 0, 0, FT_CSUM])
}

/// The checksum of a leaf.
pub fn leaf_checksum(block: &[u8], seed: u32) -> u32 {
    crc32c(seed, block.get(..block.len().saturating_sub(TAIL)).unwrap_or(&[]))
}

/// Sets the checksum of a leaf that has the fake entry.
pub fn set_leaf_checksum(block: &mut [u8], seed: u32) {
    let crc = leaf_checksum(block, seed);
    put_u32(block, block.len().saturating_sub(4), crc);
}

/// Whether a leaf has the fake entry, with the right checksum.
pub fn leaf_checksum_ok(block: &[u8], seed: u32) -> bool {
    has_tail(block) && u32_at(block, block.len().saturating_sub(4)) == leaf_checksum(block, seed)
}

/// The index of a directory.
pub mod dx {
    use super::*;

    /// Where `dx_root_info` is in block 0 (after `.` and `..`).
    pub const ROOT_INFO: usize = 24;
    /// Where the entries of an inner node begin (after one unused entry).
    pub const NODE_ENTRIES: usize = 8;
    /// Bytes of an entry; the first holds limit and count instead of a hash.
    pub const ENTRY: usize = 8;
    /// Bytes of the checksum's record.
    pub const TAIL: usize = 8;

    /// Entries that fit.
    pub fn limit(block_size: usize, entries_at: usize, csum: bool) -> usize {
        block_size.saturating_sub(entries_at).saturating_sub(if csum { TAIL } else { 0 }) / ENTRY
    }

    /// Entries that there is room for, as the block says.
    pub fn stored_limit(block: &[u8], at: usize) -> usize {
        u16_at(block, at).into()
    }

    /// Entries in use.
    pub fn count(block: &[u8], at: usize) -> usize {
        u16_at(block, at + 2).into()
    }

    /// Sets the number of entries in use.
    pub fn set_count(block: &mut [u8], at: usize, count: usize) {
        put_u16(block, at + 2, count as u16);
    }

    /// Sets both numbers.
    pub fn set_limit_count(block: &mut [u8], at: usize, limit: usize, count: usize) {
        put_u16(block, at, limit as u16);
        put_u16(block, at + 2, count as u16);
    }

    /// Hash of entry `i`; 0 for the first.
    pub fn hash(block: &[u8], at: usize, i: usize) -> u32 {
        if i == 0 { 0 } else { u32_at(block, at + i * ENTRY) }
    }

    /// The block of the directory that entry `i` points to.
    pub fn child(block: &[u8], at: usize, i: usize) -> u32 {
        u32_at(block, at + i * ENTRY + 4) & 0x0fff_ffff
    }

    /// Sets entry `i`.
    pub fn set(block: &mut [u8], at: usize, i: usize, hash: u32, child: u32) {
        if i > 0 {
            put_u32(block, at + i * ENTRY, hash);
        }
        put_u32(block, at + i * ENTRY + 4, child);
    }

    /// The checksum of an index block whose entries begin at `at`.
    pub fn checksum(block: &[u8], at: usize, seed: u32) -> u32 {
        let used = at.wrapping_add(count(block, at) * ENTRY);
        let tail = at.wrapping_add(stored_limit(block, at) * ENTRY);
        let crc = crc32c(seed, block.get(..used).unwrap_or(&[]));
        let crc = crc32c(crc, block.get(tail..tail.wrapping_add(4)).unwrap_or(&[]));
        crc32c(crc, &[0; 4])
    }

    /// Sets the checksum.
    pub fn set_checksum(block: &mut [u8], at: usize, seed: u32) {
        let crc = checksum(block, at, seed);
        let tail = at.wrapping_add(stored_limit(block, at) * ENTRY);
        put_u32(block, tail.wrapping_add(4), crc);
    }

    /// Whether the checksum is right. Limit and count must have been checked.
    pub fn checksum_ok(block: &[u8], at: usize, seed: u32) -> bool {
        let tail = at.wrapping_add(stored_limit(block, at) * ENTRY);
        u32_at(block, tail.wrapping_add(4)) == checksum(block, at, seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let mut block = std::vec![0u8; 1024];
        Entry::write(&mut block, 0, 2, 12, b".", ft::DIR, 1024);
        Entry::write(&mut block, 12, 2, 1024 - 12 - TAIL, b"..", ft::DIR, 1024);
        init_tail(&mut block);
        set_leaf_checksum(&mut block, 1);
        assert!(leaf_checksum_ok(&block, 1));
        let found: std::vec::Vec<_> = Entries::new(&block, 0, 1024, true).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(found[1].unwrap().name(&block), b"..");
        Entry::set_len(&mut block, 12, 6, 1024);
        assert!(Entries::new(&block, 0, 1024, true).nth(1).unwrap().is_err());
    }

    #[test]
    fn lengths_in_large_blocks() {
        assert_eq!(decode_len(encode_len(65536, 65536), 65536), 65536);
        assert_eq!(decode_len(encode_len(65532, 65536), 65536), 65532);
    }
}
