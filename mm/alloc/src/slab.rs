// SPDX-License-Identifier: GPL-2.0
//! Small objects: size classes from 8 bytes to 8 KB. Each CPU has a list of free objects for each class, touched with interrupts
//! off and without locks; an object may be freed on any CPU. Lists are filled from, and surplus goes back to, slabs (blocks of
//! pages) under the class's spin lock. An empty slab goes back to the page allocator if the class has others.

use crate::buddy;
use crate::frame::Frame;
use crate::layout::{PAGE_OFFSET, PAGE_SIZE};
use crate::page::PageFlags;
use crate::stat;
use core::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use kalloc::Flags;
use locking::SpinLock;
use x86_cpu::irqflags::IrqGuard;

/// Object sizes. Powers of two are aligned to themselves, 96 to 32, 192 to 64.
pub const SIZES: [usize; CLASSES] = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192];
const CLASSES: usize = 13;
/// Largest object of a class.
pub const MAX_SIZE: usize = 8192;
/// Page order of each class's slabs.
const ORDERS: [usize; CLASSES] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 3, 3];
/// Objects that a CPU may keep.
const LIMITS: [usize; CLASSES] = [128, 128, 128, 128, 96, 96, 64, 64, 48, 32, 16, 12, 8];

/// Class by size in units of 8 bytes, up to 256 bytes.
static SMALL: [u8; 33] = {
    let mut table = [0u8; 33];
    let mut i = 0;
    while i < table.len() {
        let mut class = 0;
        while SIZES[class] < i * 8 {
            class += 1;
        }
        table[i] = class as u8;
        i += 1;
    }
    table
};

/// The class for a layout, `None` if the object is too large for one.
#[inline(always)]
pub(crate) fn class_of(size: usize, align: usize) -> Option<usize> {
    let size = if align > 8 { natural(size, align) } else { size };
    if size <= SMALL_MAX {
        return Some(small_class(size));
    }
    (size <= MAX_SIZE).then(|| size.next_power_of_two().ilog2() as usize - 1)
}

/// Bytes that an object of this layout takes in its slab; a large one takes whole pages.
pub fn footprint(size: usize, align: usize) -> usize {
    class_of(size, align).and_then(|class| SIZES.get(class)).copied().unwrap_or(size.next_multiple_of(PAGE_SIZE))
}

/// A size whose class has at least this alignment: 96 is aligned to 32, 192 to 64, powers of two to themselves.
#[inline]
fn natural(size: usize, align: usize) -> usize {
    match size {
        65..=96 if align <= 32 => 96,
        129..=192 if align <= 64 => 192,
        _ => size.max(align).next_power_of_two(),
    }
}

struct CpuList {
    head: AtomicUsize,
    /// How many more objects the list may take: below 0 it is flushed.
    room: AtomicIsize,
}

impl CpuList {
    /// Objects in the list of `class`.
    fn count(&self, class: usize) -> usize {
        let limit = LIMITS.get(class).map_or(0, |l| *l as isize);
        usize::try_from(limit - self.room.load(Ordering::Relaxed)).unwrap_or(0)
    }

