// SPDX-License-Identifier: GPL-2.0
//! From names to places: walking paths, and the operations on directory entries that start with a walk.
//!
//! `walk` follows a path under RCU as long as names are cached, and `crossing` goes from mount to mount there; `slow` asks the file
//! system. `create`, `remove`, `rename` and `open` change entries with the directory's `lock` held. Source: `path_resolution(7)`,
//! `symlink(7)`, `openat2(2)`.

pub mod create;
mod crossing;
pub mod kernel;
pub mod open;
pub mod pathname;
pub mod remove;
pub mod rename;
pub(crate) mod slow;
pub mod walk;

pub use open::{OpenHow, open_path};
pub use pathname::PathName;
pub use walk::{Place, Start, Walker, lflag, lookup};
