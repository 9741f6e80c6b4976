// SPDX-License-Identifier: GPL-2.0
//! Checks when a module is built: `kernel::build_assert`. A condition that the optimizer cannot decide is a panic if it fails.

pub use crate::build_assert_macro as build_assert;
pub use crate::{build_error, const_assert, static_assert};

/// What a failed [`build_assert!`] that was not decided when the module was built calls.
#[doc(hidden)]
#[inline(never)]
#[cold]
#[track_caller]
pub const fn build_error_fn(message: &'static str) -> ! {
    panic!("{}", message)
}

/// Checks a constant.
#[macro_export]
macro_rules! static_assert {
    ($condition:expr $(, $arg:literal)? $(,)?) => { const _: () = ::core::assert!($condition $(, $arg)?); };
}

/// Checks a constant that may depend on the generics around it.
#[macro_export]
macro_rules! const_assert {
    ($condition:expr $(, $arg:literal)? $(,)?) => { const { ::core::assert!($condition $(, $arg)?) } };
}

/// Must not be reached.
#[macro_export]
macro_rules! build_error {
    () => {
        $crate::build_assert::build_error_fn("")
    };
    ($msg:expr) => {
        $crate::build_assert::build_error_fn($msg)
    };
}

/// Checks what the optimizer can decide.
#[doc(hidden)]
#[macro_export]
macro_rules! build_assert_macro {
    ($cond:expr $(,)?) => {{
        if !$cond {
            $crate::build_assert::build_error_fn(::core::concat!("assertion failed: ", ::core::stringify!($cond)));
        }
    }};
    ($cond:expr, $msg:expr $(,)?) => {{
        if !$cond {
            $crate::build_assert::build_error_fn($msg);
        }
    }};
}
