// SPDX-License-Identifier: GPL-2.0
//! What INQUIRY says: standard data, and the pages of vital product data that disks are asked for.

use crate::{be16, be32, be64};

/// Standard inquiry data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inquiry {
    /// Peripheral qualifier: 0 there is a device, 1 there could be one, 3 there is none.
    pub qualifier: u8,
    /// Peripheral device type: 0 disk, 5 CD, 31 none.
    pub kind: u8,
    /// The medium can be taken out.
    pub removable: bool,
    /// Version of the standard.
    pub version: u8,
    /// Commands can be queued.
    pub queues: bool,
    /// Vendor, filled with spaces.
    pub vendor: [u8; 8],
    /// Model, filled with spaces.
    pub model: [u8; 16],
    /// Revision, filled with spaces.
    pub revision: [u8; 4],
}

/// A text field: what is missing or cannot be printed is a space, as Linux shows it.
fn text<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [b' '; N];
    let from = bytes.get(at..).unwrap_or_default();
    for (to, &byte) in field.iter_mut().zip(from.iter().take_while(|&&byte| byte != 0)) {
        if matches!(byte, 0x20..=0x7e) {
            *to = byte;
        }
    }
    field
}

/// Takes standard inquiry data apart; `None` if there is less than five bytes.
pub fn inquiry(bytes: &[u8]) -> Option<Inquiry> {
    let (&first, &flags, &version, &additional) = (bytes.first()?, bytes.get(1)?, bytes.get(2)?, bytes.get(4)?);
    let bytes = bytes.get(..bytes.len().min(usize::from(additional) + 5))?;
    Some(Inquiry {
        qualifier: first >> 5,
        kind: first & 0x1f,
        removable: flags & 0x80 != 0,
        version,
        queues: bytes.get(7).is_some_and(|byte| byte & 2 != 0),
        vendor: text(bytes, 8),
        model: text(bytes, 16),
        revision: text(bytes, 32),
    })
}

/// The contents of a page of vital product data, without its header; `None` if it is another page.
fn page(bytes: &[u8], number: u8) -> Option<&[u8]> {
    (*bytes.get(1)? == number).then_some(())?;
    let len = usize::from(be16(bytes, 2)?);
    let rest = bytes.get(4..)?;
    rest.get(..len.min(rest.len()))
}

/// Bytes of page `number` with its header, as it says; `None` if it is another page.
pub fn vpd_len(bytes: &[u8], number: u8) -> Option<u16> {
    (*bytes.get(1)? == number).then_some(())?;
    be16(bytes, 2)?.checked_add(4)
}

/// The pages that page 0 names.
pub fn vpd_pages(bytes: &[u8]) -> &[u8] {
    page(bytes, 0).unwrap_or_default()
}

/// Page B0, block limits. In blocks; 0: the device does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Best granularity of a transfer.
    pub granularity: u16,
    /// Most blocks of a transfer.
    pub max_transfer: u32,
    /// Best length of a transfer.
    pub optimal: u32,
    /// Most blocks of an UNMAP.
    pub max_unmap: u32,
    /// Most ranges of an UNMAP.
    pub max_ranges: u32,
    /// Best granularity of an UNMAP.
    pub unmap_granularity: u32,
    /// First block that is a multiple of it.
    pub unmap_alignment: u32,
    /// Most blocks of a WRITE SAME.
    pub max_write_same: u64,
}

/// Takes page B0 apart.
pub fn limits(bytes: &[u8]) -> Option<Limits> {
    let b = page(bytes, 0xb0)?;
    let at = |offset: usize| be32(b, offset - 4).unwrap_or(0);
    let alignment = at(32);
    Some(Limits {
        granularity: be16(b, 2)?,
        max_transfer: be32(b, 4)?,
        optimal: be32(b, 8)?,
        max_unmap: at(20),
        max_ranges: at(24),
        unmap_granularity: at(28),
        unmap_alignment: if alignment >> 31 != 0 { alignment & 0x7fff_ffff } else { 0 },
        max_write_same: be64(b, 32).unwrap_or(0),
    })
}

/// Page B1: the rotation rate, if it is there (1: it does not rotate).
pub fn characteristics(bytes: &[u8]) -> Option<u16> {
    be16(page(bytes, 0xb1)?, 0)
}

/// Page B2, logical block provisioning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Provisioning {
    /// UNMAP is there.
    pub unmap: bool,
    /// WRITE SAME (16) gives blocks back.
    pub write_same_16: bool,
    /// WRITE SAME (10) does.
    pub write_same_10: bool,
}

/// Takes page B2 apart.
pub fn provisioning(bytes: &[u8]) -> Option<Provisioning> {
    let flags = *page(bytes, 0xb2)?.get(1)?;
    Some(Provisioning { unmap: flags & 0x80 != 0, write_same_16: flags & 0x40 != 0, write_same_10: flags & 0x20 != 0 })
}
