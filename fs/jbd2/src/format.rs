// SPDX-License-Identifier: GPL-2.0
//! What a journal looks like on the disk. All numbers are big-endian.
//!
//! Every block of the log that is not a copied one begins with a [`Header`]: magic, type, number of the transaction.

use crate::Tid;
use crate::csum::{crc32c, crc32c_without};
use errno::Result;
use errno::code::{EBADMSG, EINVAL, EUCLEAN};
use kalloc::KBox;
use kalloc::flags::GFP_KERNEL;

/// First word of every block of the journal's own.
pub const MAGIC: u32 = 0xC03B_3998;
/// A descriptor: which blocks follow.
pub const DESCRIPTOR_BLOCK: u32 = 1;
/// The end of a transaction.
pub const COMMIT_BLOCK: u32 = 2;
/// The first format of a superblock.
pub const SUPERBLOCK_V1: u32 = 3;
/// The superblock that has features.
pub const SUPERBLOCK_V2: u32 = 4;
/// Blocks that must not be replayed from this transaction or older ones.
pub const REVOKE_BLOCK: u32 = 5;

/// Compatible feature: transactions carry a crc32 in their commit block (v1).
pub const COMPAT_CHECKSUM: u32 = 1;
/// Incompatible feature: there are revoke blocks.
pub const INCOMPAT_REVOKE: u32 = 1;
/// Block numbers have 64 bits.
pub const INCOMPAT_64BIT: u32 = 2;
/// The commit block may reach the disk before the blocks it commits.
pub const INCOMPAT_ASYNC_COMMIT: u32 = 4;
/// Checksums v2: 16 bits of crc32c a tag.
pub const INCOMPAT_CSUM_V2: u32 = 8;
/// Checksums v3: 32 bits of crc32c a tag.
pub const INCOMPAT_CSUM_V3: u32 = 0x10;
/// There is an area for fast commits at the end.
pub const INCOMPAT_FAST_COMMIT: u32 = 0x20;
const KNOWN_INCOMPAT: u32 = 0x3f;

/// Tag: the block's first word was the magic number and is zero in the log.
pub const TAG_ESCAPE: u32 = 1;
/// Tag: no UUID follows.
pub const TAG_SAME_UUID: u32 = 2;
/// Tag: the block was deleted by this transaction.
pub const TAG_DELETED: u32 = 4;
/// Tag: the last of its descriptor.
pub const TAG_LAST: u32 = 8;

/// Bytes of a header.
pub const HEADER_SIZE: usize = 12;
/// Bytes of a superblock.
pub const SUPERBLOCK_SIZE: usize = 1024;
/// The least length of a log, in blocks.
pub const MIN_BLOCKS: u32 = 1024;
const CRC32: u8 = 1;
const CRC32C: u8 = 4;

pub(crate) fn get32(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

pub(crate) fn put32(data: &mut [u8], at: usize, value: u32) {
    if let Some(to) = data.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *to = value.to_be_bytes();
    }
}

fn get16(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn put16(data: &mut [u8], at: usize, value: u16) {
    if let Some(to) = data.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *to = value.to_be_bytes();
    }
}

/// The start of a block of the journal's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// `DESCRIPTOR_BLOCK` and its kin.
    pub kind: u32,
    /// The transaction.
    pub tid: Tid,
}

impl Header {
    /// The header of `block`, if it has the magic number.
    pub fn parse(block: &[u8]) -> Option<Self> {
        (get32(block, 0)? == MAGIC).then_some(())?;
        Some(Self { kind: get32(block, 4)?, tid: get32(block, 8)? })
    }

    /// Writes it at the start of `block`.
    pub fn write(self, block: &mut [u8]) {
        put32(block, 0, MAGIC);
        put32(block, 4, self.kind);
        put32(block, 8, self.tid);
    }
}

/// Which variant of the format a journal has, and what that means for sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// `COMPAT_*`.
    pub compat: u32,
    /// `INCOMPAT_*`.
    pub incompat: u32,
    /// Seed of the checksums v2 and v3: crc32c of the superblock's UUID.
    pub seed: u32,
}

