// SPDX-License-Identifier: GPL-2.0
//! Cleared pages for tables; the next ones can be made to fail.

use kalloc::flags::GFP_KERNEL;
use mm_alloc::stat::{Item, add};
use mm_alloc::{Frame, Page};
use std::sync::atomic::{AtomicU32, Ordering};

/// Which allocation from now on fails, 0 for none.
static FAILS: AtomicU32 = AtomicU32::new(0);

/// The `nth` allocation from now on fails; 0: none.
pub fn fail(nth: u32) {
    FAILS.store(nth, Ordering::Relaxed);
}

pub fn get() -> errno::Result<&'static Frame> {
    if FAILS.load(Ordering::Relaxed) != 0 && FAILS.fetch_sub(1, Ordering::Relaxed) == 1 {
        return Err(errno::code::ENOMEM);
    }
    let frame = Page::alloc_zeroed(GFP_KERNEL)?.into_frame();
    frame.private().store(0, Ordering::Relaxed);
    frame.entries().store(0, Ordering::Relaxed);
    add(Item::PageTables, 1);
    Ok(frame)
}

/// # Safety
/// The caller gives the only reference.
pub unsafe fn put(frame: &'static Frame) {
    // SAFETY: A page is 512 words, and this one is the caller's.
    let words = unsafe { std::slice::from_raw_parts(frame.virt().cast::<u64>(), 512) };
    assert!(words.iter().all(|word| *word == 0), "a table that is not empty is given up");
    assert_eq!(frame.private().load(Ordering::Relaxed), 0, "a locked table is given up");
    add(Item::PageTables, -1);
    // SAFETY: As the caller promises.
    drop(unsafe { Page::from_frame(frame) });
}

pub fn get_root() -> errno::Result<&'static Frame> {
    get()
}

/// # Safety
/// As [`put`].
pub unsafe fn put_root(frame: &'static Frame) {
    // SAFETY: As the caller promises.
    unsafe { put(frame) };
}
