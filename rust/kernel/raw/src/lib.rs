// SPDX-License-Identifier: GPL-2.0
//! Values of the API of modules that are made of raw memory: bitmaps, strings, bytes as values, the clocks that a type stands for,
//! pointers that own. The crate `kernel` re-exports them under Rust-for-Linux's paths. No locks.

#![no_std]

pub mod aref;
pub mod bitmap;
pub mod bstr;
pub mod clock;
pub mod cstring;
pub mod foreign;
pub mod in_arc;
pub mod transmute;
