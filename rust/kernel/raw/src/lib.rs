// SPDX-License-Identifier: GPL-2.0
//! Values of the API of modules that are made of raw memory: bitmaps, byte strings, writers into buffers. The crate `kernel`
//! re-exports them under Rust-for-Linux's paths. No locks.

#![no_std]

pub mod bitmap;
pub mod bstr;
pub mod formatter;
