// SPDX-License-Identifier: GPL-2.0
//! What arrives from the device. No locks; see the crate's header.

use crate::ctype::to_lower;
use crate::{DISABLED_CHAR, MASK, N_TTY_BUF_SIZE, NTty};
use containers::bitmap;
use uapi::*;

/// How a byte arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flag {
    /// As it should.
    #[default]
    Normal,
    /// Not a byte but a break.
    Break,
    /// With a wrong parity bit.
    Parity,
    /// Without its stop bit.
    Frame,
    /// After bytes that were lost.
    Overrun,
}

/// Below so much room a device is asked to stop sending, and below so many bytes waiting to send again.
const THRESHOLD: usize = 128;

impl NTty {
    /// Takes bytes from the device; `flags`, if there are any, tell how each arrived. Returns how many were taken: the
    /// rest finds no room, until a reader made some. A line that is too long loses its end, but can still be ended.
    pub fn receive(&mut self, data: &[u8], flags: Option<&[Flag]>) -> usize {
        let mut taken = 0usize;
        while let Some(rest) = data.get(taken..)
            && !rest.is_empty()
        {
            let (room, overflow) = self.room();
            let (now, _) = rest.split_at(rest.len().min(room));
            if now.is_empty() {
                break;
            }
            let flags = flags.and_then(|f| f.get(taken..));
            if overflow && flags.and_then(|f| f.first()) == Some(&Flag::Parity) {
                // Lost as what follows it would be.
            } else if self.raw && flags.is_none() {
                self.put_all(now);
            } else {
                self.receive_some(now, flags.unwrap_or(&[]));
            }
            taken = taken.saturating_add(now.len());
        }
        if !self.is_canon() && self.head != self.tail && taken != 0 {
            self.effects.readable = true;
        }
        taken
    }

    /// How many bytes can be taken now, and whether that is only the last byte of an overlong line, taken again and again.
    fn room(&mut self) -> (usize, bool) {
        let free = N_TTY_BUF_SIZE.saturating_sub(self.head.wrapping_sub(self.tail));
        // A byte may become three with `PARMRK`.
        let room = if self.i(PARMRK) { free.div_ceil(3) } else { free };
        if room > 1 {
            return (room - 1, false);
        }
        let overflow = self.l(ICANON) && self.canon_head == self.tail;
        if overflow && room == 0 {
            self.head = self.head.wrapping_sub(1);
        }
        (usize::from(overflow), overflow)
    }

    /// How many bytes `receive` would take now.
    pub fn receive_room(&self) -> usize {
        let free = N_TTY_BUF_SIZE.saturating_sub(self.head.wrapping_sub(self.tail));
        let room = if self.i(PARMRK) { free.div_ceil(3) } else { free };
        let overflow = self.l(ICANON) && self.canon_head == self.tail;
        room.saturating_sub(1).max(usize::from(overflow))
    }

    /// Whether the device should be asked to stop sending (by `IXOFF` or `CRTSCTS`).
    pub fn should_throttle(&self) -> bool {
        let no_line = self.l(ICANON) && self.canon_head == self.tail;
        !no_line && self.receive_room() < THRESHOLD
    }

    /// Whether a device that was asked to stop may send again.
    pub fn should_unthrottle(&self) -> bool {
        let waiting = if self.is_canon() { self.canon_head } else { self.head };
        waiting.wrapping_sub(self.tail) <= THRESHOLD
    }

    #[inline]
    fn put(&mut self, c: u8) {
        self.buf[self.head & MASK] = c;
        self.head = self.head.wrapping_add(1);
    }

    fn put_all(&mut self, data: &[u8]) {
        let at = self.head & MASK;
        let (low, high) = self.buf.split_at_mut(at);
        let (a, b) = data.split_at(data.len().min(high.len()));
        for (from, to) in [(a, high), (b, low)] {
            if let Some(to) = to.get_mut(..from.len()) {
                to.copy_from_slice(from);
            }
        }
        self.head = self.head.wrapping_add(data.len());
    }

    fn receive_some(&mut self, data: &[u8], flags: &[Flag]) {
        for (n, &c) in data.iter().enumerate() {
            let flag = flags.get(n).copied().unwrap_or_default();
            if flag != Flag::Normal {
                self.lnext = false;
                self.receive_flagged(c, flag);
                continue;
            }
            if self.raw {
                self.put(c);
                continue;
            }
            let mut c = if self.i(ISTRIP) { c & 0x7f } else { c };
            if self.i(IUCLC) && self.l(IEXTEN) {
                c = to_lower(c);
            }
            if core::mem::take(&mut self.lnext) {
                self.receive_char(c);
            } else if self.l(EXTPROC) {
                self.put(c);
            } else if bitmap::test_bit(&self.special, c.into()) {
                self.receive_special(c);
            } else {
                self.receive_char(c);
            }
        }
    }

