// SPDX-License-Identifier: GPL-2.0
//! Where interrupts of devices go: the IOAPICs (`io`), the vectors of each CPU (`vectors`), the CPUs' numbers and APIC ids
//! (`topology`), which of them run and how they are interrupted (`smp`), and what `kernel/irq` uses of all this (`chip`).
//!
//! Locks, all innermost and taken with interrupts off: `vectors::ALLOC`, `io::IOAPICS` (the first may be taken before or after,
//! never inside, the second).

#![no_std]
#![forbid(unsafe_code)]

pub mod chip;
pub mod io;
pub mod panic_cpu;
pub mod smp;
pub mod topology;
pub mod vectors;
