// SPDX-License-Identifier: GPL-2.0
//! The CPUs' local APICs (`local`), the old 8259 pair, which is only silenced (`pic`), and the numbers of the kernel's own
//! interrupt vectors. IOAPICs and the vectors of devices are `x86_irq`. No locks.

#![no_std]

pub mod irq_vectors;
pub mod local;
pub mod pic;
