// SPDX-License-Identifier: GPL-2.0
//! The terminal's state and what characters do to it. No locks; see the crate's header.

use crate::attr::{Attr, DEFAULT_PALETTE, Defaults, Rgb};
use crate::charset::Charset;
use crate::escape::Parser;
use crate::screen::{Cell, Screen};
use crate::width;
use containers::{ByteRing, bitmap};
use kalloc::AllocError;
use kalloc::flags::GFP_KERNEL;

/// How much of a report waits at most.
const REPLY_SIZE: usize = 256;
/// Tab stops are kept for so many columns.
const TAB_COLS: usize = 256;

/// What the driver is to do.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Events {
    /// Ring the bell.
    pub bell: bool,
    /// The palette changed.
    pub palette: bool,
    /// Set the keyboard's lights (bit 0 scroll, 1 num, 2 caps).
    pub leds: Option<u8>,
    /// Bring this console to the front (1 is the first), or with 0 the one before.
    pub switch_to: Option<u16>,
    /// Unblank the screen.
    pub unblank: bool,
    /// A report waits to be read (`read_reply`).
    pub reply: bool,
}

/// Modes that the keyboard's and the driver's side look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Modes {
    /// Cursor keys send `ESC O` (DECCKM).
    pub cursor_keys: bool,
    /// The keypad sends application codes (DECNKM).
    pub keypad: bool,
    /// Enter sends CR and LF, a line feed goes to column 0 (LNM).
    pub new_line: bool,
    /// Keys repeat (DECARM).
    pub repeat: bool,
    /// The cursor is shown (DECTCEM).
    pub cursor_visible: bool,
    /// UTF-8, else bytes in a character set.
    pub utf8: bool,
    /// 0 none, 1 X10 (on press), 2 X11 (press and release).
    pub mouse: u8,
    /// The bell's pitch in Hz and length in ms.
    pub bell: (u16, u16),
    /// The cursor's shape, of `CSI ? c`.
    pub cursor_type: u32,
    /// Minutes until the screen is blanked (0 never).
    pub blank_minutes: u16,
}

impl Default for Modes {
    fn default() -> Self {
        Self {
            cursor_keys: false,
            keypad: false,
            new_line: false,
            repeat: true,
            cursor_visible: true,
            utf8: true,
            mouse: 0,
            bell: (750, 125),
            cursor_type: 0,
            blank_minutes: 0,
        }
    }
}

/// What `ESC 7` saves.
#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) attr: Attr,
    pub(crate) sets: [Charset; 2],
    /// Which of the sets is in use.
    pub(crate) set: usize,
}

/// The memory of a screen of another size.
pub struct Resized(Screen);

impl Resized {
    /// For so many columns and rows, at least 1 by 1 and at most 32767 by 32767.
    pub fn new(cols: usize, rows: usize) -> Result<Self, AllocError> {
        let blank = Cell { ch: ' ', attr: Defaults::default().color };
        Ok(Self(Screen::new(cols.clamp(1, 0x7fff), rows.clamp(1, 0x7fff), blank)?))
    }
}

/// A terminal.
pub struct Emulator {
    pub(crate) screen: Screen,
    pub(crate) at: Cursor,
    pub(crate) saved: Cursor,
    /// The next character goes to the next line.
    pub(crate) need_wrap: bool,
    /// The rows that scroll.
    pub(crate) top: usize,
    pub(crate) bottom: usize,
    pub(crate) defaults: Defaults,
    /// DECOM: rows count from `top`.
    pub(crate) origin: bool,
    /// DECAWM.
    pub(crate) autowrap: bool,
    /// IRM.
    pub(crate) insert: bool,
    /// DECSCNM.
    pub(crate) reverse: bool,
    /// Control characters are shown (SGR 11, DECCRM).
    pub(crate) show_control: bool,
    /// SGR 12: the high bit is toggled.
    pub(crate) toggle_meta: bool,
    pub(crate) modes: Modes,
    pub(crate) tabs: [u64; TAB_COLS / 64],
    pub(crate) palette: [Rgb; 16],
    pub(crate) leds: u8,
    pub(crate) parser: Parser,
    /// A UTF-8 sequence so far, its least value, and how many bytes are missing.
    utf8: (u32, u32, u8),
    pub(crate) events: Events,
    pub(crate) reply: ByteRing,
}

