// SPDX-License-Identifier: GPL-2.0
//! Small files and directories in the inode itself (`inline_data`): the first 60 bytes in `i_block`, the rest as the value of
//! the attribute `system.data`.
//!
//! An inline directory has its parent's number in the first four bytes, then two regions of entries: the other 56 bytes, and
//! the attribute's value. `.` and `..` are not stored.

use crate::dir::{Cursor, Found};
use crate::fs::Fs;
use crate::inode::Inode;
use crate::map::Create;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::RawInode;
use ext4_format::dir::{self, Entries, Entry, ft, record_len};
use ext4_format::inode::{BLOCK_BYTES, flag, mode};
use ext4_format::xattr::{entry_len, index, value_len};
use ext4_format::{extent, feature::incompat, le};
use ext4_store::Store;
use kalloc::{KVec, flags::GFP_NOFS};

use crate::dir::{New, delete, put_entry};

/// Bytes of the parent's number.
const PARENT: usize = 4;
/// Position of the first stored entry in a listing: `.` and `..` come before, as if they took 12 bytes each.
const FIRST_POS: u64 = 24;
/// Where an inode has its blocks or the first bytes of its content (`i_block`).
const I_BLOCK: usize = 0x28;

impl<S: Store> Fs<S> {
    /// The attribute's value: what goes beyond `i_block`.
    fn inline_rest(&self, inode: &Inode) -> Result<KVec<u8>> {
        for item in self.body_items(inode)? {
            if item.index == index::SYSTEM && &*item.name == b"data" {
                return Ok(item.value);
            }
        }
        Ok(KVec::new())
    }

    fn set_inline_rest(&self, inode: &mut Inode, value: Option<&[u8]>) -> Result {
        let mut items = self.body_items(inode)?;
        items.retain(|item| !(item.index == index::SYSTEM && &*item.name == b"data"));
        if let Some(value) = value {
            let item = crate::xattr::Item {
                index: index::SYSTEM,
                name: KVec::from_slice(b"data", GFP_NOFS)?,
                value: KVec::from_slice(value, GFP_NOFS)?,
                inum: 0,
                size: value.len(),
                hash: 0,
            };
            items.insert(0, item, GFP_NOFS)?;
        }
        self.set_body_items(inode, &items)
    }

    /// The most bytes that the attribute's value may have, beside the other attributes.
    fn inline_room(&self, inode: &Inode) -> Result<usize> {
        let others: usize = self
            .body_items(inode)?
            .iter()
            .filter(|item| !(item.index == index::SYSTEM && &*item.name == b"data"))
            .map(|item| entry_len(item.name.len()) + if item.inum == 0 { value_len(item.value.len()) } else { 0 })
            .sum();
        Ok(inode.tail.len().saturating_sub(8 + entry_len(4) + others) & !3)
    }

    /// Whether the inode has room for as much content as its size says.
    pub(crate) fn inline_size_ok(&self, inode: &Inode) -> bool {
        self.inline_room(inode).is_ok_and(|room| inode.raw.size <= (BLOCK_BYTES + room) as u64)
    }

    /// The content of an inline file or link: `i_size` bytes.
    pub fn inline_read(&self, inode: &Inode) -> Result<KVec<u8>> {
        let rest = self.inline_rest(inode)?;
        let mut data = KVec::from_slice(&inode.raw.block, GFP_NOFS)?;
        data.extend_from_slice(&rest, GFP_NOFS)?;
        if inode.raw.size > data.len() as u64 {
            // Zeros at the end need not be stored.
            if !self.inline_size_ok(inode) {
                return Err(self.corrupt("inline_size", inode.ino, 0));
            }
            data.resize(inode.raw.size as usize, 0, GFP_NOFS)?;
        }
        data.truncate(inode.raw.size as usize);
        Ok(data)
    }

    /// Writes to a file that is, or (while it is empty) may become inline. False if the file does not fit any more: then
    /// [`Self::inline_leave`] is next. Times stay: they are those of the program's write, and this may come long after it.
    pub fn inline_write(&self, tx: &mut Tx<S>, inode: &mut Inode, pos: u64, bytes: &[u8]) -> Result<bool> {
        let Some(end) = pos.checked_add(bytes.len() as u64) else { return Err(EFBIG) };
        let fresh = !inode.is_inline();
        let may_start = self.geo.has_incompat(incompat::INLINE_DATA)
            && inode.is_regular()
            && inode.raw.size == 0
            && inode.raw.blocks == 0;
        if fresh && !may_start {
            return Ok(false);
        }
        let room = BLOCK_BYTES as u64 + self.inline_room(inode)? as u64;
        if end > room || (fresh && inode.tail.len() < 8 + entry_len(4)) {
            return Ok(false);
        }
        let mut data = if fresh { KVec::new() } else { self.inline_read(inode)? };
        let size = end.max(inode.raw.size) as usize;
        data.resize(size.max(BLOCK_BYTES), 0, GFP_NOFS)?;
        le::put(&mut data, pos as usize, bytes);
        self.put_inline(inode, &data)?;
        inode.raw.size = size as u64;
        self.write_inode(tx, inode)?;
        Ok(true)
    }

