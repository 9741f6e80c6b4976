// SPDX-License-Identifier: GPL-2.0
//! Inodes: reading them from their table with all checks, and writing them back.

use crate::fs::Fs;
use crate::orphan::Noted;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::RawInode;
use ext4_format::inode::{self, DiskTime, GOOD_OLD_SIZE, flag, ino, mode};
use ext4_format::{crc, extent, feature::ro_compat};
use ext4_store::{Buffer, Store, Time};
use kalloc::{KVec, flags::GFP_NOFS};

/// An inode in memory. Its owner guards it with one lock (`i_data_sem`): what takes `&mut Inode` needs it for writing.
#[derive(Debug)]
pub struct Inode {
    /// Its number.
    pub ino: u32,
    /// The decoded record.
    pub raw: RawInode,
    /// The record's bytes after `i_extra_isize`: attributes.
    pub(crate) tail: KVec<u8>,
    /// What starts the checksums of its metadata.
    pub(crate) seed: u32,
    /// Groups where blocks may be kept for it (at most a few; older ones are found by the group itself).
    pub(crate) kept_in: [u32; 4],
    /// Where the last allocation ended, and for which block of the file.
    pub(crate) last_goal: Option<(u32, u64)>,
    /// Somebody asked for that goal: the first run from there on that is long enough is taken, and nothing is kept ahead of it.
    pub(crate) wished: bool,
    /// Where the next search for room in a directory begins.
    pub(crate) dir_hint: u32,
    /// Clusters reserved by delayed allocation.
    pub reserved: u64,
    /// Blocks of pointers promised besides, to a file without extents.
    pub nodes: u64,
    /// Where it is noted as an orphan.
    pub orphan: Noted,
}

/// No group.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Bytes of an inode table that are read together.
const NEAR: usize = 128 << 10;

/// The blocks of a table of `blocks` that are read together with block `at`: the first, and how many.
fn near(at: u32, blocks: u32, block_size: usize) -> (u32, u32) {
    let most = (NEAR / block_size).clamp(1, 32) as u32;
    let first = at - at % most;
    (first, most.min(blocks.saturating_sub(first)).max(1))
}

impl From<Time> for InodeTime {
    fn from(time: Time) -> Self {
        Self(DiskTime { sec: time.sec, nsec: time.nsec })
    }
}

/// A time on its way from the clock to an inode.
pub(crate) struct InodeTime(pub(crate) DiskTime);

