// SPDX-License-Identifier: GPL-2.0
//! The printing front of every level: `pr_info!` and its kin format into the sink that `kernel/printk` registers.
//! Before that (the first few instructions of boot) a line is dropped. May be called in any context; takes no lock itself.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt::Arguments;
use hook::Hook;

/// Linux's log levels (`KERN_*`), most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// System is unusable.
    Emerg = 0,
    /// Action must be taken immediately.
    Alert = 1,
    /// Critical conditions.
    Crit = 2,
    /// Error conditions.
    Err = 3,
    /// Warning conditions.
    Warning = 4,
    /// Normal but significant condition.
    Notice = 5,
    /// Informational.
    Info = 6,
    /// Debug-level messages.
    Debug = 7,
}

/// Receives formatted records. Must be callable in any context, NMI included.
pub trait LogSink: Sync {
    /// One record (without a trailing newline). `cont` continues the previous record of this CPU.
    fn emit(&self, level: Level, cont: bool, args: Arguments<'_>);
}

/// The sink; `kernel/printk` sets it first thing at boot.
pub static SINK: Hook<dyn LogSink> = Hook::new();

/// Sends one record to the sink. Use the macros.
pub fn emit(level: Level, cont: bool, args: Arguments<'_>) {
    if let Some(sink) = SINK.get() {
        sink.emit(level, cont, args);
    }
}

/// Prints at `KERN_EMERG`.
#[macro_export]
macro_rules! pr_emerg { ($($arg:tt)*) => { $crate::emit($crate::Level::Emerg, false, format_args!($($arg)*)) }; }
/// Prints at `KERN_ALERT`.
#[macro_export]
macro_rules! pr_alert { ($($arg:tt)*) => { $crate::emit($crate::Level::Alert, false, format_args!($($arg)*)) }; }
/// Prints at `KERN_CRIT`.
#[macro_export]
macro_rules! pr_crit { ($($arg:tt)*) => { $crate::emit($crate::Level::Crit, false, format_args!($($arg)*)) }; }
/// Prints at `KERN_ERR`.
#[macro_export]
macro_rules! pr_err { ($($arg:tt)*) => { $crate::emit($crate::Level::Err, false, format_args!($($arg)*)) }; }
/// Prints at `KERN_WARNING`.
#[macro_export]
macro_rules! pr_warn { ($($arg:tt)*) => { $crate::emit($crate::Level::Warning, false, format_args!($($arg)*)) }; }
/// Prints at `KERN_NOTICE`.
#[macro_export]
macro_rules! pr_notice { ($($arg:tt)*) => { $crate::emit($crate::Level::Notice, false, format_args!($($arg)*)) }; }
/// Prints at `KERN_INFO`.
#[macro_export]
macro_rules! pr_info { ($($arg:tt)*) => { $crate::emit($crate::Level::Info, false, format_args!($($arg)*)) }; }
/// Prints at `KERN_DEBUG`.
#[macro_export]
macro_rules! pr_debug { ($($arg:tt)*) => { $crate::emit($crate::Level::Debug, false, format_args!($($arg)*)) }; }
/// Continues the previous record.
#[macro_export]
macro_rules! pr_cont { ($($arg:tt)*) => { $crate::emit($crate::Level::Info, true, format_args!($($arg)*)) }; }