    #[inline(always)]
    fn add_room(&self, n: isize) {
        self.room.store(self.room.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }
}

x86_cpu::percpu! {
    static LISTS: [CpuList; CLASSES] = {
        let mut lists = [const { CpuList { head: AtomicUsize::new(0), room: AtomicIsize::new(0) } }; CLASSES];
        let mut i = 0;
        while i < CLASSES {
            lists[i].room = AtomicIsize::new(LIMITS[i] as isize);
            i += 1;
        }
        lists
    };
}

/// Slabs of a class that have free objects: a doubly linked list of their first frames.
struct Partial {
    head: usize,
    slabs: usize,
    objects_out: usize,
}

static PARTIAL: [SpinLock<Partial>; CLASSES] =
    [const { SpinLock::new(Partial { head: 0, slabs: 0, objects_out: 0 }) }; CLASSES];

/// The class of a small object without special alignment: `size` is at most [`SMALL_MAX`].
#[inline(always)]
pub(crate) fn small_class(size: usize) -> usize {
    SMALL.get(size.div_ceil(8)).map_or(0, |c| *c as usize)
}

/// Largest size of [`small_class`].
pub(crate) const SMALL_MAX: usize = 256;

/// Takes an object of this CPU's list; `None` if it is empty.
#[inline(always)]
pub(crate) fn pop(class: usize) -> Option<*mut u8> {
    let irq = IrqGuard::new();
    // SAFETY: `class` comes from `class_of` or `small_class`, always below CLASSES.
    let list = unsafe { LISTS.this_racy().get_unchecked(class) };
    let head = list.head.load(Ordering::Relaxed);
    if head == 0 {
        return None;
    }
    let object = core::ptr::with_exposed_provenance_mut::<u8>(head);
    // SAFETY: A free object's first word links to the next free object.
    list.head.store(unsafe { object.cast::<usize>().read() }, Ordering::Relaxed);
    list.add_room(1);
    drop(irq);
    #[cfg(CONFIG_DEBUG_HEAP)]
    // SAFETY: A free object of this class is ours.
    unsafe {
        crate::heap::debug::check_object(object, SIZES[class])
    };
    Some(object)
}

/// Allocates an object of `class`; contents undefined.
#[inline(always)]
pub(crate) fn alloc(class: usize, flags: Flags) -> *mut u8 {
    match pop(class) {
        Some(object) => object,
        None => alloc_slow(class, flags),
    }
}

#[cold]
#[inline(never)]
pub(crate) fn alloc_slow(class: usize, flags: Flags) -> *mut u8 {
    let Some(limit) = LIMITS.get(class) else { return core::ptr::null_mut() };
    loop {
        if let Some(object) = refill(class, limit.div_ceil(2)) {
            return object;
        }
        // Other CPUs may take a new slab's objects first: then once more.
        if !grow(class, flags) {
            return core::ptr::null_mut();
        }
    }
}

/// Moves up to `want` objects from slabs to this CPU's list and takes one of them.
fn refill(class: usize, want: usize) -> Option<*mut u8> {
    let lock = PARTIAL.get(class)?;
    let mut partial = lock.lock_irqsave();
    let list = LISTS.this_racy().get(class)?;
    let mut head = list.head.load(Ordering::Relaxed);
    let mut taken = 0;
    while taken < want {
        // SAFETY: The list of partial slabs holds addresses of frames.
        let Some(slab) = (unsafe { Frame::from_addr(partial.head) }) else { break };
        let mut free = slab.private.load(Ordering::Relaxed) as usize;
        while free != 0 && taken < want {
            let object = core::ptr::with_exposed_provenance_mut::<usize>(free);
            // SAFETY: A free object's first word links to the next free object of its slab.
            unsafe {
                free = object.read();
                object.write(head);
            }
            head = object.expose_provenance();
            taken += 1;
            slab.entries.fetch_add(1, Ordering::Relaxed);
        }
        slab.private.store(free as u64, Ordering::Relaxed);
        if free == 0 {
            partial.unlink(slab);
        }
    }
    partial.objects_out += taken;
    let object = core::ptr::with_exposed_provenance_mut::<u8>(head);
    if taken != 0 {
        // SAFETY: `head` is the object taken last.
        head = unsafe { object.cast::<usize>().read() };
        list.head.store(head, Ordering::Relaxed);
        list.add_room(1 - taken as isize);
        #[cfg(CONFIG_DEBUG_HEAP)]
        // SAFETY: A free object of this class is ours.
        unsafe {
            crate::heap::debug::check_object(object, *SIZES.get(class)?)
        };
        return Some(object);
    }
    None
}

impl Partial {
    fn link(&mut self, slab: &'static Frame) {
        slab.prev.store(0, Ordering::Relaxed);
        slab.next.store(self.head, Ordering::Relaxed);
        // SAFETY: The list holds addresses of frames.
        if let Some(next) = unsafe { Frame::from_addr(self.head) } {
            next.prev.store(slab.addr(), Ordering::Relaxed);
        }
        self.head = slab.addr();
    }

