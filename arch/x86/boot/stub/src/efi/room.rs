// SPDX-License-Identifier: GPL-2.0
//! Room for the kernel in what boot services give up: for machines so small that no hole is left beside the firmware, its copies of
//! the image and the initrd. The place is chosen from the last memory map and written to when the firmware is gone. Called by `memory`.

use super::SIZE_2M;
use super::firmware::BELOW_4G;
use core::arch::asm;
use core::ops::Range;
use r_efi::efi::{BOOT_SERVICES_CODE, BOOT_SERVICES_DATA, CONVENTIONAL_MEMORY, MemoryDescriptor};

/// Bytes of the firmware's stack, below and above where it stands, that are left alone.
const STACK: u64 = 128 << 10;
/// Bits of an entry of a page table.
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// `CR4.LA57`: five levels of page tables.
const LA57: u64 = 1 << 12;

/// Where `size` bytes, aligned to 2 MB, have room: memory that nobody owns once boot services are gone, this stub (its pages are the
/// loader's), the stack and the page tables in use excepted.
pub(super) fn find(map: impl Iterator<Item = MemoryDescriptor> + Clone, size: u64) -> Option<u64> {
    let aligned = (SIZE_2M..=BELOW_4G.saturating_sub(size)).step_by(SIZE_2M as usize);
    aligned.into_iter().find(|&at| {
        let range = at..at + size;
        covered(map.clone(), &range) == size && !in_use(&range)
    })
}

/// Bytes of `range` that will be free.
fn covered(map: impl Iterator<Item = MemoryDescriptor>, range: &Range<u64>) -> u64 {
    map.filter(|desc| matches!(desc.r#type, CONVENTIONAL_MEMORY | BOOT_SERVICES_CODE | BOOT_SERVICES_DATA))
        .map(|desc| {
            let end = desc.physical_start.saturating_add(desc.number_of_pages.saturating_mul(4096));
            end.min(range.end).saturating_sub(desc.physical_start.max(range.start))
        })
        .sum()
}

fn in_use(range: &Range<u64>) -> bool {
    let (stack, tables, cr4): (u64, u64, u64);
    // SAFETY: Reads registers.
    unsafe {
        asm!("mov {}, rsp", "mov {}, cr3", "mov {}, cr4", out(reg) stack, out(reg) tables, out(reg) cr4,
            options(nomem, nostack, preserves_flags));
    }
    let on_stack = range.start < stack.saturating_add(STACK) && stack.saturating_sub(STACK) < range.end;
    on_stack || has_tables(tables & ADDRESS, if cr4 & LA57 != 0 { 5 } else { 4 }, range)
}

/// Whether a page table below `table`, or itself, lies in `range`.
fn has_tables(table: u64, level: u32, range: &Range<u64>) -> bool {
    if range.contains(&table) {
        return true;
    }
    if level == 1 {
        return false;
    }
    // SAFETY: The firmware maps its page tables where they are; only entries that are present are followed.
    let entries = unsafe { &*(table as *const [u64; 512]) };
    let below = entries.iter().filter(|&&entry| entry & PRESENT != 0 && (level > 3 || entry & LARGE == 0));
    below.into_iter().any(|&entry| has_tables(entry & ADDRESS, level - 1, range))
}
