// SPDX-License-Identifier: GPL-2.0
//! Structures that C's side owns: `kernel::interop`.

pub mod list;
