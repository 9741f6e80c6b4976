// SPDX-License-Identifier: GPL-2.0
//! Control characters, escape and control sequences. No locks; see the crate's header.

use crate::Emulator;
use crate::attr::{DEFAULT_PALETTE, Rgb, from_ansi};
use crate::charset::Charset;
use containers::bitmap;

/// How many parameters a sequence has at most.
const NPAR: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Normal,
    Escape,
    /// After `CSI`, before the first parameter.
    Start,
    /// Parameters.
    Params,
    /// A sequence that is not for us, to its end.
    Ignore,
    /// After `CSI [`: a function key, one character.
    FunctionKey,
    /// After `ESC #`.
    Hash,
    /// After `ESC %`.
    Percent,
    /// After `ESC (` or `ESC )`.
    SetCharset(usize),
    /// After `ESC ]`.
    Osc,
    /// After `ESC ] P`.
    Palette,
    /// A string up to BEL or `ESC \`.
    Text,
    /// `ESC` in a string.
    TextEscape,
}

/// Where in a sequence the terminal is.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Parser {
    state: State,
    params: [u16; NPAR],
    len: usize,
    /// The character after `CSI`: one of `?>=<`, or 0.
    private: u8,
    /// Digits of a palette entry.
    digits: [u8; 7],
}

impl Parser {
    /// Whether characters are shown.
    #[inline(always)]
    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Normal
    }

    fn param(&self, n: usize) -> u16 {
        self.params.get(n).copied().unwrap_or(0)
    }

    /// A parameter that counts: at least 1.
    fn count(&self, n: usize) -> usize {
        usize::from(self.param(n).max(1))
    }

    fn all(&self) -> &[u16] {
        self.params.get(..self.len.saturating_add(1)).unwrap_or(&self.params)
    }
}

impl Emulator {
    /// A character that is not shown: a control character, or one in a sequence.
    pub(crate) fn control(&mut self, code: u32) {
        if matches!(self.parser.state, State::Text | State::TextEscape | State::Osc | State::Palette) {
            // In a string only its end matters.
            if self.string_char(code) {
                return;
            }
        }
        match code {
            0 | 0x7f => {}
            7 => self.events.bell = true,
            8 => {
                self.at.x = self.at.x.saturating_sub(1);
                self.need_wrap = false;
            }
            9 => self.tab(),
            10..=12 => {
                self.line_feed();
                if self.modes.new_line {
                    self.at.x = 0;
                }
            }
            13 => (self.at.x, self.need_wrap) = (0, false),
            14 => (self.at.set, self.show_control) = (1, false),
            15 => (self.at.set, self.show_control) = (0, false),
            0x18 | 0x1a => self.parser.state = State::Normal,
            0x1b => self.parser.state = State::Escape,
            0x9b => self.parser.state = State::Start,
            0..0x20 => {}
            _ => self.sequence_char(code),
        }
    }

    /// A character in a string; false if it is to be looked at as any other.
    fn string_char(&mut self, code: u32) -> bool {
        let p = &mut self.parser;
        match (p.state, code) {
            (_, 0x18 | 0x1a) => return false,
            (_, 7) => p.state = State::Normal,
            (State::TextEscape, c) => {
                p.state = State::Normal;
                // `ESC \` ends the string; any other sequence ends it and begins.
                if c != u32::from(b'\\') {
                    p.state = State::Escape;
                    return false;
                }
            }
            (_, 0x1b) => p.state = State::TextEscape,
            (State::Osc, c) => match u8::try_from(c) {
                Ok(b'P') => (p.state, p.len) = (State::Palette, 0),
                Ok(b'R') => {
                    p.state = State::Normal;
                    self.set_palette(DEFAULT_PALETTE);
                }
                _ => p.state = State::Text,
            },
            (State::Palette, c) => match char::from_u32(c).and_then(|c| c.to_digit(16)) {
                Some(d) => self.palette_digit(d as u8),
                None => p.state = State::Normal,
            },
            _ => {}
        }
        true
    }

    fn palette_digit(&mut self, digit: u8) {
        let p = &mut self.parser;
        if let Some(place) = p.digits.get_mut(p.len) {
            *place = digit;
        }
        p.len += 1;
        if p.len == 7 {
            p.state = State::Normal;
            let [n, r1, r0, g1, g0, b1, b0] = p.digits;
            // Numbered as colours of SGR are.
            if let Some(entry) = self.palette.get_mut(usize::from(from_ansi(n.into()))) {
                *entry = Rgb(r1 << 4 | r0, g1 << 4 | g0, b1 << 4 | b0);
            }
            self.events.palette = true;
        }
    }

