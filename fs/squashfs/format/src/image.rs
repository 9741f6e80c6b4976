// SPDX-License-Identifier: GPL-2.0
//! An open image: metadata blocks and the tables of ids and fragments. No locks: what is cached is the store's.

use crate::METADATA;
use crate::compress::Decoder;
use crate::le::Fields;
use crate::superblock::{NO_TABLE, SIZE, Super};
use errno::Result;
use errno::code::{EINVAL, EIO};
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KVVec};

/// A decompressed block.
pub struct Block {
    /// Its bytes.
    pub data: KVVec<u8>,
    /// Where the metadata block behind it is.
    pub next: u64,
}

/// What a block is cached as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A metadata block.
    Metadata,
    /// Ends of several files.
    Fragment,
}

/// Where an image's bytes come from, and who keeps decompressed blocks.
pub trait Store {
    /// Fills `to` with the bytes from `pos` on. EIO. May sleep.
    fn read(&self, pos: u64, to: &mut [u8]) -> Result;

    /// The block at `pos`, if it is kept.
    fn find(&self, kind: Kind, pos: u64) -> Option<Arc<Block>>;

    /// Keeps a block that was read, if there is room.
    fn keep(&self, kind: Kind, pos: u64, block: &Arc<Block>);

    /// A decoder that was kept, if there is one.
    fn take_decoder(&self) -> Option<Decoder>;

    /// Keeps a decoder for who needs the next one, if there is room.
    fn keep_decoder(&self, decoder: Decoder);
}

/// A place in metadata: a block's position in the image and a byte of what it decompresses to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// Of the block.
    pub block: u64,
    /// In the block.
    pub offset: usize,
}

/// An open image.
pub struct Image<S> {
    /// Where it is.
    pub store: S,
    /// Its superblock.
    pub sb: Super,
    ids: KVVec<u32>,
    fragments: KVVec<u64>,
    xattrs: Option<XattrTable>,
}

pub(crate) struct XattrTable {
    /// Where the attributes are, which references count from.
    pub(crate) start: u64,
    pub(crate) count: u32,
    pub(crate) index: KVVec<u64>,
}

/// Bytes of a fragment's entry.
const FRAGMENT: u64 = 16;
/// A size with this bit is of a block that is not compressed.
const PLAIN_META: u16 = 1 << 15;
const PLAIN: u32 = 1 << 24;

impl<S: Store> Image<S> {
    /// Opens the image in `store`, of `device` bytes. EINVAL with a reason if it is none, damaged or of an unknown method, EIO, ENOMEM.
    pub fn open(store: S, device: u64) -> core::result::Result<Self, (errno::Error, &'static str)> {
        let mut bytes = [0u8; SIZE];
        if device < SIZE as u64 {
            return Err((EINVAL, "no squashfs superblock"));
        }
        store.read(0, &mut bytes).map_err(|error| (error, "unable to read the superblock"))?;
        let sb = Super::parse(&bytes, device).map_err(|why| (EINVAL, why))?;
        // There is always one, then.
        let decoder = sb.method.decoder().map_err(|error| (error, "no memory for a decoder"))?;
        store.keep_decoder(decoder);
        let mut image = Self { store, sb, ids: KVVec::new(), fragments: KVVec::new(), xattrs: None };
        image.read_ids().map_err(|error| (error, "unable to read the id table"))?;
        if sb.fragments != 0 {
            let bytes = u64::from(sb.fragments) * FRAGMENT;
            image.fragments =
                image.index(sb.fragment_table, bytes).map_err(|error| (error, "unable to read the fragment table"))?;
        }
        if sb.xattr_table != NO_TABLE {
            image.xattrs = image.read_xattrs().map_err(|error| (error, "unable to read the xattr table"))?;
        }
        Ok(image)
    }

