// SPDX-License-Identifier: GPL-2.0
//! Texts that files show: `kernel::seq_file`.

use crate::types::NotThreadSafe;
use core::cell::UnsafeCell;
use core::fmt::{Arguments, Write};

/// A text being made.
pub struct SeqFile<'a> {
    out: UnsafeCell<&'a mut dyn Write>,
    _not_send: NotThreadSafe,
}

impl<'a> SeqFile<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out: UnsafeCell::new(out), _not_send: NotThreadSafe }
    }

    /// Appends. Use `seq_print!`.
    pub fn call_printf(&self, args: Arguments<'_>) {
        // SAFETY: The value stays in its thread, and the reference is not kept; a `Display` that prints here itself does not
        // get this file, which is not reachable from a value.
        let out = unsafe { &mut **self.out.get() };
        // What does not fit is asked for again with more room, as in Linux.
        let _ = out.write_fmt(args);
    }
}

/// Appends to a [`SeqFile`].
#[macro_export]
macro_rules! seq_print {
    ($m:expr, $($arg:tt)+) => { $m.call_printf($crate::macros::fmt!($($arg)+)) };
}
pub use seq_print;
