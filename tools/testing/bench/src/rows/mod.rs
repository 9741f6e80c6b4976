// SPDX-License-Identifier: GPL-2.0
//! The rows, one file for each kind.

mod calls;
mod direct;
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

/// Rows that run only when they are named: they need more than the image.
pub fn named() -> impl Iterator<Item = &'static Row> {
    direct::ROWS.iter()
}
