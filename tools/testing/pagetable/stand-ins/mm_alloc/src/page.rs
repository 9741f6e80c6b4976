// SPDX-License-Identifier: GPL-2.0
//! Counted pages.

use crate::{Frame, PhysAddr, free, give, mem};
use kalloc::flags::GFP_ATOMIC;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Which allocation that must not wait fails from now on, 0 for none.
static FAILS: AtomicU32 = AtomicU32::new(0);

/// The `nth` allocation from now on that must not wait fails; 0: none.
pub fn fail(nth: u32) {
    FAILS.store(nth, Ordering::Relaxed);
}

#[derive(Clone, Copy)]
pub struct PageFlags(pub u64);

impl PageFlags {
    pub const DIRTY: Self = Self(1 << 2);
    pub const ANON: Self = Self(1 << 5);
    pub const SWAP_BACKED: Self = Self(1 << 7);
    pub const LRU: Self = Self(1 << 13);
    pub const SWAP_CACHE: Self = Self(1 << 17);
    pub const MOVABLE: Self = Self(1 << 35);
}

pub struct Page {
    frame: &'static Frame,
}

impl Page {
    pub fn alloc(flags: kalloc::Flags) -> errno::Result<Self> {
        let may_fail = flags.contains(GFP_ATOMIC) && FAILS.load(Ordering::Relaxed) != 0;
        if may_fail && FAILS.fetch_sub(1, Ordering::Relaxed) == 1 {
            return Err(errno::code::ENOMEM);
        }
        let mut free = free();
        let number = free.pages.pop_last().ok_or(errno::code::ENOMEM)?;
        free.of_block[number / 512] -= 1;
        let frame = Frame::at(number);
        assert_eq!(frame.ref_count(), 0);
        frame.flags.store(0, Ordering::Relaxed);
        frame.refs.store(1, Ordering::Relaxed);
        Ok(Self { frame })
    }

    pub fn alloc_zeroed(flags: kalloc::Flags) -> errno::Result<Self> {
        let page = Self::alloc(flags)?;
        // SAFETY: Just allocated.
        unsafe { mem::clear_page(page.as_ptr()) };
        Ok(page)
    }

    /// # Safety
    /// The caller gives a reference.
    pub unsafe fn from_frame(frame: &'static Frame) -> Self {
        Self { frame }
    }

    pub fn into_frame(self) -> &'static Frame {
        let frame = self.frame;
        core::mem::forget(self);
        frame
    }

    pub fn frame(&self) -> &'static Frame {
        self.frame
    }

    pub fn phys(&self) -> PhysAddr {
        self.frame.phys()
    }

    pub fn as_ptr(&self) -> *mut u8 {
        self.frame.virt()
    }

    pub fn copy_from(&self, from: &Page) {
        // SAFETY: Both are pages; this one is new.
        unsafe { mem::copy_page(self.as_ptr(), from.as_ptr()) };
    }

    pub fn has(&self, flags: PageFlags) -> bool {
        self.frame.flag_bits() & flags.0 == flags.0
    }

    pub fn set(&self, flags: PageFlags) {
        self.frame.set_flag(flags);
    }

    pub fn clear(&self, flags: PageFlags) {
        self.frame.flags.fetch_and(!flags.0, Ordering::Relaxed);
    }

    /// Its first word.
    pub fn word(&self) -> &AtomicU64 {
        // SAFETY: An aligned word of a live page.
        unsafe { &*self.as_ptr().cast() }
    }
}

impl Clone for Page {
    fn clone(&self) -> Self {
        // SAFETY: `self` is a reference.
        unsafe { get_frame(self.frame) };
        Self { frame: self.frame }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: The reference is given up.
        unsafe { put_frame(self.frame) };
    }
}

/// # Safety
/// The caller gives a reference up.
pub unsafe fn put_frame(frame: &'static Frame) {
    match frame.refs.fetch_sub(1, Ordering::AcqRel) {
        0 => panic!("a reference too many was given up"),
        1 => give(frame),
        _ => {}
    }
}

/// # Safety
/// Somebody has a reference.
pub unsafe fn get_frame(frame: &'static Frame) {
    assert_ne!(frame.refs.fetch_add(1, Ordering::Relaxed), 0, "a reference to a free page");
}
