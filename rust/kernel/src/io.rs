// SPDX-License-Identifier: GPL-2.0
//! Registers of devices: `kernel::io`.

pub use crate::{io_project, io_read, io_write};
pub use kernel_base::io::*;
