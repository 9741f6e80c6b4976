// SPDX-License-Identifier: GPL-2.0
//! Accesses to parts of views.

/// Reads a part, in one access: `io_read!(io, .field)`.
#[macro_export]
macro_rules! io_read {
    ($io:expr, $($part:tt)*) => { $crate::io::Io::read_val($crate::io_project!($io, $($part)*)) };
}

/// Writes a part, in one access: `io_write!(io, [panic: 2].field, value)`.
#[macro_export]
macro_rules! io_write {
    (@ $io:expr, [$($part:tt)*], $value:expr) => {
        $crate::io::Io::write_val($crate::io_project!($io, $($part)*), $value)
    };
    (@ $io:expr, [$($part:tt)*] .$field:tt $($rest:tt)*) => {
        $crate::io_write!(@ $io, [$($part)* .$field] $($rest)*)
    };
    (@ $io:expr, [$($part:tt)*] [$how:ident: $index:expr] $($rest:tt)*) => {
        $crate::io_write!(@ $io, [$($part)* [$how: $index]] $($rest)*)
    };
    ($io:expr, $($rest:tt)*) => { $crate::io_write!(@ $io, [] $($rest)*) };
}
