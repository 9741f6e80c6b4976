// SPDX-License-Identifier: GPL-2.0
//! The `pr_*!` macros of a module: a record begins with the module's name (`__LOG_PREFIX`, which `module!` defines). A message
//! that does not end with a newline can be continued by `pr_cont!`.

use core::fmt::Arguments;
use core::sync::atomic::{AtomicBool, Ordering};
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
        Ok(name) => printk::cont::message(level, format_args!("{name}: {args}")),
        Err(_) => printk::cont::message(level, args),
    }
}

/// Prints the continuation of a record. Use the macro.
#[doc(hidden)]
pub fn call_printk_cont(args: Arguments<'_>) {
    printk::cont::more(args);
}

/// Prints at a level.
#[doc(hidden)]
#[macro_export]
macro_rules! print_macro {
    ($level:ident, $($arg:tt)*) => {
        $crate::print::call_printk(
            $crate::print::format_strings::Level::$level,
            crate::__LOG_PREFIX,
            $crate::macros::fmt!($($arg)*),
        )
    };
}

/// Does something once.
#[doc(hidden)]
pub struct OnceLite(AtomicBool);

impl OnceLite {
    /// Not done yet.
    #[expect(clippy::new_without_default, reason = "used in statics alone")]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Calls `f` at the first call; whether it was.
    pub fn call_once(&self, f: impl FnOnce()) -> bool {
        let first = !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed);
        if first {
            f();
        }
        first
    }
}

/// Runs the statements the first time that this place is reached.
#[macro_export]
macro_rules! do_once_lite {
    { $($e:tt)* } => {{
        static ONCE: $crate::print::OnceLite = $crate::print::OnceLite::new();
        ONCE.call_once(|| { $($e)* })
    }};
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
macro_rules! pr_cont { ($($arg:tt)*) => { $crate::print::call_printk_cont($crate::macros::fmt!($($arg)*)) }; }

/// Prints at `KERN_EMERG`, the first time only.
#[macro_export]
macro_rules! pr_emerg_once { ($($arg:tt)*) => { $crate::do_once_lite! { $crate::pr_emerg!($($arg)*) } }; }
/// Prints at `KERN_ALERT`, the first time only.
#[macro_export]
macro_rules! pr_alert_once { ($($arg:tt)*) => { $crate::do_once_lite! { $crate::pr_alert!($($arg)*) } }; }
/// Prints at `KERN_CRIT`, the first time only.
#[macro_export]
macro_rules! pr_crit_once { ($($arg:tt)*) => { $crate::do_once_lite! { $crate::pr_crit!($($arg)*) } }; }
/// Prints at `KERN_ERR`, the first time only.
#[macro_export]
macro_rules! pr_err_once { ($($arg:tt)*) => { $crate::do_once_lite! { $crate::pr_err!($($arg)*) } }; }
/// Prints at `KERN_WARNING`, the first time only.
#[macro_export]
macro_rules! pr_warn_once { ($($arg:tt)*) => { $crate::do_once_lite! { $crate::pr_warn!($($arg)*) } }; }
/// Prints at `KERN_NOTICE`, the first time only.
#[macro_export]
macro_rules! pr_notice_once { ($($arg:tt)*) => { $crate::do_once_lite! { $crate::pr_notice!($($arg)*) } }; }
/// Prints at `KERN_INFO`, the first time only.
#[macro_export]
macro_rules! pr_info_once { ($($arg:tt)*) => { $crate::do_once_lite! { $crate::pr_info!($($arg)*) } }; }
