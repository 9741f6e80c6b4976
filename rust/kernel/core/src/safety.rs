// SPDX-License-Identifier: GPL-2.0
//! What unsafe code says of itself: `kernel::safety`.

/// Ends the task if what an unsafe function asks of its caller is not so. In builds with debug assertions; else nothing.
#[macro_export]
macro_rules! unsafe_precondition_assert {
    ($cond:expr $(,)?) => {
        ::core::debug_assert!($cond, "unsafe precondition violated: {}", ::core::stringify!($cond))
    };
    ($cond:expr, $($arg:tt)+) => {
        ::core::debug_assert!($cond, "unsafe precondition violated: {}", $crate::macros::fmt!($($arg)+))
    };
}
