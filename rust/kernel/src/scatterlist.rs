// SPDX-License-Identifier: GPL-2.0
//! Lists of the pieces of memory that a transfer is about: `kernel::scatterlist`.

use crate::device::{self, Bound};
use crate::dma::{DataDirection, DmaAddress};
use crate::error::{Error, Result, code::*};
use crate::for_kernel;
use crate::sync::aref::ARef;
use core::ops::Deref;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Allocator, Flags, KVec, Vec};
use mm_alloc::{PAGE_SIZE, kpt};
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

/// The pages of a vector's memory (all that it has room for), neighbours put together. `EINVAL` for none, `ENOMEM`.
fn pieces(start: usize, len: usize) -> Result<KVec<SGEntry>> {
    if len == 0 || !start.is_multiple_of(PAGE_SIZE) {
        return Err(EINVAL);
    }
    let mut entries: KVec<SGEntry> = KVec::new();
    for offset in (0..len).step_by(PAGE_SIZE) {
        let (address, ..) = kpt::translate(start.wrapping_add(offset)).ok_or(EFAULT)?;
        let bytes = len.saturating_sub(offset).min(PAGE_SIZE) as u64;
        match entries.last_mut() {
            Some(last) if last.address.wrapping_add(last.len) == address => last.len = last.len.saturating_add(bytes),
            _ => entries.push(SGEntry { address, len: bytes }, GFP_KERNEL)?,
        }
    }
    Ok(entries)
}

impl<A: Allocator + 'static> SGTable<Owned<Vec<u8, A>>> {
    /// The list of the pages of `pages`, mapped for `dev`. `EINVAL`, `ENOMEM`, `EIO` if the device does not reach one. May sleep.
    pub fn new(
        dev: &device::Device<Bound>,
        pages: Vec<u8, A>,
        _dir: DataDirection,
        _flags: Flags,
    ) -> impl PinInit<Self, Error> + '_ {
        init_with(move || {
            let entries = pieces(pages.as_ptr().addr(), pages.capacity())?;
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
