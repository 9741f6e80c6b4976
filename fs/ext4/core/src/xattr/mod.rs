// SPDX-License-Identifier: GPL-2.0
//! Extended attributes: in the inode, in one block (perhaps shared by inodes), and large values in inodes of their own.
//!
//! A region is read into a list of [`Item`]s, the list is changed, and the region is written anew: regions are small (a block
//! at most), and what is written is always in order. The caller holds the inode's attribute lock (the glue's `xattr_sem`).

mod block;
mod value;

use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::le;
use ext4_format::xattr::{self, DoesNotFit, ENTRY, Entry, MAGIC, entry_len, index, value_len};
use ext4_store::{Buffer, Store};
use kalloc::{KVec, flags::GFP_NOFS};

/// An attribute.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) index: u8,
    pub(crate) name: KVec<u8>,
    /// The value, unless it lies in an inode.
    pub(crate) value: KVec<u8>,
    /// The inode with the value, or 0.
    pub(crate) inum: u32,
    pub(crate) size: usize,
    pub(crate) hash: u32,
}

impl Item {
    fn is(&self, index: u8, name: &[u8]) -> bool {
        self.index == index && &*self.name == name
    }
    /// Bytes that it takes in a region.
    fn len(&self) -> usize {
        entry_len(self.name.len()) + if self.inum == 0 { value_len(self.value.len()) } else { 0 }
    }
}

/// How `set` treats an attribute that is there already, or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SetMode {
    /// Either.
    #[default]
    Any,
    /// `XATTR_CREATE`: `EEXIST` if it is there.
    Create,
    /// `XATTR_REPLACE`: `ENODATA` if it is not.
    Replace,
}

/// Reads the list in `region`, whose entries begin at `first` and whose value offsets count from `base`.
fn parse(region: &[u8], first: usize, base: usize, with_block_hash: bool) -> Result<KVec<Item>, DoesNotFit> {
    let mut items = KVec::new();
    let mut at = first;
    // First the end of the entries, so that no value may lie among them.
    let mut end = first;
    while let Some(entry) = Entry::decode(region, end)? {
        end = entry.next();
    }
    while let Some(entry) = Entry::decode(region, at)? {
        let mut value = KVec::new();
        if entry.value_inum == 0 && entry.value_size > 0 {
            let from = base.checked_add(entry.value_offs).ok_or(DoesNotFit)?;
            let to = from.checked_add(entry.value_size).ok_or(DoesNotFit)?;
            if from < end + 4 || entry.value_size > region.len() {
                return Err(DoesNotFit);
            }
            value.extend_from_slice(region.get(from..to).ok_or(DoesNotFit)?, GFP_NOFS).map_err(|_| DoesNotFit)?;
        }
        let mut name = KVec::new();
        name.extend_from_slice(entry.name(region), GFP_NOFS).map_err(|_| DoesNotFit)?;
        let hash = if with_block_hash || entry.value_inum != 0 { entry.hash } else { 0 };
        let item = Item { index: entry.index, name, value, inum: entry.value_inum, size: entry.value_size, hash };
        items.push(item, GFP_NOFS).map_err(|_| DoesNotFit)?;
        at = entry.next();
    }
    Ok(items)
}

/// Bytes that a list takes, with its end mark.
fn total(items: &[Item]) -> usize {
    items.iter().map(Item::len).sum::<usize>() + 4
}

/// Writes a list to a region of zeros. It must fit.
fn build(items: &[Item], region: &mut [u8], first: usize, base: usize, in_block: bool) {
    let (mut at, mut end) = (first, region.len());
    for item in items {
        let mut offset = 0;
        if item.inum == 0 && !item.value.is_empty() {
            end -= value_len(item.value.len());
            le::put(region, end, &item.value);
            offset = end - base;
        }
        let hash = if item.inum != 0 {
            item.hash
        } else if in_block {
            xattr::entry_hash(&item.name, &item.value, false)
        } else {
            0
        };
        le::put(region, at, &[item.name.len() as u8, item.index]);
        le::put_u16(region, at + 2, offset as u16);
        le::put_u32(region, at + 4, item.inum);
        le::put_u32(region, at + 8, item.size as u32);
        le::put_u32(region, at + 12, hash);
        le::put(region, at + ENTRY, &item.name);
        at += entry_len(item.name.len());
    }
}

