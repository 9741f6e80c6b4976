// SPDX-License-Identifier: GPL-2.0
//! Tracepoints: `kernel::declare_trace!`. This kernel has none, so, as in a Linux without `CONFIG_TRACEPOINTS`, one that is declared
//! evaluates nothing and does nothing.

/// Declares functions that hit tracepoints.
#[macro_export]
macro_rules! declare_trace {
    // Each declaration says its own `# Safety`; nothing is done, so nothing is asked here.
    ($($(#[$attr:meta])* $vis:vis unsafe fn $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {
        $(
            $(#[$attr])*
            ///
            /// # Safety
            ///
            /// As above; without tracepoints nothing is asked.
            #[inline(always)]
            $vis unsafe fn $name($($arg: $ty),*) {
                $(let _ = $arg;)*
            }
        )*
    };
}
pub use declare_trace;
