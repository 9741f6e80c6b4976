// SPDX-License-Identifier: GPL-2.0
//! Times, in seconds since 1970.

use crate::byte;

/// Days from 1970 to the first of `month` (1 to 12) of `year`.
fn days(year: i64, month: i64) -> i64 {
    // Years begin in March, so that the leap day is the last.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 - 719_468
}

fn seconds(year: i64, fields: [i64; 5], zone: u8) -> i64 {
    let [month, day, hour, minute, second] = fields;
    let month = month.clamp(1, 12);
    let at = ((days(year, month) + day - 1) * 24 + hour) * 3600 + minute * 60 + second;
    // Quarters of an hour east of Greenwich; other values are no zones.
    let zone = i64::from(zone.cast_signed());
    if (-52..=52).contains(&zone) { at - zone * 15 * 60 } else { at }
}

/// The seven bytes of a directory record.
pub(crate) fn short(bytes: &[u8]) -> i64 {
    let field = |at| i64::from(byte(bytes, at));
    if byte(bytes, 0) == 0 && byte(bytes, 1) == 0 {
        return 0;
    }
    seconds(1900 + field(0), [field(1), field(2), field(3), field(4), field(5)], byte(bytes, 6))
}

/// The seventeen bytes of the long form: digits.
pub(crate) fn long(bytes: &[u8]) -> i64 {
    let digits = |at: usize, n: usize| {
        let text = bytes.get(at..at + n).unwrap_or(b"");
        text.iter().fold(0i64, |value, digit| value * 10 + i64::from(digit.wrapping_sub(b'0').min(9)))
    };
    if digits(0, 4) == 0 {
        return 0;
    }
    seconds(digits(0, 4), [digits(4, 2), digits(6, 2), digits(8, 2), digits(10, 2), digits(12, 2)], byte(bytes, 16))
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
