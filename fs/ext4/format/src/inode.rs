// SPDX-License-Identifier: GPL-2.0
//! Inodes: 128 bytes in ext2, more (usually 256) with times in nanoseconds and attributes after the fixed part.

use crate::crc::crc32c;
use crate::le::*;

/// Bytes of the part that every inode has.
pub const GOOD_OLD_SIZE: usize = 128;
/// Bytes of `i_block`.
pub const BLOCK_BYTES: usize = 60;
/// Where `i_dtime` is in a record.
pub const DTIME: usize = 0x14;
/// Where `i_generation` is.
pub const GENERATION: usize = 0x64;
/// Block pointers in `i_block` that point to data.
pub const NDIR_BLOCKS: usize = 12;
/// `i_extra_isize` that takes all fields known here.
pub const EXTRA_ISIZE: u16 = 32;

/// Numbers of the inodes with a fixed meaning.
pub mod ino {
    #![allow(missing_docs)]
    pub const BAD: u32 = 1;
    pub const ROOT: u32 = 2;
    pub const USR_QUOTA: u32 = 3;
    pub const GRP_QUOTA: u32 = 4;
    pub const BOOT_LOADER: u32 = 5;
    pub const UNDEL_DIR: u32 = 6;
    pub const RESIZE: u32 = 7;
    pub const JOURNAL: u32 = 8;
}

/// `i_flags`.
pub mod flag {
    #![allow(missing_docs)]
    pub const SECRM: u32 = 0x1;
    pub const UNRM: u32 = 0x2;
    pub const COMPR: u32 = 0x4;
    pub const SYNC: u32 = 0x8;
    pub const IMMUTABLE: u32 = 0x10;
    pub const APPEND: u32 = 0x20;
    pub const NODUMP: u32 = 0x40;
    pub const NOATIME: u32 = 0x80;
    pub const ENCRYPT: u32 = 0x800;
    pub const INDEX: u32 = 0x1000;
    pub const IMAGIC: u32 = 0x2000;
    pub const JOURNAL_DATA: u32 = 0x4000;
    pub const NOTAIL: u32 = 0x8000;
    pub const DIRSYNC: u32 = 0x1_0000;
    pub const TOPDIR: u32 = 0x2_0000;
    pub const HUGE_FILE: u32 = 0x4_0000;
    pub const EXTENTS: u32 = 0x8_0000;
    pub const VERITY: u32 = 0x10_0000;
    pub const EA_INODE: u32 = 0x20_0000;
    pub const DAX: u32 = 0x200_0000;
    pub const INLINE_DATA: u32 = 0x1000_0000;
    pub const PROJINHERIT: u32 = 0x2000_0000;
    pub const CASEFOLD: u32 = 0x4000_0000;
    /// What `FS_IOC_GETFLAGS` shows.
    pub const USER_VISIBLE: u32 = 0x725b_dfff;
    /// What `FS_IOC_SETFLAGS` may change.
    pub const USER_MODIFIABLE: u32 = 0x624b_c0ff;
    /// What a new inode takes from its directory.
    pub const INHERITED: u32 = SECRM
        | UNRM
        | COMPR
        | SYNC
        | NODUMP
        | NOATIME
        | 0x400
        | JOURNAL_DATA
        | NOTAIL
        | DIRSYNC
        | PROJINHERIT
        | CASEFOLD
        | DAX;
    /// What a regular file does not take from its directory, of those above.
    pub const NOT_REGULAR: u32 = DIRSYNC | TOPDIR | CASEFOLD | PROJINHERIT;
    /// What others (devices, links) take at most.
    pub const OTHER: u32 = NODUMP | NOATIME;
}

/// File types in `i_mode`.
pub mod mode {
    #![allow(missing_docs)]
    pub const IFMT: u16 = 0o170000;
    pub const IFSOCK: u16 = 0o140000;
    pub const IFLNK: u16 = 0o120000;
    pub const IFREG: u16 = 0o100000;
    pub const IFBLK: u16 = 0o060000;
    pub const IFDIR: u16 = 0o040000;
    pub const IFCHR: u16 = 0o020000;
    pub const IFIFO: u16 = 0o010000;
    pub const ISGID: u16 = 0o2000;
}

/// A time: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskTime {
    /// Seconds, from -2^31 to 2^34 - 2^31 - 1.
    pub sec: i64,
    /// Nanoseconds.
    pub nsec: u32,
}

impl DiskTime {
    /// From the old field, and the extra one if the inode has it.
    pub fn decode(lo: u32, extra: Option<u32>) -> Self {
        let base = i64::from(lo as i32);
        match extra {
            None => Self { sec: base, nsec: 0 },
            Some(extra) => Self { sec: base + (i64::from(extra & 3) << 32), nsec: (extra >> 2).min(999_999_999) },
        }
    }

