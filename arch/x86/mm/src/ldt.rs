// SPDX-License-Identifier: GPL-2.0
//! The local descriptor table of an address space. A new one takes the place of the old on every CPU that has the address space
//! loaded, before the old one is freed. What is in a table: `x86_pte::ldt`.
//!
//! Locks: none here. Whoever changes an address space's table excludes others who do (`mm`).

use crate::table::PageTable;
use crate::tlb;
use core::sync::atomic::{AtomicPtr, Ordering};
use kalloc::Arc;

pub use x86_pte::ldt::{LDT_ENTRIES, Ldt, UserDesc};

/// What a page table holds: null or an `Arc` made raw.
pub(crate) struct LdtSlot(AtomicPtr<Ldt>);

impl LdtSlot {
    pub(crate) fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// The table to load, null if there is none.
    #[inline(always)]
    pub(crate) fn get(&self) -> *mut Ldt {
        self.0.load(Ordering::SeqCst)
    }

    fn replace(&self, new: Option<Arc<Ldt>>) -> Option<Arc<Ldt>> {
        let new = new.map_or(core::ptr::null_mut(), |ldt| Arc::into_raw(ldt).cast_mut());
        let old = self.0.swap(new, Ordering::SeqCst);
        // SAFETY: What the slot held was `Arc::into_raw`'s, and the swap took it out.
        (!old.is_null()).then(|| unsafe { Arc::from_raw(old.cast_const()) })
    }
}

impl Drop for LdtSlot {
    fn drop(&mut self) {
        drop(self.replace(None));
    }
}

impl PageTable {
    /// Makes `ldt` the local table of every CPU that has this address space loaded, or loads it. Returns the old one when no CPU
    /// has it any more. The caller excludes others; interrupts are on; does not sleep.
    pub fn set_ldt(&self, ldt: Option<Arc<Ldt>>) -> Option<Arc<Ldt>> {
        let old = self.ldt.replace(ldt);
        tlb::reload_ldt(self);
        old
    }
}

/// Loads `ldt` (null: none) into this CPU. Interrupts are off.
///
/// # Safety
/// The table lives until another is loaded.
pub(crate) unsafe fn load(ldt: *const Ldt) {
    // SAFETY: By contract; null is no table.
    let entries = unsafe { ldt.as_ref() }.map_or(&[][..], Ldt::entries);
    // SAFETY: Every descriptor is 0 or code or data of privilege 3 (type invariant), and they do not change.
    unsafe { x86_cpu::gdt::load_ldt(entries.as_ptr().addr(), entries.len()) };
}
