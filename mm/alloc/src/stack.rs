// SPDX-License-Identifier: GPL-2.0
//! Kernel stacks: 16 KB of mapped pages with an unmapped page below. Each CPU keeps a few that were freed, so that a fork neither
//! maps nor flushes. The cache is touched by its own CPU with interrupts off, without locks.

use crate::layout::PAGE_SIZE;
use crate::{stat, vmalloc};
use core::sync::atomic::{AtomicUsize, Ordering};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use x86_cpu::irqflags::IrqGuard;

/// Bytes of a kernel stack.
pub const STACK_SIZE: usize = 4 * PAGE_SIZE;
/// Pages reserved for one: the guard page below and the stack (the area's own guard page is above).
const PAGES: usize = STACK_SIZE / PAGE_SIZE + 1;
const CACHED: usize = 8;

x86_cpu::percpu! {
    /// Bottoms of free stacks, 0 = empty slot.
    static CACHE: [AtomicUsize; CACHED] = [const { AtomicUsize::new(0) }; CACHED];
}

/// A kernel stack, owned.
///
/// # Invariants
/// `bottom` is the lowest address of `STACK_SIZE` mapped bytes that this value owns; the page below is reserved and not mapped.
pub struct KernelStack {
    bottom: usize,
}

impl KernelStack {
    /// Takes a stack of this CPU's cache, or maps a new one. Contents undefined. ENOMEM.
    pub fn new() -> Result<Self> {
        let irq = IrqGuard::new();
        for slot in CACHE.this_racy() {
            let bottom = slot.load(Ordering::Relaxed);
            if bottom != 0 {
                slot.store(0, Ordering::Relaxed);
                return Ok(Self { bottom });
            }
        }
        drop(irq);
        let start = vmalloc::reserve(PAGES)?;
        let bottom = start + PAGE_SIZE;
        // On failure `map_stack` has released the addresses.
        map_stack(start, bottom)?;
        stat::add(stat::Item::KernelStackKb, (STACK_SIZE / 1024) as i64);
        Ok(Self { bottom })
    }

    /// One past the highest address; 16-byte aligned.
    #[inline(always)]
    pub fn top(&self) -> usize {
        self.bottom + STACK_SIZE
    }

    /// The lowest address.
    #[inline(always)]
    pub fn bottom(&self) -> usize {
        self.bottom
    }

    /// Whether `addr` is in the guard page below: a stack overflow.
    pub fn guard_contains(&self, addr: usize) -> bool {
        (self.bottom - PAGE_SIZE..self.bottom).contains(&addr)
    }
}

fn map_stack(start: usize, bottom: usize) -> Result {
    for at in (bottom..bottom + STACK_SIZE).step_by(PAGE_SIZE) {
        let mapped = crate::pcp::alloc_page(GFP_KERNEL).ok_or(errno::code::ENOMEM).and_then(|frame| {
            // SAFETY: The range is reserved for us; the frame stays ours until it is unmapped.
            let result = unsafe { crate::kpt::map_page(at, frame, crate::kpt::Prot::RW) };
            if result.is_err() {
                // SAFETY: Our only reference, not mapped.
                unsafe { crate::page::put_frame(frame) };
            }
            result
        });
        if let Err(error) = mapped {
            // SAFETY: Mapped from single frames so far, used by nobody; holes are skipped.
            unsafe { vmalloc::free_pages(start, PAGES) };
            return Err(error);
        }
    }
    Ok(())
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        let irq = IrqGuard::new();
        for slot in CACHE.this_racy() {
            if slot.load(Ordering::Relaxed) == 0 {
                slot.store(self.bottom, Ordering::Relaxed);
                return;
            }
        }
        drop(irq);
        stat::add(stat::Item::KernelStackKb, -((STACK_SIZE / 1024) as i64));
        // SAFETY: By the type invariant the stack is ours, and whoever drops it does not run on it.
        unsafe { vmalloc::free_pages(self.bottom - PAGE_SIZE, PAGES) };
    }
}