    fn receive_flagged(&mut self, c: u8, flag: Flag) {
        match flag {
            Flag::Break if self.i(IGNBRK) => {}
            Flag::Break if self.i(BRKINT) => self.signal(SIGINT),
            Flag::Break => {
                if self.i(PARMRK) {
                    self.put(0xff);
                    self.put(0);
                }
                self.put(0);
            }
            Flag::Parity | Flag::Frame if self.i(INPCK) => {
                if self.i(IGNPAR) {
                } else if self.i(PARMRK) {
                    self.put(0xff);
                    self.put(0);
                    self.put(c);
                } else {
                    self.put(0);
                }
            }
            Flag::Parity | Flag::Frame => self.put(c),
            Flag::Overrun | Flag::Normal => {}
        }
    }

    /// Any character starts stopped output with `IXANY`.
    fn start_on_any(&mut self) {
        if self.stopped && self.termios.c_iflag & (IXON | IXANY) == IXON | IXANY {
            self.set_flow(false);
        }
    }

    /// Takes a character without meaning.
    fn receive_char(&mut self, c: u8) {
        self.start_on_any();
        self.echo_input(c);
        self.put_marked(c);
    }

    /// With `PARMRK` a real 0xff is doubled.
    fn put_marked(&mut self, c: u8) {
        if c == 0xff && self.i(PARMRK) {
            self.put(c);
        }
        self.put(c);
    }

    fn echo_input(&mut self, c: u8) {
        if self.l(ECHO) {
            self.finish_erasing();
            if self.canon_head == self.head {
                self.canon_column = self.column;
            }
            self.echo_char(c);
        }
    }

    fn flow_control(&mut self, c: u8) -> bool {
        if self.is_cc(VSTART, c) {
            self.set_flow(false);
            return true;
        }
        let stop = self.is_cc(VSTOP, c);
        if stop {
            self.set_flow(true);
        }
        stop
    }

    fn receive_special(&mut self, c: u8) {
        if self.i(IXON) && self.flow_control(c) {
            return;
        }
        if self.l(ISIG) {
            for (n, signal) in [(VINTR, SIGINT), (VQUIT, SIGQUIT), (VSUSP, SIGTSTP)] {
                if self.is_cc(n, c) {
                    return self.receive_signal(c, signal);
                }
            }
        }
        self.start_on_any();
        let c = match c {
            b'\r' if self.i(IGNCR) => return,
            b'\r' if self.i(ICRNL) => b'\n',
            b'\n' if self.i(INLCR) => b'\r',
            c => c,
        };
        if self.l(ICANON) && self.receive_canon(c) {
            return;
        }
        if self.l(ECHO) && c == b'\n' {
            self.finish_erasing();
            self.echo_raw(c);
        } else {
            self.echo_input(c);
        }
        self.put_marked(c);
    }

    fn receive_signal(&mut self, c: u8, signal: u32) {
        self.signal(signal);
        if self.i(IXON) {
            self.set_flow(false);
        }
        if self.l(ECHO) {
            self.echo_char(c);
        }
    }

    fn signal(&mut self, signal: u32) {
        match signal {
            SIGINT => self.effects.sigint = true,
            SIGQUIT => self.effects.sigquit = true,
            _ => self.effects.sigtstp = true,
        }
        if !self.l(NOFLSH) {
            self.flush_input();
            self.effects.flush_output = true;
        }
    }

    /// Takes a character that edits or ends a line; false if `c` is none.
    fn receive_canon(&mut self, c: u8) -> bool {
        let extended = self.l(IEXTEN);
        if self.is_cc(VERASE, c) || self.is_cc(VKILL, c) || (extended && self.is_cc(VWERASE, c)) {
            self.erase(c);
        } else if extended && self.is_cc(VLNEXT, c) {
            self.lnext = true;
            if self.l(ECHO) {
                self.finish_erasing();
                if self.l(ECHOCTL) {
                    self.echo_raw(b'^');
                    self.echo_raw(b'\x08');
                }
            }
        } else if extended && self.l(ECHO) && self.is_cc(VREPRINT, c) {
            self.reprint(c);
        } else if c == b'\n' {
            if self.l(ECHO | ECHONL) {
                self.echo_raw(c);
            }
            self.end_line(c);
        } else if self.is_cc(VEOF, c) {
            self.end_line(DISABLED_CHAR);
        } else if self.is_cc(VEOL, c) || (extended && self.is_cc(VEOL2, c)) {
            if self.l(ECHO) {
                if self.canon_head == self.head {
                    self.canon_column = self.column;
                }
                self.echo_char(c);
            }
            if c == 0xff && self.i(PARMRK) {
                self.put(c);
            }
            self.end_line(c);
        } else {
            return false;
        }
        true
    }

    /// Ends the line with `c`; an end of file is `DISABLED_CHAR`, which readers do not see.
    fn end_line(&mut self, c: u8) {
        bitmap::set_bit(&mut *self.line_end, self.head & MASK);
        self.put(c);
        self.canon_head = self.head;
        self.effects.readable = true;
    }
}