impl<S: Store> Fs<S> {
    /// The attributes in the inode itself.
    pub(crate) fn body_items(&self, inode: &Inode) -> Result<KVec<Item>> {
        if le::u32_at(&inode.tail, 0) != MAGIC || inode.tail.len() < 8 {
            return Ok(KVec::new());
        }
        parse(&inode.tail, 4, 4, false).map_err(|DoesNotFit| self.corrupt("xattr_in_inode", inode.ino, 0))
    }

    /// Where the attributes are on the disk, in bytes: the first, how many, and whether that is in the inode itself. Those in a block
    /// are not told of when the inode has some. In the inode, the first byte is counted from the begin of the inode's block, as Linux
    /// counts it for `FIEMAP_FLAG_XATTR`.
    pub fn xattr_place(&self, inode: &Inode) -> Result<Option<(u64, u64, bool)>> {
        let bits = self.geo.block_bits;
        if inode.tail.len() >= 8 && le::u32_at(&inode.tail, 0) == MAGIC {
            let (block, _) = self.inode_place(inode.ino)?;
            let offset = self.geo.inode_size.saturating_sub(inode.tail.len());
            return Ok(Some(((block << bits) + offset as u64, inode.tail.len() as u64, true)));
        }
        Ok((inode.raw.file_acl != 0).then(|| (inode.raw.file_acl << bits, 1 << bits, false)))
    }

    /// Puts attributes into the inode itself; `ENOSPC` if they do not fit. The caller writes the inode.
    pub(crate) fn set_body_items(&self, inode: &mut Inode, items: &[Item]) -> Result {
        if items.is_empty() {
            inode.tail.fill(0);
            return Ok(());
        }
        if total(items) + 4 > inode.tail.len() {
            return Err(ENOSPC);
        }
        inode.tail.fill(0);
        le::put_u32(&mut inode.tail, 0, MAGIC);
        build(items, &mut inode.tail, 4, 4, false);
        Ok(())
    }

    /// The value of an attribute. `ENODATA` if there is none.
    pub fn xattr_get(&self, inode: &Inode, index: u8, name: &[u8]) -> Result<KVec<u8>> {
        for item in self.body_items(inode)? {
            if item.is(index, name) {
                return self.value_of(inode, item);
            }
        }
        for item in self.block_items(inode)? {
            if item.is(index, name) {
                return self.value_of(inode, item);
            }
        }
        Err(ENODATA)
    }

    /// Calls `f` with namespace and name of each attribute that is to be listed.
    pub fn xattr_list(&self, inode: &Inode, mut f: impl FnMut(u8, &[u8]) -> Result) -> Result {
        for item in self.body_items(inode)?.iter().chain(self.block_items(inode)?.iter()) {
            if !(item.index == index::SYSTEM && &*item.name == b"data") {
                f(item.index, &item.name)?;
            }
        }
        Ok(())
    }

    /// Credits that `xattr_set` may need.
    pub fn credits_for_xattr(&self, len: usize) -> u32 {
        let value = if self.ea_inode() { 2 * (len / self.geo.block_size + 2) as u32 + 64 } else { 0 };
        24 + value
    }

    pub(crate) fn ea_inode(&self) -> bool {
        self.geo.has_incompat(ext4_format::feature::incompat::EA_INODE)
    }

    /// Sets an attribute, or with `value` None removes it. `ENODATA`, `EEXIST` by `mode`; `ENOSPC` if there is no room, `ERANGE`
    /// for a name that is too long.
    pub fn xattr_set(
        &self,
        tx: &mut Tx<S>,
        inode: &mut Inode,
        index: u8,
        name: &[u8],
        value: Option<&[u8]>,
        mode: SetMode,
    ) -> Result {
        if name.len() > 255 {
            return Err(ERANGE);
        }
        let mut body = self.body_items(inode)?;
        let mut block = self.block_items(inode)?;
        let in_body = body.iter().position(|item| item.is(index, name));
        let in_block = block.iter().position(|item| item.is(index, name));
        let exists = in_body.is_some() || in_block.is_some();
        if mode == SetMode::Create && exists {
            return Err(EEXIST);
        }
        if !exists && (mode == SetMode::Replace || value.is_none()) {
            return Err(ENODATA);
        }
        let old_body = in_body.and_then(|at| body.remove(at).ok());
        let old_block = in_block.and_then(|at| block.remove(at).ok());
        if let Some(value) = value {
            let inline_data = index == index::SYSTEM && name == b"data";
            let mut item = Item {
                index,
                name: KVec::from_slice(name, GFP_NOFS)?,
                value: KVec::from_slice(value, GFP_NOFS)?,
                inum: 0,
                size: value.len(),
                hash: 0,
            };
            // In the inode if it fits, else in the block, else in an inode of its own.
            if total(&body) + item.len() + 4 <= inode.tail.len() {
                body.push(item, GFP_NOFS)?;
            } else if inline_data {
                return Err(ENOSPC);
            } else {
                let room = self.geo.block_size - xattr::BLOCK_HEADER;
                if total(&block) + item.len() > room {
                    if !self.ea_inode() || entry_len(name.len()) + total(&block) > room {
                        return Err(ENOSPC);
                    }
                    self.value_to_inode(tx, inode, &mut item)?;
                }
                block.push(item, GFP_NOFS)?;
            }
        }
        let made = block.iter().find(|item| item.is(index, name)).map(|item| item.inum);
        if (old_block.is_some() || made.is_some())
            && let Err(error) = self.set_block_items(tx, inode, block)
        {
            if let Some(number) = made.filter(|&number| number != 0) {
                self.drop_value(tx, inode, number)?;
                self.write_inode(tx, inode)?;
            }
            return Err(error);
        }
        self.set_body_items(inode, &body)?;
        for old in [old_body, old_block].into_iter().flatten() {
            if old.inum != 0 {
                self.drop_value(tx, inode, old.inum)?;
            }
        }
        self.touch(inode, false);
        self.write_inode(tx, inode)
    }

