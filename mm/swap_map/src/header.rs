// SPDX-License-Identifier: GPL-2.0
//! `Header`: the first page of an area, as `mkswap(8)` writes it (`SWAPSPACE2`, version 1). Source: `linux/swap.h`, `union swap_header`.

use crate::PAGE_SIZE;

const MAGIC: &[u8] = b"SWAPSPACE2";
const VERSION_AT: usize = 1024;
const LAST_PAGE_AT: usize = 1028;
const BAD_COUNT_AT: usize = 1032;
const BAD_AT: usize = 1536;
/// Bad pages that there is room for.
const MOST_BAD: usize = (PAGE_SIZE - MAGIC.len() - BAD_AT) / 4;

/// Why an area cannot be used; all are `EINVAL` to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderError {
    /// No signature.
    NoSignature,
    /// Another version.
    Version(u32),
    /// It has no pages.
    Empty,
    /// There is less room than the header says.
    TooShort,
    /// Bad pages in a file, too many, or beyond the end.
    BadPages,
}

/// A header that was read.
pub struct Header<'a> {
    page: &'a [u8],
    swapped: bool,
    /// Number of the last page.
    pub last_page: u32,
    bad: usize,
}

impl<'a> Header<'a> {
    /// Reads a header. `pages`: whole pages that there are; `file`: it is a file, not a device.
    pub fn parse(page: &'a [u8], pages: u64, file: bool) -> Result<Self, HeaderError> {
        let magic = page.get(PAGE_SIZE - MAGIC.len()..PAGE_SIZE);
        if magic != Some(MAGIC) {
            return Err(HeaderError::NoSignature);
        }
        // Written by a machine of the other byte order?
        let swapped = word(page, VERSION_AT, false) == 1u32.swap_bytes();
        let version = word(page, VERSION_AT, swapped);
        if version != 1 {
            return Err(HeaderError::Version(version));
        }
        let last_page = word(page, LAST_PAGE_AT, swapped);
        if last_page == 0 {
            return Err(HeaderError::Empty);
        }
        if u64::from(last_page) >= pages {
            return Err(HeaderError::TooShort);
        }
        let bad = word(page, BAD_COUNT_AT, swapped) as usize;
        if bad > MOST_BAD || bad != 0 && file {
            return Err(HeaderError::BadPages);
        }
        let header = Self { page, swapped, last_page, bad };
        if header.bad_pages().any(|page| page == 0 || page > u64::from(last_page)) {
            return Err(HeaderError::BadPages);
        }
        Ok(header)
    }

    /// The pages that are not to be used.
    pub fn bad_pages(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.bad).map(|i| u64::from(word(self.page, BAD_AT + i * 4, self.swapped)))
    }
}

fn word(page: &[u8], at: usize, swapped: bool) -> u32 {
    let bytes = page.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; 4]);
    if swapped { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}
