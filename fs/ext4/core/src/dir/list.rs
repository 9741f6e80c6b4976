// SPDX-License-Identifier: GPL-2.0
//! Listing a directory. With an index the order is that of hashes, so that a position stays right whatever is added, removed
//! or split meanwhile: each name that is there all the time is given exactly once.

use super::{Kind, Place};
use crate::fs::Fs;
use crate::inode::Inode;
use containers::sort;
use errno::{Result, code::*};
use ext4_format::dir::Entries;
use ext4_format::hash::Hash;
use ext4_store::{Buffer, Store};
use kalloc::{KVec, flags::GFP_NOFS};

/// The position at the end of an indexed directory.
const END: u64 = 0x7fff_ffff_ffff_ffff;

/// Where a listing goes on. Kept with the open file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// The position that programs see (`d_off`, `lseek`).
    pub pos: u64,
    /// Names with just this position that were given already; 0 after `lseek`.
    pub skip: u32,
}

/// An entry that is given.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The inode.
    pub ino: u32,
    /// `file_type` of the entry.
    pub file_type: u8,
    /// Position after it.
    pub next: u64,
}

/// An entry in hash order.
struct Sorted {
    key: u64,
    ino: u32,
    file_type: u8,
    name: KVec<u8>,
}

fn key_of(hash: Hash) -> u64 {
    u64::from(hash.major >> 1) << 32 | u64::from(hash.minor)
}

impl<S: Store> Fs<S> {
    /// Gives entries from the cursor on, until `emit` says no (that entry is given again next time) or the end.
    pub fn list(&self, dir: &Inode, cursor: &mut Cursor, mut emit: impl FnMut(&Found<'_>) -> bool) -> Result {
        if dir.is_inline() {
            return self.inline_list(dir, cursor, &mut emit);
        }
        if self.is_indexed(dir) {
            match self.list_index(dir, cursor, &mut emit) {
                Err(error) if error == EOPNOTSUPP => {}
                other => return other,
            }
        }
        self.list_blocks(dir, cursor, &mut emit)
    }

    /// In the order of the blocks; positions are bytes.
    fn list_blocks(&self, dir: &Inode, cursor: &mut Cursor, emit: &mut dyn FnMut(&Found<'_>) -> bool) -> Result {
        let (size, bits) = (self.geo.block_size, self.geo.block_bits);
        let blocks = self.dir_blocks(dir);
        let mut next = (cursor.pos >> bits).min(u64::from(blocks)) as u32;
        while let Some((lblk, buf)) = self.next_dir_block(dir, next, blocks, Kind::Any)? {
            let start = u64::from(lblk) << bits;
            // A copy: `emit` may sleep.
            let data = KVec::from_slice(&buf.read(), GFP_NOFS)?;
            for entry in Entries::new(&data, 0, size, self.geo.filetype()) {
                let entry = entry.map_err(|_| self.corrupt("dir_entry", dir.ino, buf.block()))?;
                // A position in the middle of an entry (it was another's when it was given) goes to the next.
                if start + (entry.offset as u64) < cursor.pos {
                    continue;
                }
                let behind = start + (entry.offset + entry.rec_len) as u64;
                if entry.inode != 0 {
                    let (ino, file_type) = (entry.inode, entry.file_type);
                    if !emit(&Found { name: entry.name(&data), ino, file_type, next: behind }) {
                        return Ok(());
                    }
                }
                cursor.pos = behind;
            }
            cursor.pos = start + size as u64;
            next = lblk + 1;
        }
        cursor.pos = cursor.pos.max(u64::from(blocks) << bits);
        Ok(())
    }

    /// In the order of hashes.
    fn list_index(&self, dir: &Inode, cursor: &mut Cursor, emit: &mut dyn FnMut(&Found<'_>) -> bool) -> Result {
        // As in Linux `.` is at 0 and `..` at 2 in terms of the hash; other names with these hashes follow them.
        let dots: [(&[u8], u64, u64); 2] = [(b".", 0, 1), (b"..", 1, 2)];
        let mut way = self.probe(dir, |_| Ok(((cursor.pos.max(2) >> 32) as u32) << 1))?;
        for (name, at, next) in dots {
            if cursor.pos == at && cursor.skip == 0 {
                let Some((_, Place { entry, .. })) = self.find_in_blocks(dir, name)? else {
                    return Err(self.corrupt("dir_dots", dir.ino, 0));
                };
                if !emit(&Found { name, ino: entry.inode, file_type: entry.file_type, next }) {
                    return Ok(());
                }
                cursor.pos = next;
            }
        }
        for _ in 0..=self.dir_blocks(dir) {
            if cursor.pos >= END {
                return Ok(());
            }
            let (entries, next_hash) = self.gather(dir, &mut way, cursor.pos)?;
            for entry in entries.iter() {
                if entry.key == cursor.pos && cursor.skip > 0 {
                    // Given before; the cursor counts those of this position in their order.
                    if self.position_in_run(&entries, entry) < cursor.skip {
                        continue;
                    }
                }
                let found = Found { name: &entry.name, ino: entry.ino, file_type: entry.file_type, next: entry.key };
                if !emit(&found) {
                    return Ok(());
                }
                cursor.skip = if entry.key == cursor.pos { cursor.skip + 1 } else { 1 };
                cursor.pos = entry.key;
            }
            let Some(hash) = next_hash else {
                *cursor = Cursor { pos: END, skip: 0 };
                return Ok(());
            };
            let start = u64::from(hash >> 1) << 32;
            if start > cursor.pos {
                *cursor = Cursor { pos: start.max(2), skip: 0 };
            }
        }
        Err(self.corrupt("dir_index_loop", dir.ino, 0))
    }

    fn position_in_run(&self, entries: &[Sorted], wanted: &Sorted) -> u32 {
        entries
            .iter()
            .take_while(|entry| !core::ptr::eq(*entry, wanted))
            .filter(|entry| entry.key == wanted.key)
            .count() as u32
    }

    /// Entries of a leaf (and of those that go on with its last hash) from `pos` on, in order; and the hash at which the next
    /// leaf begins.
    fn gather(&self, dir: &Inode, way: &mut super::index::Way<S>, pos: u64) -> Result<(KVec<Sorted>, Option<u32>)> {
        let mut entries: KVec<Sorted> = KVec::new();
        for _ in 0..=self.dir_blocks(dir) {
            let buf = self.index_leaf(dir, way.leaf()?)?;
            let data = buf.read();
            for entry in Entries::new(&data, 0, self.geo.block_size, self.geo.filetype()) {
                let entry = entry.map_err(|_| self.corrupt("dir_entry", dir.ino, buf.block()))?;
                if entry.inode == 0 {
                    continue;
                }
                let name = entry.name(&data);
                let key = key_of(self.hash_name(dir, name, way.version)?);
                let key = key.max(2);
                if key >= pos {
                    let name = KVec::from_slice(name, GFP_NOFS)?;
                    entries.push(Sorted { key, ino: entry.inode, file_type: entry.file_type, name }, GFP_NOFS)?;
                }
            }
            drop(data);
            match self.next_leaf(dir, way, None)? {
                Some(next) if next & 1 != 0 => {}
                next => {
                    sort::sort_by(&mut entries, |a, b| (a.key, &*a.name) < (b.key, &*b.name));
                    return Ok((entries, next));
                }
            }
        }
        Err(self.corrupt("dir_index_loop", dir.ino, 0))
    }
}
