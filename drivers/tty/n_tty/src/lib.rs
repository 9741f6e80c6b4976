// SPDX-License-Identifier: GPL-2.0
//! The terminal line discipline `N_TTY` as pure logic: bytes from a device or a pty's other side go in, lines or bytes
//! for readers come out, with echo, editing, signals and flow control. The tty core owns one for each terminal, under
//! its lock, and does what `Effects` says. No locks, no sleeping; allocates at creation only.
//!
//! Flags that Linux takes without effect have none here: `XCASE`, `FLUSHO`, `PENDIN`, `IMAXBEL` (see `termios(3)`), and
//! delays other than `XTABS`. Source: `termios(3)`, POSIX chapter 11, observed behaviour of Linux.
//!
//! | file | what |
//! |---|---|
//! | `input` | what arrives: parity, mapping, special characters |
//! | `edit` | erase, word erase, kill, reprint |
//! | `output` | what is written and echoed: `OPOST`, columns |
//! | `read` | what readers get |

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod ctype;
mod edit;
mod input;
mod output;
mod read;

pub use input::Flag;
pub use read::ReadMode;

use containers::{ByteRing, bitmap};
use kalloc::flags::GFP_KERNEL;
use kalloc::{AllocError, KBox};
use uapi::{ktermios, *};

/// How many bytes wait for readers at most, and how many of echo.
pub const N_TTY_BUF_SIZE: usize = 4096;
const MASK: usize = N_TTY_BUF_SIZE - 1;

/// A `c_cc` entry of this value is switched off (`_POSIX_VDISABLE`).
pub const DISABLED_CHAR: u8 = 0;

/// What the tty core is to do after a call, in this order.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Effects {
    /// Send `SIGINT` to the foreground process group.
    pub sigint: bool,
    /// Send `SIGQUIT` to the foreground process group.
    pub sigquit: bool,
    /// Send `SIGTSTP` to the foreground process group.
    pub sigtstp: bool,
    /// Drop what the driver has not sent yet (and tell a pty master in packet mode of the flush).
    pub flush_output: bool,
    /// `Some(true)`: stop output (^S); `Some(false)`: start it again.
    pub stop: Option<bool>,
    /// There is something new to read: wake readers and pollers.
    pub readable: bool,
}

/// A line discipline.
///
/// Positions run freely and are masked on use: `tail <= canon_head <= head`, at most a buffer apart.
pub struct NTty {
    termios: ktermios,
    /// Characters that need a look, as bits.
    special: [u64; 4],
    /// No character needs a look, and none is changed.
    raw: bool,
    buf: KBox<[u8; N_TTY_BUF_SIZE]>,
    /// Bit for each byte of `buf` that ends a line.
    line_end: KBox<[u64; N_TTY_BUF_SIZE / 64]>,
    head: usize,
    tail: usize,
    /// The end of the last complete line.
    canon_head: usize,
    echo: ByteRing,
    /// Column of the cursor, and of the start of the line being edited.
    column: u32,
    canon_column: u32,
    /// The next character is taken literally.
    lnext: bool,
    /// Between the `\` and the `/` of `ECHOPRT`.
    erasing: bool,
    /// Output is stopped by ^S or by the core.
    stopped: bool,
    effects: Effects,
}

impl NTty {
    /// A line discipline with these settings.
    pub fn new(termios: ktermios) -> Result<Self, AllocError> {
        let mut this = Self {
            termios,
            special: [0; 4],
            raw: false,
            buf: KBox::<[u8; N_TTY_BUF_SIZE]>::new_array(0, GFP_KERNEL)?,
            line_end: KBox::<[u64; N_TTY_BUF_SIZE / 64]>::new_array(0, GFP_KERNEL)?,
            head: 0,
            tail: 0,
            canon_head: 0,
            echo: ByteRing::new(N_TTY_BUF_SIZE, GFP_KERNEL)?,
            column: 0,
            canon_column: 0,
            lnext: false,
            erasing: false,
            stopped: false,
            effects: Effects::default(),
        };
        this.map_characters();
        Ok(this)
    }

    /// The settings.
    #[inline]
    pub fn termios(&self) -> &ktermios {
        &self.termios
    }

