// SPDX-License-Identifier: GPL-2.0
//! The rows, one file for each kind.

mod calls;
mod files;
mod ipc;
mod memory;
mod modules;
mod process;

use crate::Row;

/// Every row, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Row> {
    [calls::ROWS, files::ROWS, memory::ROWS, process::ROWS, ipc::ROWS, modules::ROWS].into_iter().flatten()
}
