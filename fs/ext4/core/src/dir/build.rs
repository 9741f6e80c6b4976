// SPDX-License-Identifier: GPL-2.0
//! The first block of a directory, and turning it into the root of an index.

use super::Kind;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use errno::Result;
use ext4_format::dir::{self, Entries, Entry, dx, ft};
use ext4_format::inode::flag;
use ext4_format::le;
use ext4_store::{Buffer, Store};
use kalloc::{KVec, flags::GFP_NOFS};

impl<S: Store> Fs<S> {
    /// Makes the entries `.` and `..` of a new directory.
    pub(crate) fn init_dir(&self, tx: &mut Tx<S>, dir: &mut Inode, parent: u32) -> Result {
        if dir.is_inline() {
            return self.inline_init_dir(dir, parent);
        }
        let (size, end, csum) = (self.geo.block_size, self.leaf_end(), self.geo.csum);
        let (ino, seed) = (dir.ino, dir.seed);
        let kind = if self.geo.filetype() { ft::DIR } else { 0 };
        self.append_block(tx, dir, |data| {
            Entry::write(data, 0, ino, 12, b".", kind, size);
            Entry::write(data, 12, parent, end - 12, b"..", kind, size);
            if csum {
                dir::init_tail(data);
                dir::set_leaf_checksum(data, seed);
            }
        })?;
        Ok(())
    }

    /// Makes the only block of a directory the root of an index, its entries going to a second block. False if the block is
    /// not as it should be, and stays.
    pub(crate) fn make_index(&self, tx: &mut Tx<S>, dir: &mut Inode) -> Result<bool> {
        let root = self.dir_block_there(dir, 0, Kind::Leaf)?;
        let (size, end, csum) = (self.geo.block_size, self.leaf_end(), self.geo.csum);
        let old = KVec::from_slice(&root.read(), GFP_NOFS)?;
        let mut entries = Entries::new(old.get(..end).unwrap_or(&[]), 0, size, self.geo.filetype());
        let (Some(Ok(dot)), Some(Ok(dotdot))) = (entries.next(), entries.next()) else { return Ok(false) };
        if dot.name(&old) != b"." || dotdot.name(&old) != b".." || dot.rec_len != 12 {
            return Ok(false);
        }
        let seed = dir.seed;
        let first = dotdot.offset + dotdot.rec_len;
        let (lblk, _) = self.append_block(tx, dir, |data| {
            // The entries as they were, the last of them (or an empty one) up to the end.
            let mut last = None;
            let moved = old.get(first..end).unwrap_or(&[]);
            le::put(data, 0, moved);
            for entry in Entries::new(moved, 0, size, self.geo.filetype()).map_while(|entry| entry.ok()) {
                last = Some(entry);
            }
            match last {
                Some(entry) => Entry::set_len(data, entry.offset, end - entry.offset, size),
                None => Entry::write(data, 0, 0, end, b"", 0, size),
            }
            if csum {
                dir::init_tail(data);
                dir::set_leaf_checksum(data, seed);
            }
        })?;
        let (version, limit) = (self.geo.def_hash, dx::limit(size, dx::ROOT_INFO + 8, csum));
        self.modify(tx, &root, |data| {
            Entry::set_len(data, 12, size - 12, size);
            if let Some(rest) = data.get_mut(dx::ROOT_INFO..) {
                rest.fill(0);
            }
            le::put(data, dx::ROOT_INFO + 4, &[version, 8, 0, 0]);
            dx::set_limit_count(data, dx::ROOT_INFO + 8, limit, 1);
            dx::set(data, dx::ROOT_INFO + 8, 0, 0, lblk);
            if csum {
                dx::set_checksum(data, dx::ROOT_INFO + 8, seed);
            }
        })?;
        dir.raw.flags |= flag::INDEX;
        dir.dir_hint = 0;
        Ok(true)
    }
}