    fn read_ids(&mut self) -> Result {
        let index = self.index(self.sb.id_table, u64::from(self.sb.ids) * 4)?;
        let mut left = usize::from(self.sb.ids);
        self.ids.reserve(left, GFP_NOFS)?;
        for at in index.iter() {
            let block = self.metadata(*at)?;
            for id in block.data.chunks_exact(4).take(left) {
                let id = id.try_into().map_err(|_| EINVAL)?;
                self.ids.push(u32::from_le_bytes(id), GFP_NOFS)?;
            }
            left = usize::from(self.sb.ids) - self.ids.len();
        }
        if left == 0 { Ok(()) } else { Err(EINVAL) }
    }

    fn read_xattrs(&self) -> Result<Option<XattrTable>> {
        let mut bytes = [0u8; 16];
        self.read_used(self.sb.xattr_table, &mut bytes).map_err(|_| EINVAL)?;
        let mut f = Fields(&bytes);
        let (start, count) = (f.u64()?, f.u32()?);
        if count == 0 || start > self.sb.xattr_table {
            return Err(EINVAL);
        }
        let at = self.sb.xattr_table.checked_add(16).ok_or(EINVAL)?;
        Ok(Some(XattrTable { start, count, index: self.index(at, u64::from(count) * 16)? }))
    }

    /// The positions of the metadata blocks that hold a table of `bytes` bytes: they stand at `start`, the blocks lie before. EINVAL.
    fn index(&self, start: u64, bytes: u64) -> Result<KVVec<u64>> {
        let blocks = usize::try_from(bytes.div_ceil(METADATA as u64)).map_err(|_| EINVAL)?;
        let len = blocks.checked_mul(8).ok_or(EINVAL)?;
        let end = start.checked_add(len as u64).ok_or(EINVAL)?;
        if end > self.sb.bytes_used {
            return Err(EINVAL);
        }
        let mut raw = KVVec::from_elem(0u8, len, GFP_NOFS)?;
        self.store.read(start, &mut raw)?;
        let mut index = KVVec::with_capacity(blocks, GFP_NOFS)?;
        let mut last = 0;
        for at in raw.chunks_exact(8) {
            let at = u64::from_le_bytes(at.try_into().map_err(|_| EINVAL)?);
            if at <= last || at >= start {
                return Err(EINVAL);
            }
            last = at;
            index.push(at, GFP_NOFS)?;
        }
        Ok(index)
    }

    /// Bytes of the image. EIO beyond its end.
    fn read_used(&self, pos: u64, to: &mut [u8]) -> Result {
        let end = pos.checked_add(to.len() as u64).ok_or(EIO)?;
        if end > self.sb.bytes_used { Err(EIO) } else { self.store.read(pos, to) }
    }

    /// The metadata block at `pos`. EIO.
    pub(crate) fn metadata(&self, pos: u64) -> Result<Arc<Block>> {
        if let Some(block) = self.store.find(Kind::Metadata, pos) {
            return Ok(block);
        }
        let mut head = [0u8; 2];
        self.read_used(pos, &mut head)?;
        let head = u16::from_le_bytes(head);
        let size = match usize::from(head & !PLAIN_META) {
            0 => usize::from(PLAIN_META),
            size => size,
        };
        if size > METADATA {
            return Err(EIO);
        }
        let at = pos.checked_add(2).ok_or(EIO)?;
        let mut raw = KVVec::from_elem(0u8, size, GFP_NOFS)?;
        self.read_used(at, &mut raw)?;
        let next = at.checked_add(size as u64).ok_or(EIO)?;
        let data = if head & PLAIN_META != 0 { raw } else { self.unpack(&raw, METADATA)? };
        if data.is_empty() {
            return Err(EIO);
        }
        let block = Arc::new(Block { data, next }, GFP_NOFS)?;
        self.store.keep(Kind::Metadata, pos, &block);
        Ok(block)
    }

    fn unpack(&self, raw: &[u8], most: usize) -> Result<KVVec<u8>> {
        let mut data = KVVec::from_elem(0u8, most, GFP_NOFS)?;
        let mut decoder = match self.store.take_decoder() {
            Some(decoder) => decoder,
            // The others are in use.
            None => self.sb.method.decoder()?,
        };
        let len = decoder.decode(raw, &mut data);
        self.store.keep_decoder(decoder);
        data.truncate(len?);
        Ok(data)
    }

