// SPDX-License-Identifier: GPL-2.0
//! The kernel log: `pr_*!` of every level ends here. Records go into a lock-free ring (`ring`), from there to the consoles
//! (`console`) and to programs (`syslog`: `/dev/kmsg`, `syslog(2)`). `init` is the first thing the kernel does.
//!
//! Any context may print, NMI and panic included; nothing here waits. Locks: the console flag, only tried; `console::REGISTER`
//! and then `console::CHOICES`, at registration and in look-ups.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod console;
pub mod level;
pub mod record;
pub mod ring;
pub mod syslog;

pub use console::{Console, enter_panic, flush, in_panic, register};

use core::fmt::{Arguments, Write};
use hook::Hook;
use klog::{Level, LogSink};
use ring::{Meta, Ring, TEXT_MAX};

pub(crate) static RING: Ring = Ring::new();

/// The clock of the time stamps. Must work in any context.
pub trait LogClock: Sync {
    /// Nanoseconds since boot.
    fn now_ns(&self) -> u64;
}

/// The clock; timekeeping registers it. Before that stamps are zero.
pub static CLOCK: Hook<dyn LogClock> = Hook::new();

/// Called after each record, in any context, so that readers that sleep can be woken from a safe one.
pub trait LogNotify: Sync {
    /// A record is there. Must not print, wait or take a lock that a printing context may hold.
    fn notify(&self);
}

/// Who wakes the readers of the log.
pub static NOTIFY: Hook<dyn LogNotify> = Hook::new();

fn now_ns() -> u64 {
    CLOCK.get().map_or(0, |clock| clock.now_ns())
}

fn after_append() {
    console::flush();
    if let Some(notify) = NOTIFY.get() {
        notify.notify();
    }
}

struct Sink;

impl LogSink for Sink {
    fn emit(&self, level: Level, cont: bool, args: Arguments<'_>) {
        let mut text = [0; TEXT_MAX];
        let mut w = record::SliceWriter::new(&mut text);
        // A Display that fails leaves what it wrote so far; the slice itself only cuts.
        let _ = w.write_fmt(args);
        let len = w.len();
        let text = text.get(..len).unwrap_or_default();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        RING.append(Meta { ts_ns: now_ns(), level: level as u8, facility: 0, cont, len: text.len() as u16 }, text);
        after_append();
    }
}

/// Connects `pr_*!` to the log. First thing at boot; needs nothing but per-CPU access.
pub fn init() {
    static SINK: &dyn LogSink = &Sink;
    klog::SINK.set(&SINK);
}
