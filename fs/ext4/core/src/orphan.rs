// SPDX-License-Identifier: GPL-2.0
//! Orphans: inodes without a name that are still open, and files being cut. After a crash they are found and finished.
//!
//! Two forms: a list through `i_dtime` that begins in the superblock (one lock, as the form forces it), and, with the feature
//! `orphan_file`, a hidden file of inode numbers whose blocks have a lock each.

use crate::fs::{Fs, SuperState};
use crate::inode::Inode;
use crate::tx::Tx;
use containers::HashMap;
use errno::{Result, code::*};
use ext4_format::crc::{crc32c, crc32c_changed};
use ext4_format::feature::{compat, ro_compat};
use ext4_format::inode;
use ext4_format::le;
use ext4_store::{Buffer, MutexLike, OnceLike, Store};
use kalloc::{
    KVVec, KVec,
    flags::{GFP_KERNEL, GFP_NOFS},
};

/// Ends a block of the orphan file, before its checksum.
const MAGIC: u32 = 0x0b10_ca04;
/// Bytes of that end.
const TAIL: usize = 8;
/// The most blocks that an orphan file may have.
const MOST_BLOCKS: u64 = 512;

/// Where an orphan is noted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Noted {
    /// Nowhere.
    #[default]
    No,
    /// In the list.
    List,
    /// In the file: block and slot.
    File(u32, u32),
}

/// The orphan file.
pub(crate) struct OrphanFile<S: Store> {
    number: u32,
    seed: u32,
    /// Its blocks: the lock guards the slots.
    blocks: KVec<S::Mutex<S::Buf>>,
}

impl<S: Store> Fs<S> {
    fn slots(&self) -> usize {
        (self.geo.block_size - TAIL) / 4
    }

    #[inline(never)]
    pub(crate) fn load_orphan_file(&self) -> Result {
        let number = {
            let state = self.super_state.lock();
            if state.sb.has_compat(compat::ORPHAN_FILE) { state.sb.orphan_file_inum.get() } else { 0 }
        };
        if number == 0 {
            return Ok(());
        }
        let inode = self.inode(number)?;
        let count = inode.raw.size >> self.geo.block_bits;
        if count > MOST_BLOCKS || inode.is_inline() {
            return Err(self.corrupt("orphan_file_size", number, 0));
        }
        let mut blocks = KVec::with_capacity(count as usize, GFP_KERNEL)?;
        for lblk in 0..count as u32 {
            let block =
                self.map(&inode, lblk, 1)?.block().ok_or_else(|| self.corrupt("orphan_file_hole", number, 0))?;
            let buf = self.store.bread(block)?;
            let (magic, sum) = {
                let data = buf.read();
                let at = self.geo.block_size - TAIL;
                (le::u32_at(&data, at), le::u32_at(&data, at + 4) == self.orphan_checksum(&data, inode.seed, block))
            };
            if magic != MAGIC {
                return Err(self.corrupt("orphan_file_block", number, block));
            }
            if self.geo.csum && !sum {
                return Err(self.bad_csum("orphan_file_block", number, block));
            }
            blocks.push(S::Mutex::new(buf), GFP_KERNEL)?;
        }
        let _ = self.orphan_file.set(OrphanFile { number, seed: inode.seed, blocks });
        Ok(())
    }

    /// The inode of the orphan file, or 0.
    pub(crate) fn orphan_file_number(&self) -> u32 {
        self.orphan_file.get().map_or(0, |file| file.number)
    }

    fn orphan_checksum(&self, data: &[u8], seed: u32, block: u64) -> u32 {
        let crc = crc32c(seed, &block.to_le_bytes());
        crc32c(crc, data.get(..self.slots() * 4).unwrap_or(&[]))
    }

