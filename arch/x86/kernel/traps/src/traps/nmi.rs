// SPDX-License-Identifier: GPL-2.0
//! Non-maskable interrupts. The handler must not fault, hit a breakpoint or sleep: an IRET inside it would let the next NMI in,
//! onto the same stack. It therefore only reads, counts, and stops this CPU when a panic asks for it.

use core::sync::atomic::{AtomicU32, Ordering};
use hook::Hook;
use x86_cpu::preempt::{HARDIRQ_OFFSET, NMI_OFFSET, preempt_count_add, preempt_count_sub};
use x86_cpu::regs::PtRegs;

/// Somebody who causes NMIs on purpose (a watchdog, a profiler).
pub trait NmiHandler: Sync {
    /// Handles one; false if it was not for this handler.
    fn nmi(&self, regs: &PtRegs) -> bool;
}

/// The user of NMIs.
pub static NMI_HANDLER: Hook<dyn NmiHandler> = Hook::new();

x86_cpu::percpu! {
    /// NMIs of this CPU, for `/proc/interrupts`.
    pub(crate) static NMI_COUNT: AtomicU32 = AtomicU32::new(0);
}

pub(super) fn handle(regs: &mut PtRegs) {
    preempt_count_add(NMI_OFFSET + HARDIRQ_OFFSET);
    NMI_COUNT.this_racy().fetch_add(1, Ordering::Relaxed);
    if crate::panic::in_progress() {
        x86_cpu::asm::halt_forever();
    }
    let handled = NMI_HANDLER.get().is_some_and(|handler| handler.nmi(regs));
    if !handled {
        klog::pr_emerg!("Uhhuh. NMI received for unknown reason on CPU {}.", x86_cpu::cpu_id());
    }
    preempt_count_sub(NMI_OFFSET + HARDIRQ_OFFSET);
}
