// SPDX-License-Identifier: GPL-2.0
//! Devices: `kernel::device`, over `drivers/base/core`.

mod print;

pub use kernel_core::device::*;
