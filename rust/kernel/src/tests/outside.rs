// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of what is seen of others: firmware's files, C's lists, pages of memory, the task and the test itself.

use crate::alloc::allocator::Vmalloc;
use crate::device::{Bound, Device};
use crate::firmware::{self, Firmware, ModInfoBuilder};
use crate::interop::list::{CListHead, clist_create};
use crate::page::{AsPageIter, PAGE_SIZE};
use crate::prelude::*;
use crate::sync::{Arc, Completion};
use crate::types::Opaque;
use crate::{bindings, faux, kunit, workqueue};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use vfs::namei::{PathName, Start, create, remove};

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

/// The text that says which files a module loads.
const fn text<const N: usize>(module: &'static CStr) -> ModInfoBuilder<N> {
    ModInfoBuilder::new(module).new_entry().push("a/").push("b.bin").new_entry().push("c.bin")
}

#[macros::kunit_tests(rust_kernel_outside)]
mod cases {
    use super::*;

    fn device(registration: &faux::Registration) -> &Device<Bound> {
        let device: &faux::Device<Bound> = registration.as_ref();
        device.as_ref()
    }

    /// What there can be no file for.
    #[test]
    fn firmware_that_is_not_there() -> Result {
        let registration = faux::Registration::new(c"firmware-test", None)?;
        let dev = device(&registration);
        let load = |name: &CStr| Firmware::request_nowarn(name, dev).map(|firmware| firmware.size());
        assert_eq!(load(c""), Err(EINVAL));
        assert_eq!(load(c"../passwd"), Err(EINVAL));
        assert_eq!(load(c"a/../b"), Err(EINVAL));
        assert_eq!(load(c"nobody-has-this..bin"), Err(ENOENT));
        let mut buffer = [7; 4];
        assert_eq!(firmware::request_into_buf(c"nobody-has-this.bin", dev, &mut buffer), Err(ENOENT));
        assert_eq!(buffer, [7; 4]);
        let mut long = KVec::from_elem(b'n', uapi::PATH_MAX as usize, GFP_KERNEL)?;
        long.push(0, GFP_KERNEL)?;
        let long = CStr::from_bytes_with_nul(&long).map_err(|_| EINVAL)?;
        assert_eq!(load(long), Err(ENAMETOOLONG));
        Ok(())
    }

    /// The first place counts, and only whole files that are not empty.
    #[test]
    fn firmware_that_is_there() -> Result {
        let registration = faux::Registration::new(c"firmware-test", None)?;
        let dev = device(&registration);
        // In this order; those that were there before stay.
        let dirs = ["/lib", "/lib/firmware", "/lib/firmware/updates"].map(|dir| PathName::from_bytes(dir.as_bytes()));
        let mut made = [false; 3];
        for (dir, made) in dirs.iter().zip(&mut made) {
            *made = create::mkdir(Start::Cwd, dir.as_ref().map_err(|error| *error)?, 0o755).is_ok();
        }
        let later = b"/lib/firmware/kunit-firmware.bin";
        let first = b"/lib/firmware/updates/kunit-firmware.bin";
        let write = |path: &[u8], bytes: &[u8]| -> Result {
            let file = vfs::kernel_open(path, uapi::O_WRONLY | uapi::O_CREAT | uapi::O_TRUNC, 0o644)?;
            if vfs::kernel_write(&file, 0, bytes)? == bytes.len() { Ok(()) } else { Err(EIO) }
        };
        write(later, b"one")?;
        write(first, b"two!")?;
        let name = c"kunit-firmware.bin";
        let loaded = Firmware::request(name, dev).map(|firmware| (firmware.size(), firmware.data() == b"two!"));
        let (mut small, mut large) = ([7; 3], [7; 6]);
        let refused = firmware::request_into_buf(name, dev, &mut large[..0]);
        let whole = firmware::request_into_buf(name, dev, &mut large);
        write(first, b"")?;
        // What is empty is passed over.
        let other = firmware::request_into_buf(name, dev, &mut small);
        for path in [&later[..], first] {
            remove::unlink(Start::Cwd, &PathName::from_bytes(path)?)?;
        }
        let gone = Firmware::request_nowarn(name, dev).err();
        for (dir, _) in dirs.iter().zip(made).filter(|(_, made)| *made).rev() {
            let _ = dir.as_ref().map(|dir| remove::rmdir(Start::Cwd, dir));
        }
        assert_eq!(loaded, Ok((4, true)));
        assert_eq!((whole, large), (Ok(()), *b"two!\x07\x07"));
        assert_eq!((other, &small), (Ok(()), b"one"));
        // The later place's file is too large as well.
        assert_eq!((refused, gone), (Err(EFBIG), Some(ENOENT)));
        Ok(())
    }

    #[test]
    fn firmware_that_is_wanted() {
        const MODULE: [u8; text::<0>(c"").build_length()] = text(c"").build();
        const IMAGE: [u8; text::<0>(c"chip").build_length()] = text(c"chip").build();
        assert_eq!(&MODULE[..], b"firmware=a/b.bin\0firmware=c.bin\0");
        assert_eq!(&IMAGE[..], b"chip.firmware=a/b.bin\0chip.firmware=c.bin\0");
    }

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

    /// The task that runs the test does; what the test has others do is not the test.
    #[test]
    fn tests_know_themselves() -> Result {
        assert!(kunit::in_kunit_test());
        let seen = Arc::new((AtomicBool::new(true), AtomicBool::new(false)), GFP_KERNEL)?;
        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        workqueue::system().try_spawn(GFP_KERNEL, {
            let (seen, done) = (seen.clone(), done.clone());
            move || {
                seen.0.store(kunit::in_kunit_test(), SeqCst);
                done.complete_all();
            }
        })?;
        done.wait_for_completion();
        assert!(!seen.0.load(SeqCst));
        // There is one thread, or it is the kernel's.
        assert_eq!(current!().group_leader().pid(), current!().pid());
        Ok(())
    }
}