    fn unlink(&mut self, slab: &'static Frame) {
        let (next, prev) = (slab.next.load(Ordering::Relaxed), slab.prev.load(Ordering::Relaxed));
        // SAFETY: The list holds addresses of frames.
        unsafe {
            match Frame::from_addr(prev) {
                Some(prev) => prev.next.store(next, Ordering::Relaxed),
                None => self.head = next,
            }
            if let Some(next) = Frame::from_addr(next) {
                next.prev.store(prev, Ordering::Relaxed);
            }
        }
    }
}

/// Makes a new slab. A slab's `entries` are its objects that are out.
fn grow(class: usize, flags: Flags) -> bool {
    let (Some(size), Some(order), Some(lock)) = (SIZES.get(class), ORDERS.get(class), PARTIAL.get(class)) else {
        return false;
    };
    let Some(frame) = crate::heap::pages_or_reclaim(*order, flags) else { return false };
    let base = frame.virt();
    let bytes = PAGE_SIZE << order;
    let mut free = 0usize;
    let mut at = bytes / size * size;
    while at > 0 {
        at -= size;
        let object = base.wrapping_add(at).cast::<usize>();
        #[cfg(CONFIG_DEBUG_HEAP)]
        // SAFETY: Inside the block that was just allocated.
        unsafe {
            crate::heap::debug::poison_object(object.cast(), *size)
        };
        // SAFETY: Inside the block that was just allocated; objects are at least 8 bytes, 8-byte aligned.
        unsafe { object.write(free) };
        free = object.expose_provenance();
    }
    frame.flags.store(PageFlags::SLAB.0 | PageFlags::HEAD.0, Ordering::Relaxed);
    frame.owner.store(class, Ordering::Relaxed);
    frame.private.store(free as u64, Ordering::Relaxed);
    frame.entries.store(0, Ordering::Relaxed);
    stat::add(stat::Item::Slab, 1 << order);
    let mut partial = lock.lock_irqsave();
    partial.slabs += 1;
    partial.link(frame);
    true
}

/// Frees an object of `class`.
///
/// # Safety
/// `object` came from `alloc(class)` and is not used any more.
#[inline(always)]
pub(crate) unsafe fn free(object: *mut u8, class: usize) {
    #[cfg(CONFIG_DEBUG_HEAP)]
    // SAFETY: The object is ours again.
    unsafe {
        crate::heap::debug::poison_object(object, SIZES[class])
    };
    let irq = IrqGuard::new();
    // SAFETY: `class` comes from `class_of`, always below CLASSES.
    let list = unsafe { LISTS.this_racy().get_unchecked(class) };
    // SAFETY: The object is ours again; its first word becomes the link.
    unsafe { object.cast::<usize>().write(list.head.load(Ordering::Relaxed)) };
    list.head.store(object.expose_provenance(), Ordering::Relaxed);
    list.add_room(-1);
    let full = list.room.load(Ordering::Relaxed) < 0;
    drop(irq);
    if full {
        flush_half(class);
    }
}

#[cold]
#[inline(never)]
fn flush_half(class: usize) {
    let _irq = IrqGuard::new();
    if let Some(list) = LISTS.this_racy().get(class) {
        flush(class, list, list.count(class) / 2);
    }
}

/// Gives `count` objects of this CPU's list back to their slabs. Interrupts are off.
#[cold]
#[inline(never)]
fn flush(class: usize, list: &CpuList, count: usize) {
    let (Some(lock), Some(order)) = (PARTIAL.get(class), ORDERS.get(class)) else { return };
    let slab_bytes = PAGE_SIZE << order;
    let mut partial = lock.lock_irqsave();
    for _ in 0..count {
        let head = list.head.load(Ordering::Relaxed);
        if head == 0 {
            break;
        }
        let object = core::ptr::with_exposed_provenance_mut::<usize>(head);
        // SAFETY: A free object's first word links to the next. Slabs are aligned to their size, so the masked address is the
        // slab's, which was allocated in the direct map.
        let slab = unsafe {
            list.head.store(object.read(), Ordering::Relaxed);
            list.add_room(1);
            Frame::of_phys(((head - PAGE_OFFSET) & !(slab_bytes - 1)) as u64)
        };
        let free = slab.private.load(Ordering::Relaxed);
        // SAFETY: The object belongs to the slab again.
        unsafe { object.write(free as usize) };
        slab.private.store(head as u64, Ordering::Relaxed);
        if free == 0 {
            partial.link(slab);
        }
        partial.objects_out = partial.objects_out.saturating_sub(1);
        let out = slab.entries.fetch_sub(1, Ordering::Relaxed) - 1;
        if out == 0 && partial.slabs > 1 {
            partial.unlink(slab);
            partial.slabs -= 1;
            slab.flags.store(0, Ordering::Relaxed);
            stat::add(stat::Item::Slab, -(1 << order));
            // SAFETY: All objects of the slab are back and it is on no list: the block is ours.
            unsafe { buddy::free_pages(slab, *order) };
        }
    }
}

/// Gives all objects of this CPU's lists back.
pub fn drain_local() {
    let _irq = IrqGuard::new();
    for (class, list) in LISTS.this_racy().iter().enumerate() {
        let count = list.count(class);
        if count != 0 {
            flush(class, list, count);
        }
    }
}

/// A class's figures, for `/proc/slabinfo`.
#[derive(Clone, Copy, Debug)]
pub struct ClassStat {
    /// Bytes an object.
    pub size: usize,
    /// Objects in use.
    pub used: usize,
    /// Objects in all slabs.
    pub total: usize,
    /// Slabs.
    pub slabs: usize,
    /// Pages a slab.
    pub pages_per_slab: usize,
}

/// The classes' figures.
pub fn class_stats() -> impl Iterator<Item = ClassStat> {
    (0..CLASSES).filter_map(|class| {
        let (size, order) = (*SIZES.get(class)?, *ORDERS.get(class)?);
        let (slabs, out) = {
            let partial = PARTIAL.get(class)?.lock_irqsave();
            (partial.slabs, partial.objects_out)
        };
        let cached: usize =
            (0..x86_cpu::MAX_CPUS as u32).filter_map(|cpu| LISTS.on(cpu)?.get(class)).map(|l| l.count(class)).sum();
        let per_slab = (PAGE_SIZE << order) / size;
        Some(ClassStat {
            size,
            used: out.saturating_sub(cached),
            total: slabs * per_slab,
            slabs,
            pages_per_slab: 1 << order,
        })
    })
}
