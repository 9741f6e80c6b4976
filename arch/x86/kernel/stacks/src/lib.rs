// SPDX-License-Identifier: GPL-2.0
//! The stacks that are not a task's own (`ist`), and reading of whatever stack this CPU is on and of the kernel's code, for back
//! traces and oopses (`read`). No locks.

#![no_std]

pub mod ist;
pub mod read;
