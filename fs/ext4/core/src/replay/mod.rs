// SPDX-License-Identifier: GPL-2.0
//! Replay of fast commits: changes of single inodes and names that were made after the last transaction in the log.
//!
//! The records tell of inodes, of where data lies, and of names; not of trees, directory blocks and bitmaps. So those that are needed are
//! made anew, by the usual operations, on a file system of its own ([`Replayer`]) that nobody else uses:
//! - Blocks that records name, and those of every inode that they name, are taken in memory first: nothing new is put there.
//! - What is freed stays taken until the end. Then the bitmaps are set right: first without what was freed, then with all that the
//!   inodes have.
//! - A record may have been replayed already, in part, by a mount that did not come to its end: what is so already is passed over.
//!
//! An inode whose last name went, or that was made and has got none, is freed at the end, or when its number is given out again; unless
//! the log's transactions noted it as an orphan: those are finished later, with the others.

mod blocks;
mod inode;
mod names;

use crate::fs::{Fs, Options};
use crate::inode::Inode;
use crate::orphan::Noted;
use crate::quota::Usage;
use crate::tx::Tx;
use containers::HashMap;
use errno::{Result, code::*};
use ext4_format::feature::ro_compat;
use ext4_format::inode::{flag, mode};
use ext4_store::{Buffer, Store};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KBox, KVVec, KVec};

/// A name that its inode did not exist for yet.
struct Late {
    parent: u32,
    ino: u32,
    name: KVec<u8>,
}

/// Replays fast commits.
pub struct Replayer<S: Store> {
    fs: KBox<Fs<S>>,
    /// What the inodes that records name had before; none: they were not in use.
    before: HashMap<u32, Option<Usage>>,
    /// Their numbers, in the order of the records.
    order: KVVec<u32>,
    /// Orphans of the last use.
    noted: HashMap<u32, Noted>,
    /// Inodes that were made here, and how many names they have got.
    made: HashMap<u32, u32>,
    late: KVVec<Late>,
}

impl<S: Store> Replayer<S> {
    /// Mounts what the log's transactions left. Nobody else uses the store. Errors as [`Fs::mount`].
    #[inline(never)]
    pub fn new(store: S) -> Result<Self> {
        // Features that only writing needs do not keep a mount from being recovered.
        let fs = Fs::mount_boxed(store, Options { read_only: true, replay: true, ..Options::default() })?;
        fs.set_read_only(false);
        let noted = fs.load_orphans()?;
        let (before, made) = (HashMap::new(), HashMap::new());
        Ok(Self { fs, before, order: KVVec::new(), noted, made, late: KVVec::new() })
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.fs.store
    }

    /// An operation that may take the last free blocks: what it does was done before.
    fn run<R>(&self, credits: u32, f: impl FnOnce(&Fs<S>, &mut Tx<S>) -> Result<R>) -> Result<R> {
        let fs = &*self.fs;
        fs.run(credits, true, |tx| {
            tx.last_resort = true;
            f(fs, tx)
        })
    }

    /// Whether fast commits can be about an inode of this number.
    fn may_change(&self, ino: u32) -> bool {
        let fs = &*self.fs;
        fs.valid_ino(ino) && ino != fs.orphan_file_number() && ino != fs.with_super(|sb| sb.prj_quota_inum.get())
    }

