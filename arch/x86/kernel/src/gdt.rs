// SPDX-License-Identifier: GPL-2.0
//! Filling and loading each CPU's global descriptor table (`x86_cpu::gdt`). Long mode needs little of it: code and data for both
//! rings where SYSCALL and SYSRET expect them, the TSS, a place for a local table, and a segment whose limit tells user space
//! the CPU number (`getcpu` of the vDSO on CPUs without RDTSCP). Called at CPU start, interrupts off, by the CPU itself.
//! Source: Intel SDM volume 3, 3.4.5 and 8.2.3.

use core::arch::asm;
use x86_cpu::gdt::{GDT, Gdt};
use x86_cpu::regs::{KERNEL_CS, KERNEL_DS};
use x86_cpu::{cpu_id, msr, tss};

/// Selector of the TSS.
const TSS_SELECTOR: u16 = 0x40;
/// Selector (RPL 3) of the segment whose limit holds the CPU number, as in Linux (`__CPUNODE_SEG`).
pub const CPUNODE_SELECTOR: u16 = 0x7b;

/// What LGDT and LIDT load.
#[repr(C, packed)]
pub(crate) struct TablePointer {
    pub(crate) limit: u16,
    pub(crate) base: u64,
}

/// Loads this CPU's GDT and TSS, no local table, and all segment registers. GS base survives.
pub(crate) fn load() {
    let gdt = GDT.this_racy();
    let base = (core::ptr::from_ref(tss::TSS.this_racy()).addr() + tss::HARDWARE_OFFSET) as u64;
    let limit = (tss::HARDWARE_SIZE - 1) as u64;
    // Available 64-bit TSS, present, DPL 0.
    let low = limit | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56;
    let slot = usize::from(TSS_SELECTOR) / 8;
    // SAFETY: The TSS is this CPU's own static. The other: data, DPL 3, read-only, accessed; byte granular, and its limit is the
    // CPU number (node 0 above bit 12).
    unsafe {
        gdt.set(slot, low);
        gdt.set(slot + 1, base >> 32);
        gdt.set(usize::from(CPUNODE_SELECTOR) / 8, 0x0040_f100_0000_0000 | u64::from(cpu_id()) & 0xfff);
    }
    let pointer = TablePointer { limit: (size_of::<Gdt>() - 1) as u16, base: core::ptr::from_ref(gdt).addr() as u64 };
    // SAFETY: GS base is read back after loading a null GS; interrupts are off, so nothing uses GS in between.
    let gs_base = unsafe { msr::rdmsr(msr::GS_BASE) };
    // SAFETY: The table is static and holds flat segments where KERNEL_CS and KERNEL_DS point; the far return goes to the next
    // instruction. `str`'s busy bit was cleared by writing the TSS descriptor afresh.
    unsafe {
        asm!(
            "lgdt [{pointer}]",
            "push {cs}",
            "lea {tmp}, [rip + 2f]",
            "push {tmp}",
            "retfq",
            "2:",
            "mov ss, {ds:e}",
            "mov ds, {zero:e}",
            "mov es, {zero:e}",
            "mov fs, {zero:e}",
            "mov gs, {zero:e}",
            "ltr {tr:x}",
            "lldt {zero:x}",
            pointer = in(reg) &pointer,
            cs = const KERNEL_CS,
            ds = in(reg) KERNEL_DS as u32,
            zero = in(reg) 0u32,
            tr = in(reg) TSS_SELECTOR,
            tmp = lateout(reg) _,
        );
        msr::wrmsr(msr::GS_BASE, gs_base);
    }
}
