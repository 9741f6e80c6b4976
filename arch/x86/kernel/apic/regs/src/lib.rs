// SPDX-License-Identifier: GPL-2.0
//! Access to the registers of the CPUs' local APICs (`regs`), and silencing the old 8259 pair (`pic`). What is done with the registers
//! is `x86_apic`. No locks.

#![no_std]

pub mod pic;
pub mod regs;
