// SPDX-License-Identifier: GPL-2.0
//! From a PS/2 keyboard's scan codes to Linux's key codes (`linux/input-event-codes.h`). No locks.

/// Which codes come from the keyboard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Set {
    /// Set 1: what the i8042 makes of set 2 with translation on.
    One,
    /// Set 2: what keyboards send.
    Two,
}

/// A key that went down or up. A key that repeats goes down again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// `KEY_*`.
    pub code: u16,
    /// Down, or up.
    pub pressed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Prefix {
    None,
    /// 0xe0.
    Extended,
    /// 0xe1: so many codes of the pause key follow.
    Pause(u8),
}

/// A keyboard in the middle of a sequence.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    set: Set,
    prefix: Prefix,
    /// After the 0xf0 of set 2.
    release: bool,
}

/// The pause key, which has a sequence of its own.
const KEY_PAUSE: u16 = 119;

/// Set 2 to set 1, up to 0x84, as every i8042 translates.
const TRANSLATE: [u8; 133] = [
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, 0x65, 0x38, 0x2a,
    0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05,
    0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, 0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a,
    0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26,
    0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63,
    0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53,
    0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, 0xff, 0xff, 0xff, 0x41, 0x54,
];

/// The key of a code of set 1.
fn plain(code: u8) -> Option<u16> {
    match code {
        1..=0x53 | 0x56..=0x58 => Some(code.into()),
        0x54 => Some(99),
        0x70 => Some(93),
        0x73 => Some(89),
        0x79 => Some(92),
        0x7b => Some(94),
        0x7d => Some(124),
        _ => None,
    }
}

/// The key of a code of set 1 after 0xe0.
fn extended(code: u8) -> Option<u16> {
    Some(match code {
        0x1c => 96,
        0x1d => 97,
        0x35 => 98,
        0x37 => 99,
        0x38 => 100,
        0x47 => 102,
        0x48 => 103,
        0x49 => 104,
        0x4b => 105,
        0x4d => 106,
        0x4f => 107,
        0x50 => 108,
        0x51 => 109,
        0x52 => 110,
        0x53 => 111,
        0x20 => 113,
        0x2e => 114,
        0x30 => 115,
        0x5e => 116,
        0x46 => KEY_PAUSE,
        0x5b => 125,
        0x5c => 126,
        0x5d => 127,
        0x5f => 142,
        0x63 => 143,
        // Shifts that keyboards add around others are no keys.
        _ => return None,
    })
}

impl Decoder {
    /// For a keyboard that sends codes of `set`.
    pub const fn new(set: Set) -> Self {
        Self { set, prefix: Prefix::None, release: false }
    }

    /// Takes a byte; returns the key when a code is complete.
    pub fn push(&mut self, byte: u8) -> Option<Key> {
        let (code, pressed) = match (self.set, byte) {
            (_, 0xe0) => {
                self.prefix = Prefix::Extended;
                return None;
            }
            (_, 0xe1) => {
                self.prefix = Prefix::Pause(2);
                return None;
            }
            (Set::Two, 0xf0) => {
                self.release = true;
                return None;
            }
            (Set::One, _) => (byte & 0x7f, byte & 0x80 == 0),
            (Set::Two, _) => {
                let pressed = !core::mem::take(&mut self.release);
                (TRANSLATE.get(usize::from(byte)).copied().unwrap_or(0xff), pressed)
            }
        };
        let code = match core::mem::replace(&mut self.prefix, Prefix::None) {
            Prefix::None => plain(code),
            Prefix::Extended => extended(code),
            Prefix::Pause(2) => {
                self.prefix = Prefix::Pause(1);
                None
            }
            Prefix::Pause(_) => Some(KEY_PAUSE),
        };
        code.map(|code| Key { code, pressed })
    }
}