impl Inode {
    /// File type bits of the mode.
    pub fn kind(&self) -> u16 {
        self.raw.mode & mode::IFMT
    }
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == mode::IFDIR
    }
    /// Whether it is a regular file.
    pub fn is_regular(&self) -> bool {
        self.kind() == mode::IFREG
    }
    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.kind() == mode::IFLNK
    }
    /// Whether a flag of `i_flags` is set.
    pub fn has_flag(&self, flag: u32) -> bool {
        self.raw.flags & flag != 0
    }
    /// Whether its blocks are found by an extent tree.
    pub fn uses_extents(&self) -> bool {
        self.has_flag(flag::EXTENTS)
    }
    /// Whether it may have extended attributes: if not, nobody need look for one.
    pub fn may_have_xattrs(&self) -> bool {
        self.raw.file_acl != 0 || self.tail.iter().take(4).any(|byte| *byte != 0)
    }
    /// Whether its data lies in the inode itself.
    pub fn is_inline(&self) -> bool {
        self.has_flag(flag::INLINE_DATA)
    }
    /// Blocks in use, in units of 512 bytes.
    pub fn sectors(&self, block_bits: u32) -> u64 {
        if self.has_flag(flag::HUGE_FILE) { self.raw.blocks << (block_bits - 9) } else { self.raw.blocks }
    }
    /// Sets the blocks in use; the unit changes where it must. `EFBIG` if there are too many to note.
    pub(crate) fn set_sectors(&mut self, sectors: u64, block_bits: u32, huge: bool) -> Result {
        self.raw.flags &= !flag::HUGE_FILE;
        if sectors <= u64::from(u32::MAX) {
            self.raw.blocks = sectors;
        } else if !huge {
            return Err(EFBIG);
        } else if sectors < 1 << 48 {
            self.raw.blocks = sectors;
        } else {
            self.raw.flags |= flag::HUGE_FILE;
            self.raw.blocks = sectors >> (block_bits - 9);
        }
        Ok(())
    }
    /// Whether it is a symbolic link whose target lies in `i_block`.
    pub fn is_fast_symlink(&self) -> bool {
        self.is_symlink()
            && !self.is_inline()
            && self.raw.size < inode::BLOCK_BYTES as u64
            && !self.has_flag(flag::EXTENTS | flag::EA_INODE)
    }
    /// The device number of a device's inode: major and minor.
    pub fn rdev(&self) -> Option<(u32, u32)> {
        if !matches!(self.kind(), mode::IFBLK | mode::IFCHR) {
            return None;
        }
        let old = ext4_format::le::u32_at(&self.raw.block, 0);
        if old != 0 {
            return Some((old >> 8 & 0xff, old & 0xff));
        }
        let new = ext4_format::le::u32_at(&self.raw.block, 4);
        Some(((new & 0xfff00) >> 8, (new & 0xff) | (new >> 12 & 0xfff00)))
    }
    /// Puts a device number into `i_block`.
    pub fn set_rdev(&mut self, major: u32, minor: u32) {
        if major < 256 && minor < 256 {
            ext4_format::le::put_u32(&mut self.raw.block, 0, major << 8 | minor);
        } else {
            ext4_format::le::put_u32(&mut self.raw.block, 4, (minor & 0xff) | major << 8 | (minor & !0xff) << 12);
        }
    }
    /// The data that lies in `i_block`.
    pub(crate) fn root_node(&self) -> &[u8] {
        &self.raw.block
    }
}

impl<S: Store> Fs<S> {
    /// The current time for an inode.
    pub fn now(&self) -> DiskTime {
        InodeTime::from(self.store.now()).0
    }

    /// Whether an inode is one of the hidden ones, whose blocks may lie where no file's may.
    pub(crate) fn is_hidden(&self, number: u32) -> bool {
        number != ino::ROOT && number < self.geo.first_ino
    }

    /// Whether an inode's number can be used by a file.
    pub fn valid_ino(&self, number: u32) -> bool {
        number == ino::ROOT || (number >= self.geo.first_ino && number <= self.inodes_count())
    }

    /// Block, and offset in it, of an inode.
    pub(crate) fn inode_place(&self, number: u32) -> Result<(u64, usize)> {
        if number == 0 || number > self.inodes_count() {
            return Err(self.corrupt("inode_number", number, 0));
        }
        let (group, index) = self.geo.locate_inode(number);
        let table = self.group(group)?.inode_table;
        let offset = (index % self.geo.inodes_per_block) as usize * self.geo.inode_size;
        Ok((table + u64::from(index / self.geo.inodes_per_block), offset))
    }

    /// The block of the table that has an inode, and the inode's offset in it. What is near it in the table is read with it.
    fn inode_block(&self, number: u32) -> Result<(S::Buf, usize)> {
        let (block, offset) = self.inode_place(number)?;
        let found = self.store.bread_near(block, || {
            let (group, index) = self.geo.locate_inode(number);
            let blocks = self.geo.inodes_per_group / self.geo.inodes_per_block;
            let (first, count) = near(index / self.geo.inodes_per_block, blocks, self.geo.block_size);
            self.group(group).map_or((block, 1), |group| (group.inode_table + u64::from(first), count))
        });
        Ok((found.map_err(|error| self.vital(error, "read_inode", number, block))?, offset))
    }

