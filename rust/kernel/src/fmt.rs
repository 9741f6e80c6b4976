// SPDX-License-Identifier: GPL-2.0
//! Formatting: `kernel::fmt`.

pub use core::fmt::{Arguments, Binary, Debug, Display, Error, Formatter, LowerExp, LowerHex, Octal, Pointer, Result};
pub use core::fmt::{UpperExp, UpperHex, Write, from_fn};

/// As `core::format_args!` (`kernel::prelude::fmt!`).
#[macro_export]
macro_rules! fmt {
    ($($arg:tt)*) => { ::core::format_args!($($arg)*) };
}
