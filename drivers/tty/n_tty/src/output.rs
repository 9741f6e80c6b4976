// SPDX-License-Identifier: GPL-2.0
//! What is written to the device: by programs, with `OPOST` changed on the way, and as echo. No locks; see the crate's
//! header.

use crate::NTty;
use crate::ctype::{is_cntrl, to_upper};
use uapi::*;

/// What a byte of output becomes.
enum Out {
    /// Nothing.
    None,
    /// Itself or another byte.
    Byte(u8),
    /// A carriage return and a line feed.
    CrLf,
    /// So many spaces.
    Spaces(u32),
}

impl NTty {
    /// Writes for a program. `out` gets pieces of at most `room` bytes together, all of which it must take. Returns how
    /// many bytes of `data` went; fewer than all when `room` is used up. Send pending echo before.
    pub fn write(&mut self, data: &[u8], room: usize, out: &mut dyn FnMut(&[u8])) -> usize {
        if !self.o(OPOST) {
            let (now, _) = data.split_at(data.len().min(room));
            out(now);
            return now.len();
        }
        let (mut left, mut rest) = (room, data);
        while !rest.is_empty() {
            // Bytes that stay as they are go in one piece.
            let plain = self.plain_run(rest, left);
            if plain != 0 {
                let (now, after) = rest.split_at(plain);
                out(now);
                left = left.saturating_sub(plain);
                rest = after;
                continue;
            }
            let Some((&c, after)) = rest.split_first() else { break };
            let (column, canon_column) = (self.column, self.canon_column);
            let mut put = |bytes: &[u8]| {
                let fits = bytes.len() <= left;
                if fits {
                    out(bytes);
                    left = left.saturating_sub(bytes.len());
                }
                fits
            };
            let fits = match self.process(c) {
                Out::None => true,
                Out::Byte(c) => put(&[c]),
                Out::CrLf => put(b"\r\n"),
                Out::Spaces(n) => put(b"        ".get(..n as usize).unwrap_or(&[])),
            };
            if !fits {
                (self.column, self.canon_column) = (column, canon_column);
                break;
            }
            rest = after;
        }
        data.len().saturating_sub(rest.len())
    }

    /// How many bytes at the start of `data` stay as they are, at most `max`; the columns are moved.
    fn plain_run(&mut self, data: &[u8], max: usize) -> usize {
        if self.o(OLCUC) {
            return 0;
        }
        let utf8 = self.i(IUTF8);
        let (mut n, mut column) = (0usize, self.column);
        for &c in data.iter().take(max) {
            // Control characters but the ones that move the cursor are plain, too.
            match c {
                b'\n' | b'\r' | b'\t' | 8 => break,
                _ if is_cntrl(c) || (utf8 && c & 0xc0 == 0x80) => {}
                _ => column = column.wrapping_add(1),
            }
            n = n.wrapping_add(1);
        }
        self.column = column;
        n
    }

    /// What `c` becomes with `OPOST`, moving the columns.
    fn process(&mut self, c: u8) -> Out {
        match c {
            b'\n' => {
                if self.o(ONLRET | ONLCR) {
                    self.column = 0;
                }
                self.canon_column = self.column;
                if self.o(ONLCR) { Out::CrLf } else { Out::Byte(c) }
            }
            b'\r' if self.o(ONOCR) && self.column == 0 => Out::None,
            b'\r' if self.o(OCRNL) => {
                if self.o(ONLRET) {
                    self.column = 0;
                    self.canon_column = 0;
                }
                Out::Byte(b'\n')
            }
            b'\r' => {
                self.column = 0;
                self.canon_column = 0;
                Out::Byte(c)
            }
            b'\t' => {
                let spaces = 8 - (self.column & 7);
                self.column = self.column.wrapping_add(spaces);
                if self.termios.c_oflag & TABDLY == XTABS { Out::Spaces(spaces) } else { Out::Byte(c) }
            }
            8 => {
                self.column = self.column.saturating_sub(1);
                Out::Byte(c)
            }
            _ if is_cntrl(c) => Out::Byte(c),
            _ => {
                if !self.is_continuation(c) {
                    self.column = self.column.wrapping_add(1);
                }
                Out::Byte(if self.o(OLCUC) { to_upper(c) } else { c })
            }
        }
    }

    /// Echoes a byte as it would be written.
    pub(crate) fn echo_raw(&mut self, c: u8) {
        if !self.o(OPOST) {
            return self.put_echo(c);
        }
        match self.process(c) {
            Out::None => {}
            Out::Byte(c) => self.put_echo(c),
            Out::CrLf => {
                self.put_echo(b'\r');
                self.put_echo(b'\n');
            }
            Out::Spaces(n) => (0..n).for_each(|_| self.put_echo(b' ')),
        }
    }

    /// Echoes a character of the input: control characters as `^X` with `ECHOCTL`.
    pub(crate) fn echo_char(&mut self, c: u8) {
        if self.l(ECHOCTL) && is_cntrl(c) && c != b'\t' {
            self.put_echo(b'^');
            self.put_echo(c ^ 0x40);
            self.column = self.column.wrapping_add(2);
        } else {
            self.echo_raw(c);
        }
    }

    /// Echo that finds no room is lost.
    pub(crate) fn put_echo(&mut self, c: u8) {
        self.echo.push(c);
    }

    /// Whether there is echo to send.
    #[inline]
    pub fn has_echo(&self) -> bool {
        !self.echo.is_empty()
    }

    /// Sends echo: `send` returns how much of a piece the device took. What it did not take stays for later.
    pub fn drain_echo(&mut self, mut send: impl FnMut(&[u8]) -> usize) {
        while !self.echo.is_empty() {
            let (piece, _) = self.echo.as_slices();
            let (len, sent) = (piece.len(), send(piece));
            self.echo.consume(sent.min(len));
            if sent < len {
                break;
            }
        }
    }
}