    /// The two fields. Times out of the range are cut to it (to 32 bits without the extra field).
    pub fn encode(self, wide: bool) -> (u32, u32) {
        const MIN: i64 = i32::MIN as i64;
        const MAX: i64 = (1 << 34) - 1 + MIN;
        let sec = if wide { self.sec.clamp(MIN, MAX) } else { self.sec.clamp(MIN, i64::from(i32::MAX)) };
        let lo = sec as u32;
        let epoch = (sec.wrapping_sub(i64::from(lo as i32)) >> 32) as u32 & 3;
        (lo, epoch | self.nsec << 2)
    }
}

/// An inode, decoded; names are Linux's without `i_`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RawInode {
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub atime: DiskTime,
    pub ctime: DiskTime,
    pub mtime: DiskTime,
    pub crtime: DiskTime,
    pub dtime: u32,
    pub links_count: u16,
    /// As on the disk: in blocks if `HUGE_FILE` is set among the flags, else in units of 512 bytes.
    pub blocks: u64,
    pub flags: u32,
    pub version: u64,
    pub block: [u8; BLOCK_BYTES],
    pub generation: u32,
    pub file_acl: u64,
    pub extra_isize: u16,
    pub projid: u32,
    pub checksum: u32,
}

impl RawInode {
    /// Decodes a record of the inode table.
    pub fn decode(bytes: &[u8]) -> Self {
        let extra_isize = if bytes.len() > GOOD_OLD_SIZE { u16_at(bytes, 0x80) } else { 0 };
        let end = GOOD_OLD_SIZE + usize::from(extra_isize);
        let extra = |at: usize| (at + 4 <= end && at + 4 <= bytes.len()).then(|| u32_at(bytes, at));
        let mut block = [0; BLOCK_BYTES];
        if let Some(from) = bytes.get(0x28..0x28 + BLOCK_BYTES) {
            block.copy_from_slice(from);
        }
        let mode = u16_at(bytes, 0);
        let halves = |lo: usize, hi: usize| u32::from(u16_at(bytes, lo)) | u32::from(u16_at(bytes, hi)) << 16;
        Self {
            mode,
            uid: halves(2, 0x78),
            gid: halves(0x18, 0x7a),
            size: u64::from(u32_at(bytes, 4)) | u64::from(u32_at(bytes, 0x6c)) << 32,
            atime: DiskTime::decode(u32_at(bytes, 8), extra(0x8c)),
            ctime: DiskTime::decode(u32_at(bytes, 0xc), extra(0x84)),
            mtime: DiskTime::decode(u32_at(bytes, 0x10), extra(0x88)),
            crtime: match extra(0x90) {
                Some(lo) => DiskTime::decode(lo, extra(0x94)),
                None => DiskTime::default(),
            },
            dtime: u32_at(bytes, 0x14),
            links_count: u16_at(bytes, 0x1a),
            blocks: u64::from(u32_at(bytes, 0x1c)) | u64::from(u16_at(bytes, 0x74)) << 32,
            flags: u32_at(bytes, 0x20),
            version: u64::from(u32_at(bytes, 0x24)) | u64::from(extra(0x98).unwrap_or(0)) << 32,
            block,
            generation: u32_at(bytes, 0x64),
            file_acl: u64::from(u32_at(bytes, 0x68)) | u64::from(u16_at(bytes, 0x76)) << 32,
            extra_isize,
            projid: extra(0x9c).unwrap_or(0),
            checksum: u32::from(u16_at(bytes, 0x7c)) | extra(0x80).map_or(0, |_| u32::from(u16_at(bytes, 0x82))) << 16,
        }
    }

