// SPDX-License-Identifier: GPL-2.0
//! Times, in seconds since 1970.

use crate::byte;
use rtc_lib::Time;

/// `year` counted from 1900; month, day, hour, minute, second.
fn seconds(year: i32, fields: [i32; 5], zone: u8) -> i64 {
    let [month, mday, hour, min, sec] = fields;
    let at = Time { sec, min, hour, mday, mon: month.clamp(1, 12) - 1, year, ..Time::default() }.to_seconds();
    // Quarters of an hour east of Greenwich; other values are no zones.
    let zone = i64::from(zone.cast_signed());
    if (-52..=52).contains(&zone) { at - zone * 15 * 60 } else { at }
}

/// The seven bytes of a directory record.
pub(crate) fn short(bytes: &[u8]) -> i64 {
    let field = |at| i32::from(byte(bytes, at));
    if byte(bytes, 0) == 0 && byte(bytes, 1) == 0 {
        return 0;
    }
    seconds(field(0), [field(1), field(2), field(3), field(4), field(5)], byte(bytes, 6))
}

/// The seventeen bytes of the long form: digits.
pub(crate) fn long(bytes: &[u8]) -> i64 {
    let digits = |at: usize, n: usize| {
        let text = bytes.get(at..at + n).unwrap_or(b"");
        text.iter().fold(0i32, |value, digit| value * 10 + i32::from(digit.wrapping_sub(b'0').min(9)))
    };
    if digits(0, 4) == 0 {
        return 0;
    }
    let fields = [4, 6, 8, 10, 12].map(|at| digits(at, 2));
    seconds(digits(0, 4) - 1900, fields, byte(bytes, 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known() {
        assert_eq!(short(&[70, 1, 1, 0, 0, 0, 0]), 0);
        assert_eq!(short(&[101, 9, 9, 1, 46, 40, 0]), 1_000_000_000);
        assert_eq!(short(&[101, 9, 9, 3, 46, 40, 8]), 1_000_000_000);
        assert_eq!(short(&[100, 3, 1, 0, 0, 0, 0]), 951_868_800);
        assert_eq!(long(b"2001090901464000\0"), 1_000_000_000);
        assert_eq!(short(&[]), 0);
    }
}
