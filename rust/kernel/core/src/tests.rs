// SPDX-License-Identifier: GPL-2.0
//! Tests that need unsafe code themselves; the others are in `kernel`.

mod list;
mod outside;
mod platform;
mod small;
