// SPDX-License-Identifier: GPL-2.0
//! Integers from text, as the kernel reads them: decimal, `0x`, `0o` or a leading `0`, `0b`. `kernel::str::parse_int`.

use super::BStr;
use errno::{Result, code::EINVAL};

/// A type that can be read from text.
pub trait ParseInt: Sized {
    /// Reads a number. `EINVAL` if there is none, or if the type does not have it.
    fn from_str(src: &BStr) -> Result<Self>;
}

/// Sign, base and digits.
fn split(text: &[u8]) -> (bool, u32, &[u8]) {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    match rest {
        [b'0', b'x' | b'X', rest @ ..] => (negative, 16, rest),
        [b'0', b'o' | b'O', rest @ ..] => (negative, 8, rest),
        [b'0', b'b' | b'B', rest @ ..] => (negative, 2, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (negative, 8, rest),
        _ => (negative, 10, rest),
    }
}

/// The number, if an `i128` has it.
fn number(text: &[u8]) -> Option<i128> {
    let (negative, base, digits) = split(text);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i128;
    for (at, &byte) in digits.iter().enumerate() {
        if byte == b'_' && at != 0 {
            continue;
        }
        let digit = char::from(byte).to_digit(base)?;
        value = value.checked_mul(base.into())?.checked_add(digit.into())?;
    }
    if negative { value.checked_neg() } else { Some(value) }
}

macro_rules! integers {
    ($($ty:ty)*) => { $(
        impl ParseInt for $ty {
            fn from_str(src: &BStr) -> Result<Self> {
                number(src).and_then(|value| value.try_into().ok()).ok_or(EINVAL)
            }
        }
    )* };
}
integers!(i8 u8 i16 u16 i32 u32 i64 u64 isize usize);
