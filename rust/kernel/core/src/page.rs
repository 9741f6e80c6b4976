// SPDX-License-Identifier: GPL-2.0
//! Pages: `kernel::page`, over `mm/alloc`.

use crate::alloc::allocator::{Vmalloc, VmallocPageIter};
use crate::alloc::{VBox, VVec};
use crate::bindings;
use crate::uaccess::UserSliceReader;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::{self, NonNull};
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

/// A page that somebody else owns for `'a`.
pub struct BorrowedPage<'a>(ManuallyDrop<Page>, PhantomData<&'a Page>);

impl BorrowedPage<'_> {
    /// The page with this record.
    ///
    /// # Safety
    /// `ptr` is valid, and the page is there, for all of the lifetime.
    pub unsafe fn from_raw(ptr: NonNull<bindings::page>) -> Self {
        // SAFETY: A valid record lives for ever. The reference that the value takes over is not his: he never gives it back.
        let page = unsafe { mm_alloc::Page::from_frame(ptr.as_ref()) };
        Self(ManuallyDrop::new(Page { page }), PhantomData)
    }
}

impl Deref for BorrowedPage<'_> {
    type Target = Page;

    fn deref(&self) -> &Page {
        &self.0
    }
}

/// What has its memory in pages.
pub trait AsPageIter {
    /// The iterator over them.
    type Iter<'a>: Iterator<Item = BorrowedPage<'a>>
    where
        Self: 'a;

    /// The pages.
    fn page_iter(&mut self) -> Self::Iter<'_>;
}

impl<T> AsPageIter for VBox<T> {
    type Iter<'a>
        = VmallocPageIter<'a>
    where
        Self: 'a;

    fn page_iter(&mut self) -> VmallocPageIter<'_> {
        let start = NonNull::from(&mut **self).cast();
        // SAFETY: This is the box's memory, which is borrowed.
        unsafe { VmallocPageIter::new(start, size_of::<T>()) }
    }
}

impl<T> AsPageIter for VVec<T> {
    type Iter<'a>
        = VmallocPageIter<'a>
    where
        Self: 'a;

    fn page_iter(&mut self) -> VmallocPageIter<'_> {
        let size = self.capacity() * size_of::<T>();
        let start = NonNull::new(self.as_mut_ptr().cast()).unwrap_or(NonNull::dangling());
        // SAFETY: This is the vector's memory, which is borrowed.
        unsafe { VmallocPageIter::new(start, size) }
    }
}

/// What `Vmalloc` has beyond memory (in the prelude: in Rust-for-Linux the function is its own).
pub trait VmallocExt {
    /// The page of an address. Memory of up to 256 bytes is not in pages of its own: asking for its page is a bug, which ends the kernel.
    ///
    /// # Safety
    /// `ptr` is in memory of `Vmalloc`, which is there for all of `'a`.
    unsafe fn to_page<'a>(ptr: NonNull<u8>) -> BorrowedPage<'a>;
}

impl VmallocExt for Vmalloc {
    unsafe fn to_page<'a>(ptr: NonNull<u8>) -> BorrowedPage<'a> {
        // SAFETY: The function does no harm with any address.
        let page = NonNull::new(unsafe { bindings::vmalloc_to_page(ptr.as_ptr().cast()) });
        // SAFETY: The page is mapped as long as the memory is there: for all of `'a`.
        unsafe { BorrowedPage::from_raw(page.expect("not memory of Vmalloc's pages")) }
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

    /// Its record.
    pub fn as_ptr(&self) -> *mut bindings::page {
        ptr::from_ref(self.page.frame()).cast_mut()
    }

    /// Its place in memory.
    pub(crate) fn phys(&self) -> crate::io::PhysAddr {
        self.page.phys()
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
