// SPDX-License-Identifier: GPL-2.0
//! Dates of real-time clocks: [`Time`], the fields as Linux's `struct rtc_time` has them, to seconds since 1970 and back; the
//! registers of an MC146818 ([`mc146818`]). Pure; called by `drivers/rtc` and, for the time at boot, by `arch/x86/kernel`.
//! Source: `rtc(4)`, MC146818A data sheet.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod mc146818;

use core::fmt;

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// A date and a time of day. Fields have no sensible value until somebody says so: see [`Time::is_valid`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds, 0 to 59.
    pub sec: i32,
    /// Minutes, 0 to 59.
    pub min: i32,
    /// Hours, 0 to 23.
    pub hour: i32,
    /// Day of the month, from 1.
    pub mday: i32,
    /// Month, 0 to 11.
    pub mon: i32,
    /// Years since 1900.
    pub year: i32,
    /// Day of the week, 0 is Sunday. Not looked at.
    pub wday: i32,
    /// Day of the year, from 0. Not looked at.
    pub yday: i32,
}

/// An alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// It rings.
    pub enabled: bool,
    /// When. A field of -1: the clock does not compare it.
    pub time: Time,
}

/// Whether a year has 366 days.
pub fn is_leap_year(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

/// Days of month `mon` (0 to 11) of `year` (counted from 0); 0 for other months.
pub fn month_days(mon: i32, year: i64) -> i32 {
    match mon {
        1 => 28 + i32::from(is_leap_year(year)),
        3 | 5 | 8 | 10 => 30,
        0..=11 => 31,
        _ => 0,
    }
}

/// Days from 1970-01-01 to a date in the Gregorian calendar; `month` is counted from 1.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March, so that the leap day is the last; in eras of 400 years, so that the rest is never negative.
    let y = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

impl Time {
    /// Year as people count.
    fn full_year(&self) -> i64 {
        i64::from(self.year) + 1900
    }

    /// Whether all fields that are looked at are a date from 1970 on and a time of day (`rtc_valid_tm`).
    pub fn is_valid(&self) -> bool {
        // Above this Linux's arithmetic would overflow.
        (70..=i32::MAX - 1900).contains(&self.year)
            && (0..12).contains(&self.mon)
            && (1..=month_days(self.mon, self.full_year())).contains(&self.mday)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.min)
            && (0..60).contains(&self.sec)
    }

    /// Seconds since 1970 (`rtc_tm_to_time64`). Fields that are out of range count as so many units.
    pub fn to_seconds(&self) -> i64 {
        let days = days_from_civil(self.full_year(), i64::from(self.mon) + 1, i64::from(self.mday));
        days * DAY + i64::from(self.hour) * 3600 + i64::from(self.min) * 60 + i64::from(self.sec)
    }

    /// The date of so many seconds since 1970 (`rtc_time64_to_tm`), with the days of week and year. What is beyond the years that
    /// fit is the last that does.
    pub fn from_seconds(seconds: i64) -> Self {
        // The years of 32 bits, give or take one.
        const MOST: i64 = 67_767_976_233_532_799;
        let seconds = seconds.clamp(-MOST, MOST);
        let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let z = days + 719_468;
        let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            sec: (rest % 60) as i32,
            min: (rest / 60 % 60) as i32,
            hour: (rest / 3600) as i32,
            mday: day as i32,
            mon: month as i32 - 1,
            year: (year - 1900) as i32,
            // 1970 began on a Thursday.
            wday: (days + 4).rem_euclid(7) as i32,
            yday: (days - days_from_civil(year, 1, 1)) as i32,
        }
    }

    /// `2024-02-29`.
    pub fn date(&self) -> impl fmt::Display {
        let (year, mon, mday) = (self.full_year(), self.mon.saturating_add(1), self.mday);
        fmt::from_fn(move |f| write!(f, "{year:04}-{mon:02}-{mday:02}"))
    }

    /// `23:59:59`.
    pub fn clock(&self) -> impl fmt::Display {
        let (hour, min, sec) = (self.hour, self.min, self.sec);
        fmt::from_fn(move |f| write!(f, "{hour:02}:{min:02}:{sec:02}"))
    }
}

/// What a clock does not keep of its alarm.
#[derive(PartialEq)]
enum Missing {
    Nothing,
    Day,
    Month,
    Year,
}

/// Completes an alarm as a clock keeps it (fields of -1 are missing) to the next time that it means after `now`. `None`: no such time.
/// Source: what Linux's `__rtc_read_alarm` is documented to do.
pub fn complete_alarm(alarm: Time, now: &Time) -> Option<Time> {
    if alarm.is_valid() {
        return Some(alarm);
    }
    let mut time = alarm;
    for (field, at) in [(&mut time.sec, now.sec), (&mut time.min, now.min), (&mut time.hour, now.hour)] {
        if *field == -1 {
            *field = at;
        }
    }
    let mut missing = Missing::Nothing;
    if !(1..=31).contains(&time.mday) {
        (time.mday, missing) = (now.mday, Missing::Day);
    }
    if !(0..12).contains(&time.mon) {
        time.mon = now.mon;
        if missing == Missing::Nothing {
            missing = Missing::Month;
        }
    }
    if time.year == -1 {
        time.year = now.year;
        if missing == Missing::Nothing {
            missing = Missing::Year;
        }
    }
    if !time.is_valid() {
        return None;
    }
    if now.to_seconds() < time.to_seconds() {
        return Some(time);
    }
    match missing {
        Missing::Nothing => {}
        Missing::Day => time = Time::from_seconds(time.to_seconds() + DAY),
        Missing::Month => {
            // The next month that has such a day: there is one within three.
            for _ in 0..12 {
                (time.mon, time.year) =
                    if time.mon < 11 { (time.mon + 1, time.year) } else { (0, time.year.saturating_add(1)) };
                if month_days(time.mon, time.full_year()) >= time.mday {
                    break;
                }
            }
        }
        Missing::Year => {
            // February 29 comes again within eight years.
            for _ in 0..8 {
                time.year = time.year.saturating_add(1);
                if time.is_valid() {
                    break;
                }
            }
        }
    }
    time.is_valid().then_some(time)
}

#[cfg(test)]
mod tests;