impl Emulator {
    /// A blank terminal of this size, at least 1 by 1 and at most 32767 by 32767.
    pub fn new(cols: usize, rows: usize) -> Result<Self, AllocError> {
        let (cols, rows) = (cols.clamp(1, 0x7fff), rows.clamp(1, 0x7fff));
        let defaults = Defaults::default();
        let at = Cursor { x: 0, y: 0, attr: Attr::new(&defaults), sets: [Charset::Latin1, Charset::Graphics], set: 0 };
        let mut this = Self {
            screen: Screen::new(cols, rows, Cell { ch: ' ', attr: defaults.color })?,
            at,
            saved: at,
            need_wrap: false,
            top: 0,
            bottom: rows,
            defaults,
            origin: false,
            autowrap: true,
            insert: false,
            reverse: false,
            show_control: false,
            toggle_meta: false,
            modes: Modes::default(),
            tabs: [0; TAB_COLS / 64],
            palette: DEFAULT_PALETTE,
            leds: 0,
            parser: Parser::default(),
            utf8: (0, 0, 0),
            events: Events::default(),
            reply: ByteRing::new(REPLY_SIZE, GFP_KERNEL)?,
        };
        this.reset(false);
        Ok(this)
    }

    /// Back to the start (`ESC c`); with `clear` the screen, too.
    pub fn reset(&mut self, clear: bool) {
        (self.top, self.bottom) = (0, self.screen.rows());
        self.need_wrap = false;
        self.at.sets = [Charset::Latin1, Charset::Graphics];
        self.at.set = 0;
        self.at.attr = Attr::new(&self.defaults);
        (self.origin, self.autowrap, self.insert) = (false, true, false);
        (self.show_control, self.toggle_meta) = (false, false);
        if core::mem::take(&mut self.reverse) {
            self.screen.reverse();
        }
        self.modes = Modes::default();
        self.tabs = [0x0101_0101_0101_0100, 0x0101_0101_0101_0101, 0x0101_0101_0101_0101, 0x0101_0101_0101_0101];
        self.parser = Parser::default();
        self.utf8 = (0, 0, 0);
        self.leds = 0;
        self.events.leds = Some(0);
        self.goto(0, 0);
        self.saved = self.at;
        if clear {
            self.erase_display(2);
        }
    }

    /// Changes the size: what fits stays, the rows at the cursor preferred. On failure nothing changes.
    pub fn resize(&mut self, cols: usize, rows: usize) -> Result<(), AllocError> {
        self.resize_into(Resized::new(cols, rows)?);
        Ok(())
    }

    /// Like [`Self::resize`], with memory that was got before; returns what is not needed any more.
    pub fn resize_into(&mut self, Resized(mut new): Resized) -> Resized {
        let (cols, rows, blank) = (new.cols(), new.rows(), self.blank());
        let skip = (self.at.y + 1).saturating_sub(rows);
        for row in 0..rows {
            new.fill(row, 0..cols, blank);
            for (col, cell) in self.screen.row(row + skip).iter().take(cols).enumerate() {
                new.put(row, col, *cell);
            }
        }
        let old = core::mem::replace(&mut self.screen, new);
        (self.top, self.bottom) = (0, rows);
        let (x, y) = (self.at.x, self.at.y.saturating_sub(skip));
        self.goto(x, y);
        self.saved.x = self.saved.x.min(cols - 1);
        self.saved.y = self.saved.y.min(rows - 1);
        Resized(old)
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        (self.screen.cols(), self.screen.rows())
    }

