// SPDX-License-Identifier: GPL-2.0
//! Editing of the line that is not complete yet. No locks; see the crate's header.

use crate::NTty;
use crate::ctype::{is_alnum, is_cntrl};
use uapi::*;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Char,
    Word,
    Line,
}

impl NTty {
    /// Closes the `\...` of `ECHOPRT`.
    pub(crate) fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.erasing) {
            self.echo_raw(b'/');
        }
    }

    /// Shows the line again (`VREPRINT`).
    pub(crate) fn reprint(&mut self, c: u8) {
        self.finish_erasing();
        self.echo_char(c);
        self.echo_raw(b'\n');
        let mut pos = self.canon_head;
        while pos != self.head {
            self.echo_char(self.at(pos));
            pos = pos.wrapping_add(1);
        }
    }

    /// Erases a character, a word or the line, by which of the characters `c` is.
    pub(crate) fn erase(&mut self, c: u8) {
        if self.head == self.canon_head {
            return;
        }
        let kind = if self.is_cc(VERASE, c) {
            Kind::Char
        } else if self.l(IEXTEN) && self.is_cc(VWERASE, c) {
            Kind::Word
        } else {
            Kind::Line
        };
        if kind == Kind::Line && !self.l(ECHO) {
            self.head = self.canon_head;
            return;
        }
        let all = ECHOK | ECHOKE | ECHOE;
        if kind == Kind::Line && self.termios.c_lflag & all != all {
            self.head = self.canon_head;
            self.finish_erasing();
            self.echo_char(c);
            // The line stays on the screen: a new one is begun.
            if self.l(ECHOK) {
                self.echo_raw(b'\n');
            }
            return;
        }
        self.erase_chars(kind, c);
        if self.head == self.canon_head && self.l(ECHO) {
            self.finish_erasing();
        }
    }

    fn erase_chars(&mut self, kind: Kind, erase_char: u8) {
        let mut in_word = false;
        while self.head != self.canon_head {
            // A character of several bytes goes as a whole, and not in part.
            let mut start = self.head.wrapping_sub(1);
            while self.is_continuation(self.at(start)) && start != self.canon_head {
                start = start.wrapping_sub(1);
            }
            let c = self.at(start);
            if self.is_continuation(c) {
                break;
            }
            if kind == Kind::Word {
                if is_alnum(c) || c == b'_' {
                    in_word = true;
                } else if in_word {
                    break;
                }
            }
            let end = core::mem::replace(&mut self.head, start);
            if self.l(ECHO) {
                self.echo_erased(kind, erase_char, start, end);
            }
            if kind == Kind::Char {
                break;
            }
        }
    }

    /// Shows that the character at `start..end` is gone.
    fn echo_erased(&mut self, kind: Kind, erase_char: u8, start: usize, end: usize) {
        let c = self.at(start);
        if self.l(ECHOPRT) {
            if !self.erasing {
                self.echo_raw(b'\\');
                self.erasing = true;
            }
            self.echo_char(c);
            let mut pos = start.wrapping_add(1);
            while pos != end {
                self.echo_raw(self.at(pos));
                pos = pos.wrapping_add(1);
            }
        } else if kind == Kind::Char && !self.l(ECHOE) {
            self.echo_char(erase_char);
        } else if c == b'\t' {
            self.echo_erased_tab();
        } else {
            let columns = match (is_cntrl(c), self.l(ECHOCTL)) {
                (true, true) => 2,
                (true, false) => 0,
                (false, _) => 1,
            };
            for _ in 0..columns {
                for c in *b"\x08 \x08" {
                    self.echo_raw(c);
                }
            }
        }
    }

    /// Moves back over a tab: how far it went follows from the columns of what stands before it.
    fn echo_erased_tab(&mut self) {
        let (mut columns, mut after_tab, mut pos) = (0u32, false, self.head);
        while pos != self.canon_head && !after_tab {
            pos = pos.wrapping_sub(1);
            match self.at(pos) {
                b'\t' => after_tab = true,
                c if is_cntrl(c) => columns = columns.wrapping_add(if self.l(ECHOCTL) { 2 } else { 0 }),
                c if self.is_continuation(c) => {}
                _ => columns = columns.wrapping_add(1),
            }
        }
        if !after_tab {
            columns = columns.wrapping_add(self.canon_column);
        }
        for _ in 0..8 - (columns & 7) {
            self.put_echo(b'\x08');
            self.column = self.column.saturating_sub(1);
        }
    }
}
