// SPDX-License-Identifier: GPL-2.0
//! What Linux's modules use by its C name: `kernel::bindings`. Few do, and only these are here.

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