    /// The cells of a row; none if there is no such row.
    pub fn row(&self, row: usize) -> &[Cell] {
        self.screen.row(row)
    }

    /// Column and row of the cursor.
    pub fn cursor(&self) -> (usize, usize) {
        (self.at.x, self.at.y)
    }

    /// The modes.
    pub fn modes(&self) -> &Modes {
        &self.modes
    }

    /// Switches UTF-8 on or off (`ESC % G`).
    pub fn set_utf8(&mut self, on: bool) {
        self.modes.utf8 = on;
        self.utf8 = (0, 0, 0);
    }

    /// The colours, in VGA's order.
    pub fn palette(&self) -> &[Rgb; 16] {
        &self.palette
    }

    /// Sets the colours (`PIO_CMAP`).
    pub fn set_palette(&mut self, palette: [Rgb; 16]) {
        self.palette = palette;
        self.events.palette = true;
    }

    /// Calls `show(row, column, cells)` for all that changed since the last time.
    pub fn take_changes(&mut self, show: impl FnMut(usize, usize, &[Cell])) {
        self.screen.take_changes(show);
    }

    /// The first column and the cells of what changed in a row since the last time.
    pub fn take_row(&mut self, row: usize) -> Option<(usize, &[Cell])> {
        self.screen.take_row(row)
    }

    /// Says that everything must be shown again.
    pub fn touch_all(&mut self) {
        self.screen.touch_all();
    }

    /// What the driver is to do since the last time.
    pub fn take_events(&mut self) -> Events {
        core::mem::take(&mut self.events)
    }

    /// Takes reports to put into the terminal's input; returns how much.
    pub fn read_reply(&mut self, out: &mut [u8]) -> usize {
        self.reply.read(out)
    }

