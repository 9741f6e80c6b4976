// SPDX-License-Identifier: GPL-2.0
//! The `pr_*!` macros of a module: a record begins with the module's name (`__LOG_PREFIX`, which `module!` defines).

use core::fmt::Arguments;
use klog::Level;

/// Levels, for the macros.
#[doc(hidden)]
pub mod format_strings {
    pub use klog::Level;
}

/// Prints one record. Use the macros.
#[doc(hidden)]
pub fn call_printk(level: Level, prefix: &[u8], args: Arguments<'_>) {
    let name = prefix.strip_suffix(b"\0").unwrap_or(prefix);
    match core::str::from_utf8(name) {
        Ok(name) => klog::emit(level, false, format_args!("{name}: {args}")),
        Err(_) => klog::emit(level, false, args),
    }
}

/// Prints the continuation of a record. Use the macro.
#[doc(hidden)]
pub fn call_printk_cont(args: Arguments<'_>) {
    klog::emit(Level::Info, true, args);
}

/// Prints at a level.
#[doc(hidden)]
#[macro_export]
macro_rules! print_macro {
    ($level:ident, $($arg:tt)*) => {
        $crate::print::call_printk(
            $crate::print::format_strings::Level::$level,
            crate::__LOG_PREFIX,
            ::core::format_args!($($arg)*),
        )
    };
}

/// Prints at `KERN_EMERG`.
#[macro_export]
macro_rules! pr_emerg { ($($arg:tt)*) => { $crate::print_macro!(Emerg, $($arg)*) }; }
/// Prints at `KERN_ALERT`.
#[macro_export]
macro_rules! pr_alert { ($($arg:tt)*) => { $crate::print_macro!(Alert, $($arg)*) }; }
/// Prints at `KERN_CRIT`.
#[macro_export]
macro_rules! pr_crit { ($($arg:tt)*) => { $crate::print_macro!(Crit, $($arg)*) }; }
/// Prints at `KERN_ERR`.
#[macro_export]
macro_rules! pr_err { ($($arg:tt)*) => { $crate::print_macro!(Err, $($arg)*) }; }
/// Prints at `KERN_WARNING`.
#[macro_export]
macro_rules! pr_warn { ($($arg:tt)*) => { $crate::print_macro!(Warning, $($arg)*) }; }
/// Prints at `KERN_NOTICE`.
#[macro_export]
macro_rules! pr_notice { ($($arg:tt)*) => { $crate::print_macro!(Notice, $($arg)*) }; }
/// Prints at `KERN_INFO`.
#[macro_export]
macro_rules! pr_info { ($($arg:tt)*) => { $crate::print_macro!(Info, $($arg)*) }; }
/// Prints at `KERN_DEBUG`, if the module is compiled with debug assertions.
#[macro_export]
macro_rules! pr_debug {
    ($($arg:tt)*) => { if cfg!(debug_assertions) { $crate::print_macro!(Debug, $($arg)*) } };
}
/// Continues the previous record.
#[macro_export]
macro_rules! pr_cont { ($($arg:tt)*) => { $crate::print::call_printk_cont(::core::format_args!($($arg)*)) }; }