    /// Reads an inode by its number, whatever it is for. `EUCLEAN` if it cannot be, `EBADMSG` for a wrong checksum, `ESTALE`
    /// if it is not in use.
    pub fn inode(&self, number: u32) -> Result<Inode> {
        let (buf, offset) = self.inode_block(number)?;
        let block = buf.block();
        let size = self.geo.inode_size;
        let inode = {
            let data = buf.read();
            let bytes = data.get(offset..offset + size).ok_or(EIO)?;
            let raw = RawInode::decode(bytes);
            let seed = crc::inode_seed(self.geo.csum_seed, number, raw.generation);
            if self.geo.csum && !self.replaying() && !inode::checksum_ok(bytes, seed) {
                let unused = bytes.iter().all(|&byte| byte == 0);
                drop(data);
                return Err(if unused { ESTALE } else { self.bad_csum("inode", number, block) });
            }
            let from = (GOOD_OLD_SIZE + usize::from(raw.extra_isize)).min(size);
            let tail = KVec::from_slice(bytes.get(from..).unwrap_or(&[]), GFP_NOFS)?;
            Inode {
                ino: number,
                raw,
                tail,
                seed,
                kept_in: [NOWHERE; 4],
                last_goal: None,
                wished: false,
                dir_hint: 0,
                reserved: 0,
                nodes: 0,
                orphan: Noted::No,
            }
        };
        if inode.raw.links_count == 0 && inode.raw.mode == 0 && !matches!(number, ino::BOOT_LOADER) {
            return Err(ESTALE);
        }
        self.check_inode(&inode).map_err(|what| self.corrupt(what, number, block))?;
        Ok(inode)
    }

    /// As [`Self::inode`], for a number from a directory or a file handle: reserved inodes and those without a link are
    /// refused.
    pub fn file_inode(&self, number: u32) -> Result<Inode> {
        if !self.valid_ino(number) {
            return Err(self.corrupt("inode_number", number, 0));
        }
        let inode = self.inode(number)?;
        if inode.raw.links_count == 0 {
            return Err(ESTALE);
        }
        if inode.has_flag(flag::EA_INODE) {
            return Err(self.corrupt("unexpected_ea_inode", number, 0));
        }
        Ok(inode)
    }

