// SPDX-License-Identifier: GPL-2.0
//! The part of `kernel::debugfs` that refers to data from files.

mod ops;
mod scope;

pub use ops::MakeOps;
pub use scope::{Scope, ScopedDir};

use crate::sync::Mutex;
use core::fmt;

/// A value that has a text.
pub trait Writer {
    /// Writes the text.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl<T: Writer> Writer for Mutex<T> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().write(f)
    }
}

impl<T: fmt::Debug> Writer for T {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{self:?}")
    }
}
