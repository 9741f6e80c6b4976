// SPDX-License-Identifier: GPL-2.0
//! Cleared pages for page tables. A table that is freed is empty, so it is kept as it is and the next table needs no clearing:
//! fork and exit take and give a dozen each. Per CPU, touched with interrupts off, without locks.

use core::sync::atomic::{AtomicUsize, Ordering};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use mm_alloc::{Frame, Page, PhysAddr, kpt, phys_to_virt, stat};
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::preempt::in_atomic;

/// A list of pages on one CPU.
struct List {
    /// Physical address of the first page, 0 = none. The link is the page's first word, cleared when it is taken.
    head: AtomicUsize,
    /// How many more it takes.
    room: AtomicUsize,
}

const fn list(room: usize) -> List {
    List { head: AtomicUsize::new(0), room: AtomicUsize::new(room) }
}

x86_cpu::percpu! {
    /// Cleared pages.
    static TABLES: List = list(64);
    /// Top-level tables: the user half is clear, the kernel half is filled.
    static ROOTS: List = list(16);
}

impl List {
    /// Takes a page. Interrupts are off and the list is this CPU's.
    #[inline(always)]
    fn pop(&self) -> Option<&'static Frame> {
        let head = self.head.load(Ordering::Relaxed);
        if head == 0 {
            return None;
        }
        let link = phys_to_virt(head as PhysAddr).cast::<usize>();
        // SAFETY: The page is in the list, so it is ours; its first word is the link. It is a frame of memory with the reference
        // that `push` took.
        let frame = unsafe {
            self.head.store(link.read(), Ordering::Relaxed);
            link.write(0);
            Frame::of_phys(head as PhysAddr)
        };
        self.room.store(self.room.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Some(frame)
    }

    /// Adds a page; false if the list is full. Interrupts are off and the list is this CPU's.
    ///
    /// # Safety
    /// The caller owns the only reference and gives it to the list.
    #[inline(always)]
    unsafe fn push(&self, frame: &'static Frame) -> bool {
        let room = self.room.load(Ordering::Relaxed);
        if room == 0 {
            return false;
        }
        // SAFETY: The page is ours; its first word becomes the link.
        unsafe { frame.virt().cast::<usize>().write(self.head.load(Ordering::Relaxed)) };
        self.head.store(frame.phys() as usize, Ordering::Relaxed);
        self.room.store(room - 1, Ordering::Relaxed);
        true
    }
}

/// A cleared page with one reference and no flags.
#[inline]
pub(crate) fn get() -> errno::Result<&'static Frame> {
    let irq = IrqGuard::new();
    let cached = TABLES.this_racy().pop();
    drop(irq);
    let frame = match cached {
        Some(frame) => frame,
        // Fork asks with a table's lock held.
        None => Page::alloc_zeroed(if in_atomic() { GFP_ATOMIC } else { GFP_KERNEL })?.into_frame(),
    };
    frame.private().store(0, Ordering::Relaxed);
    frame.entries().store(0, Ordering::Relaxed);
    stat::add(stat::Item::PageTables, 1);
    Ok(frame)
}

/// Takes back a page whose bytes are all zero.
///
/// # Safety
/// The caller owns the only reference, no CPU uses the page as a table any more, and it is cleared.
#[inline]
pub(crate) unsafe fn put(frame: &'static Frame) {
    stat::add(stat::Item::PageTables, -1);
    let irq = IrqGuard::new();
    // SAFETY: By the contract the reference is ours to give.
    let kept = unsafe { TABLES.this_racy().push(frame) };
    drop(irq);
    if !kept {
        // SAFETY: By the contract the reference is ours.
        drop(unsafe { Page::from_frame(frame) });
    }
}

/// A top-level table with the kernel half filled and the user half clear.
pub(crate) fn get_root() -> errno::Result<&'static Frame> {
    let irq = IrqGuard::new();
    let cached = ROOTS.this_racy().pop();
    drop(irq);
    if let Some(frame) = cached {
        frame.entries().store(0, Ordering::Relaxed);
        stat::add(stat::Item::PageTables, 1);
        return Ok(frame);
    }
    let frame = get()?;
    // SAFETY: The page is fresh and ours.
    unsafe { kpt::copy_kernel_half(frame.phys()) };
    Ok(frame)
}

/// Takes back a top-level table.
///
/// # Safety
/// The caller owns the only reference, no CPU has the table loaded, and its user half is clear.
pub(crate) unsafe fn put_root(frame: &'static Frame) {
    stat::add(stat::Item::PageTables, -1);
    let irq = IrqGuard::new();
    // SAFETY: By the contract the reference is ours to give.
    let kept = unsafe { ROOTS.this_racy().push(frame) };
    drop(irq);
    if !kept {
        // SAFETY: By the contract the reference is ours.
        drop(unsafe { Page::from_frame(frame) });
    }
}

/// Gives this CPU's pages back to the page allocator.
pub(crate) fn drain_local() {
    for list in [&TABLES, &ROOTS] {
        loop {
            let irq = IrqGuard::new();
            let frame = list.this_racy().pop();
            drop(irq);
            match frame {
                // SAFETY: The list's reference is ours now.
                Some(frame) => drop(unsafe { Page::from_frame(frame) }),
                None => break,
            }
        }
    }
}
