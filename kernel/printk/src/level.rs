// SPDX-License-Identifier: GPL-2.0
//! Which records consoles show: `loglevel=`, `quiet`, `debug`, `ignore_loglevel`, `printk.time=` and `/proc/sys/kernel/printk`.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Linux's `CONSOLE_LOGLEVEL_DEFAULT`.
pub const DEFAULT_CONSOLE_LOGLEVEL: u8 = 7;
const QUIET: u8 = 4;
const DEBUG: u8 = 10;
/// Level of a message without one (`KERN_WARNING`).
const DEFAULT_MESSAGE_LOGLEVEL: u8 = 4;
const MINIMUM: u8 = 1;
const VERBOSE: u8 = 15;

static CONSOLE: AtomicU8 = AtomicU8::new(DEFAULT_CONSOLE_LOGLEVEL);
static MESSAGE: AtomicU8 = AtomicU8::new(DEFAULT_MESSAGE_LOGLEVEL);
static CONSOLE_MINIMUM: AtomicU8 = AtomicU8::new(MINIMUM);
static CONSOLE_DEFAULT: AtomicU8 = AtomicU8::new(DEFAULT_CONSOLE_LOGLEVEL);
static IGNORE: AtomicBool = AtomicBool::new(false);
static TIME: AtomicBool = AtomicBool::new(true);

/// Takes one word of the command line (`value` is empty for a bare word); false if it is not printk's.
pub fn parameter(name: &str, value: &str) -> bool {
    match name {
        "quiet" => CONSOLE.store(QUIET, Ordering::Relaxed),
        "debug" => CONSOLE.store(DEBUG, Ordering::Relaxed),
        "ignore_loglevel" | "printk.ignore_loglevel" => IGNORE.store(true, Ordering::Relaxed),
        "printk.time" => TIME.store(!matches!(value, "0" | "n" | "N" | "no" | "off"), Ordering::Relaxed),
        "loglevel" => match value.parse::<u8>() {
            Ok(n) => CONSOLE.store(n, Ordering::Relaxed),
            Err(_) => return false,
        },
        "console" => crate::console::choose(value),
        _ => return false,
    }
    true
}

/// Whether consoles show records of this level.
pub(crate) fn shown_on_console(level: u8) -> bool {
    level < CONSOLE.load(Ordering::Relaxed) || IGNORE.load(Ordering::Relaxed)
}

/// Whether lines carry time stamps.
pub(crate) fn time() -> bool {
    TIME.load(Ordering::Relaxed)
}

/// The level of a message that has none.
pub(crate) fn default_message() -> u8 {
    MESSAGE.load(Ordering::Relaxed)
}

/// Shows everything from here on (panic, oops).
pub fn verbose() {
    CONSOLE.fetch_max(VERBOSE, Ordering::Relaxed);
}

/// The four values of `/proc/sys/kernel/printk`: console level, default message level, least console level, default console
/// level.
pub fn levels() -> [u8; 4] {
    [&CONSOLE, &MESSAGE, &CONSOLE_MINIMUM, &CONSOLE_DEFAULT].map(|a| a.load(Ordering::Relaxed))
}

/// Sets the values of `/proc/sys/kernel/printk`; `None` leaves one as it is.
pub fn set_levels(values: [Option<u8>; 4]) {
    for (slot, value) in [&CONSOLE, &MESSAGE, &CONSOLE_MINIMUM, &CONSOLE_DEFAULT].into_iter().zip(values) {
        if let Some(v) = value {
            slot.store(v, Ordering::Relaxed);
        }
    }
}

/// Sets the console level as `syslog(2)` action 8 does: not below the minimum.
pub(crate) fn set_console(level: u8) {
    CONSOLE.store(level.max(CONSOLE_MINIMUM.load(Ordering::Relaxed)), Ordering::Relaxed);
}

/// `syslog(2)` action 6 (off): shows only what is most severe; returns the level before.
pub(crate) fn console_off() -> u8 {
    CONSOLE.swap(CONSOLE_MINIMUM.load(Ordering::Relaxed), Ordering::Relaxed)
}