    /// Gives up all attributes of an inode that is being freed.
    pub(crate) fn drop_xattrs(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result {
        // A damaged list is left for e2fsck: the inode is freed all the same.
        for item in self.body_items(inode).unwrap_or_default() {
            if item.inum != 0 {
                self.drop_value(tx, inode, item.inum)?;
            }
        }
        if inode.raw.file_acl != 0
            && let Ok(items) = self.block_items(inode)
        {
            for item in items {
                if item.inum != 0 && self.block_refcount(inode)? == 1 {
                    self.drop_value(tx, inode, item.inum)?;
                }
            }
            self.set_block_items(tx, inode, KVec::new())?;
        }
        Ok(())
    }

    /// Whether there are attributes that need another inode to be freed.
    pub(crate) fn has_value_inodes(&self, inode: &Inode) -> bool {
        self.ea_inode()
            && (self.body_items(inode).is_ok_and(|items| items.iter().any(|item| item.inum != 0))
                || self.block_items(inode).is_ok_and(|items| items.iter().any(|item| item.inum != 0)))
    }

    /// Makes room for `extra` bytes more of fixed fields in an inode made with fewer: attributes move to the block if they must.
    pub fn expand_extra_isize(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result {
        let want = usize::from(self.geo.want_extra_isize);
        let have = usize::from(inode.raw.extra_isize);
        if want <= have || self.geo.inode_size <= 128 {
            return Ok(());
        }
        let grow = want - have;
        let mut body = self.body_items(inode)?;
        let room = inode.tail.len().saturating_sub(grow);
        let mut block = self.block_items(inode)?;
        let mut moved = false;
        while !body.is_empty() && total(&body) + 4 > room {
            let at =
                body.iter().position(|item| !(item.index == index::SYSTEM && &*item.name == b"data")).ok_or(ENOSPC)?;
            let Ok(item) = body.remove(at) else { break };
            if total(&block) + item.len() > self.geo.block_size - xattr::BLOCK_HEADER {
                return Err(ENOSPC);
            }
            block.push(item, GFP_NOFS)?;
            moved = true;
        }
        if moved {
            self.set_block_items(tx, inode, block)?;
        }
        inode.tail = KVec::from_elem(0u8, room, GFP_NOFS)?;
        inode.raw.extra_isize = want as u16;
        self.set_body_items(inode, &body)?;
        self.write_inode(tx, inode)
    }

    /// Verifies a block of attributes.
    pub(crate) fn check_xattr_block(&self, ino: u32, buf: &S::Buf) -> Result {
        if buf.is_verified() {
            return Ok(());
        }
        let data = buf.read();
        let good = le::u32_at(&data, 0) == MAGIC && le::u32_at(&data, 8) == 1;
        let sum =
            !self.geo.csum || le::u32_at(&data, 16) == xattr::block_checksum(&data, buf.block(), self.geo.csum_seed);
        drop(data);
        if !good {
            return Err(self.corrupt("xattr_block", ino, buf.block()));
        }
        if !sum {
            return Err(self.bad_csum("xattr_block", ino, buf.block()));
        }
        buf.set_verified();
        Ok(())
    }
}
