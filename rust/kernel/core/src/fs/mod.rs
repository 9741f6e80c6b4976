// SPDX-License-Identifier: GPL-2.0
//! Files: `kernel::fs`, over `fs/vfs`.

pub mod file;
mod kiocb;

pub use file::{File, LocalFile};
pub use kiocb::Kiocb;
