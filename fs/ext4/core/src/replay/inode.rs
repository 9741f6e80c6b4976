// SPDX-License-Identifier: GPL-2.0
//! Records of inodes.

use super::{Replayer, holds_itself};
use crate::inode::Inode;
use crate::orphan::Noted;
use errno::{Result, code::*};
use ext4_format::inode::{self, BLOCK_BYTES, GOOD_OLD_SIZE, flag, mode};
use ext4_format::{RawInode, crc, extent, le};
use ext4_store::Store;
use kalloc::{KVec, flags::GFP_KERNEL};

/// Where `i_block` lies in the record.
const I_BLOCK: usize = 0x28;

/// What becomes of `i_block`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// It stays: the blocks that the inode has.
    Kept,
    /// It is in the record.
    Given,
    /// Nothing yet.
    Empty,
}

fn content(new: &RawInode, old: Option<&Inode>) -> Content {
    let kind = new.mode & mode::IFMT;
    if new.flags & flag::INLINE_DATA != 0 || holds_itself(kind, new.size, new.flags) {
        return Content::Given;
    }
    let extents = new.flags & flag::EXTENTS != 0;
    match old {
        Some(old) if !old.is_inline() && !old.is_fast_symlink() && old.uses_extents() == extents => Content::Kept,
        _ => Content::Empty,
    }
}

impl<S: Store> Replayer<S> {
    /// The inode as it was at the fast commit, but for its blocks, which stay as they are.
    #[inline(never)]
    pub fn inode(&mut self, ino: u32, bytes: &[u8]) -> Result {
        let (size, csum_seed, csum) = (self.fs.geo.inode_size, self.fs.geo.csum_seed, self.fs.geo.csum);
        let fits = (GOOD_OLD_SIZE..=size).contains(&bytes.len());
        let new = RawInode::decode(bytes);
        if !fits || !self.may_change(ino) || new.mode == 0 || new.flags & flag::EA_INODE != 0 {
            return Err(self.fs.corrupt("fast_commit_inode", ino, 0));
        }
        let mut old = self.load(ino)?;
        if let Some(inode) =
            old.take_if(|inode| inode.raw.generation != new.generation || inode.kind() != new.mode & mode::IFMT)
        {
            if ino == inode::ino::ROOT {
                return Err(self.fs.corrupt("fast_commit_inode", ino, 0));
            }
            // The number was given out again.
            self.drop_inode(inode)?;
        }
        if old.is_none() && new.links_count == 0 {
            // It was freed with its last name, and only open since then.
            return Ok(());
        }
        if old.as_ref().is_some_and(|inode| inode.is_dir()) {
            // Replayed before: what it has got since then is its own.
            return Ok(());
        }
        let content = content(&new, old.as_ref());
        if content != Content::Kept
            && let Some(inode) = &mut old
        {
            self.drop_blocks(inode)?;
        }
        let (buf, offset, table) = self.table_record(ino)?;
        let mut record = if old.is_some() { table } else { KVec::from_elem(0, size, GFP_KERNEL)? };
        let link = le::u32_at(&record, inode::DTIME);
        le::put(&mut record, 0, bytes.get(..I_BLOCK).unwrap_or(&[]));
        le::put(&mut record, I_BLOCK + BLOCK_BYTES, bytes.get(I_BLOCK + BLOCK_BYTES..).unwrap_or(&[]));
        // The list of orphans goes through this field, and is what the log's transactions say.
        let listed = self.noted.get(&ino) == Some(&Noted::List);
        le::put_u32(&mut record, inode::DTIME, if listed { link } else { 0 });
        match content {
            Content::Kept => {}
            Content::Given => le::put(&mut record, I_BLOCK, bytes.get(I_BLOCK..I_BLOCK + BLOCK_BYTES).unwrap_or(&[])),
            Content::Empty => {
                let mut root = [0u8; BLOCK_BYTES];
                if new.flags & flag::EXTENTS != 0 {
                    extent::Header { entries: 0, max: 4, depth: 0, generation: 0 }.encode(&mut root);
                }
                le::put(&mut record, I_BLOCK, &root);
            }
        }
        if csum {
            inode::set_checksum(&mut record, crc::inode_seed(csum_seed, ino, new.generation));
        }
        if old.is_none() {
            self.made.insert(ino, 0)?;
        }
        let is_dir = new.mode & mode::IFMT == mode::IFDIR;
        self.run(8, |fs, tx| {
            fs.mark_inode_used(tx, ino, is_dir)?;
            fs.modify(tx, &buf, |data| le::put(data, offset, &record))
        })?;
        // What cannot be an inode is found here.
        if self.load(ino)?.is_some() { Ok(()) } else { Err(EUCLEAN) }
    }

    /// Frees the blocks of an inode that will have its content elsewhere.
    fn drop_blocks(&self, inode: &mut Inode) -> Result {
        for _ in 0..self.fs.blocks_count().saturating_add(64) {
            let credits = self.fs.credits_for_truncate(inode);
            if self.run(credits, |fs, tx| fs.remove_range(tx, inode, 0, u64::from(u32::MAX)))? {
                return Ok(());
            }
        }
        Err(EUCLEAN)
    }
}
