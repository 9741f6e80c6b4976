// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of what is seen of others: C's lists, pages of memory, memory that devices see.

use crate::alloc::allocator::Vmalloc;
use crate::alloc::flags::GFP_KERNEL;
use crate::alloc::{KBox, VBox, VVec};
use crate::dma::{Coherent, for_tests};
use crate::error::{Result, code::*};
use crate::interop::list::{CListHead, clist_create};
use crate::page::{AsPageIter, PAGE_SIZE, VmallocExt as _};
use crate::types::Opaque;
use crate::uaccess::SharedBytes;
use crate::{bindings, faux};
use core::ptr::NonNull;
use pin_init::stack_pin_init;

/// An entry of a list, as C would have it.
#[repr(C)]
struct Raw {
    value: u32,
    link: bindings::list_head,
}

#[repr(transparent)]
struct Entry(Opaque<Raw>);

impl Entry {
    fn value(&self) -> u32 {
        // SAFETY: The test made it, and nobody writes it.
        unsafe { (*self.0.get()).value }
    }
}

#[macros::kunit_tests(rust_kernel_core_outside)]
mod cases {
    use super::*;

    #[test]
    fn lists_of_c() -> Result {
        stack_pin_init!(let head = CListHead::new());
        assert!(!head.is_linked() && head.next() == &*head);
        let raw = head.as_raw();
        let empty = bindings::list_head { next: raw, prev: raw };
        let mut entries = KBox::new([10, 20, 30].map(|value| Raw { value, link: empty }), GFP_KERNEL)?;
        for entry in entries.iter_mut() {
            // SAFETY: The entries stay in their box until the last use of the list.
            unsafe { bindings::list_add_tail(&raw mut entry.link, raw) };
        }
        // SAFETY: As above; `Entry` is a wrapper of what is linked.
        let list = unsafe { clist_create!(raw, Entry, Raw, link) };
        assert!(!list.is_empty() && head.is_linked());
        assert!(list.iter().map(Entry::value).eq([10, 20, 30]));
        // SAFETY: The list is not borrowed any more. The second entry is linked.
        unsafe { bindings::list_del_init(&raw mut entries[1].link) };
        // SAFETY: As above.
        let list = unsafe { clist_create!(raw, Entry, Raw, link) };
        assert!(list.into_iter().map(Entry::value).eq([10, 30]));
        Ok(())
    }

    /// Pages of memory from `vmalloc` are those that its addresses lead to.
    #[test]
    fn pages_of_vmalloc() -> Result {
        let mut memory = VVec::<u8>::new();
        assert!(memory.page_iter().next().is_none());
        memory.extend_with(2 * PAGE_SIZE + 1, 0xa5, GFP_KERNEL)?;
        let pages = memory.capacity().div_ceil(PAGE_SIZE);
        assert!(pages >= 3);
        assert_eq!((memory.page_iter().page_count(), memory.page_iter().count()), (pages, pages));
        let Some(page) = memory.page_iter().nth(1) else { return Err(EINVAL) };
        let mut byte = 0;
        // SAFETY: The memory is the test's, and nobody else's.
        unsafe {
            page.read_raw(&raw mut byte, 17, 1)?;
            page.fill_zero_raw(16, 3)?;
        }
        assert_eq!(byte, 0xa5);
        assert_eq!(memory.get(PAGE_SIZE + 15..PAGE_SIZE + 20), Some(&[0xa5, 0, 0, 0, 0xa5][..]));
        // Small memory shares its page.
        assert!(VBox::new(1u8, GFP_KERNEL)?.page_iter().next().is_none());
        let mut large = VBox::<[u8; PAGE_SIZE]>::new_uninit(GFP_KERNEL)?;
        let start = NonNull::from(&mut *large).cast();
        // SAFETY: The box's memory, for as long as the box is there.
        let (first, page) = unsafe { (Vmalloc::to_page(start), large.page_iter().next()) };
        assert_eq!(page.map(|page| page.as_ptr()), Some(first.as_ptr()));
        let other = KBox::new(byte, GFP_KERNEL)?;
        // SAFETY: No address does harm.
        assert!(unsafe { bindings::vmalloc_to_page((&raw const *other).cast()) }.is_null());
        Ok(())
    }

    /// What is written by a reference is what a device sees.
    #[test]
    fn references_to_coherent_memory() -> Result {
        let registration = faux::Registration::new(c"dma-references", None)?;
        let device = faux::for_tests::device(&registration);
        let ring = Coherent::<for_tests::Entry>::zeroed_slice(device, 300, GFP_KERNEL)?;
        // SAFETY: There is no device, and no other reference.
        let entry = unsafe { ring.as_mut() }.get_mut(256).ok_or(EINVAL)?;
        *entry = for_tests::Entry { address: 1, len: 2, flags: 3 };
        let mut bytes = [0; 16];
        ring.copy_out(256 * 16, &mut bytes)?;
        assert_eq!(bytes, [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
        // SAFETY: As above.
        assert_eq!(unsafe { ring.as_ref() }.get(256).map(|entry| entry.len), Some(2));
        // It is no memory of vmalloc's, whose pages lie anywhere.
        // SAFETY: No address does harm.
        assert!(unsafe { bindings::vmalloc_to_page(ring.as_ptr().cast()) }.is_null());
        Ok(())
    }
}
