// SPDX-License-Identifier: GPL-2.0
//! Texts that files show: `kernel::seq_file`.

use core::cell::RefCell;
use core::fmt::{Arguments, Write};
use core::marker::PhantomData;

/// A text being made.
pub struct SeqFile<'a> {
    out: RefCell<&'a mut dyn Write>,
    _not_send: PhantomData<*mut ()>,
}

impl<'a> SeqFile<'a> {
    #[doc(hidden)]
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out: RefCell::new(out), _not_send: PhantomData }
    }

    /// Appends. Use `seq_print!`.
    pub fn call_printf(&self, args: Arguments<'_>) {
        // A `Display` that prints here itself, while it is printed here, prints nothing.
        if let Ok(mut out) = self.out.try_borrow_mut() {
            // What does not fit is asked for again with more room, as in Linux.
            let _ = out.write_fmt(args);
        }
    }
}

/// Appends to a [`SeqFile`].
#[macro_export]
macro_rules! seq_print {
    ($m:expr, $($arg:tt)+) => { $m.call_printf($crate::macros::fmt!($($arg)+)) };
}
pub use seq_print;
