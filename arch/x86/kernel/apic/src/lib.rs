// SPDX-License-Identifier: GPL-2.0
//! The CPUs' local APICs (`local`), and the numbers of the kernel's own interrupt vectors. Access to the registers is
//! `x86_apic_regs`; IOAPICs and the vectors of devices are `x86_irq`. No locks.

#![no_std]
#![forbid(unsafe_code)]

pub mod irq_vectors;
pub mod local;

pub use x86_apic_regs::pic;