    fn sequence_char(&mut self, code: u32) {
        let c = u8::try_from(code).unwrap_or(0);
        match core::mem::take(&mut self.parser.state) {
            State::Escape => self.escape(c),
            State::Start => self.csi_start(c),
            State::Params => self.csi_param(c),
            State::Ignore if !(0x40..0x7f).contains(&c) => self.parser.state = State::Ignore,
            State::Hash if c == b'8' => self.align(),
            State::Percent => match c {
                b'@' => self.set_utf8(false),
                b'G' | b'8' => self.set_utf8(true),
                _ => {}
            },
            State::SetCharset(n) => {
                let set = match c {
                    b'0' => Charset::Graphics,
                    b'B' => Charset::Latin1,
                    b'U' | b'K' => Charset::Cp437,
                    _ => return,
                };
                if let Some(place) = self.at.sets.get_mut(n) {
                    *place = set;
                }
            }
            _ => {}
        }
    }

    fn escape(&mut self, c: u8) {
        match c {
            b'[' => self.parser.state = State::Start,
            b']' => self.parser.state = State::Osc,
            b'_' | b'^' | b'P' => self.parser.state = State::Text,
            b'%' => self.parser.state = State::Percent,
            b'#' => self.parser.state = State::Hash,
            b'(' => self.parser.state = State::SetCharset(0),
            b')' => self.parser.state = State::SetCharset(1),
            b'E' => {
                self.at.x = 0;
                self.line_feed();
            }
            b'M' => self.reverse_line_feed(),
            b'D' => self.line_feed(),
            b'H' => {
                bitmap::set_bit(&mut self.tabs, self.at.x);
            }
            b'Z' => self.report(b"\x1b[?6c"),
            b'7' => self.saved = self.at,
            b'8' => self.restore(),
            b'c' => self.reset(true),
            b'>' => self.modes.keypad = false,
            b'=' => self.modes.keypad = true,
            _ => {}
        }
    }

    fn restore(&mut self) {
        let Self { saved, .. } = *self;
        self.at = saved;
        self.goto(saved.x, saved.y);
    }

    /// DECALN: a screen full of E.
    fn align(&mut self) {
        let mut cell = self.blank();
        cell.ch = 'E';
        for row in 0..self.screen.rows() {
            self.screen.fill(row, 0..self.screen.cols(), cell);
        }
        self.need_wrap = false;
    }

    fn csi_start(&mut self, c: u8) {
        let p = &mut self.parser;
        (p.params, p.len, p.private) = ([0; NPAR], 0, 0);
        match c {
            b'[' => p.state = State::FunctionKey,
            b'?' | b'>' | b'=' | b'<' => (p.private, p.state) = (c, State::Params),
            _ => self.csi_param(c),
        }
    }

    fn csi_param(&mut self, c: u8) {
        let p = &mut self.parser;
        p.state = State::Params;
        match c {
            b';' if p.len + 1 < NPAR => p.len += 1,
            b';' => {}
            b'0'..=b'9' => {
                if let Some(n) = p.params.get_mut(p.len) {
                    *n = n.saturating_mul(10).saturating_add((c - b'0').into());
                }
            }
            0x20..=0x3f => p.state = State::Ignore,
            _ => {
                p.state = State::Normal;
                match p.private {
                    0 => self.csi(c),
                    b'?' => self.csi_private(c),
                    _ => {}
                }
            }
        }
    }

    fn csi_private(&mut self, c: u8) {
        let p = self.parser;
        match c {
            b'h' | b'l' => p.all().iter().for_each(|&n| self.private_mode(n, c == b'h')),
            b'c' => {
                let [a, b, d, ..] = p.params;
                self.modes.cursor_type = u32::from(a & 0xff) | u32::from(b & 0xff) << 8 | u32::from(d & 0xff) << 16;
            }
            _ => {}
        }
    }

    fn private_mode(&mut self, n: u16, on: bool) {
        match n {
            1 => self.modes.cursor_keys = on,
            3 => {
                // 80 or 132 columns: the size stays, the rest happens.
                self.erase_display(2);
                self.goto(0, 0);
            }
            5 if self.reverse != on => {
                self.reverse = on;
                self.screen.reverse();
            }
            6 => {
                self.origin = on;
                self.goto_origin(0, 0);
            }
            7 => self.autowrap = on,
            8 => self.modes.repeat = on,
            9 => self.modes.mouse = u8::from(on),
            25 => self.modes.cursor_visible = on,
            1000 => self.modes.mouse = if on { 2 } else { 0 },
            _ => {}
        }
    }

