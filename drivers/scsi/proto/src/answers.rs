// SPDX-License-Identifier: GPL-2.0
//! Capacity, mode pages, and the numbers of logical units.

use crate::{be16, be32, be64};

/// What a disk says of its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Number of blocks.
    pub blocks: u64,
    /// Bytes of a block.
    pub block: u32,
    /// Physical blocks have `1 << physical` logical ones.
    pub physical: u8,
    /// First logical block that begins a physical one.
    pub alignment: u16,
    /// Blocks can be given back.
    pub provisioned: bool,
    /// Blocks that were given back read as zeros.
    pub zeroes: bool,
}

/// `READ CAPACITY (10)`; `Ok(None)` if the disk is too large for it; `Err(())` if the answer is too short.
pub fn capacity10(bytes: &[u8]) -> Option<Option<Capacity>> {
    let (last, block) = (be32(bytes, 0)?, be32(bytes, 4)?);
    if last == u32::MAX {
        return Some(None);
    }
    let blocks = u64::from(last) + 1;
    Some(Some(Capacity { blocks, block, physical: 0, alignment: 0, provisioned: false, zeroes: false }))
}

/// `READ CAPACITY (16)`. `None` if the answer is too short or the size cannot be.
pub fn capacity16(bytes: &[u8]) -> Option<Capacity> {
    let (last, block) = (be64(bytes, 0)?, be32(bytes, 8)?);
    let flags = be16(bytes, 14).unwrap_or(0);
    Some(Capacity {
        blocks: last.checked_add(1)?,
        block,
        physical: bytes.get(13).copied().unwrap_or(0) & 0xf,
        alignment: flags & 0x3fff,
        provisioned: flags & 0x8000 != 0,
        zeroes: flags & 0x4000 != 0,
    })
}

/// What `MODE SENSE (6)` of the caching page says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mode {
    /// The medium is protected from being written.
    pub read_only: bool,
    /// `FUA` is understood.
    pub fua: bool,
    /// There is a volatile cache of writes; `None` without the page.
    pub write_cache: Option<bool>,
}

/// Takes the answer apart; `None` if it is too short.
pub fn mode(bytes: &[u8]) -> Option<Mode> {
    let (&len, &flags, &descriptors) = (bytes.first()?, bytes.get(2)?, bytes.get(3)?);
    let bytes = bytes.get(..bytes.len().min(usize::from(len) + 1))?;
    let mut mode = Mode { read_only: flags & 0x80 != 0, fua: flags & 0x10 != 0, write_cache: None };
    let mut rest = bytes.get(4 + usize::from(descriptors)..).unwrap_or_default();
    // Pages of a header of two bytes and what it counts.
    while let [code, len, body @ ..] = rest {
        if code & 0x3f == 8 && code & 0x40 == 0 {
            mode.write_cache = body.first().map(|flags| flags & 4 != 0);
            break;
        }
        rest = body.get(usize::from(*len)..).unwrap_or_default();
    }
    Some(mode)
}

/// The logical units that `REPORT LUNS` names, as Linux numbers them.
pub fn luns(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let len = be32(bytes, 0).unwrap_or(0) as usize;
    let list = bytes.get(8..).unwrap_or_default();
    let list = list.get(..len.min(list.len())).unwrap_or_default();
    list.chunks_exact(8).filter_map(|chunk| chunk.first_chunk().map(lun_of))
}

/// The number of a logical unit from its eight bytes: pairs of bytes, the first the lowest (`scsilun_to_int`).
pub fn lun_of(wire: &[u8; 8]) -> u64 {
    let [a, b, c, d, e, f, g, h] = *wire;
    let lun = u64::from_be_bytes([g, h, e, f, c, d, a, b]);
    // Flat addressing of the simplest kind is the number itself.
    if lun & 0xffff_ffff_ffff_c000 == 0x4000 { lun & 0x3fff } else { lun }
}

/// The two bytes of unit `lun` in virtio's and other single-level addresses: peripheral below 256, else flat.
pub fn wire_lun(lun: u64) -> [u8; 2] {
    let low = (lun as u16) & 0x3fff;
    let value = if lun < 256 { low } else { low | 0x4000 };
    value.to_be_bytes()
}
