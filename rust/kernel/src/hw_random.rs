// SPDX-License-Identifier: GPL-2.0
//! Generators of random numbers: `drivers/char/hw_random/core` under its own names. Rust-for-Linux has no such interface yet.

pub use hw_random::*;