impl Features {
    /// Whether all of these incompatible features are set.
    pub const fn has(&self, incompat: u32) -> bool {
        self.incompat & incompat == incompat
    }

    /// Whether blocks of the journal's own and copied blocks have crc32c (v2 or v3).
    pub const fn checksums(&self) -> bool {
        self.incompat & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3) != 0
    }

    /// Whether commit blocks have the crc32 of their transaction (v1).
    pub const fn checksum_v1(&self) -> bool {
        self.compat & COMPAT_CHECKSUM != 0
    }

    /// Bytes of a tag without its UUID.
    pub const fn tag_size(&self) -> usize {
        if self.has(INCOMPAT_CSUM_V3) {
            return 16;
        }
        // The 16-bit checksum sits in what was padding, yet v2 counts it twice.
        let size = if self.has(INCOMPAT_CSUM_V2) { 14 } else { 12 };
        if self.has(INCOMPAT_64BIT) { size } else { size - 4 }
    }

    /// Bytes of the checksum at the end of descriptor and revoke blocks.
    pub const fn tail_size(&self) -> usize {
        if self.checksums() { 4 } else { 0 }
    }

    /// Bytes of one revoked block's number.
    pub const fn revoke_size(&self) -> usize {
        if self.has(INCOMPAT_64BIT) { 8 } else { 4 }
    }

    /// How many tags fit into a descriptor of `block_size` bytes.
    pub const fn tags_per_block(&self, block_size: usize) -> usize {
        (block_size - HEADER_SIZE - self.tail_size() - 16) / self.tag_size()
    }

    /// How many block numbers fit into a revoke block of `block_size` bytes.
    pub const fn revokes_per_block(&self, block_size: usize) -> usize {
        (block_size - HEADER_SIZE - 4 - self.tail_size()) / self.revoke_size()
    }

    /// The checksum of a copied block as its tag has it.
    pub fn data_checksum(&self, tid: Tid, data: &[u8]) -> u32 {
        let sum = crc32c(crc32c(self.seed, &tid.to_be_bytes()), data);
        if self.has(INCOMPAT_CSUM_V3) { sum } else { sum & 0xffff }
    }

    /// Puts the checksum at the end of a descriptor or revoke block.
    pub fn seal(&self, block: &mut [u8]) {
        if self.checksums() {
            let at = block.len().saturating_sub(4);
            let sum = crc32c_without(self.seed, block, at);
            put32(block, at, sum);
        }
    }

    /// Whether the checksum at the end of a descriptor or revoke block is right (or there are none).
    pub fn is_sealed(&self, block: &[u8]) -> bool {
        let at = block.len().saturating_sub(4);
        !self.checksums() || get32(block, at) == Some(crc32c_without(self.seed, block, at))
    }
}

/// A tag of a descriptor: where a copied block belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    /// The block of the file system.
    pub block: u64,
    /// `TAG_*`.
    pub flags: u32,
    /// Checksum of the copy; 0 where the format has none.
    pub checksum: u32,
}

impl Tag {
    /// Reads the tag at `at`.
    fn parse(features: &Features, block: &[u8], at: usize) -> Option<Self> {
        let low = u64::from(get32(block, at)?);
        if features.has(INCOMPAT_CSUM_V3) {
            let high = if features.has(INCOMPAT_64BIT) { u64::from(get32(block, at.checked_add(8)?)?) } else { 0 };
            let (flags, checksum) = (get32(block, at.checked_add(4)?)?, get32(block, at.checked_add(12)?)?);
            return Some(Self { block: high << 32 | low, flags, checksum });
        }
        let high = if features.has(INCOMPAT_64BIT) { u64::from(get32(block, at.checked_add(8)?)?) } else { 0 };
        let (checksum, flags) = (get16(block, at.checked_add(4)?)?, get16(block, at.checked_add(6)?)?);
        Some(Self { block: high << 32 | low, flags: flags.into(), checksum: checksum.into() })
    }

