// SPDX-License-Identifier: GPL-2.0
//! Numbers and switches as the kernel reads them: from the command line, module parameters, `/proc` and `/sys`. No locks.

use errno::{Result, code::*};

/// Digits in `base` (0: by prefix) from the start: value, whether it overflowed (it wrapped), digits' number, rest.
fn digits(text: &[u8], base: u32) -> (u64, bool, usize, &[u8]) {
    let hex_prefix = matches!(text, [b'0', b'x' | b'X', d, ..] if d.is_ascii_hexdigit());
    let base = match base {
        0 if hex_prefix => 16,
        0 if text.first() == Some(&b'0') => 8,
        0 => 10,
        b => b.clamp(2, 36),
    };
    let mut rest = match text {
        [_, _, rest @ ..] if base == 16 && hex_prefix => rest,
        _ => text,
    };
    let (mut value, mut overflow, mut n) = (0u64, false, 0usize);
    while let [c, next @ ..] = rest
        && let Some(d) = char::from(*c).to_digit(base)
    {
        let (v, a) = value.overflowing_mul(base.into());
        let (v, b) = v.overflowing_add(d.into());
        (value, overflow, n, rest) = (v, overflow | a | b, n.saturating_add(1), next);
    }
    (value, overflow, n, rest)
}

/// A number at the start of `text` and what follows it (`simple_strtoull`): 0 if there is none; overflow wraps.
pub fn simple_strtoul(text: &[u8], base: u32) -> (u64, &[u8]) {
    let (value, _, _, rest) = digits(text, base);
    (value, rest)
}

/// A size at the start of `text` with an optional suffix K, M, G, T, P or E in powers of 1024, and what follows it.
pub fn memparse(text: &[u8]) -> (u64, &[u8]) {
    let (value, rest) = simple_strtoul(text, 0);
    let shift = match rest.first().map(u8::to_ascii_uppercase) {
        Some(b'K') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        Some(b'T') => 40,
        Some(b'P') => 50,
        Some(b'E') => 60,
        _ => return (value, rest),
    };
    (value << shift, rest.get(1..).unwrap_or(&[]))
}

/// What `get_option` found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GetOption {
    /// No number.
    None,
    /// A number at the end.
    Int(i32),
    /// A number and a comma.
    IntComma(i32),
    /// A number and a dash: the first of a range.
    Range(i32),
}

/// The next number of a list `1,2,5-8`, and what follows (after the comma; at the number behind the dash of a range).
pub fn get_option(text: &[u8]) -> (GetOption, &[u8]) {
    let (negative, start) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (value, _, n, rest) = digits(start, 0);
    if n == 0 {
        return (GetOption::None, text);
    }
    let value = if negative { value.wrapping_neg() } else { value } as i32;
    match rest {
        [b',', rest @ ..] => (GetOption::IntComma(value), rest),
        [b'-', rest @ ..] => (GetOption::Range(value), rest),
        _ => (GetOption::Int(value), rest),
    }
}

/// All of `text` as a number; one newline may follow. `EINVAL`, `ERANGE`.
fn whole(text: &[u8], base: u32) -> Result<u64> {
    let (value, overflow, n, rest) = digits(text, base);
    if n == 0 || !matches!(rest, [] | [b'\n']) {
        return Err(if overflow { ERANGE } else { EINVAL });
    }
    if overflow { Err(ERANGE) } else { Ok(value) }
}

/// An unsigned number: an optional plus sign, digits in `base` (0: decimal, 0x, 0 octal), an optional newline. `EINVAL`,
/// `ERANGE`.
pub fn kstrtou64(text: &[u8], base: u32) -> Result<u64> {
    whole(text.strip_prefix(b"+").unwrap_or(text), base)
}

/// As `kstrtou64` with an optional minus sign. `EINVAL`, `ERANGE`.
pub fn kstrtoi64(text: &[u8], base: u32) -> Result<i64> {
    match text {
        [b'-', rest @ ..] => 0i64.checked_sub_unsigned(whole(rest, base)?).ok_or(ERANGE),
        _ => i64::try_from(kstrtou64(text, base)?).map_err(|_| ERANGE),
    }
}

/// As `kstrtou64`, in 32 bits. `EINVAL`, `ERANGE`.
pub fn kstrtou32(text: &[u8], base: u32) -> Result<u32> {
    u32::try_from(kstrtou64(text, base)?).map_err(|_| ERANGE)
}

/// As `kstrtoi64`, in 32 bits. `EINVAL`, `ERANGE`.
pub fn kstrtoi32(text: &[u8], base: u32) -> Result<i32> {
    i32::try_from(kstrtoi64(text, base)?).map_err(|_| ERANGE)
}

/// A switch, by its first letters: y, t, 1, on; n, f, 0, off. `EINVAL`.
pub fn kstrtobool(text: &[u8]) -> Result<bool> {
    match text {
        [b'y' | b'Y' | b't' | b'T' | b'1', ..] | [b'o' | b'O', b'n' | b'N', ..] => Ok(true),
        [b'n' | b'N' | b'f' | b'F' | b'0', ..] | [b'o' | b'O', b'f' | b'F', ..] => Ok(false),
        _ => Err(EINVAL),
    }
}