    /// Stores content (at least `BLOCK_BYTES` bytes) and marks the inode inline.
    fn put_inline(&self, inode: &mut Inode, data: &[u8]) -> Result {
        let (head, rest) = data.split_at_checked(BLOCK_BYTES).ok_or(EINVAL)?;
        self.set_inline_rest(inode, Some(rest))?;
        inode.raw.block.copy_from_slice(head);
        inode.raw.flags = inode.raw.flags & !flag::EXTENTS | flag::INLINE_DATA;
        Ok(())
    }

    /// The first byte on the disk of a content in the inode, as `FIEMAP` tells it.
    pub fn inline_place(&self, inode: &Inode) -> Result<u64> {
        let (block, offset) = self.inode_place(inode.ino)?;
        Ok((block << self.geo.block_bits) + (offset + I_BLOCK) as u64)
    }

    /// Whether the inode has room for a content of `size` bytes.
    pub fn inline_holds(&self, inode: &Inode, size: u64) -> Result<bool> {
        Ok(size <= BLOCK_BYTES as u64 + self.inline_room(inode)? as u64)
    }

    /// Cuts or lengthens (with zeros) an inline file. False if it does not fit.
    pub fn inline_truncate(&self, tx: &mut Tx<S>, inode: &mut Inode, size: u64) -> Result<bool> {
        if !self.inline_holds(inode, size)? {
            return Ok(false);
        }
        let mut data = self.inline_read(inode)?;
        data.truncate(size as usize);
        data.resize((size as usize).max(BLOCK_BYTES), 0, GFP_NOFS)?;
        self.put_inline(inode, &data)?;
        inode.raw.size = size;
        self.touch(inode, true);
        self.write_inode(tx, inode)?;
        Ok(true)
    }

    /// Moves a file's content out of its inode: `put` writes it to the block that it gets (none for an empty file), in this operation.
    /// If that cannot be, the content stays where it was. `ENOSPC`, `EDQUOT`, `put`'s error.
    pub fn inline_leave(
        &self,
        tx: &mut Tx<S>,
        inode: &mut Inode,
        put: impl FnOnce(&mut Tx<S>, u64, &[u8]) -> Result,
    ) -> Result {
        let data = self.inline_read(inode)?;
        let (raw, tail) = (inode.raw.clone(), KVec::from_slice(&inode.tail, GFP_NOFS)?);
        let moved = self.leave(tx, inode, &data, put);
        if moved.is_err() {
            self.back_inside(tx, inode, (raw, tail))?;
        }
        moved
    }

    /// What was to leave the inode stays: it is as before, on the disk too.
    fn back_inside(&self, tx: &mut Tx<S>, inode: &mut Inode, before: (RawInode, KVec<u8>)) -> Result {
        if !inode.is_inline() {
            // The block, if it got one: nothing leads to it after this, so that an error costs no more than the block.
            let _ = self.remove_range(tx, inode, 0, u64::from(u32::MAX));
        }
        (inode.raw, inode.tail) = before;
        self.write_inode(tx, inode)
    }

    fn leave(
        &self,
        tx: &mut Tx<S>,
        inode: &mut Inode,
        data: &[u8],
        put: impl FnOnce(&mut Tx<S>, u64, &[u8]) -> Result,
    ) -> Result {
        self.end_inline(inode)?;
        if !data.is_empty() {
            let made = self.map_create(tx, inode, 0, 1, Create::default())?;
            put(tx, made.block().ok_or(EIO)?, data)?;
        }
        self.write_inode(tx, inode)
    }

    fn end_inline(&self, inode: &mut Inode) -> Result {
        self.set_inline_rest(inode, None)?;
        inode.raw.flags &= !flag::INLINE_DATA;
        inode.raw.block = [0; BLOCK_BYTES];
        if self.geo.extents() {
            inode.raw.flags |= flag::EXTENTS;
            extent::Header { entries: 0, max: 4, depth: 0, generation: 0 }.encode(&mut inode.raw.block);
        }
        Ok(())
    }

    /// Whether a new directory is made inline.
    pub(crate) fn dir_may_be_inline(&self, dir: &Inode) -> bool {
        self.geo.has_incompat(incompat::INLINE_DATA) && dir.tail.len() >= 8 + entry_len(4)
    }

