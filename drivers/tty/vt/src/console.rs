// SPDX-License-Identifier: GPL-2.0
//! The console of the kernel log: it writes to the terminal in front, whichever its number is, and draws at once. Called by printk
//! in any context but NMI, in a panic also with the lock held by a CPU that is stopped: then it gives up after some tries.

use crate::terminals::VT;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use printk::Console;

struct VtConsole;

static CONSOLE: VtConsole = VtConsole;
/// The number in `console=tty0`: it says what `/dev/console` is, 0 being the terminal in front.
static INDEX: AtomicU32 = AtomicU32::new(0);
/// Before this the log is kept back.
static HAS_SCREEN: AtomicBool = AtomicBool::new(false);
/// How often a lock is tried in a panic.
const TRIES: u32 = 100_000;

/// Offers the console to the log.
pub(crate) fn register() {
    let index = printk::console::chosen_index("tty").unwrap_or(0);
    if index as usize <= crate::COUNT {
        INDEX.store(index, Ordering::Relaxed);
        printk::register(&CONSOLE);
    }
}

/// The screen is there: shows what was printed so far.
pub(crate) fn screen_is_there() {
    HAS_SCREEN.store(true, Ordering::SeqCst);
    printk::console::replay(CONSOLE.name(), CONSOLE.index());
}

impl Console for VtConsole {
    fn name(&self) -> &str {
        "tty"
    }

    fn index(&self) -> u32 {
        INDEX.load(Ordering::Relaxed)
    }

    fn device(&self) -> Option<(u32, u32)> {
        let line = match self.index() {
            0 => crate::terminals::front() as u32 + 1,
            n => n,
        };
        Some((uapi::TTY_MAJOR, line))
    }

    fn can_unblank(&self) -> bool {
        true
    }

    fn write(&self, bytes: &[u8]) {
        if !HAS_SCREEN.load(Ordering::Relaxed) {
            return;
        }
        let guard = match printk::in_panic() {
            true => (0..TRIES).find_map(|_| VT.try_lock_irqsave()),
            false => Some(VT.lock_irqsave()),
        };
        let Some(mut vt) = guard else { return };
        let front = vt.front;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, end): (&[u8], &[u8]) = match line.strip_suffix(b"\n") {
                Some(text) => (text, b"\r\n"),
                None => (line, b""),
            };
            vt.write(front, text);
            vt.write(front, end);
        }
        vt.draw();
    }
}
