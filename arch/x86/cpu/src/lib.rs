// SPDX-License-Identifier: GPL-2.0
//! The CPU itself: instructions, model-specific registers, CPUID, interrupt flag, per-CPU data and the preemption count.
//! The lowest trusted crate: it allocates nothing, locks nothing and knows no other part of the kernel. Every level-1 crate
//! calls it; core crates use its safe parts (`preempt`, `irqflags`, `percpu`, `tsc`).
//! Source: Intel SDM volumes 2 and 3, AMD APM volume 2.

#![no_std]

pub mod asm;
pub mod cpuid;
pub mod cr;
pub mod crc;
pub mod gdt;
pub mod io;
pub mod irqflags;
pub mod msr;
pub mod percpu;
pub mod pkru;
pub mod preempt;
pub mod pvclock;
pub mod segments;
pub mod tsc;
pub mod tss;

pub use percpu::{CpuId, MAX_CPUS, PerCpu, cpu_id};
pub use preempt::{PreemptGuard, preempt_disable};
pub use x86_defs::regs;
