// SPDX-License-Identifier: GPL-2.0
//! Values of mount options. Source: what Linux's `fs_parser.h` takes.

use errno::{Result, code::*};

/// A number without a sign. `base` 0: as C writes it, octal behind a 0, hexadecimal behind 0x. `EINVAL`.
pub fn number(text: &[u8], base: u32) -> Result<u32> {
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
    let hexadecimal = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let (digits, base) = match (base, hexadecimal) {
        (0, Some(digits)) => (digits, 16),
        (0, None) if text.len() > 1 && text.starts_with('0') => (text, 8),
        (0, None) => (text, 10),
        (base, _) => (text, base),
    };
    // A sign would be taken too.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return Err(EINVAL);
    }
    u32::from_str_radix(digits, base).map_err(|_| EINVAL)
}

/// The number of a user or a group: the last one is nobody's. `EINVAL`.
pub fn id(text: &[u8]) -> Result<u32> {
    Some(number(text, 0)?).filter(|id| *id != u32::MAX).ok_or(EINVAL)
}