    /// Writes to the terminal.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.put_byte(byte);
        }
    }

    fn put_byte(&mut self, byte: u8) {
        if !self.modes.utf8 {
            let byte = if self.toggle_meta && byte >= 0x20 { byte | 0x80 } else { byte };
            let set = self.at.sets.get(self.at.set).copied().unwrap_or_default();
            let set = if self.show_control { Charset::Cp437 } else { set };
            return self.put_char(byte.into(), set.decode(byte));
        }
        let (so_far, least, missing) = self.utf8;
        if missing != 0 && byte & 0xc0 == 0x80 {
            let code = so_far << 6 | u32::from(byte & 0x3f);
            self.utf8 = (code, least, missing - 1);
            if missing == 1 {
                // Overlong forms, surrogates and numbers out of range are no characters.
                let c = char::from_u32(code).filter(|_| code >= least).unwrap_or(char::REPLACEMENT_CHARACTER);
                self.put_char(c.into(), c);
            }
            return;
        }
        if missing != 0 {
            self.utf8 = (0, 0, 0);
            self.print(char::REPLACEMENT_CHARACTER);
        }
        match byte {
            0..0x80 => self.put_char(byte.into(), byte.into()),
            0xc2..0xe0 => self.utf8 = (u32::from(byte & 0x1f), 0x80, 1),
            0xe0..0xf0 => self.utf8 = (u32::from(byte & 0x0f), 0x800, 2),
            0xf0..0xf5 => self.utf8 = (u32::from(byte & 0x07), 0x10000, 3),
            _ => self.put_char(0xfffd, char::REPLACEMENT_CHARACTER),
        }
    }

    /// A character of code `code`, shown as `c`.
    fn put_char(&mut self, code: u32, c: char) {
        /// Control characters that act even where others are shown: BS, LF, CR, SO, SI, ESC, and so on.
        const ALWAYS: u32 = 0x0800_f501;
        /// Control characters that act.
        const ACTS: u32 = 0x0d00_ff81;
        let control = match code {
            0..0x20 => (if self.show_control { ALWAYS } else { ACTS }) >> code & 1 != 0,
            0x7f => !self.show_control,
            0x9b => true,
            0x80..0xa0 => self.modes.utf8,
            _ => false,
        };
        if self.parser.is_idle() && !control && (code >= 0x20 || self.show_control) {
            return self.print(c);
        }
        self.control(code);
    }

    /// The cell of erased places.
    pub(crate) fn blank(&self) -> Cell {
        Cell { ch: ' ', attr: self.at.attr.erase_byte(self.reverse) }
    }

    /// Shows a character at the cursor.
    fn print(&mut self, c: char) {
        let columns = match width::columns(c) {
            0 => return,
            n => n.min(self.screen.cols()),
        };
        let attr = self.at.attr.byte(&self.defaults, self.reverse);
        for n in 0..columns {
            if self.need_wrap && self.autowrap {
                self.at.x = 0;
                self.line_feed();
            }
            if self.insert {
                let blank = self.blank();
                self.screen.insert(self.at.y, self.at.x, 1, blank);
            }
            self.screen.put(self.at.y, self.at.x, Cell { ch: if n == 0 { c } else { ' ' }, attr });
            if self.at.x + 1 >= self.screen.cols() {
                self.need_wrap = self.autowrap;
            } else {
                self.at.x += 1;
            }
        }
    }

    /// Moves to a place on the screen, or the nearest there is.
    pub(crate) fn goto(&mut self, x: usize, y: usize) {
        let (low, high) = if self.origin { (self.top, self.bottom) } else { (0, self.screen.rows()) };
        self.at.x = x.min(self.screen.cols() - 1);
        self.at.y = y.clamp(low, high - 1);
        self.need_wrap = false;
    }

    /// Moves to a place that counts from the region with DECOM.
    pub(crate) fn goto_origin(&mut self, x: usize, y: usize) {
        let base = if self.origin { self.top } else { 0 };
        self.goto(x, y.saturating_add(base));
    }

    pub(crate) fn line_feed(&mut self) {
        // Below the region nothing scrolls.
        if self.at.y + 1 == self.bottom {
            let blank = self.blank();
            self.screen.scroll_up(self.top..self.bottom, 1, blank);
        } else if self.at.y + 1 < self.screen.rows() {
            self.at.y += 1;
        }
        self.need_wrap = false;
    }

    pub(crate) fn reverse_line_feed(&mut self) {
        if self.at.y == self.top {
            let blank = self.blank();
            self.screen.scroll_down(self.top..self.bottom, 1, blank);
        } else {
            self.at.y = self.at.y.saturating_sub(1);
        }
        self.need_wrap = false;
    }

    pub(crate) fn tab(&mut self) {
        let last = self.screen.cols() - 1;
        let next = bitmap::find_next_bit(&self.tabs, TAB_COLS, self.at.x + 1);
        // Beyond the stops that can be set there are none.
        self.at.x = next.unwrap_or(last).min(last);
    }

    /// `CSI J`.
    pub(crate) fn erase_display(&mut self, what: u16) {
        let (rows, cols, blank) = (self.screen.rows(), self.screen.cols(), self.blank());
        let (x, y) = (self.at.x, self.at.y);
        let whole = match what {
            0 => {
                self.screen.fill(y, x..cols, blank);
                y + 1..rows
            }
            1 => {
                self.screen.fill(y, 0..x + 1, blank);
                0..y
            }
            2 | 3 => 0..rows,
            _ => return,
        };
        for row in whole {
            self.screen.fill(row, 0..cols, blank);
        }
        self.need_wrap = false;
    }

    /// `CSI K`.
    pub(crate) fn erase_line(&mut self, what: u16) {
        let (cols, blank, x) = (self.screen.cols(), self.blank(), self.at.x);
        let range = match what {
            0 => x..cols,
            1 => 0..x + 1,
            2 => 0..cols,
            _ => return,
        };
        self.screen.fill(self.at.y, range, blank);
        self.need_wrap = false;
    }
}
