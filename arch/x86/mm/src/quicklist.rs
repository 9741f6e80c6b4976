// SPDX-License-Identifier: GPL-2.0
//! Cleared pages for page tables. A table that is freed is empty, so it is kept as it is and the next table needs no clearing:
//! fork and exit take and give a dozen each. Per CPU, touched with interrupts off, without locks.

use core::sync::atomic::{AtomicUsize, Ordering};
use kalloc::flags::GFP_KERNEL;
use mm_alloc::{Frame, Page, PhysAddr, phys_to_virt, stat};
use x86_cpu::irqflags::IrqGuard;

/// Pages a CPU keeps.
const HIGH: usize = 64;

struct List {
    /// Physical address of the first page, 0 = none. The link is the page's first word, cleared when it is taken.
    head: AtomicUsize,
    count: AtomicUsize,
}

x86_cpu::percpu! {
    static PAGES: List = List { head: AtomicUsize::new(0), count: AtomicUsize::new(0) };
}

/// A cleared page with one reference and no flags.
#[inline]
pub(crate) fn get() -> errno::Result<&'static Frame> {
    let irq = IrqGuard::new();
    let list = PAGES.this_racy();
    let head = list.head.load(Ordering::Relaxed);
    let frame = if head != 0 {
        let link = phys_to_virt(head as PhysAddr).cast::<usize>();
        // SAFETY: The page is in the list, so it is ours; its first word is the link.
        unsafe {
            list.head.store(link.read(), Ordering::Relaxed);
            link.write(0);
        }
        list.count.store(list.count.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        drop(irq);
        // SAFETY: Pages in the list are frames of memory, with the reference that `put` gave up.
        unsafe { Frame::of_phys(head as PhysAddr) }
    } else {
        drop(irq);
        let page = Page::alloc_zeroed(GFP_KERNEL)?;
        page.into_frame()
    };
    frame.private().store(0, Ordering::Relaxed);
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
    let list = PAGES.this_racy();
    let count = list.count.load(Ordering::Relaxed);
    if count >= HIGH {
        drop(irq);
        // SAFETY: By the contract the reference is ours.
        drop(unsafe { Page::from_frame(frame) });
        return;
    }
    // SAFETY: The page is ours; its first word becomes the link.
    unsafe { frame.virt().cast::<usize>().write(list.head.load(Ordering::Relaxed)) };
    list.head.store(frame.phys() as usize, Ordering::Relaxed);
    list.count.store(count + 1, Ordering::Relaxed);
    drop(irq);
}

/// Gives this CPU's pages back to the page allocator.
pub(crate) fn drain_local() {
    loop {
        let irq = IrqGuard::new();
        let empty = PAGES.this_racy().head.load(Ordering::Relaxed) == 0;
        drop(irq);
        match empty {
            true => return,
            false => match get() {
                Ok(frame) => {
                    stat::add(stat::Item::PageTables, -1);
                    // SAFETY: `get` gave us the reference.
                    drop(unsafe { Page::from_frame(frame) });
                }
                Err(_) => return,
            },
        }
    }
}
