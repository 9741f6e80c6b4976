// SPDX-License-Identifier: GPL-2.0
//! What a driver implements for one of its lines. Called by the rest of this crate.

use crate::Tty;
use core::any::Any;
use errno::{Result, code::ENOTTY};
use kalloc::Arc;
use uapi::{ktermios, winsize};
use vfs::File;

/// A line, as the terminal layer sees it. Methods marked "atomic" are called with the line discipline's spin lock held: they
/// must not sleep. The others may.
#[allow(unused_variables, reason = "defaults ignore their arguments")]
pub trait TtyOps: Any + Send + Sync {
    /// Whether there is a device. Without one the line can be opened all the same, but reads, writes and settings give `EIO`.
    /// `Tty::open` is held.
    fn has_device(&self) -> bool {
        true
    }

    /// The first open: switch the device on. `Tty::open` is held.
    fn open(&self, tty: &Arc<Tty>) -> Result {
        Ok(())
    }

    /// The last close, or a hang-up: switch the device off. `Tty::open` is held.
    fn shutdown(&self, tty: &Tty) {}

    /// Whether an open that waits for the carrier may go on.
    fn carrier_raised(&self) -> bool {
        true
    }

    /// Takes bytes to send; returns how many. Atomic.
    fn write(&self, tty: &Tty, bytes: &[u8]) -> usize;

    /// Some writes are done: start sending. Atomic.
    fn flush_chars(&self, tty: &Tty) {}

    /// How many bytes `write` takes now. Atomic.
    fn write_room(&self) -> usize;

    /// How many bytes wait to be sent. Atomic.
    fn chars_in_buffer(&self) -> usize {
        0
    }

    /// Drops what waits to be sent. Atomic.
    fn flush_output(&self, tty: &Tty) {}

    /// Input was dropped. Atomic.
    fn flushed_input(&self, tty: &Tty) {}

    /// Stops sending (^S). Atomic.
    fn stop(&self, tty: &Tty) {}

    /// Sends again (^Q). Atomic.
    fn start(&self, tty: &Tty) {}

    /// There is little room for input: ask the other side to stop. `termios` are the settings.
    fn throttle(&self, tty: &Tty, termios: &ktermios) {}

    /// There is room for input again; bytes that waited in the driver can be delivered.
    fn unthrottle(&self, tty: &Tty, termios: &ktermios) {}

    /// The settings changed. `Tty::config` is held.
    fn set_termios(&self, tty: &Tty, old: &ktermios, new: &ktermios) {}

    /// Sends one byte ahead of all others (flow control).
    fn send_xchar(&self, tty: &Tty, byte: u8) {
        self.write(tty, &[byte]);
        self.flush_chars(tty);
    }

    /// Begins or ends a break. `None`: the device has none, and nothing happens.
    fn break_ctl(&self, on: bool) -> Option<Result> {
        None
    }

    /// Waits until what was sent has left the device (the driver's own buffer is empty), at most until `deadline` (monotonic) or a signal.
    fn wait_until_sent(&self, deadline: u64) {}

    /// Modem lines, as `TIOCM_*`.
    fn tiocmget(&self) -> Result<u32> {
        Err(ENOTTY)
    }

    /// Sets and clears modem lines.
    fn tiocmset(&self, set: u32, clear: u32) -> Result {
        Err(ENOTTY)
    }

    /// A request of the driver's own; `None` if it is none.
    fn ioctl(&self, tty: &Arc<Tty>, file: &File, cmd: u32, arg: usize) -> Option<Result<usize>> {
        None
    }

    /// The window is to have this size.
    fn resize(&self, tty: &Tty, size: &winsize) -> Result {
        Ok(())
    }

    /// For a pty's slave: whether the master is closed. Atomic.
    fn other_closed(&self) -> bool {
        false
    }

    /// Whether an open is refused (a pty's slave that is locked or whose master is gone): `EIO`.
    fn refuses_open(&self) -> bool {
        false
    }

    /// The terminal's settings go back to the initial ones with the last close.
    fn resets_termios(&self) -> bool {
        false
    }

    /// A pty's slave: it is not hung up when its session's leader exits.
    fn is_pty(&self) -> bool {
        false
    }
}
