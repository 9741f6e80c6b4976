// SPDX-License-Identifier: GPL-2.0
//! Times: local ones, from 1980 to 2107, in steps of two seconds; those of creation in hundredths.

use rtc_lib::Time;

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

impl Stamp {
    /// Seconds and nanoseconds since 1970. `west`: seconds to add to local time.
    pub fn to_unix(self, west: i64) -> (i64, u32) {
        let (time, date) = (i32::from(self.time), i32::from(self.date));
        let at = Time {
            sec: (time & 31) * 2,
            min: time >> 5 & 63,
            hour: time >> 11,
            mday: (date & 31).max(1),
            mon: (date >> 5 & 15).clamp(1, 12) - 1,
            // Those of `Time` begin with 1900.
            year: 80 + (date >> 9),
            ..Time::default()
        };
        let at = at.to_seconds() + west + i64::from(self.hundredths / 100);
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
        let at = Time::from_seconds(local);
        // The fields fit: the year is at most 2107.
        let date = (at.year - 80) << 9 | (at.mon + 1) << 5 | at.mday;
        let time = at.hour << 11 | at.min << 5 | (at.sec / 2);
        let hundredths = (at.sec % 2).cast_unsigned() * 100 + nanoseconds / 10_000_000;
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
