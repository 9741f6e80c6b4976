// SPDX-License-Identifier: GPL-2.0
//! More than one CPU: which there are (`topology`), bringing them up (`boot`, `trampoline`), and talking to them: function calls
//! (`call`), rescheduling, stopping.

pub mod boot;
mod trampoline;

pub use topology::apic_id;
pub use x86_irq::smp::*;
pub use x86_irq::topology;
pub use x86_smp::call::{self, on_cpu, on_cpus, on_each_cpu, on_other_cpus};
