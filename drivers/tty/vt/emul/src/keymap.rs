// SPDX-License-Identifier: GPL-2.0
//! From keys to what a terminal sends, with the US layout and the function strings of Linux's built-in keymap. No locks.
//! Source: `keymaps(5)`, `ioctl_console(2)`, `console_codes(4)`.

use crate::emulator::Modes;
use crate::keyboard::Key;
use containers::bitmap;

/// What a key does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nothing.
    None,
    /// It sends these bytes.
    Send(Bytes),
    /// It brings a console to the front; 1 is the first.
    Console(u8),
    /// It brings the console before to the front.
    PreviousConsole,
    /// It brings the next console to the front.
    NextConsole,
    /// It shows what scrolled away.
    ScrollBack,
    /// It shows what came later.
    ScrollForward,
    /// Ctrl-Alt-Del.
    Reboot,
    /// Scroll Lock: output stops or starts (see `leds`).
    Hold(bool),
    /// Break: as a serial line's.
    Break,
    /// Alt-SysRq with this key.
    SysRq(u8),
    /// The lights changed.
    Leds,
}

/// A few bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bytes {
    buf: [u8; 8],
    len: u8,
}

impl Bytes {
    fn new(parts: &[&[u8]]) -> Self {
        let mut this = Self::default();
        for (place, &c) in this.buf.iter_mut().zip(parts.iter().copied().flatten()) {
            *place = c;
            this.len += 1;
        }
        this
    }

