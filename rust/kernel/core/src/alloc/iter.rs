// SPDX-License-Identifier: GPL-2.0
//! The pages that memory of `Vmalloc` is in.

use crate::bindings;
use crate::page::{BorrowedPage, PAGE_SIZE};
use core::marker::PhantomData;
use core::ptr::NonNull;

/// The pages of memory of `Vmalloc`. Small memory (up to 256 bytes) shares its page with others': for it there are none.
pub struct VmallocPageIter<'a> {
    start: NonNull<u8>,
    size: usize,
    /// The next page's number.
    index: usize,
    _memory: PhantomData<BorrowedPage<'a>>,
}

impl VmallocPageIter<'_> {
    /// Those of `size` bytes at `start`.
    ///
    /// # Safety
    /// `start` is the start of memory of `Vmalloc` with that size, which is there and nobody else's for all of the lifetime; or `size` is 0.
    pub unsafe fn new(start: NonNull<u8>, size: usize) -> Self {
        Self { start, size, index: 0, _memory: PhantomData }
    }

    /// Bytes of the memory.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Pages that it takes.
    pub fn page_count(&self) -> usize {
        self.size.div_ceil(PAGE_SIZE)
    }
}

impl<'a> Iterator for VmallocPageIter<'a> {
    type Item = BorrowedPage<'a>;

    fn next(&mut self) -> Option<BorrowedPage<'a>> {
        if self.index >= self.page_count() {
            return None;
        }
        let addr = self.start.as_ptr().wrapping_add(self.index * PAGE_SIZE);
        // SAFETY: The function does no harm with any address.
        let page = NonNull::new(unsafe { bindings::vmalloc_to_page(addr.cast()) })?;
        self.index += 1;
        // SAFETY: The page is mapped as long as the memory is there: for all of `'a`.
        Some(unsafe { BorrowedPage::from_raw(page) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.page_count().saturating_sub(self.index);
        (0, Some(left))
    }
}
