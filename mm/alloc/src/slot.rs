// SPDX-License-Identifier: GPL-2.0
//! `PageSlot`: a place that holds a page or nothing, read without a lock. Readers get the page by a speculative reference: count
//! it up unless it is 0, then look whether the slot still holds it. Frame records never go away, so the look is always allowed.
//! Writers are serialised by their owner.

use crate::frame::Frame;
use crate::page::{Frozen, Page};
use core::sync::atomic::{AtomicPtr, Ordering};

/// A page or nothing.
///
/// # Invariants
/// The pointer is null or a frame record; then the slot owns one reference to it.
#[derive(Default)]
pub struct PageSlot {
    frame: AtomicPtr<Frame>,
}

fn pointer(page: Option<Page>) -> *mut Frame {
    page.map_or(core::ptr::null_mut(), |page| core::ptr::from_ref(page.into_frame()).cast_mut())
}

impl PageSlot {
    /// An empty slot.
    pub const fn new() -> Self {
        Self { frame: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// Whether it is empty at this moment.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.frame.load(Ordering::Relaxed).is_null()
    }

    /// The page, with a reference of its own. Any context, no lock. The answer was right at some moment of the call.
    #[inline(always)]
    pub fn get(&self) -> Option<Page> {
        loop {
            let pointer = self.frame.load(Ordering::Acquire);
            if pointer.is_null() {
                return None;
            }
            // SAFETY: By the type invariant it is a frame record, which is never unmapped.
            let frame: &'static Frame = unsafe { &*pointer };
            let refs = frame.refs.load(Ordering::Relaxed);
            // 0: the page is just being taken out by somebody who made sure that nobody else has it.
            if refs != 0
                && frame.refs.compare_exchange_weak(refs, refs + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                // SAFETY: The reference was just added.
                let page = unsafe { Page::from_frame(frame) };
                if self.frame.load(Ordering::Acquire) == pointer {
                    return Some(page);
                }
            }
            core::hint::spin_loop();
        }
    }

    /// Looks at the page without a reference. The caller holds the lock that serialises writers.
    #[inline(always)]
    pub fn peek<R>(&self, f: impl FnOnce(&Page) -> R) -> Option<R> {
        let pointer = self.frame.load(Ordering::Acquire);
        if pointer.is_null() {
            return None;
        }
        // SAFETY: The slot's own reference is there as long as writers are kept out, and `ManuallyDrop` leaves it.
        let page = core::mem::ManuallyDrop::new(unsafe { Page::from_frame(&*pointer) });
        Some(f(&page))
    }

    /// Puts `page` in and returns what was there. The caller holds the lock that serialises writers.
    #[inline]
    pub fn replace(&self, page: Option<Page>) -> Option<Page> {
        let old = self.frame.swap(pointer(page), Ordering::AcqRel);
        if old.is_null() {
            return None;
        }
        // SAFETY: By the type invariant; the reference came out with the swap, so it is given up once.
        Some(unsafe { Page::from_frame(&*old) })
    }

    /// Takes the page out, whose references are frozen: the slot's own is given up. Nothing happens if it holds another.
    pub fn take_frozen(&self, frozen: &mut Frozen<'_>) {
        let page = core::ptr::from_ref(frozen.page().frame()).cast_mut();
        if self.frame.compare_exchange(page, core::ptr::null_mut(), Ordering::Release, Ordering::Relaxed).is_ok() {
            frozen.give_up_one();
        }
    }
}

impl Drop for PageSlot {
    fn drop(&mut self) {
        drop(self.replace(None));
    }
}