    pub(crate) fn inline_init_dir(&self, dir: &mut Inode, parent: u32) -> Result {
        let mut data = [0u8; BLOCK_BYTES];
        le::put_u32(&mut data, 0, parent);
        Entry::write(&mut data, PARENT, 0, BLOCK_BYTES - PARENT, b"", 0, self.geo.block_size);
        self.put_inline(dir, &data)?;
        dir.raw.size = BLOCK_BYTES as u64;
        Ok(())
    }

    /// Both regions in one: entries of the first end at `BLOCK_BYTES`, those of the second begin there.
    fn inline_regions(&self, dir: &Inode) -> Result<(KVec<u8>, KVec<u8>)> {
        let rest = self.inline_rest(dir)?;
        if rest.len() % 4 != 0 || (!rest.is_empty() && rest.len() < record_len(1)) {
            return Err(self.corrupt("inline_dir_size", dir.ino, 0));
        }
        Ok((KVec::from_slice(dir.raw.block.get(PARENT..).unwrap_or(&[]), GFP_NOFS)?, rest))
    }

    fn set_inline_regions(&self, dir: &mut Inode, first: &[u8], rest: &[u8]) -> Result {
        self.set_inline_rest(dir, Some(rest))?;
        le::put(&mut dir.raw.block, PARENT, first);
        dir.raw.size = (BLOCK_BYTES + rest.len()) as u64;
        Ok(())
    }

    pub(crate) fn inline_find(&self, dir: &Inode, name: &[u8]) -> Result<Option<(u32, u8)>> {
        match name {
            b"." => return Ok(Some((dir.ino, ft::DIR))),
            b".." => return Ok(Some((le::u32_at(&dir.raw.block, 0), ft::DIR))),
            _ => {}
        }
        let (first, rest) = self.inline_regions(dir)?;
        for region in [first, rest] {
            if let Some(entry) = self.find_entry(dir, &region, 0, name)? {
                return Ok(Some((entry.inode, entry.file_type)));
            }
        }
        Ok(None)
    }

