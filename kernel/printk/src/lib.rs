// SPDX-License-Identifier: GPL-2.0
//! The kernel log: `pr_*!` of every level ends here. Records go into a lock-free ring (`ring`), from there to the consoles
//! (`console`) and to programs (`syslog`: `/dev/kmsg`, `syslog(2)`). `init` is the first thing the kernel does.
//!
//! Any context may print, NMI and panic included; nothing here waits. Locks: the console flag, only tried; `cont::OPEN`, tried but by
//! modules' messages; `console::REGISTER` and then `console::CHOICES`, at registration and in look-ups.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod console;
#[cfg(not(test))]
pub mod cont;
pub mod level;
pub mod record;
pub mod ring;
pub mod syslog;

pub use console::{Console, enter_panic, flush, in_panic, register};

use core::fmt::{Arguments, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use hook::Hook;
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use klog::{Level, LogSink};
use locking::SetOnce;
use ring::{Meta, Ring, TEXT_MAX};
use sync::WaitQueue;

pub(crate) static RING: Ring = Ring::new();

/// The clock of the time stamps. Must work in any context.
pub trait LogClock: Sync {
    /// Nanoseconds since boot.
    fn now_ns(&self) -> u64;
}

/// The clock; timekeeping registers it. Before that stamps are zero.
pub static CLOCK: Hook<dyn LogClock> = Hook::new();

/// Readers that sleep until a record comes (`/dev/kmsg`, `syslog(2)`), and that it came. A record may be written with any lock
/// held, so the wake-up waits for the end of the next interrupt, which a busy CPU takes within a tick.
static READERS: SetOnce<Arc<WaitQueue>> = SetOnce::new();
static NEWS: AtomicBool = AtomicBool::new(false);

/// The queue on which readers of the log wait (and poll).
pub fn readers() -> Option<&'static Arc<WaitQueue>> {
    READERS.get()
}

/// Makes the readers' queue. Once, when the heap works.
pub fn init_readers() -> errno::Result {
    // A second call changes nothing.
    let _ = READERS.set(Arc::new(WaitQueue::new(), GFP_KERNEL)?);
    Ok(())
}

/// Wakes the readers if there is news. Called at the end of an interrupt.
#[inline]
pub fn wake_readers() {
    if NEWS.load(Ordering::Relaxed) {
        NEWS.store(false, Ordering::SeqCst);
        if let Some(readers) = READERS.get() {
            readers.wake_up_all();
        }
    }
}

fn now_ns() -> u64 {
    CLOCK.get().map_or(0, |clock| clock.now_ns())
}

fn after_append() {
    console::flush();
    NEWS.store(true, Ordering::SeqCst);
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
        #[cfg(not(test))]
        cont::end();
        RING.append(Meta { ts_ns: now_ns(), level: level as u8, facility: 0, cont, len: text.len() as u16 }, text);
        after_append();
    }
}

/// Connects `pr_*!` to the log. First thing at boot; needs nothing but per-CPU access.
pub fn init() {
    static SINK: &dyn LogSink = &Sink;
    klog::SINK.set(&SINK);
}
