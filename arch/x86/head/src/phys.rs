// SPDX-License-Identifier: GPL-2.0
//! Physical memory as the boot information parsers see it: through the direct map, with 2 MB pages added to the early tables
//! for what lies beyond their 4 GB. Used by `setup` only; one CPU, no locks.

use crate::early_map::{ADDR_MASK, PAGE_2M, PRESENT, SIZE_2M, TABLE, Table, early_pml4, index};
use crate::{EARLY_DIRECT_MAP, LINK_TEXT, PAGE_OFFSET};
use boot_info::PhysRead;
use core::cell::Cell;

unsafe extern "C" {
    static mut early_pool: [Table; crate::entry::POOL_PAGES];
}

/// Reads physical memory while the early tables are loaded.
pub(crate) struct EarlyPhys {
    /// Physical address of `_text`.
    text: u64,
    /// First address that the CPU cannot have.
    limit: u64,
    /// Pool pages handed out. The first two may be in use by `early_map`.
    used: Cell<usize>,
}

impl EarlyPhys {
    /// # Safety
    /// The early tables are loaded, this runs at the link address, and no other `EarlyPhys` was made.
    pub(crate) unsafe fn new(text: u64) -> Self {
        let bits = match x86_cpu::cpuid::cpuid(0x8000_0000, 0).eax {
            max if max >= 0x8000_0008 => x86_cpu::cpuid::cpuid(0x8000_0008, 0).eax & 0xff,
            _ => 36,
        };
        // The direct map has room for 46 bits.
        Self { text, limit: 1 << bits.min(46), used: Cell::new(2) }
    }

    /// Makes the 2 MB page with `addr` readable in the direct map; `false` when the pool is empty.
    fn map(&self, addr: u64) -> bool {
        let virt = PAGE_OFFSET + addr as usize;
        let mut table = (&raw mut early_pml4).cast::<u64>();
        for level in [3, 2] {
            // SAFETY: `table` is a live early table (512 entries), mapped and touched by this CPU alone.
            let slot = unsafe { table.add(index(virt, level)) };
            // SAFETY: As above.
            let mut entry = unsafe { slot.read() };
            if entry & PRESENT == 0 {
                let Some(page) = self.pool_page() else { return false };
                entry = page | TABLE;
                // SAFETY: As above; the pool page is clear, so this maps nothing yet.
                unsafe { slot.write(entry) };
            }
            table = (PAGE_OFFSET + (entry & ADDR_MASK) as usize) as *mut u64;
        }
        // SAFETY: As above. Mapping memory nobody refers to, at the one address the direct map has for it.
        unsafe { table.add(index(virt, 1)).write(addr & !(SIZE_2M as u64 - 1) | PAGE_2M) };
        true
    }

    /// The physical address of a clear page for a table. The direct map has it: `early_map` maps all of the image.
    fn pool_page(&self) -> Option<u64> {
        let number = self.used.get();
        if number >= crate::entry::POOL_PAGES {
            return None;
        }
        self.used.set(number + 1);
        let virt = (&raw const early_pool).addr() + number * size_of::<Table>();
        Some((virt - LINK_TEXT) as u64 + self.text)
    }
}

impl PhysRead for EarlyPhys {
    fn read(&self, addr: u64, buf: &mut [u8]) -> bool {
        match addr.checked_add(buf.len() as u64) {
            Some(end) if end <= self.limit => {}
            _ => return false,
        }
        let last = addr + (buf.len() as u64).saturating_sub(1);
        let mut page = addr & !(SIZE_2M as u64 - 1);
        while page <= last {
            if page >= EARLY_DIRECT_MAP && !self.map(page) {
                return false;
            }
            page += SIZE_2M as u64;
        }
        let from = (PAGE_OFFSET + addr as usize) as *const u8;
        // SAFETY: The range is mapped (below 4 GB always), and nobody writes to what the loader left. It does not overlap
        // `buf`, which is on the stack or in the image.
        unsafe { core::ptr::copy_nonoverlapping(from, buf.as_mut_ptr(), buf.len()) };
        true
    }
}
