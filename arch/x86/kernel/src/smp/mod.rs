// SPDX-License-Identifier: GPL-2.0
//! More than one CPU: which there are (`topology`), bringing them up (`boot`, `trampoline`), and talking to them: function calls
//! (`call`), rescheduling, stopping.

pub mod boot;
mod trampoline;

pub use topology::apic_id;
pub use x86_irq::smp::*;
pub use x86_irq::topology;
pub use x86_smp::call::{self, on_cpu, on_cpus, on_each_cpu, on_other_cpus};

/// Runs TLB flushes on other CPUs for `x86_mm`.
pub(crate) struct TlbShootdown;

// SAFETY: `on_cpus` returns when every CPU of the mask has called the function.
unsafe impl x86_mm::TlbIpi for TlbShootdown {
    fn flush_cpus(&self, mask: u64, request: &x86_mm::FlushRequest) {
        on_cpus(mask, &|| {
            crate::irq::count_tlb_flush();
            // SAFETY: `on_cpus` calls with interrupts off.
            unsafe { request.run() };
        });
    }
}