    /// Notes an inode as an orphan (again: nothing happens).
    pub fn orphan_add(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result {
        if inode.orphan != Noted::No {
            return Ok(());
        }
        if let Some(file) = self.orphan_file.get()
            && let Some((block, slot)) = self.orphan_to_file(tx, file, inode.ino)?
        {
            inode.orphan = Noted::File(block, slot);
            return self.write_inode(tx, inode);
        }
        let mut state = self.super_state.lock();
        let head = state.sb.last_orphan.get();
        let before = inode.raw.dtime;
        state.orphans.push(inode.ino, GFP_NOFS)?;
        state.sb.last_orphan.set(inode.ino);
        inode.raw.dtime = head;
        // The inode first: it leads to the others once the superblock leads to it.
        let written = self.write_inode(tx, inode).and_then(|()| self.write_super(tx, &mut state));
        if written.is_err() {
            inode.raw.dtime = before;
            state.orphans.pop();
            state.sb.last_orphan.set(head);
            return written;
        }
        inode.orphan = Noted::List;
        Ok(())
    }

    fn orphan_to_file(&self, tx: &mut Tx<S>, file: &OrphanFile<S>, ino: u32) -> Result<Option<(u32, u32)>> {
        let count = file.blocks.len();
        let first = self.store.cpu() * 13 % count.max(1);
        for index in (first..count).chain(0..first) {
            let Some(lock) = file.blocks.get(index) else { continue };
            let buf = lock.lock();
            let free = {
                let data = buf.read();
                (0..self.slots()).find(|&slot| le::u32_at(&data, slot * 4) == 0)
            };
            if let Some(slot) = free {
                self.set_slot(tx, file, &buf, slot, ino)?;
                return Ok(Some((index as u32, slot as u32)));
            }
        }
        Ok(None)
    }

    fn set_slot(&self, tx: &mut Tx<S>, file: &OrphanFile<S>, buf: &S::Buf, slot: usize, value: u32) -> Result {
        let (block, at) = (buf.block(), self.geo.block_size - 4);
        // The old checksum is right: it was looked at when the file was loaded.
        let after = (self.slots() - 1).checked_sub(slot).ok_or(EINVAL)? * 4;
        self.modify(tx, buf, |data| {
            let change = le::u32_at(data, slot * 4) ^ value;
            le::put_u32(data, slot * 4, value);
            if self.geo.csum {
                let quick = crc32c_changed(le::u32_at(data, at), &change.to_le_bytes(), after);
                let crc = quick.unwrap_or_else(|| self.orphan_checksum(data, file.seed, block));
                le::put_u32(data, at, crc);
            }
        })
    }

    /// The inode is no orphan any more. The caller writes it.
    pub fn orphan_remove(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result {
        match core::mem::take(&mut inode.orphan) {
            Noted::No => Ok(()),
            Noted::File(block, slot) => {
                let file = self.orphan_file.get().ok_or(EINVAL)?;
                let buf = file.blocks.get(block as usize).ok_or(EINVAL)?.lock();
                self.set_slot(tx, file, &buf, slot as usize, 0)
            }
            Noted::List => {
                let mut state = self.super_state.lock();
                let Some(at) = state.orphans.iter().rposition(|&ino| ino == inode.ino) else { return Ok(()) };
                let older = if at == 0 { 0 } else { state.orphans.get(at - 1).copied().unwrap_or(0) };
                let newer = state.orphans.get(at + 1).copied();
                let _ = state.orphans.remove(at);
                inode.raw.dtime = 0;
                self.link_orphan(tx, &mut state, newer, older)
            }
        }
    }

    /// Points the orphan before (or the superblock) to the one after.
    fn link_orphan(&self, tx: &mut Tx<S>, state: &mut SuperState<S>, newer: Option<u32>, older: u32) -> Result {
        let Some(newer) = newer else {
            state.sb.last_orphan.set(older);
            return self.write_super(tx, state);
        };
        // The inode is another's: only its record is changed. Its owner does not write this field while it is an orphan.
        let (block, offset) = self.inode_place(newer)?;
        let buf = self.store.bread(block)?;
        let (size, csum, seed) = (self.geo.inode_size, self.geo.csum, self.geo.csum_seed);
        self.modify(tx, &buf, |data| {
            let Some(record) = data.get_mut(offset..offset + size) else { return };
            le::put_u32(record, inode::DTIME, older);
            if csum {
                let generation = le::u32_at(record, inode::GENERATION);
                inode::set_checksum(record, ext4_format::crc::inode_seed(seed, newer, generation));
            }
        })
    }

    /// The orphans that were left by whoever had the file system mounted before, newest first; each is then given to
    /// `finish`, which frees it or cuts it to its size. The list is empty afterwards. For the time between mounting and use.
    /// Damage (a ring, an inode that cannot be an orphan) ends the list, and is reported when the good ones are finished.
    pub fn recover_orphans(&self, mut finish: impl FnMut(&Self, Inode) -> Result) -> Result<u32> {
        let (list, mut bad) = self.orphan_list()?;
        {
            let mut state = self.super_state.lock();
            state.orphans.clear();
            for &ino in list.iter().rev() {
                state.orphans.push(ino, GFP_KERNEL)?;
            }
        }
        let mut found = 0;
        for &number in list.iter() {
            let mut inode = self.inode(number)?;
            inode.orphan = Noted::List;
            finish(self, inode)?;
            found += 1;
        }
        if bad.is_some() {
            self.forget_orphans()?;
        }
        let files = self.orphan_file.get().map_or(&[][..], |file| &file.blocks);
        for (index, lock) in files.iter().enumerate() {
            for slot in 0..self.slots() {
                let number = le::u32_at(&lock.lock().read(), slot * 4);
                if number == 0 {
                    continue;
                }
                match self.orphan(number)? {
                    Ok(mut inode) => {
                        inode.orphan = Noted::File(index as u32, slot as u32);
                        finish(self, inode)?;
                        found += 1;
                    }
                    Err(what) => {
                        bad.get_or_insert((what, number));
                    }
                }
            }
        }
        if let Some((what, number)) = bad {
            self.corrupt(what, number, 0);
        }
        Ok(found)
    }

    /// Where the orphans of the last use are noted, for a replay that changes them: the good ones.
    pub(crate) fn load_orphans(&self) -> Result<HashMap<u32, Noted>> {
        let (list, _) = self.orphan_list()?;
        let mut noted = HashMap::new();
        {
            let mut state = self.super_state.lock();
            state.orphans.clear();
            for &ino in list.iter().rev() {
                state.orphans.push(ino, GFP_KERNEL)?;
                noted.insert(ino, Noted::List)?;
            }
        }
        let files = self.orphan_file.get().map_or(&[][..], |file| &file.blocks);
        for (index, lock) in files.iter().enumerate() {
            let buf = lock.lock();
            let data = buf.read();
            for slot in 0..self.slots() {
                let number = le::u32_at(&data, slot * 4);
                if number != 0 {
                    noted.insert(number, Noted::File(index as u32, slot as u32))?;
                }
            }
        }
        Ok(noted)
    }

    /// The list as the disk has it, newest first, up to the first that cannot be: what is wrong with it, and its number.
    #[allow(clippy::type_complexity)]
    fn orphan_list(&self) -> Result<(KVVec<u32>, Option<(&'static str, u32)>)> {
        let (mut list, mut seen): (KVVec<u32>, HashMap<u32, ()>) = (KVVec::new(), HashMap::new());
        let mut number = self.super_state.lock().sb.last_orphan.get();
        while number != 0 {
            let inode = match self.orphan(number)? {
                Ok(inode) => inode,
                Err(what) => return Ok((list, Some((what, number)))),
            };
            if inode.raw.dtime > self.inodes_count() {
                return Ok((list, Some(("orphan_next", number))));
            }
            if seen.insert(number, ())?.is_some() {
                return Ok((list, Some(("orphan_ring", number))));
            }
            list.push(number, GFP_KERNEL)?;
            number = inode.raw.dtime;
        }
        Ok((list, None))
    }

    /// An inode that is said to be an orphan, or why it cannot be one: only one in use is, that files may have, and that is to be
    /// freed or can be cut. One that has names is never freed.
    fn orphan(&self, number: u32) -> Result<Result<Inode, &'static str>> {
        if number < self.geo.first_ino || number > self.inodes_count() || number == self.orphan_file_number() {
            return Ok(Err("orphan_number"));
        }
        match self.inode_in_use(number) {
            Ok(true) => {}
            Err(ENOMEM) => return Err(ENOMEM),
            Ok(false) | Err(_) => return Ok(Err("orphan_not_in_use")),
        }
        let inode = match self.inode(number) {
            Ok(inode) => inode,
            Err(ENOMEM) => return Err(ENOMEM),
            Err(_) => return Ok(Err("orphan_inode")),
        };
        let cut = inode.is_regular() || inode.is_dir() || (inode.is_symlink() && !inode.is_fast_symlink());
        if inode.raw.links_count != 0 && !cut { Ok(Err("orphan_kind")) } else { Ok(Ok(inode)) }
    }

    /// Whether the last use left orphans in the list.
    pub fn has_orphans(&self) -> bool {
        self.super_state.lock().sb.last_orphan.get() != 0
    }

    /// Whether there is a file for orphans.
    pub fn has_orphan_file(&self) -> bool {
        self.orphan_file.get().is_some_and(|file| !file.blocks.is_empty())
    }

    /// Whether the file of orphans, if there is one, has none.
    pub fn orphan_file_empty(&self) -> bool {
        let files = self.orphan_file.get().map_or(&[][..], |file| &file.blocks);
        files.iter().all(|lock| {
            let buf = lock.lock();
            let data = buf.read();
            (0..self.slots()).all(|slot| le::u32_at(&data, slot * 4) == 0)
        })
    }

    /// Whether there are no orphans: neither in the list nor in the file.
    pub fn orphans_empty(&self) -> bool {
        !self.has_orphans() && self.orphan_file_empty()
    }

    /// Forgets the list of orphans: e2fsck is to find them. Nothing if there is none.
    pub fn forget_orphans(&self) -> Result {
        if !self.has_orphans() {
            return Ok(());
        }
        self.run(4, true, |tx| {
            let mut state = self.super_state.lock();
            state.orphans.clear();
            state.sb.last_orphan.set(0);
            self.write_super(tx, &mut state)
        })
    }

    /// For a file system with a file of orphans: the superblock says whether it may hold some (while it is mounted for
    /// writing it may).
    pub fn orphan_feature(&self, sb: &mut ext4_format::SuperBlock, present: bool) {
        if self.orphan_file.get().is_some() {
            let now = sb.feature_ro_compat.get();
            let bit = ro_compat::ORPHAN_PRESENT;
            sb.feature_ro_compat.set(if present { now | bit } else { now & !bit });
        }
    }
}
