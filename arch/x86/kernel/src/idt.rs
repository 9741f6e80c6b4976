// SPDX-License-Identifier: GPL-2.0
//! The interrupt descriptor table: one for all CPUs, all gates interrupt gates (entry with interrupts off). It is filled
//! once by the boot CPU and constant from then on. Source: Intel SDM volume 3, 6.14.

use crate::entry::vectors::{EXCEPTION_STUB_SIZE, IRQ_STUB_SIZE, exception_stubs, irq_stubs};
use crate::gdt::TablePointer;
use crate::ist;
use core::arch::asm;
use core::cell::UnsafeCell;
use x86_cpu::regs::KERNEL_CS;

/// Vectors in the table.
pub const VECTORS: usize = 256;
/// Exceptions: vectors below are the CPU's own.
pub const FIRST_EXTERNAL: usize = 32;

#[repr(C, align(4096))]
struct Idt(UnsafeCell<[[u64; 2]; VECTORS]>);
// SAFETY: Written by `init` on the boot CPU before other CPUs run; read by hardware afterwards.
unsafe impl Sync for Idt {}
static IDT: Idt = Idt(UnsafeCell::new([[0; 2]; VECTORS]));

/// Fills the table. Boot CPU, once, before [`load`].
pub(crate) fn init() {
    // SAFETY: Only the boot CPU runs, and it has not loaded this table.
    let gates = unsafe { &mut *IDT.0.get() };
    for (vector, gate) in gates.iter_mut().enumerate() {
        let handler = if vector < FIRST_EXTERNAL {
            exception_stubs() + vector * EXCEPTION_STUB_SIZE
        } else {
            irq_stubs() + (vector - FIRST_EXTERNAL) * IRQ_STUB_SIZE
        };
        // User code may raise breakpoints and (as on Linux) INTO's overflow; everything else by `int n` is a #GP.
        let dpl = if vector == 3 || vector == 4 { 3 } else { 0 };
        *gate = interrupt_gate(handler as u64, ist::index_for(vector), dpl);
    }
}

/// Loads the table on this CPU.
pub(crate) fn load() {
    let pointer = TablePointer { limit: (size_of::<Idt>() - 1) as u16, base: IDT.0.get().addr() as u64 };
    // SAFETY: The table is static, and every gate leads to a stub.
    unsafe { asm!("lidt [{}]", in(reg) &pointer, options(readonly, nostack, preserves_flags)) };
}

const fn interrupt_gate(handler: u64, ist: u64, dpl: u64) -> [u64; 2] {
    let low =
        handler & 0xffff | KERNEL_CS << 16 | ist << 32 | 0x8e00 << 32 | dpl << 45 | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}