    /// One byte.
    pub fn single(byte: u8) -> Self {
        Self::new(&[&[byte]])
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.buf.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// The keys from 2 on, without and with shift; 0 where they send no character.
const PLAIN: &[u8; 58] = b"\0\x1b1234567890-=\x7f\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
const SHIFT: &[u8; 58] = b"\0\x1b!@#$%^&*()_+\x7f\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

const KEY_ENTER: u16 = 28;
const KEY_LEFTCTRL: u16 = 29;
const KEY_LEFTSHIFT: u16 = 42;
const KEY_RIGHTSHIFT: u16 = 54;
const KEY_KPASTERISK: u16 = 55;
const KEY_LEFTALT: u16 = 56;
const KEY_CAPSLOCK: u16 = 58;
const KEY_NUMLOCK: u16 = 69;
const KEY_SCROLLLOCK: u16 = 70;
const KEY_102ND: u16 = 86;
const KEY_RIGHTCTRL: u16 = 97;
const KEY_SYSRQ: u16 = 99;
const KEY_RIGHTALT: u16 = 100;

/// The lights: bit 0 Scroll Lock, bit 1 Num Lock, bit 2 Caps Lock.
const SCROLL: u8 = 1;
const NUM: u8 = 2;
const CAPS: u8 = 4;

/// Which keys are down, and the locks.
#[derive(Clone, Debug, Default)]
pub struct Keyboard {
    down: [u64; 4],
    leds: u8,
}

impl Keyboard {
    /// All keys up, all locks off.
    pub const fn new() -> Self {
        Self { down: [0; 4], leds: 0 }
    }

    /// The lights to show: bit 0 Scroll Lock, bit 1 Num Lock, bit 2 Caps Lock.
    pub fn leds(&self) -> u8 {
        self.leds
    }

    /// Sets the locks (`KDSKBLED`).
    pub fn set_leds(&mut self, leds: u8) {
        self.leds = leds & 7;
    }

    fn is_down(&self, code: u16) -> bool {
        bitmap::test_bit(&self.down, code.into())
    }

    /// Takes a key; `modes` are those of the console in front.
    pub fn key(&mut self, key: Key, modes: &Modes) -> Action {
        let code = key.code;
        if !key.pressed {
            bitmap::clear_bit(&mut self.down, code.into());
            return Action::None;
        }
        let repeats = bitmap::set_bit(&mut self.down, code.into());
        let lock = match code {
            KEY_CAPSLOCK => CAPS,
            KEY_NUMLOCK if !modes.keypad => NUM,
            KEY_SCROLLLOCK => SCROLL,
            _ => 0,
        };
        if lock != 0 {
            if repeats {
                return Action::None;
            }
            self.leds ^= lock;
            return if lock == SCROLL { Action::Hold(self.leds & SCROLL != 0) } else { Action::Leds };
        }
        if repeats && !modes.repeat {
            return Action::None;
        }
        let shift = self.is_down(KEY_LEFTSHIFT) || self.is_down(KEY_RIGHTSHIFT);
        let ctrl = self.is_down(KEY_LEFTCTRL) || self.is_down(KEY_RIGHTCTRL);
        let alt = self.is_down(KEY_LEFTALT);
        let altgr = self.is_down(KEY_RIGHTALT);
        if alt && self.is_down(KEY_SYSRQ) && code != KEY_SYSRQ {
            let c = PLAIN.get(usize::from(code)).copied().unwrap_or(0);
            return if c.is_ascii_alphanumeric() || c == b' ' { Action::SysRq(c) } else { Action::None };
        }
        match code {
            59..=68 | 87 | 88 => self.function_key(code, shift, alt || altgr),
            KEY_KPASTERISK | 71..=83 | 96 | 98 => self.keypad(code, shift, ctrl, alt, modes),
            99..=119 => self.cursor_pad(code, shift, ctrl, alt, modes),
            _ => self.character(code, shift, ctrl, alt, modes),
        }
    }

    fn character(&self, code: u16, shift: bool, ctrl: bool, alt: bool, modes: &Modes) -> Action {
        let table = |t: &[u8; 58]| t.get(usize::from(code)).copied().filter(|&c| c != 0);
        let plain = if code == KEY_102ND { Some(b'<') } else { table(PLAIN) };
        let Some(plain) = plain else { return Action::None };
        let shifted = if code == KEY_102ND { b'>' } else { table(SHIFT).unwrap_or(plain) };
        let shift = shift != (plain.is_ascii_lowercase() && self.leds & CAPS != 0);
        let c = if shift { shifted } else { plain };
        let c = if ctrl {
            match control(plain, shifted, shift) {
                Some(c) => c,
                None => return Action::None,
            }
        } else {
            c
        };
        let escape: &[u8] = if alt { b"\x1b" } else { b"" };
        let line_feed: &[u8] = if code == KEY_ENTER && modes.new_line { b"\n" } else { b"" };
        Action::Send(Bytes::new(&[escape, &[c], line_feed]))
    }

    fn function_key(&self, code: u16, shift: bool, alt: bool) -> Action {
        let n = if code >= 87 { code - 76 } else { code - 58 } as u8;
        if alt {
            return Action::Console(n);
        }
        // With shift the first ten are F11 to F20.
        let n = if shift && n <= 10 { n + 10 } else { n };
        Action::Send(match n {
            1..=5 => Bytes::new(&[b"\x1b[[", &[b'A' + n - 1]]),
            _ => {
                let number = match n {
                    6..=10 => n + 11,
                    11..=14 => n + 12,
                    15 | 16 => n + 13,
                    _ => n + 14,
                };
                tilde(number)
            }
        })
    }

    fn keypad(&self, code: u16, shift: bool, ctrl: bool, alt: bool, modes: &Modes) -> Action {
        /// What the keys from 71 on send with Num Lock, and in application mode after `ESC O`.
        const DIGITS: &[u8; 13] = b"789-456+1230.";
        const APPLICATION: &[u8; 13] = b"wxyStuvlqrspn";
        if code == 83 && ctrl && alt {
            return Action::Reboot;
        }
        let n = usize::from(code.saturating_sub(71));
        let (c, application) = match code {
            KEY_KPASTERISK => (b'*', b'R'),
            98 => (b'/', b'Q'),
            96 => (b'\r', b'M'),
            _ => (DIGITS.get(n).copied().unwrap_or(0), APPLICATION.get(n).copied().unwrap_or(0)),
        };
        if modes.keypad && !(shift || ctrl || alt) {
            return Action::Send(Bytes::new(&[b"\x1bO", &[application]]));
        }
        if self.leds & NUM == 0 {
            match c {
                b'.' => return Action::Send(tilde(3)),
                b'0' => return Action::Send(tilde(2)),
                b'1' => return Action::Send(tilde(4)),
                b'3' => return Action::Send(tilde(6)),
                b'7' => return Action::Send(tilde(1)),
                b'9' => return Action::Send(tilde(5)),
                b'2' => return cursor(b'B', modes),
                b'4' => return cursor(b'D', modes),
                b'5' => return cursor(b'G', modes),
                b'6' => return cursor(b'C', modes),
                b'8' => return cursor(b'A', modes),
                _ => {}
            }
        }
        let line_feed: &[u8] = if c == b'\r' && modes.new_line { b"\n" } else { b"" };
        Action::Send(Bytes::new(&[&[c], line_feed]))
    }

    fn cursor_pad(&self, code: u16, shift: bool, ctrl: bool, alt: bool, modes: &Modes) -> Action {
        match code {
            KEY_SYSRQ if !alt => Action::Send(Bytes::new(&[b"\x1c"])),
            102 => Action::Send(tilde(1)),
            103 => cursor(b'A', modes),
            104 if shift => Action::ScrollBack,
            104 => Action::Send(tilde(5)),
            105 if alt => Action::PreviousConsole,
            105 => cursor(b'D', modes),
            106 if alt => Action::NextConsole,
            106 => cursor(b'C', modes),
            107 => Action::Send(tilde(4)),
            108 => cursor(b'B', modes),
            109 if shift => Action::ScrollForward,
            109 => Action::Send(tilde(6)),
            110 => Action::Send(tilde(2)),
            111 if ctrl && alt => Action::Reboot,
            111 => Action::Send(tilde(3)),
            119 if ctrl => Action::Break,
            119 => Action::Send(Bytes::new(&[b"\x1b[P"])),
            _ => Action::None,
        }
    }
}

/// What a key sends with control.
fn control(plain: u8, shifted: u8, shift: bool) -> Option<u8> {
    Some(match plain {
        b'a'..=b'z' => plain & 0x1f,
        b'2' | b' ' | b'`' => 0,
        b'3' | b'[' => 0x1b,
        b'4' | b'\\' => 0x1c,
        b'5' | b']' => 0x1d,
        b'6' => 0x1e,
        b'7' | b'-' => 0x1f,
        b'8' | b'/' => 0x7f,
        b'\'' => 7,
        0x7f => 8,
        b'\r' | b'\t' | 0x1b => plain,
        _ => return if shift && (b'@'..=b'_').contains(&shifted) { Some(shifted & 0x1f) } else { None },
    })
}

/// `ESC [ N ~`.
fn tilde(n: u8) -> Bytes {
    let digits = [b'0' + n / 10, b'0' + n % 10];
    let digits = if n < 10 { digits.get(1..) } else { digits.get(..) };
    Bytes::new(&[b"\x1b[", digits.unwrap_or(&[]), b"~"])
}

fn cursor(c: u8, modes: &Modes) -> Action {
    Action::Send(Bytes::new(&[if modes.cursor_keys { b"\x1bO" } else { b"\x1b[" }, &[c]]))
}

/// What a console in mode `K_MEDIUMRAW` sends for a key.
pub fn medium_raw(key: Key) -> Bytes {
    let up = if key.pressed { 0 } else { 0x80 };
    if key.code < 128 {
        Bytes::new(&[&[key.code as u8 | up]])
    } else {
        Bytes::new(&[&[up, (key.code >> 7) as u8 | 0x80, key.code as u8 | 0x80]])
    }
}