    /// Writes the tag at `at`.
    fn write(&self, features: &Features, block: &mut [u8], at: usize) {
        put32(block, at, self.block as u32);
        if features.has(INCOMPAT_CSUM_V3) {
            put32(block, at + 4, self.flags);
            put32(block, at + 8, (self.block >> 32) as u32);
            put32(block, at + 12, self.checksum);
            return;
        }
        put16(block, at + 4, self.checksum as u16);
        put16(block, at + 6, self.flags as u16);
        if features.has(INCOMPAT_64BIT) {
            put32(block, at + 8, (self.block >> 32) as u32);
        }
    }
}

/// The tags of a descriptor, in order. Ends after the one that is marked as last, or where the block is full.
pub struct Tags<'a> {
    features: Features,
    block: &'a [u8],
    at: usize,
}

impl<'a> Tags<'a> {
    /// The tags of `block`.
    pub fn new(features: Features, block: &'a [u8]) -> Self {
        Self { features, block, at: HEADER_SIZE }
    }
}

impl Iterator for Tags<'_> {
    type Item = Tag;
    fn next(&mut self) -> Option<Tag> {
        let end = self.at.checked_add(self.features.tag_size())?;
        if end > self.block.len().checked_sub(self.features.tail_size())? {
            return None;
        }
        let tag = Tag::parse(&self.features, self.block, self.at)?;
        self.at = if tag.flags & TAG_LAST != 0 {
            usize::MAX
        } else if tag.flags & TAG_SAME_UUID != 0 {
            end
        } else {
            end.checked_add(16)?
        };
        Some(tag)
    }
}

/// Fills a descriptor block.
pub struct DescriptorWriter {
    features: Features,
    at: usize,
    last: usize,
}

impl DescriptorWriter {
    /// Begins a descriptor in `block`, which is zeroed.
    pub fn new(features: Features, block: &mut [u8], tid: Tid) -> Self {
        block.fill(0);
        Header { kind: DESCRIPTOR_BLOCK, tid }.write(block);
        Self { features, at: HEADER_SIZE, last: 0 }
    }

    /// Adds a tag. False if there is no room left for another one after it.
    pub fn push(&mut self, block: &mut [u8], mut tag: Tag) -> bool {
        if self.last != 0 {
            tag.flags |= TAG_SAME_UUID;
        }
        tag.write(&self.features, block, self.at);
        let first = self.last == 0;
        self.last = self.at;
        // The UUID after the first tag stays zero, as Linux leaves it; nobody looks at it.
        self.at += self.features.tag_size() + if first { 16 } else { 0 };
        self.at + self.features.tag_size() + self.features.tail_size() <= block.len()
    }

    /// Marks the last tag and seals the block.
    pub fn finish(self, block: &mut [u8]) {
        if self.last != 0 {
            if self.features.has(INCOMPAT_CSUM_V3) {
                let flags = get32(block, self.last + 4).unwrap_or(0);
                put32(block, self.last + 4, flags | TAG_LAST);
            } else {
                let flags = get16(block, self.last + 6).unwrap_or(0);
                put16(block, self.last + 6, flags | TAG_LAST as u16);
            }
        }
        self.features.seal(block);
    }
}

/// The numbers in a revoke block; `EUCLEAN` if it says that there are more bytes than can be.
pub fn revoked<'a>(features: &Features, block: &'a [u8]) -> Result<impl Iterator<Item = u64> + use<'a>> {
    let used = get32(block, HEADER_SIZE).ok_or(EUCLEAN)? as usize;
    let (size, room) = (features.revoke_size(), block.len().saturating_sub(features.tail_size()));
    if used > room || used < HEADER_SIZE + 4 {
        return Err(EUCLEAN);
    }
    let numbers = block.get(HEADER_SIZE + 4..used).ok_or(EUCLEAN)?;
    Ok(numbers.chunks_exact(size).map(|bytes| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))))
}

