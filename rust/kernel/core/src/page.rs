// SPDX-License-Identifier: GPL-2.0
//! Pages: `kernel::page`, over `mm/alloc`.

use crate::uaccess::UserSliceReader;
use core::ptr;
use errno::{Result, code::EINVAL};
use kalloc::{AllocError, Flags};

/// Bits of an address inside of a page.
pub const PAGE_SHIFT: usize = 12;
/// Bytes of a page.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
/// The bits of an address that say which page.
pub const PAGE_MASK: usize = !(PAGE_SIZE - 1);

/// The first address of a page at or after `addr`; `None` past the end.
pub const fn page_align(addr: usize) -> Option<usize> {
    match addr.checked_add(PAGE_SIZE - 1) {
        Some(sum) => Some(sum & PAGE_MASK),
        None => None,
    }
}

/// A page of memory, owned.
pub struct Page {
    page: mm_alloc::Page,
}

impl Page {
    /// A page; its bytes are undefined without `__GFP_ZERO`.
    pub fn alloc_page(flags: Flags) -> Result<Self, AllocError> {
        let page = if flags.contains(kalloc::flags::__GFP_ZERO) {
            mm_alloc::Page::alloc_zeroed(flags)
        } else {
            mm_alloc::Page::alloc(flags)
        };
        Ok(Self { page: page.map_err(|_| AllocError)? })
    }

    /// The memory node it is on: there is one.
    pub fn nid(&self) -> i32 {
        0
    }

    /// The address of `len` bytes from `offset` on. `EINVAL` if the page does not have them.
    fn part(&self, offset: usize, len: usize) -> Result<*mut u8> {
        if offset.checked_add(len).is_none_or(|end| end > PAGE_SIZE) {
            return Err(EINVAL);
        }
        Ok(self.page.as_ptr().wrapping_add(offset))
    }

    /// Copies out of the page. `EINVAL`.
    ///
    /// # Safety
    /// `dst` may be written for `len` bytes, and nobody writes that part of the page meanwhile.
    pub unsafe fn read_raw(&self, dst: *mut u8, offset: usize, len: usize) -> Result {
        let from = self.part(offset, len)?;
        // SAFETY: The part is in the page, which is mapped; the rest is the caller's contract.
        unsafe { ptr::copy_nonoverlapping(from, dst, len) };
        Ok(())
    }

    /// Copies into the page. `EINVAL`.
    ///
    /// # Safety
    /// `src` may be read for `len` bytes, and nobody else uses that part of the page meanwhile.
    pub unsafe fn write_raw(&self, src: *const u8, offset: usize, len: usize) -> Result {
        let to = self.part(offset, len)?;
        // SAFETY: The part is in the page, which is mapped; the rest is the caller's contract.
        unsafe { ptr::copy_nonoverlapping(src, to, len) };
        Ok(())
    }

    /// Clears a part of the page. `EINVAL`.
    ///
    /// # Safety
    /// Nobody else uses that part meanwhile.
    pub unsafe fn fill_zero_raw(&self, offset: usize, len: usize) -> Result {
        let to = self.part(offset, len)?;
        // SAFETY: The part is in the page, which is mapped; the rest is the caller's contract.
        unsafe { ptr::write_bytes(to, 0, len) };
        Ok(())
    }

    /// Copies from a program's memory into the page. `EINVAL`, `EFAULT`. May sleep.
    ///
    /// # Safety
    /// Nobody else uses that part meanwhile.
    pub unsafe fn copy_from_user_slice_raw(&self, reader: &mut UserSliceReader, offset: usize, len: usize) -> Result {
        let to = self.part(offset, len)?;
        // SAFETY: The part is in the page, which is mapped; nobody else uses it (the caller's contract).
        reader.read_raw(unsafe { core::slice::from_raw_parts_mut(to.cast(), len) })
    }
}
