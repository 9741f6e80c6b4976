// SPDX-License-Identifier: GPL-2.0
//! `PageSlot`: a place that holds a page, a mark of a page that is elsewhere (in swap space), or nothing, read without a lock. Readers get the page by a speculative reference: count
//! it up unless it is 0, then look whether the slot still holds it. Frame records never go away, so the look is always allowed.
//! Writers are serialised by their owner.

use crate::frame::Frame;
use crate::page::{Frozen, Page};
use core::sync::atomic::{AtomicPtr, Ordering};

/// A page, a mark, or nothing.
///
/// # Invariants
/// The pointer is null, a frame record (then the slot owns one reference to it), or a mark: [`MARK`] with a number below it.
/// Frame records are in the kernel's half of the addresses, so the sign tells them from the others.
#[derive(Default)]
pub struct PageSlot {
    frame: AtomicPtr<Frame>,
}

/// The bit that makes a number a mark.
const MARK: u64 = 1 << 62;

/// Whether a slot's pointer is a frame record.
#[inline(always)]
fn is_frame(pointer: *mut Frame) -> bool {
    (pointer.addr() as isize) < 0
}

fn mark_pointer(number: u64) -> *mut Frame {
    core::ptr::without_provenance_mut((MARK | number & (MARK - 1)) as usize)
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
            if !is_frame(pointer) {
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
        if !is_frame(pointer) {
            return None;
        }
        // SAFETY: The slot's own reference is there as long as writers are kept out, and `ManuallyDrop` leaves it.
        let page = core::mem::ManuallyDrop::new(unsafe { Page::from_frame(&*pointer) });
        Some(f(&page))
    }

    /// The number of the mark that it holds.
    #[inline]
    pub fn mark(&self) -> Option<u64> {
        let pointer = self.frame.load(Ordering::Acquire);
        let marked = !pointer.is_null() && !is_frame(pointer);
        marked.then(|| pointer.addr() as u64 & (MARK - 1))
    }

    /// Puts a mark with `number` (below 2^62) in the place of the page, whose references are frozen: the slot's own is given up. False if
    /// it holds another.
    pub fn exchange_frozen(&self, frozen: &mut Frozen<'_>, number: u64) -> bool {
        let page = core::ptr::from_ref(frozen.page().frame()).cast_mut();
        let mark = mark_pointer(number);
        let done = self.frame.compare_exchange(page, mark, Ordering::Release, Ordering::Relaxed).is_ok();
        if done {
            frozen.give_up_one();
        }
        done
    }

    /// Puts `page` in the place of the mark with `number`; false if that is not there.
    pub fn exchange_mark(&self, number: u64, page: &Page) -> bool {
        let new = pointer(Some(page.clone()));
        let done = self.frame.compare_exchange(mark_pointer(number), new, Ordering::Release, Ordering::Relaxed).is_ok();
        if !done {
            // SAFETY: The reference that was made above, and that nobody has seen.
            drop(unsafe { Page::from_frame(&*new) });
        }
        done
    }

    /// Puts `page` in and returns the page that was there (a mark is lost). The caller holds the lock that serialises writers.
    #[inline]
    pub fn replace(&self, page: Option<Page>) -> Option<Page> {
        let old = self.frame.swap(pointer(page), Ordering::AcqRel);
        if !is_frame(old) {
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