    /// Checks of `ext4_iget`: gives the name of the one that failed.
    fn check_inode(&self, inode: &Inode) -> Result<(), &'static str> {
        let (raw, geo) = (&inode.raw, &self.geo);
        if geo.inode_size > GOOD_OLD_SIZE {
            let extra = usize::from(raw.extra_isize);
            if GOOD_OLD_SIZE + extra > geo.inode_size || extra % 4 != 0 {
                return Err("inode_extra_isize");
            }
        }
        if raw.size > i64::MAX as u64 {
            return Err("inode_size");
        }
        if raw.file_acl != 0 && !self.valid_blocks(raw.file_acl, 1) {
            return Err("inode_file_acl");
        }
        if inode.is_dir() && inode.has_flag(flag::INDEX) && !self.dir_index() && inode.is_inline() {
            return Err("inode_dir_index");
        }
        if raw.flags & (flag::EXTENTS | flag::INLINE_DATA) == flag::EXTENTS | flag::INLINE_DATA {
            return Err("inode_flags");
        }
        if inode.is_inline() && !geo.has_incompat(ext4_format::feature::incompat::INLINE_DATA) {
            return Err("inode_inline");
        }
        if inode.is_inline() && !inode.is_dir() && !self.inline_size_ok(inode) {
            return Err("inode_inline_size");
        }
        match inode.kind() {
            mode::IFREG | mode::IFDIR | mode::IFLNK => {
                if inode.has_flag(flag::EXTENTS) && !inode.is_fast_symlink() {
                    self.check_node(inode, inode.root_node(), None).map_err(|_| "inode_extents")?;
                } else if !inode.is_inline()
                    && !inode.is_fast_symlink()
                    && inode.ino != ino::BOOT_LOADER
                    && inode.raw.mode != 0
                {
                    self.check_pointers(inode).map_err(|_| "inode_pointers")?;
                }
                if inode.is_fast_symlink() && raw.block.iter().take(raw.size as usize).any(|&byte| byte == 0) {
                    return Err("inode_symlink");
                }
            }
            mode::IFCHR | mode::IFBLK | mode::IFIFO | mode::IFSOCK => {}
            _ if inode.ino == ino::BOOT_LOADER || inode.ino < geo.first_ino => {}
            _ => return Err("inode_mode"),
        }
        Ok(())
    }

    /// Writes an inode to its table, with its checksum.
    pub fn write_inode(&self, tx: &mut Tx<S>, inode: &Inode) -> Result {
        let (buf, offset) = self.inode_block(inode.ino)?;
        let size = self.geo.inode_size;
        let csum = self.geo.csum;
        if self.has_quotas() {
            let old = buf.read().get(offset..offset + size).map(RawInode::decode);
            if let Some(old) = old {
                self.quota_follow(tx, &old, inode)?;
            }
        }
        self.modify(tx, &buf, |data| {
            let Some(record) = data.get_mut(offset..offset + size) else { return };
            let link = ext4_format::le::u32_at(record, inode::DTIME);
            inode.raw.encode(record);
            if inode.orphan == Noted::List {
                // The list of orphans goes through this field; others may have changed it.
                ext4_format::le::put_u32(record, inode::DTIME, link);
            }
            let from = (GOOD_OLD_SIZE + usize::from(inode.raw.extra_isize)).min(size);
            ext4_format::le::put(record, from, &inode.tail);
            if csum {
                inode::set_checksum(record, inode.seed);
            }
        })
    }

    /// Adds (or with a negative number takes) blocks of the file system to an inode's count.
    pub(crate) fn add_blocks(&self, inode: &mut Inode, blocks: i64) -> Result {
        let bits = self.geo.block_bits;
        let now = inode.sectors(bits);
        let change = blocks.unsigned_abs() << (bits - 9);
        let sectors = if blocks < 0 { now.saturating_sub(change) } else { now.saturating_add(change) };
        inode.set_sectors(sectors, bits, self.geo.has_ro_compat(ro_compat::HUGE_FILE))
    }

    /// One change more of the inode (`i_version`), with the time of change.
    pub(crate) fn touch(&self, inode: &mut Inode, content: bool) {
        let now = self.now();
        inode.raw.ctime = now;
        if content {
            inode.raw.mtime = now;
        }
        inode.raw.version = inode.raw.version.wrapping_add(1);
    }

    /// A fresh inode in memory, for a number just allocated: no blocks, the root of an empty extent tree if files have them.
    pub(crate) fn fresh_inode(&self, number: u32, mode: u16) -> Result<Inode> {
        let geo = &self.geo;
        let now = self.now();
        let extra_isize = if geo.inode_size > GOOD_OLD_SIZE { geo.want_extra_isize } else { 0 };
        let tail = KVec::from_elem(0u8, geo.inode_size - GOOD_OLD_SIZE - usize::from(extra_isize), GFP_NOFS)?;
        let generation = self.generation();
        let mut raw = RawInode {
            mode,
            uid: 0,
            gid: 0,
            size: 0,
            atime: now,
            ctime: now,
            mtime: now,
            crtime: now,
            dtime: 0,
            links_count: 1,
            blocks: 0,
            flags: 0,
            version: 1,
            block: [0; 60],
            generation,
            file_acl: 0,
            extra_isize,
            projid: 0,
            checksum: 0,
        };
        if geo.extents() && matches!(mode & mode::IFMT, mode::IFREG | mode::IFDIR | mode::IFLNK) {
            raw.flags |= flag::EXTENTS;
            extent::Header { entries: 0, max: 4, depth: 0, generation: 0 }.encode(&mut raw.block);
        }
        Ok(Inode {
            ino: number,
            raw,
            tail,
            seed: crc::inode_seed(geo.csum_seed, number, generation),
            kept_in: [NOWHERE; 4],
            last_goal: None,
            wished: false,
            dir_hint: 0,
            reserved: 0,
            nodes: 0,
            orphan: Noted::No,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn what_is_read_together_lies_in_the_table() {
        assert_eq!(near(0, 512, 4096), (0, 32));
        assert_eq!(near(63, 512, 4096), (32, 32));
        assert_eq!(near(33, 40, 4096), (32, 8));
        assert_eq!(near(200, 214, 1024), (192, 22));
        assert_eq!(near(5, 8, 65536), (4, 2));
        assert_eq!(near(0, 0, 4096), (0, 1));
    }
}