/// Fills `block` with the revoke records that `numbers` yields, as many as fit. Returns how many.
pub fn write_revokes(features: &Features, block: &mut [u8], tid: Tid, numbers: &mut dyn Iterator<Item = u64>) -> usize {
    block.fill(0);
    Header { kind: REVOKE_BLOCK, tid }.write(block);
    let (mut at, mut count) = (HEADER_SIZE + 4, 0);
    for number in numbers.take(features.revokes_per_block(block.len())) {
        if features.has(INCOMPAT_64BIT) {
            put32(block, at, (number >> 32) as u32);
            put32(block, at + 4, number as u32);
        } else {
            put32(block, at, number as u32);
        }
        at += features.revoke_size();
        count += 1;
    }
    put32(block, HEADER_SIZE, at as u32);
    features.seal(block);
    count
}

const COMMIT_TYPE: usize = 0x0c;
const COMMIT_SIZE: usize = 0x0d;
const COMMIT_SUM: usize = 0x10;
const COMMIT_SEC: usize = 0x30;
const COMMIT_NSEC: usize = 0x38;

/// Fills a commit block. `crc32` is the sum over the transaction, for v1.
pub fn write_commit(features: &Features, block: &mut [u8], tid: Tid, time: (u64, u32), crc32: u32) {
    block.fill(0);
    Header { kind: COMMIT_BLOCK, tid }.write(block);
    put32(block, COMMIT_SEC, (time.0 >> 32) as u32);
    put32(block, COMMIT_SEC + 4, time.0 as u32);
    put32(block, COMMIT_NSEC, time.1);
    if features.checksum_v1() {
        if let Some(kind) = block.get_mut(COMMIT_TYPE..COMMIT_SIZE + 1) {
            kind.copy_from_slice(&[CRC32, 4]);
        }
        put32(block, COMMIT_SUM, crc32);
    }
    if features.checksums() {
        let sum = crc32c_without(features.seed, block, COMMIT_SUM);
        put32(block, COMMIT_SUM, sum);
    }
}

/// When the transaction was committed: seconds since 1970 (0 in very old journals).
pub fn commit_time(block: &[u8]) -> u64 {
    let word = |at| u64::from(get32(block, at).unwrap_or(0));
    word(COMMIT_SEC) << 32 | word(COMMIT_SEC + 4)
}

/// Whether a commit block's own checksum (v2, v3) is right.
pub fn commit_is_sealed(features: &Features, block: &[u8]) -> bool {
    if !features.checksums() {
        return true;
    }
    let sum = get32(block, COMMIT_SUM);
    if sum == Some(crc32c_without(features.seed, block, COMMIT_SUM)) {
        return true;
    }
    // A commit block that was written over stale bytes: what follows the header counts as zero.
    let (header, rest) = block.split_at_checked(0x3c).unwrap_or((block, &[]));
    let start = crc32c_without(features.seed, header, COMMIT_SUM);
    sum == Some(rest.iter().fold(start, |sum, _| crc32c(sum, &[0])))
}

/// Whether the sum `crc32` over a transaction is the one in its commit block (v1), or that has none.
pub fn commit_matches(block: &[u8], crc32: u32) -> bool {
    let kind = block.get(COMMIT_TYPE..COMMIT_SIZE + 1).unwrap_or(&[]);
    let sum = get32(block, COMMIT_SUM).unwrap_or(0);
    (sum == crc32 && kind == [CRC32, 4]) || (sum == 0 && kind == [0, 0])
}

/// The journal's superblock: the bytes, so that fields nobody knows here survive. In a box: it is large for a stack.
pub struct Superblock(pub KBox<[u8; SUPERBLOCK_SIZE]>);

macro_rules! fields {
    ($($get:ident $set:ident $at:literal $doc:literal;)*) => {$(
        #[doc = $doc]
        pub fn $get(&self) -> u32 {
            get32(&*self.0, $at).unwrap_or(0)
        }
        #[doc = concat!("Sets: ", $doc)]
        pub fn $set(&mut self, value: u32) {
            put32(&mut *self.0, $at, value);
        }
    )*};
}