    /// Encodes it into its record; what lies after the fixed part and `i_extra_isize` is kept. The checksum is not set.
    pub fn encode(&self, bytes: &mut [u8]) {
        let end =
            if bytes.len() > GOOD_OLD_SIZE { GOOD_OLD_SIZE + usize::from(self.extra_isize) } else { GOOD_OLD_SIZE };
        let fits = |at: usize| at + 4 <= end;
        let (atime, atime_extra) = self.atime.encode(fits(0x8c));
        let (ctime, ctime_extra) = self.ctime.encode(fits(0x84));
        let (mtime, mtime_extra) = self.mtime.encode(fits(0x88));
        let (crtime, crtime_extra) = self.crtime.encode(fits(0x94));
        put_u16(bytes, 0, self.mode);
        put_u16(bytes, 2, self.uid as u16);
        put_u16(bytes, 0x78, (self.uid >> 16) as u16);
        put_u16(bytes, 0x18, self.gid as u16);
        put_u16(bytes, 0x7a, (self.gid >> 16) as u16);
        put_u32(bytes, 4, lo32(self.size));
        put_u32(bytes, 0x6c, hi32(self.size));
        put_u32(bytes, 8, atime);
        put_u32(bytes, 0xc, ctime);
        put_u32(bytes, 0x10, mtime);
        put_u32(bytes, 0x14, self.dtime);
        put_u16(bytes, 0x1a, self.links_count);
        put_u32(bytes, 0x1c, lo32(self.blocks));
        put_u16(bytes, 0x74, (self.blocks >> 32) as u16);
        put_u32(bytes, 0x20, self.flags);
        put_u32(bytes, 0x24, lo32(self.version));
        put(bytes, 0x28, &self.block);
        put_u32(bytes, 0x64, self.generation);
        put_u32(bytes, 0x68, lo32(self.file_acl));
        put_u16(bytes, 0x76, (self.file_acl >> 32) as u16);
        if bytes.len() <= GOOD_OLD_SIZE {
            return;
        }
        put_u16(bytes, 0x80, self.extra_isize);
        for (at, value) in [
            (0x84, ctime_extra),
            (0x88, mtime_extra),
            (0x8c, atime_extra),
            (0x90, crtime),
            (0x94, crtime_extra),
            (0x98, hi32(self.version)),
            (0x9c, self.projid),
        ] {
            if fits(at) {
                put_u32(bytes, at, value);
            }
        }
    }
}

/// Whether the record has room for the checksum's upper half.
fn has_checksum_hi(bytes: &[u8]) -> bool {
    bytes.len() > GOOD_OLD_SIZE && u16_at(bytes, 0x80) >= 4
}

/// The checksum that a record should have, from the inode's seed (`crc::inode_seed`).
pub fn checksum(bytes: &[u8], seed: u32) -> u32 {
    let part = |from: usize, to: usize| bytes.get(from..to.min(bytes.len())).unwrap_or(&[]);
    let mut crc = crc32c(seed, part(0, 0x7c));
    crc = crc32c(crc, &[0; 2]);
    crc = crc32c(crc, part(0x7e, GOOD_OLD_SIZE));
    if bytes.len() > GOOD_OLD_SIZE {
        crc = crc32c(crc, part(0x80, 0x82));
        if has_checksum_hi(bytes) {
            crc = crc32c(crc, &[0; 2]);
            crc = crc32c(crc, part(0x84, bytes.len()));
        } else {
            crc = crc32c(crc, part(0x82, bytes.len()));
        }
    }
    if has_checksum_hi(bytes) { crc } else { crc & 0xffff }
}

/// Sets the checksum of a record.
pub fn set_checksum(bytes: &mut [u8], seed: u32) {
    let crc = checksum(bytes, seed);
    put_u16(bytes, 0x7c, crc as u16);
    if has_checksum_hi(bytes) {
        put_u16(bytes, 0x82, (crc >> 16) as u16);
    }
}

/// Whether the checksum of a record is right.
pub fn checksum_ok(bytes: &[u8], seed: u32) -> bool {
    let mut stored = u32::from(u16_at(bytes, 0x7c));
    if has_checksum_hi(bytes) {
        stored |= u32::from(u16_at(bytes, 0x82)) << 16;
    }
    stored == checksum(bytes, seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_survive(sec in i64::from(i32::MIN)..(1i64 << 34) - (1 << 31), nsec in 0u32..1_000_000_000) {
            let time = DiskTime { sec, nsec };
            let (lo, extra) = time.encode(true);
            prop_assert_eq!(DiskTime::decode(lo, Some(extra)), time);
        }

        #[test]
        fn inodes_survive(bytes in proptest::collection::vec(any::<u8>(), 256)) {
            let mut bytes = bytes;
            put_u16(&mut bytes, 0x80, EXTRA_ISIZE);
            let inode = RawInode::decode(&bytes);
            let mut again = bytes.clone();
            inode.encode(&mut again);
            prop_assert_eq!(RawInode::decode(&again), inode);
            set_checksum(&mut again, 7);
            prop_assert!(checksum_ok(&again, 7));
            prop_assert!(!checksum_ok(&again, 8));
        }
    }

    #[test]
    fn times_are_cut() {
        let late = DiskTime { sec: 1 << 40, nsec: 5 };
        let (lo, extra) = late.encode(true);
        assert_eq!(DiskTime::decode(lo, Some(extra)).sec, (1 << 34) - 1 - (1 << 31));
        assert_eq!(late.encode(false).0, i32::MAX as u32);
    }
}
