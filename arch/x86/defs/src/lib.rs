// SPDX-License-Identifier: GPL-2.0
//! What is known of the CPU without asking it: the register frame (`regs`), what CPUID's numbers mean (`features`), and the FPU's image in a
//! signal frame (`xstate`). The crate
//! `x86_cpu` re-exports the first two.

#![no_std]
#![forbid(unsafe_code)]

pub mod features;
pub mod regs;
pub mod xstate;
