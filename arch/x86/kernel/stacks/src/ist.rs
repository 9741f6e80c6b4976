// SPDX-License-Identifier: GPL-2.0
//! Stacks of their own for the exceptions that may strike at any instruction: NMI, #DB, #DF, #MC (interrupt stack table), and
//! the stack on which device interrupts run.
//!
//! The last word of each IST stack holds its CPU's per-CPU offset. An exception always begins to push at the same place, so
//! the entry code finds that word, and with it the CPU's data, from the stack pointer alone, whatever GS base was at that
//! moment. The boot CPU begins with static stacks and moves to guarded ones ([`install_guarded`]) once memory management runs; other CPUs get theirs before they start.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use errno::Result;
use mm_alloc::KernelStack;
use x86_cpu::{CpuId, percpu, tss};

/// Bytes of one of the boot CPU's stacks of the interrupt stack table.
pub const IST_SIZE: usize = 8192;
/// Stacks of the table that are used.
const STACKS: usize = 4;
/// Bytes at the top of an IST stack that hold the per-CPU offset (16 keeps the alignment the hardware wants).
pub const TOP_RESERVED: usize = 16;

/// IST index of the gate for `vector`: 0 stays on the current stack.
pub const fn index_for(vector: usize) -> u64 {
    match vector {
        8 => 1,
        2 => 2,
        1 => 3,
        18 => 4,
        _ => 0,
    }
}

#[repr(C, align(4096))]
struct BootStacks(UnsafeCell<[[u8; IST_SIZE]; STACKS]>);
// SAFETY: Used as stacks by the boot CPU's exceptions only.
unsafe impl Sync for BootStacks {}
#[unsafe(link_section = ".bss..page_aligned")]
static BOOT_STACKS: BootStacks = BootStacks(UnsafeCell::new([[0; IST_SIZE]; STACKS]));

#[repr(C, align(4096))]
struct BootIrqStack(UnsafeCell<[u8; 16384]>);
// SAFETY: As `BootStacks`.
unsafe impl Sync for BootIrqStack {}
#[unsafe(link_section = ".bss..page_aligned")]
static BOOT_IRQ_STACK: BootIrqStack = BootIrqStack(UnsafeCell::new([0; 16384]));

percpu! {
    /// Where interrupts of this CPU begin to push; read by entry code.
    pub static IRQ_STACK_TOP: AtomicUsize = AtomicUsize::new(0);
}

/// Gives the boot CPU its static stacks.
pub fn install_boot() {
    let base = BOOT_STACKS.0.get().addr();
    for index in 1..=STACKS {
        // SAFETY: The static stacks are this CPU's alone.
        unsafe { set_stack(0, index, base + index * IST_SIZE) };
    }
    IRQ_STACK_TOP.this_racy().store(BOOT_IRQ_STACK.0.get().addr() + 16384, Ordering::Relaxed);
}

/// Gives CPU `cpu` stacks with guard pages. Either the CPU has not started, or it is the caller's and interrupts are off.
/// The memory is never freed.
pub fn install_guarded(cpu: CpuId) -> Result {
    for index in 1..=STACKS {
        let stack = KernelStack::new()?;
        let top = stack.top();
        // SAFETY: A fresh stack that is leaked: this CPU's alone for ever.
        unsafe { set_stack(cpu, index, top) };
        core::mem::forget(stack);
    }
    let stack = KernelStack::new()?;
    if let Some(slot) = IRQ_STACK_TOP.on(cpu) {
        slot.store(stack.top(), Ordering::Relaxed);
    }
    core::mem::forget(stack);
    Ok(())
}

/// # Safety
/// Below `top`, which is 16-byte aligned, lie at least `IST_SIZE` bytes of a stack that nothing else uses.
unsafe fn set_stack(cpu: CpuId, index: usize, top: usize) {
    let Some(offset) = percpu::offset_of(cpu) else { return };
    // SAFETY: The last word of the stack, by the contract.
    unsafe { ((top - 8) as *mut usize).write(offset) };
    if let Some(slot) = tss::TSS.on(cpu).and_then(|tss| tss.ist.get(index - 1)) {
        slot.store((top - TOP_RESERVED) as u64, Ordering::Relaxed);
    }
}