    /// The block of data at `pos` with the size `word` (which also says whether it is compressed). EIO.
    pub(crate) fn data(&self, pos: u64, word: u32) -> Result<KVVec<u8>> {
        let size = word & !PLAIN;
        if size == 0 || size > self.sb.block_size {
            return Err(EIO);
        }
        let mut raw = KVVec::from_elem(0u8, size as usize, GFP_NOFS)?;
        self.read_used(pos, &mut raw)?;
        if word & PLAIN != 0 { Ok(raw) } else { self.unpack(&raw, self.sb.block_size as usize) }
    }

    /// Reads metadata at `cursor`, across blocks, and advances it. EIO.
    pub(crate) fn read(&self, cursor: &mut Cursor, to: &mut [u8]) -> Result {
        let mut rest = to;
        while !rest.is_empty() {
            let block = self.metadata(cursor.block)?;
            let there = block.data.get(cursor.offset..).ok_or(EIO)?;
            if there.is_empty() {
                *cursor = Cursor { block: block.next, offset: 0 };
                continue;
            }
            let n = there.len().min(rest.len());
            let (front, back) = rest.split_at_mut(n);
            front.copy_from_slice(there.get(..n).ok_or(EIO)?);
            rest = back;
            cursor.offset += n;
        }
        Ok(())
    }

    /// Advances `cursor` by `count` bytes. EIO.
    pub(crate) fn skip(&self, cursor: &mut Cursor, count: usize) -> Result {
        let mut left = count;
        while left != 0 {
            let block = self.metadata(cursor.block)?;
            let there = block.data.len().checked_sub(cursor.offset).ok_or(EIO)?;
            if there == 0 {
                *cursor = Cursor { block: block.next, offset: 0 };
                continue;
            }
            let n = there.min(left);
            cursor.offset += n;
            left -= n;
        }
        Ok(())
    }

    /// Reads `N` bytes of metadata.
    pub(crate) fn record<const N: usize>(&self, cursor: &mut Cursor) -> Result<[u8; N]> {
        let mut bytes = [0u8; N];
        self.read(cursor, &mut bytes)?;
        Ok(bytes)
    }

    /// The user or group behind an index. EINVAL as Linux says it.
    pub(crate) fn id(&self, index: u16) -> Result<u32> {
        self.ids.get(usize::from(index)).copied().ok_or(EINVAL)
    }

    /// Entry `number` (of 16 bytes) of a table whose blocks `index` names.
    pub(crate) fn entry(&self, index: &[u64], number: u32) -> Result<[u8; 16]> {
        let at = u64::from(number) * 16;
        let block = usize::try_from(at / METADATA as u64).map_err(|_| EIO)?;
        let mut cursor = Cursor { block: *index.get(block).ok_or(EIO)?, offset: at as usize % METADATA };
        self.record(&mut cursor)
    }

    /// Whether files of it can have extended attributes.
    pub const fn has_xattrs(&self) -> bool {
        self.xattrs.is_some()
    }

    pub(crate) fn xattr_table(&self) -> Option<&XattrTable> {
        self.xattrs.as_ref()
    }

    /// The fragment block `number`. EIO.
    pub fn fragment(&self, number: u32) -> Result<Arc<Block>> {
        if number >= self.sb.fragments {
            return Err(EIO);
        }
        let entry = self.entry(&self.fragments, number)?;
        let mut f = Fields(&entry);
        let (pos, word) = (f.u64()?, f.u32()?);
        if let Some(block) = self.store.find(Kind::Fragment, pos) {
            return Ok(block);
        }
        let block = Arc::new(Block { data: self.data(pos, word)?, next: 0 }, GFP_NOFS)?;
        self.store.keep(Kind::Fragment, pos, &block);
        Ok(block)
    }
}