impl Superblock {
    fields! {
        kind set_kind 0x04 "`SUPERBLOCK_V1` or `SUPERBLOCK_V2`.";
        block_size set_block_size 0x0c "Bytes in a block of the log.";
        max_len set_max_len 0x10 "Blocks of the log, with this one.";
        first set_first 0x14 "First block for transactions.";
        sequence set_sequence 0x18 "First transaction to expect.";
        start set_start 0x1c "Where that begins; 0 if the log is empty.";
        errno set_errno 0x20 "Error that the journal was aborted with (a negative errno).";
        compat set_compat 0x24 "Compatible features.";
        incompat set_incompat 0x28 "Incompatible features.";
        ro_compat set_ro_compat 0x2c "Read-only compatible features.";
        users set_users 0x40 "How many file systems use the log.";
        fast_commit_blocks set_fast_commit_blocks 0x54 "Blocks of the fast-commit area; 0 means 256.";
        head set_head 0x58 "Where the log ended when it was emptied.";
        checksum set_checksum 0xfc "crc32c of the superblock.";
    }

    /// The superblock of an empty log of `blocks` blocks. ENOMEM.
    pub fn new(block_size: u32, blocks: u32, uuid: [u8; 16]) -> Result<Self> {
        let mut sb = Self(KBox::zeroed(GFP_KERNEL)?);
        Header { kind: SUPERBLOCK_V2, tid: 0 }.write(&mut *sb.0);
        sb.set_block_size(block_size);
        sb.set_max_len(blocks);
        sb.set_first(1);
        sb.set_sequence(1);
        sb.set_users(1);
        sb.set_uuid(uuid);
        Ok(sb)
    }

    /// Identity of the journal.
    pub fn uuid(&self) -> [u8; 16] {
        self.0.get(0x30..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
    }

    /// Sets the identity of the journal.
    pub fn set_uuid(&mut self, uuid: [u8; 16]) {
        if let Some(to) = self.0.get_mut(0x30..0x40) {
            to.copy_from_slice(&uuid);
        }
    }

    /// Whether the file system with this UUID is among the users (external journals).
    pub fn has_user(&self, uuid: &[u8; 16]) -> bool {
        let count = (self.users() as usize).min(48);
        self.0.get(0x100..0x400).is_some_and(|users| users.chunks_exact(16).take(count).any(|user| user == uuid))
    }

    /// The kind of checksum (4: crc32c).
    pub fn set_checksum_type(&mut self) {
        if let Some(kind) = self.0.get_mut(0x50) {
            *kind = CRC32C;
        }
    }

    /// What variant it is.
    pub fn features(&self) -> Features {
        let new = self.kind() == SUPERBLOCK_V2;
        let uuid = self.uuid();
        Features {
            compat: if new { self.compat() } else { 0 },
            incompat: if new { self.incompat() } else { 0 },
            seed: crc32c(!0, &uuid),
        }
    }

    /// Computes the checksum, where the format has one.
    pub fn seal(&mut self) {
        if self.features().checksums() {
            let sum = crc32c_without(!0, &*self.0, 0xfc);
            self.set_checksum(sum);
        }
    }

    /// Checks what was read from the disk, in Linux's order. `EINVAL`: no journal, or one with features unknown here;
    /// `EBADMSG`: wrong checksum; `EUCLEAN`: impossible numbers.
    pub fn check(&self, block_size: usize, blocks: u64) -> Result {
        let header = Header::parse(&*self.0).ok_or(EINVAL)?;
        if !matches!(header.kind, SUPERBLOCK_V1 | SUPERBLOCK_V2) || self.block_size() as usize != block_size {
            return Err(EINVAL);
        }
        if u64::from(self.max_len()) > blocks {
            return Err(EINVAL);
        }
        if self.first() == 0 || self.first() >= self.max_len() {
            return Err(EINVAL);
        }
        if header.kind == SUPERBLOCK_V1 {
            return Ok(());
        }
        let features = self.features();
        if self.incompat() & !KNOWN_INCOMPAT != 0 || self.ro_compat() != 0 {
            return Err(EINVAL);
        }
        if features.has(INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3) || (features.checksums() && features.checksum_v1()) {
            return Err(EINVAL);
        }
        if features.checksums() {
            if self.0.get(0x50) != Some(&CRC32C) {
                return Err(EINVAL);
            }
            if self.checksum() != crc32c_without(!0, &*self.0, 0xfc) {
                return Err(EBADMSG);
            }
        }
        Ok(())
    }
}
