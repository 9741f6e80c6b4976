// SPDX-License-Identifier: GPL-2.0
//! Times: local ones, from 1980 to 2107, in steps of two seconds; those of creation in hundredths.

const DAY: i64 = 86400;
/// 1980-01-01, and the last moment that can be said, in seconds since 1970.
const FIRST: i64 = 315_532_800;
const LAST: i64 = 4_354_819_199;

/// A time as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    /// Hours, minutes, half seconds.
    pub time: u16,
    /// Years, months, days.
    pub date: u16,
    /// Hundredths of a second, up to two seconds.
    pub hundredths: u8,
}

/// Days from 1970 to the day.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 - 719_469 + day
}

/// Year, month and day of a day since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

impl Stamp {
    /// Seconds and nanoseconds since 1970. `west`: seconds to add to local time.
    pub fn to_unix(self, west: i64) -> (i64, u32) {
        let (time, date) = (i64::from(self.time), i64::from(self.date));
        let (month, day) = ((date >> 5 & 15).clamp(1, 12), (date & 31).max(1));
        let seconds = (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2;
        let at = days(1980 + (date >> 9), month, day) * DAY + seconds + west + i64::from(self.hundredths / 100);
        (at, u32::from(self.hundredths % 100) * 10_000_000)
    }

    /// The nearest time before that can be stored.
    pub fn from_unix(seconds: i64, nanoseconds: u32, west: i64) -> Self {
        let local = seconds.saturating_sub(west);
        if local < FIRST {
            return Self { time: 0, date: 1 << 5 | 1, hundredths: 0 };
        }
        if local > LAST {
            return Self { time: 23 << 11 | 59 << 5 | 29, date: 127 << 9 | 12 << 5 | 31, hundredths: 199 };
        }
        let (year, month, day) = civil(local / DAY);
        let second = local % DAY;
        // The fields fit: the year is at most 2107.
        let date = (year - 1980) << 9 | month << 5 | day;
        let time = second / 3600 << 11 | second / 60 % 60 << 5 | second % 60 / 2;
        let hundredths = (second % 2) * 100 + i64::from(nanoseconds / 10_000_000);
        Self { time: time as u16, date: date as u16, hundredths: hundredths as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known() {
        let stamp = Stamp::from_unix(1_000_000_001, 570_000_000, 0);
        assert_eq!(stamp, Stamp { time: 1 << 11 | 46 << 5 | 20, date: 21 << 9 | 9 << 5 | 9, hundredths: 157 });
        assert_eq!(stamp.to_unix(0), (1_000_000_001, 570_000_000));
        assert_eq!(Stamp { hundredths: 0, ..stamp }.to_unix(3600), (1_000_003_600, 0));
        assert_eq!(Stamp::default().to_unix(0), (FIRST, 0));
        assert_eq!(Stamp::from_unix(0, 0, 0).to_unix(0), (FIRST, 0));
        assert_eq!(Stamp::from_unix(i64::MAX, 0, 0).to_unix(0).0, LAST);
    }

    #[test]
    fn back_and_forth() {
        let mut at = FIRST;
        while at < LAST {
            assert_eq!(Stamp::from_unix(at, 0, 0).to_unix(0), (at, 0));
            assert_eq!(Stamp::from_unix(at, 0, -7200).to_unix(-7200), (at, 0));
            at += 1_234_567;
        }
    }
}
