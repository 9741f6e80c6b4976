// SPDX-License-Identifier: GPL-2.0
//! What Linux's modules use by its C name: `kernel::bindings`. Few do, and only these are here.

use crate::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicI32, Ordering::Relaxed, Ordering::SeqCst};
use mm_alloc::layout::{PhysAddr, VMALLOC_END, VMALLOC_START};
use mm_alloc::mmio::MmioRegion;

pub use crate::cpumask::Cpumask as cpumask;

/// In a table of ids of PCI devices: any.
pub const PCI_ANY_ID: i32 = -1;

/// Most bytes that `kmalloc` gives in one piece.
pub const KMALLOC_MAX_SIZE: usize = crate::page::PAGE_SIZE << mm_alloc::buddy::MAX_ORDER;

/// A random number below `ceil`, each as likely as the others; 0 if `ceil` is 0 or 1.
///
/// # Safety
/// None is needed: it is `unsafe` as all of C is.
pub unsafe fn __get_random_u32_below(ceil: u32) -> u32 {
    if ceil <= 1 {
        return 0;
    }
    // Numbers above the last whole multiple of `ceil` would make the lower ones likelier.
    let limit = u32::MAX - u32::MAX % ceil;
    loop {
        // The upper half of 64 random bits.
        let value = (random::u64() >> 32) as u32;
        if value < limit {
            return value % ceil;
        }
    }
}

/// A head of a list, or the link in an entry: [`crate::interop::list`].
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct list_head {
    /// The one behind it in the ring.
    pub next: *mut list_head,
    /// The one before it.
    pub prev: *mut list_head,
}

/// Makes a ring of the one.
///
/// # Safety
/// `list` may be written, and stays where it is for as long as it is linked.
#[expect(non_snake_case, reason = "C's name")]
pub unsafe fn INIT_LIST_HEAD(list: *mut list_head) {
    // SAFETY: The caller's contract.
    unsafe { list.write(list_head { next: list, prev: list }) };
}

/// Links `new` behind `head`.
///
/// # Safety
/// `head` is initialized, `new` may be written and is in no list, and nobody else uses the list.
pub unsafe fn list_add(new: *mut list_head, head: *mut list_head) {
    // SAFETY: The caller's contract: what `head` is linked with may be written.
    unsafe {
        let next = (*head).next;
        new.write(list_head { next, prev: head });
        (*next).prev = new;
        (*head).next = new;
    }
}

/// Links `new` before `head`: as the last, if that is the list's.
///
/// # Safety
/// As for [`list_add`].
pub unsafe fn list_add_tail(new: *mut list_head, head: *mut list_head) {
    // SAFETY: The one before `head` is of the same ring; the rest is the caller's contract.
    unsafe { list_add(new, (*head).prev) };
}

/// Takes `entry` out of its ring, and makes a ring of it alone.
///
/// # Safety
/// It is initialized, and nobody else uses the list.
pub unsafe fn list_del_init(entry: *mut list_head) {
    // SAFETY: The caller's contract: what it is linked with may be written.
    unsafe {
        let list_head { next, prev } = *entry;
        (*prev).next = next;
        (*next).prev = prev;
        INIT_LIST_HEAD(entry);
    }
}

/// A static key: how often it was turned on.
#[repr(C)]
#[derive(Debug)]
pub struct static_key {
    /// That number.
    pub enabled: AtomicI32,
}

/// A static key that is off at first.
#[repr(C)]
#[derive(Debug)]
pub struct static_key_false {
    /// The key.
    pub key: static_key,
}

/// How often a key was turned on, and not off again.
///
/// # Safety
/// `key` is a valid key.
pub unsafe fn static_key_count(key: *mut static_key) -> c_int {
    // SAFETY: The caller's contract.
    unsafe { &(*key).enabled }.load(Relaxed)
}

/// Turns a key on, once more.
///
/// # Safety
/// As for [`static_key_count`].
pub unsafe fn static_key_slow_inc(key: *mut static_key) -> bool {
    // SAFETY: The caller's contract.
    let before = unsafe { &(*key).enabled }.fetch_update(SeqCst, SeqCst, |count| count.checked_add(1));
    before.is_ok()
}

/// Turns a key off, once; one that is off stays off.
///
/// # Safety
/// As for [`static_key_count`].
pub unsafe fn static_key_slow_dec(key: *mut static_key) {
    // SAFETY: The caller's contract.
    let enabled = unsafe { &(*key).enabled };
    // Not on: there is nothing to be turned off.
    let _ = enabled.fetch_update(SeqCst, SeqCst, |count| (count > 0).then(|| count - 1));
}

/// The record of a page frame.
pub use mm_alloc::Frame as page;

/// The page at an address that `vmalloc` gave; null for any other address.
///
/// # Safety
/// None is needed: it is `unsafe` as all of C is.
pub unsafe fn vmalloc_to_page(addr: *const c_void) -> *mut page {
    let frame =
        (VMALLOC_START..VMALLOC_END).contains(&addr.addr()).then(|| mm_alloc::kpt::translate(addr.addr())).flatten();
    match frame.and_then(|(phys, ..)| page::lookup(phys)) {
        Some(frame) => core::ptr::from_ref(frame).cast_mut(),
        None => core::ptr::null_mut(),
    }
}

/// Maps registers of a device, not cached; null if that is not possible (the kernel's own memory, no memory for tables).
///
/// # Safety
/// What is read and written there does no harm to anybody.
pub unsafe fn ioremap(offset: PhysAddr, size: usize) -> *mut c_void {
    match MmioRegion::map(offset, size) {
        Ok(region) => core::ptr::with_exposed_provenance_mut(region.into_virt()),
        Err(_) => core::ptr::null_mut(),
    }
}

/// Takes a mapping back; null is none.
///
/// # Safety
/// `addr` came from [`ioremap`], and is not used any more.
pub unsafe fn iounmap(addr: *mut c_void) {
    if !addr.is_null() {
        // SAFETY: By the caller's contract the mapping is his.
        unsafe { MmioRegion::unmap(addr.addr()) };
    }
}