    /// The inode, if it is in use and sound. What else is wrong than memory and the device is passed over, as Linux does.
    fn load(&self, ino: u32) -> Result<Option<Inode>> {
        let fs = &*self.fs;
        if !self.may_change(ino) {
            return Ok(None);
        }
        let passed = |error| if matches!(error, ENOMEM | EIO) { Err(error) } else { Ok(None) };
        match fs.inode_in_use(ino) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return passed(error),
        }
        match fs.inode(ino) {
            Ok(inode) if inode.has_flag(flag::EA_INODE) => Ok(None),
            Ok(inode) => Ok(Some(Inode { orphan: self.noted.get(&ino).copied().unwrap_or_default(), ..inode })),
            Err(error) => passed(error),
        }
    }

    /// A directory, if it is one.
    fn load_dir(&self, ino: u32) -> Result<Option<Inode>> {
        Ok(self.load(ino)?.filter(|inode| inode.is_dir() && inode.raw.links_count != 0))
    }

    /// A record names this inode, and will be replayed. Before any is.
    #[inline(never)]
    pub fn announce(&mut self, ino: u32) -> Result {
        if self.before.contains_key(&ino) {
            return Ok(());
        }
        let old = self.load(ino)?;
        if let Some(inode) = &old {
            match self.fs.owned(inode, |block, len| self.fs.exclude(block, len)) {
                Err(error) if matches!(error, ENOMEM | EIO) => return Err(error),
                _ => {}
            }
        }
        let usage = old.map(|inode| self.fs.usage(&inode));
        self.before.insert(ino, usage)?;
        self.order.push(ino, GFP_KERNEL)?;
        Ok(())
    }

    /// A record gives these blocks to a file, and will be replayed. Before any is.
    pub fn announce_blocks(&mut self, start: u64, len: u32) -> Result {
        if self.fs.valid_blocks(start, len) { self.fs.exclude(start, len) } else { Ok(()) }
    }

    /// Frees an inode with all that it has.
    #[inline(never)]
    fn drop_inode(&mut self, mut inode: Inode) -> Result {
        let ino = inode.ino;
        inode.raw.links_count = 0;
        // Each step frees a block at least, but for a few at the end: more steps than blocks go nowhere.
        for _ in 0..self.fs.blocks_count().saturating_add(64) {
            let done = self.run(self.fs.credits_for_truncate(&inode), |fs, tx| {
                Ok(fs.remove_range(tx, &mut inode, 0, u64::from(u32::MAX))? && fs.evict(tx, &mut inode)?)
            })?;
            if done {
                self.noted.remove(&ino);
                self.made.remove(&ino);
                return Ok(());
            }
        }
        Err(EUCLEAN)
    }

    /// All records are replayed: names that waited, inodes without one, counts, bitmaps. Nothing is replayed afterwards.
    #[inline(never)]
    pub fn finish(&mut self) -> Result {
        for late in core::mem::take(&mut self.late) {
            self.link(late.parent, late.ino, &late.name)?;
        }
        let order = core::mem::take(&mut self.order);
        for &ino in &order {
            if let Some(inode) = self.load(ino)? {
                let nameless = inode.raw.links_count == 0 || self.made.get(&ino) == Some(&0);
                if nameless && inode.orphan == Noted::No && ino != ext4_format::inode::ino::ROOT {
                    self.drop_inode(inode)?;
                } else {
                    self.settle(inode)?;
                }
            }
        }
        self.release_freed()?;
        for &ino in &order {
            if let Some(inode) = self.load(ino)? {
                self.fs.owned(&inode, |block, len| self.set_used(block, len, true))?;
            }
        }
        self.charge(&order)
    }

    /// Makes an inode's counts what they must be: blocks, and the names of a directory.
    #[inline(never)]
    fn settle(&self, mut inode: Inode) -> Result {
        let fs = &*self.fs;
        let (links, blocks, flags) = (inode.raw.links_count, inode.raw.blocks, inode.raw.flags);
        if inode.is_dir() {
            self.count_links(&mut inode)?;
        } else if let Some(&names) = self.made.get(&inode.ino) {
            inode.raw.links_count = names.min(u16::MAX.into()) as u16;
        }
        if inode.uses_extents() {
            let bits = fs.geo.block_bits + fs.geo.cluster_bits - 9;
            let clusters = fs.count_clusters(&inode)?;
            inode.set_sectors(clusters << bits, fs.geo.block_bits, fs.geo.has_ro_compat(ro_compat::HUGE_FILE))?;
        }
        if (links, blocks, flags) == (inode.raw.links_count, inode.raw.blocks, inode.raw.flags) {
            return Ok(());
        }
        self.run(4, |fs, tx| fs.write_inode(tx, &inode))
    }

    /// Counts what changed for the owners, where the file system does.
    #[inline(never)]
    fn charge(&self, order: &[u32]) -> Result {
        self.fs.load_for_writing()?;
        if !self.fs.has_quotas() {
            return Ok(());
        }
        for &ino in order {
            let after = self.load(ino)?.map(|inode| self.fs.usage(&inode));
            let before = self.before.get(&ino).copied().flatten();
            if before == after {
                continue;
            }
            for (usage, sign) in [(before, -1), (after, 1)] {
                let Some(usage) = usage else { continue };
                let [uid, gid, projid] = usage.ids;
                self.fs.quota_attach(uid, gid, projid)?;
                self.run(12, |fs, tx| fs.quota_usage(tx, ino, usage, sign))?;
            }
        }
        Ok(())
    }

    /// The record of an inode in its table, as it is on the disk.
    fn table_record(&self, ino: u32) -> Result<(S::Buf, usize, KVec<u8>)> {
        let fs = &*self.fs;
        let (block, offset) = fs.inode_place(ino)?;
        let buf = fs.bread_vital("read_inode", ino, block)?;
        let record = {
            let data = buf.read();
            KVec::from_slice(data.get(offset..offset + fs.geo.inode_size).ok_or(EIO)?, GFP_KERNEL)?
        };
        Ok((buf, offset, record))
    }
}

/// Whether a file of this type has its content, or what stands for it, in `i_block`, by its record.
fn holds_itself(kind: u16, size: u64, flags: u32) -> bool {
    match kind {
        mode::IFLNK => size < ext4_format::inode::BLOCK_BYTES as u64 && flags & (flag::EXTENTS | flag::EA_INODE) == 0,
        mode::IFREG | mode::IFDIR => false,
        _ => true,
    }
}
