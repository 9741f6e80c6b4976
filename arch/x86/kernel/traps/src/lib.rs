// SPDX-License-Identifier: GPL-2.0
//! What the entry code calls with a complete frame, but for system calls: exceptions and oopses (`traps`), interrupts (`irq`), the
//! last steps before user mode (`exit`); and the ends that these can come to (`panic`, `reboot`). The crate `x86` re-exports all of it. No locks.

#![no_std]
#![forbid(unsafe_code)]

pub mod exit;
pub mod irq;
pub mod panic;
pub mod reboot;
pub mod traps;