    fn csi(&mut self, c: u8) {
        let p = self.parser;
        let (x, y) = (self.at.x, self.at.y);
        let (first, n) = (p.param(0), p.count(0));
        match c {
            b'h' | b'l' => p.all().iter().for_each(|&n| self.ansi_mode(n, c == b'h')),
            b'A' => self.goto(x, y.saturating_sub(n)),
            b'B' | b'e' => self.goto(x, y.saturating_add(n)),
            b'C' | b'a' => self.goto(x.saturating_add(n), y),
            b'D' => self.goto(x.saturating_sub(n), y),
            b'E' => self.goto(0, y.saturating_add(n)),
            b'F' => self.goto(0, y.saturating_sub(n)),
            b'G' | b'`' => self.goto(n - 1, y),
            b'd' => self.goto_origin(x, n - 1),
            b'H' | b'f' => self.goto_origin(p.count(1) - 1, n - 1),
            b'J' => self.erase_display(first),
            b'K' => self.erase_line(first),
            b'L' | b'M' => self.lines(n, c == b'L'),
            b'@' | b'P' => self.chars(n, c == b'@'),
            b'X' => {
                let blank = self.blank();
                self.screen.fill(y, x..x.saturating_add(n), blank);
                self.need_wrap = false;
            }
            b'c' if first == 0 => self.report(b"\x1b[?6c"),
            b'n' => self.status(first),
            b'g' if first == 0 => {
                bitmap::clear_bit(&mut self.tabs, x);
            }
            b'g' if first == 3 => self.tabs.fill(0),
            b'm' => self.graphics(),
            b'q' => {
                self.leds = match first {
                    0 => 0,
                    1..=3 => self.leds | 1 << (first - 1),
                    _ => self.leds,
                };
                self.events.leds = Some(self.leds);
            }
            b'r' => self.region(),
            b's' => self.saved = self.at,
            b'u' => self.restore(),
            b']' => self.set_terminal(),
            _ => {}
        }
    }

    fn ansi_mode(&mut self, n: u16, on: bool) {
        match n {
            3 => self.show_control = on,
            4 => self.insert = on,
            20 => self.modes.new_line = on,
            _ => {}
        }
    }

    /// Inserts or deletes lines: from the cursor's to the end of the region.
    fn lines(&mut self, n: usize, insert: bool) {
        let (y, blank) = (self.at.y, self.blank());
        // Below the region nothing moves.
        let area = y.min(self.bottom)..self.bottom;
        if insert {
            self.screen.scroll_down(area, n, blank);
        } else {
            self.screen.scroll_up(area, n, blank);
        }
        self.need_wrap = false;
    }

    fn chars(&mut self, n: usize, insert: bool) {
        let (x, y, blank) = (self.at.x, self.at.y, self.blank());
        if insert {
            self.screen.insert(y, x, n, blank);
        } else {
            self.screen.delete(y, x, n, blank);
        }
        self.need_wrap = false;
    }

    fn region(&mut self) {
        let rows = self.screen.rows();
        let top = self.parser.count(0);
        let bottom = match self.parser.param(1) {
            0 => rows,
            n => usize::from(n),
        };
        if top < bottom && bottom <= rows {
            (self.top, self.bottom) = (top - 1, bottom);
            self.goto_origin(0, 0);
        }
    }

    fn graphics(&mut self) {
        let p = self.parser;
        for &n in p.all() {
            match n {
                10 => (self.show_control, self.toggle_meta) = (false, false),
                11 => (self.show_control, self.toggle_meta) = (true, false),
                12 => (self.show_control, self.toggle_meta) = (true, true),
                // The numbers of a colour are no attributes.
                38 | 48 => break,
                _ => {}
            }
        }
        self.at.attr.select(p.all(), &self.defaults);
    }

    /// `CSI ... ]`: settings of the console itself.
    fn set_terminal(&mut self) {
        let p = self.parser;
        let color = from_ansi(p.param(1));
        match p.param(0) {
            1 => self.defaults.underline = color,
            2 => self.defaults.half = color,
            8 => self.defaults.color = self.at.attr.color,
            9 => self.modes.blank_minutes = p.param(1).min(60),
            10 => self.modes.bell.0 = if p.len >= 1 { p.param(1) } else { 750 },
            11 => self.modes.bell.1 = if p.len >= 1 { p.param(1).min(2000) } else { 125 },
            12 if p.param(1) != 0 => self.events.switch_to = Some(p.param(1)),
            13 => self.events.unblank = true,
            15 => self.events.switch_to = Some(0),
            _ => {}
        }
    }

    fn status(&mut self, what: u16) {
        match what {
            5 => self.report(b"\x1b[0n"),
            6 => {
                let base = if self.origin { self.top } else { 0 };
                let (row, col) = (self.at.y.saturating_sub(base) + 1, self.at.x + 1);
                let mut text = [0u8; 24];
                let mut at = 0;
                for part in [&b"\x1b["[..], &decimal(row), b";", &decimal(col), b"R"] {
                    for &c in part.iter().filter(|&&c| c != 0) {
                        if let Some(place) = text.get_mut(at) {
                            *place = c;
                            at += 1;
                        }
                    }
                }
                self.report(text.get(..at).unwrap_or(&[]));
            }
            _ => {}
        }
    }

    /// Sends a report, if all of it fits.
    fn report(&mut self, text: &[u8]) {
        if self.reply.room() >= text.len() {
            self.reply.write(text);
            self.events.reply = true;
        }
    }
}

/// The decimal digits of `n` below 100000, zero bytes in front.
fn decimal(n: usize) -> [u8; 5] {
    let (mut out, mut n) = ([0; 5], n);
    for place in out.iter_mut().rev() {
        *place = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out
}
