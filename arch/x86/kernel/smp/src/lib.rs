// SPDX-License-Identifier: GPL-2.0
//! Calls of functions on other CPUs. Which CPUs there are, and sending to them, is `x86_irq::smp`.

#![no_std]

pub mod call;
