// SPDX-License-Identifier: GPL-2.0
//! Each CPU's global descriptor table, as words that the hardware reads. `arch/x86/kernel` fills and loads it when a CPU starts;
//! after that only the descriptor of the local table changes, with the address space. Source: Intel SDM volume 3, 3.4.5 and 3.5.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// Entries of the table.
pub const ENTRIES: usize = 16;
/// Selector of the local descriptor table, as in Linux.
const LDT_SELECTOR: u16 = 0x50;

const KERNEL_CODE32: u64 = 0x00cf_9b00_0000_ffff;
const KERNEL_CODE: u64 = 0x00af_9b00_0000_ffff;
const KERNEL_DATA: u64 = 0x00cf_9300_0000_ffff;
const USER_CODE32: u64 = 0x00cf_fb00_0000_ffff;
const USER_DATA: u64 = 0x00cf_f300_0000_ffff;
const USER_CODE: u64 = 0x00af_fb00_0000_ffff;

/// A descriptor table. Its words are atomics so that it can be a per-CPU static.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Gdt([AtomicU64; ENTRIES]);

crate::percpu! {
    /// This CPU's table.
    pub static GDT: Gdt = Gdt([
        AtomicU64::new(0),
        AtomicU64::new(KERNEL_CODE32),
        AtomicU64::new(KERNEL_CODE),
        AtomicU64::new(KERNEL_DATA),
        AtomicU64::new(USER_CODE32),
        AtomicU64::new(USER_DATA),
        AtomicU64::new(USER_CODE),
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
    ]);
}

impl Gdt {
    /// Writes entry `index`.
    ///
    /// # Safety
    /// The table is in use: the descriptor gives nobody what he must not have, and whatever it points to lives as long as it is
    /// there.
    pub unsafe fn set(&self, index: usize, value: u64) {
        if let Some(entry) = self.0.get(index) {
            entry.store(value, Ordering::Relaxed);
        }
    }
}

/// Makes the descriptors at `base` this CPU's local table; with none there is no table. Interrupts are off.
///
/// # Safety
/// The memory is mapped and stays as it is until another table is loaded; each descriptor is 0 or a segment of code or data of
/// user mode.
pub unsafe fn load_ldt(base: usize, entries: usize) {
    if entries == 0 {
        // SAFETY: Without a table every local selector faults, nothing else.
        unsafe { asm!("lldt {:x}", in(reg) 0u16, options(nostack, preserves_flags)) };
        return;
    }
    let (base, limit) = (base as u64, (entries as u64 * 8).wrapping_sub(1));
    // A local descriptor table, present.
    let low =
        limit & 0xffff | (base & 0xff_ffff) << 16 | 0x82 << 40 | (limit >> 16 & 0xf) << 48 | (base >> 24 & 0xff) << 56;
    let (gdt, slot) = (GDT.this_racy(), usize::from(LDT_SELECTOR) / 8);
    // SAFETY: By contract the table holds nothing but user mode's own segments and lives as long as it is loaded.
    unsafe {
        gdt.set(slot, low);
        gdt.set(slot + 1, base >> 32);
        asm!("lldt {:x}", in(reg) LDT_SELECTOR, options(nostack, preserves_flags));
    }
}
