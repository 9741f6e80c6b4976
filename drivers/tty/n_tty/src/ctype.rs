// SPDX-License-Identifier: GPL-2.0
//! Character classes as the kernel has them: ASCII and Latin-1. No locks.

/// A control character: it is echoed as `^X`.
pub(crate) fn is_cntrl(c: u8) -> bool {
    c < 0x20 || c == 0x7f
}

/// A letter or a digit: part of a word.
pub(crate) fn is_alnum(c: u8) -> bool {
    c.is_ascii_alphanumeric() || (c >= 0xc0 && c != 0xd7 && c != 0xf7)
}

/// `IUCLC`.
pub(crate) fn to_lower(c: u8) -> u8 {
    match c {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => c | 0x20,
        _ => c,
    }
}

/// `OLCUC`.
pub(crate) fn to_upper(c: u8) -> u8 {
    match c {
        b'a'..=b'z' | 0xdf..=0xf6 | 0xf8..=0xff => c.wrapping_sub(0x20),
        _ => c,
    }
}