    /// Changes the settings. Bytes that wait become a line when `ICANON` is switched on, and can be read at once when it
    /// is switched off. Wake readers and writers afterwards.
    pub fn set_termios(&mut self, new: ktermios) {
        let old = core::mem::replace(&mut self.termios, new);
        if (old.c_lflag ^ new.c_lflag) & (ICANON | EXTPROC) != 0 {
            self.line_end.fill(0);
            self.canon_head = self.tail;
            if self.l(ICANON) && self.head != self.tail {
                bitmap::set_bit(&mut *self.line_end, self.head.wrapping_sub(1) & MASK);
                self.canon_head = self.head;
            }
            self.erasing = false;
            self.lnext = false;
        }
        self.map_characters();
        if old.c_iflag & IXON != 0 && !self.i(IXON) && self.stopped {
            // Nobody could start it again.
            self.set_flow(false);
        }
    }

    /// Notes which characters need a look.
    fn map_characters(&mut self) {
        self.special = [0; 4];
        let changes = ISTRIP | IUCLC | IGNCR | ICRNL | INLCR | IXON | PARMRK;
        self.raw = !self.i(changes) && !self.l(ICANON | ISIG | ECHO);
        if self.raw {
            return;
        }
        let mut add = |c: u8| {
            bitmap::set_bit(&mut self.special, c.into());
        };
        let t = &self.termios;
        let cc = |n: u32| t.c_cc.get(n as usize).copied().unwrap_or(DISABLED_CHAR);
        if t.c_iflag & (IGNCR | ICRNL) != 0 {
            add(b'\r');
        }
        if t.c_iflag & INLCR != 0 {
            add(b'\n');
        }
        if t.c_lflag & ICANON != 0 {
            [VERASE, VKILL, VEOF, VEOL].into_iter().for_each(|n| add(cc(n)));
            add(b'\n');
            if t.c_lflag & IEXTEN != 0 {
                [VWERASE, VLNEXT, VEOL2].into_iter().for_each(|n| add(cc(n)));
                if t.c_lflag & ECHO != 0 {
                    add(cc(VREPRINT));
                }
            }
        }
        if t.c_iflag & IXON != 0 {
            [VSTART, VSTOP].into_iter().for_each(|n| add(cc(n)));
        }
        if t.c_lflag & ISIG != 0 {
            [VINTR, VQUIT, VSUSP].into_iter().for_each(|n| add(cc(n)));
        }
        bitmap::clear_bit(&mut self.special, DISABLED_CHAR.into());
    }

    /// What the calls since the last `take_effects` ask for.
    pub fn take_effects(&mut self) -> Effects {
        core::mem::take(&mut self.effects)
    }

    /// Whether output is stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Tells that the core stopped or started output itself (`TCXONC`, a pty's packet mode).
    pub fn set_stopped(&mut self, stopped: bool) {
        self.stopped = stopped;
    }

    /// Drops input and echo (`TCIFLUSH`, hang-up, a signal character without `NOFLSH`).
    pub fn flush_input(&mut self) {
        self.tail = self.head;
        self.canon_head = self.head;
        self.line_end.fill(0);
        self.erasing = false;
        self.echo.clear();
    }

    fn set_flow(&mut self, stop: bool) {
        if self.stopped != stop {
            self.stopped = stop;
            self.effects.stop = Some(stop);
        }
    }

    /// Whether any of these input flags is set.
    #[inline(always)]
    fn i(&self, flags: u32) -> bool {
        self.termios.c_iflag & flags != 0
    }

    /// Whether any of these output flags is set.
    #[inline(always)]
    fn o(&self, flags: u32) -> bool {
        self.termios.c_oflag & flags != 0
    }

    /// Whether any of these local flags is set.
    #[inline(always)]
    fn l(&self, flags: u32) -> bool {
        self.termios.c_lflag & flags != 0
    }

    /// Whether `c` is the special character `n`, and that is not switched off.
    #[inline]
    fn is_cc(&self, n: u32, c: u8) -> bool {
        c != DISABLED_CHAR && self.cc(n) == c
    }

    #[inline]
    fn cc(&self, n: u32) -> u8 {
        self.termios.c_cc.get(n as usize).copied().unwrap_or(DISABLED_CHAR)
    }

    /// Whether lines are made of the input.
    #[inline]
    fn is_canon(&self) -> bool {
        self.l(ICANON) && !self.l(EXTPROC)
    }

    /// A byte of the buffer.
    #[inline(always)]
    fn at(&self, pos: usize) -> u8 {
        self.buf[pos & MASK]
    }

    /// Whether `c` continues a character of several bytes.
    #[inline]
    fn is_continuation(&self, c: u8) -> bool {
        self.i(IUTF8) && c & 0xc0 == 0x80
    }
}

#[cfg(test)]
mod tests;
