// SPDX-License-Identifier: GPL-2.0
//! Lists of the pieces of memory that a transfer is about: `kernel::scatterlist`.

use crate::alloc::allocator::VmallocPageIter;
use crate::device::{self, Bound};
use crate::dma::{DataDirection, DmaAddress};
use crate::error::{Error, Result, code::*};
use crate::for_kernel;
use crate::page::{AsPageIter, PAGE_SIZE};
use crate::sync::aref::ARef;
use core::ops::Deref;
use kalloc::{Flags, KVec};
use pin_init::{PinInit, init_with};

/// A piece: contiguous for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SGEntry {
    address: DmaAddress,
    len: u64,
}

impl SGEntry {
    /// Where the device sees it.
    pub fn dma_address(&self) -> DmaAddress {
        self.address
    }

    /// Its bytes.
    pub fn dma_len(&self) -> u64 {
        self.len
    }
}

/// A list of pieces, mapped for a device; `T` says whose the memory is.
pub struct SGTable<T> {
    entries: KVec<SGEntry>,
    _owner: T,
}

/// The list owns its memory.
pub struct Owned<P> {
    _pages: P,
    _device: ARef<device::Device>,
}

/// The pieces of the list, in order.
pub type SGTableIter<'a> = core::slice::Iter<'a, SGEntry>;

/// The pages, neighbours put together. `EINVAL` if there are none, or memory that is not in pages of its own; `ENOMEM`.
fn pieces(pages: VmallocPageIter<'_>, flags: Flags) -> Result<KVec<SGEntry>> {
    let mut left = pages.size();
    if left == 0 {
        return Err(EINVAL);
    }
    let mut entries: KVec<SGEntry> = KVec::new();
    for page in pages {
        let (address, bytes) = (for_kernel::page_address(&page), left.min(PAGE_SIZE));
        left = left.saturating_sub(bytes);
        let len = bytes as u64;
        match entries.last_mut() {
            Some(last) if last.address.wrapping_add(last.len) == address => last.len = last.len.saturating_add(len),
            _ => entries.push(SGEntry { address, len }, flags)?,
        }
    }
    if left == 0 { Ok(entries) } else { Err(EINVAL) }
}

impl<P> SGTable<Owned<P>>
where
    P: for<'a> AsPageIter<Iter<'a> = VmallocPageIter<'a>> + 'static,
{
    /// The list of the pages of `pages`, mapped for `dev`. `EINVAL`, `ENOMEM`, `EIO` if the device does not reach one. May sleep.
    pub fn new(
        dev: &device::Device<Bound>,
        mut pages: P,
        _dir: DataDirection,
        flags: Flags,
    ) -> impl PinInit<Self, Error> + '_ {
        init_with(move || {
            let entries = pieces(pages.page_iter(), flags)?;
            let mask = for_kernel::device(dev).dma_mask();
            if entries.iter().any(|entry| entry.address.saturating_add(entry.len.saturating_sub(1)) > mask) {
                return Err(EIO);
            }
            Ok(Self { entries, _owner: Owned { _pages: pages, _device: dev.into() } })
        })
    }
}

impl<T> SGTable<T> {
    /// The pieces, in order.
    pub fn iter(&self) -> SGTableIter<'_> {
        self.entries.iter()
    }
}

impl<T> Deref for SGTable<T> {
    type Target = [SGEntry];

    fn deref(&self) -> &[SGEntry] {
        &self.entries
    }
}
