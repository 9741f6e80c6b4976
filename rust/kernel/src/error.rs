// SPDX-License-Identifier: GPL-2.0
//! Errors: `kernel::error`, over the crate `errno`.

pub use errno::{Error, Result, code};

/// Turns a C-style return value into a `Result`.
pub fn to_result(err: i32) -> Result {
    if err < 0 { Err(Error::from_errno(err)) } else { Ok(()) }
}