    pub(crate) fn inline_is_empty(&self, dir: &Inode) -> Result<bool> {
        let (first, rest) = self.inline_regions(dir)?;
        for region in [first, rest] {
            for entry in Entries::new(&region, 0, self.geo.block_size, self.geo.filetype()) {
                if entry.map_err(|_| self.corrupt("dir_entry", dir.ino, 0))?.inode != 0 {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    pub(crate) fn inline_list(
        &self,
        dir: &Inode,
        cursor: &mut Cursor,
        emit: &mut dyn FnMut(&Found<'_>) -> bool,
    ) -> Result {
        let dots: [(&[u8], u32, u64, u64); 2] =
            [(b".", dir.ino, 0, 12), (b"..", le::u32_at(&dir.raw.block, 0), 12, FIRST_POS)];
        for (name, ino, at, next) in dots {
            if cursor.pos <= at {
                if !emit(&Found { name, ino, file_type: ft::DIR, next }) {
                    return Ok(());
                }
                cursor.pos = next;
            }
        }
        let (first, rest) = self.inline_regions(dir)?;
        let mut base = FIRST_POS;
        for region in [first, rest] {
            for entry in Entries::new(&region, 0, self.geo.block_size, self.geo.filetype()) {
                let entry = entry.map_err(|_| self.corrupt("dir_entry", dir.ino, 0))?;
                let next = base + (entry.offset + entry.rec_len) as u64;
                if base + (entry.offset as u64) < cursor.pos {
                    continue;
                }
                if entry.inode != 0
                    && !emit(&Found { name: entry.name(&region), ino: entry.inode, file_type: entry.file_type, next })
                {
                    return Ok(());
                }
                cursor.pos = next;
            }
            base += region.len() as u64;
        }
        Ok(())
    }

    /// Adds an entry; false if there is no room.
    pub(crate) fn inline_add(&self, tx: &mut Tx<S>, dir: &mut Inode, new: New<'_>) -> Result<bool> {
        let (mut first, mut rest) = self.inline_regions(dir)?;
        let size = self.geo.block_size;
        if let Some(room) = self.find_room(dir, &first, 0, new.len())? {
            put_entry(&mut first, room, new, size);
        } else {
            let mut room = self.find_room(dir, &rest, 0, new.len())?;
            if room.is_none() {
                let (old, most) = (rest.len(), self.inline_room(dir)?);
                if most < old + new.len() {
                    return Ok(false);
                }
                rest.resize(most, 0, GFP_NOFS)?;
                Entry::write(&mut rest, old, 0, most - old, b"", 0, size);
                room = self.find_room(dir, &rest, 0, new.len())?;
            }
            let Some(room) = room else { return Ok(false) };
            put_entry(&mut rest, room, new, size);
        }
        self.set_inline_regions(dir, &first, &rest)?;
        self.write_inode(tx, dir)?;
        Ok(true)
    }

    /// Changes the inode of an entry, or (`..`) the parent.
    pub(crate) fn inline_set(
        &self,
        tx: &mut Tx<S>,
        dir: &mut Inode,
        name: &[u8],
        number: u32,
        file_type: u8,
    ) -> Result {
        if name == b".." {
            le::put_u32(&mut dir.raw.block, 0, number);
        } else {
            let (mut first, mut rest) = self.inline_regions(dir)?;
            let mut done = false;
            for region in [&mut first, &mut rest] {
                if let Some(entry) = self.find_entry(dir, region, 0, name)? {
                    le::put_u32(region, entry.offset, number);
                    if self.geo.filetype() {
                        le::put(region, entry.offset + 7, &[file_type]);
                    }
                    done = true;
                    break;
                }
            }
            if !done {
                return Err(ENOENT);
            }
            self.set_inline_regions(dir, &first, &rest)?;
        }
        self.touch(dir, true);
        self.write_inode(tx, dir)
    }

    pub(crate) fn inline_remove(&self, tx: &mut Tx<S>, dir: &mut Inode, name: &[u8]) -> Result {
        let (mut first, mut rest) = self.inline_regions(dir)?;
        let (size, filetype) = (self.geo.block_size, self.geo.filetype());
        let mut done = false;
        for region in [&mut first, &mut rest] {
            let Some(entry) = self.find_entry(dir, region, 0, name)? else { continue };
            let before = Entries::new(region, 0, size, filetype)
                .map_while(|e| e.ok())
                .take_while(|e| e.offset < entry.offset)
                .last();
            delete(region, entry, before, size);
            done = true;
            break;
        }
        if !done {
            return Err(ENOENT);
        }
        self.set_inline_regions(dir, &first, &rest)?;
        self.write_inode(tx, dir)
    }

    /// Moves the entries of an inline directory to its first block.
    pub(crate) fn inline_dir_to_block(&self, tx: &mut Tx<S>, dir: &mut Inode) -> Result {
        let (first, rest) = self.inline_regions(dir)?;
        let parent = le::u32_at(&dir.raw.block, 0);
        let before = (dir.raw.clone(), KVec::from_slice(&dir.tail, GFP_NOFS)?);
        self.end_inline(dir)?;
        dir.raw.size = 0;
        let (size, end, csum) = (self.geo.block_size, self.leaf_end(), self.geo.csum);
        let (ino, seed, filetype) = (dir.ino, dir.seed, self.geo.filetype());
        let made = self.append_block(tx, dir, |data| {
            let kind = if filetype { ft::DIR } else { 0 };
            Entry::write(data, 0, ino, 12, b".", kind, size);
            let (mut last, mut at) = (12, 24);
            Entry::write(data, 12, parent, 12, b"..", kind, size);
            for region in [&first, &rest] {
                for entry in Entries::new(region, 0, size, filetype).map_while(|entry| entry.ok()) {
                    let len = record_len(entry.name_len);
                    if entry.inode != 0 && at + len <= end {
                        Entry::write(data, at, entry.inode, len, entry.name(region), entry.file_type, size);
                        (last, at) = (at, at + len);
                    }
                }
            }
            Entry::set_len(data, last, end - last, size);
            if csum {
                dir::init_tail(data);
                dir::set_leaf_checksum(data, seed);
            }
        });
        if let Err(error) = made {
            self.back_inside(tx, dir, before)?;
            return Err(error);
        }
        self.write_inode(tx, dir)
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, inode: &Inode) -> Result<KVec<u8>> {
        if inode.kind() != mode::IFLNK {
            return Err(EINVAL);
        }
        let size = inode.raw.size;
        if inode.is_inline() {
            return self.inline_read(inode);
        }
        if size >= self.geo.block_size as u64 || size == 0 {
            return Err(self.corrupt("symlink_size", inode.ino, 0));
        }
        if inode.is_fast_symlink() {
            return Ok(KVec::from_slice(inode.raw.block.get(..size as usize).unwrap_or(&[]), GFP_NOFS)?);
        }
        let block = self.map(inode, 0, 1)?.block().ok_or_else(|| self.corrupt("symlink_hole", inode.ino, 0))?;
        let buf = self.store.bread(block)?;
        let data = ext4_store::Buffer::read(&buf);
        let target = data.get(..size as usize).unwrap_or(&[]);
        if target.contains(&0) {
            drop(data);
            return Err(self.corrupt("symlink_nul", inode.ino, block));
        }
        Ok(KVec::from_slice(target, GFP_NOFS)?)
    }
}
