// SPDX-License-Identifier: GPL-2.0
//! The interrupt flag of this CPU: save, disable, restore.

use core::arch::asm;
use core::marker::PhantomData;

/// RFLAGS.IF.
pub const RFLAGS_IF: u64 = 1 << 9;

/// RFLAGS of this CPU.
#[inline(always)]
pub fn flags() -> u64 {
    let flags: u64;
    // SAFETY: Reading the flags through the stack touches only this function's own stack slot.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(preserves_flags)) };
    flags
}

/// Whether interrupts are disabled on this CPU.
#[inline(always)]
pub fn irqs_disabled() -> bool {
    flags() & RFLAGS_IF == 0
}

/// `cli`. Prefer [`IrqGuard`].
#[inline(always)]
pub fn local_irq_disable() {
    // SAFETY: Disabling interrupts is always memory safe. Not `nomem`: it orders accesses as a compiler barrier.
    unsafe { asm!("cli", options(nostack)) };
}

/// `sti`. Prefer [`IrqGuard`]; callers are places that own the interrupt state (entry code, idle, start-up).
#[inline(always)]
pub fn local_irq_enable() {
    // SAFETY: Interrupts are handled by code that keeps memory safe at any point; IRQ-off sections for mutual exclusion are
    // held by `IrqGuard`s, and only code that holds none may call this. As a compiler barrier, not `nomem`.
    unsafe { asm!("sti", options(nostack)) };
}

/// Interrupts off on this CPU for as long as it lives; restores the earlier state on drop. Nests. Guards must be dropped
/// in reverse order of their creation (scopes do that).
#[must_use]
pub struct IrqGuard {
    flags: u64,
    not_send: PhantomData<*mut ()>,
}

impl IrqGuard {
    /// Disables interrupts and remembers whether they were on.
    #[inline(always)]
    pub fn new() -> Self {
        let flags = flags();
        local_irq_disable();
        Self { flags, not_send: PhantomData }
    }

    /// Whether interrupts were on before this guard.
    pub fn were_enabled(&self) -> bool {
        self.flags & RFLAGS_IF != 0
    }
}

impl Default for IrqGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for IrqGuard {
    #[inline(always)]
    fn drop(&mut self) {
        if self.flags & RFLAGS_IF != 0 {
            local_irq_enable();
        }
    }
}
