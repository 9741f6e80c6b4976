// SPDX-License-Identifier: GPL-2.0
//! Dates against a slow calendar that counts days, registers there and back.

use super::*;
use crate::mc146818::{BINARY, Fields, HOURS_24, alarm_bytes, alarm_time};
use proptest::prelude::*;

/// The date `days` days after 1970-01-01, counted month by month.
fn slow(mut days: i64) -> (i64, i32, i32) {
    let (mut year, mut mon) = (1970, 0);
    while days >= i64::from(month_days(mon, year)) {
        days -= i64::from(month_days(mon, year));
        (year, mon) = if mon == 11 { (year + 1, 0) } else { (year, mon + 1) };
    }
    (year, mon, days as i32 + 1)
}

#[test]
fn known_dates() {
    let leap = Time::from_seconds(951_827_696);
    assert_eq!((leap.year, leap.mon, leap.mday, leap.wday, leap.yday), (100, 1, 29, 2, 59));
    assert_eq!((leap.hour, leap.min, leap.sec), (12, 34, 56));
    assert_eq!(format!("{} {}", leap.date(), leap.clock()), "2000-02-29 12:34:56");
    let first = Time::from_seconds(0);
    assert_eq!((first.year, first.mon, first.mday, first.wday, first.yday), (70, 0, 1, 4, 0));
    assert_eq!(Time::from_seconds(-1).date().to_string(), "1969-12-31");
    assert!(!Time::from_seconds(-1).is_valid() && first.is_valid());
    assert!(!Time::default().is_valid());
    // Nothing overflows.
    for far in [i64::MIN, i64::MAX] {
        let _ = Time::from_seconds(far).to_seconds();
    }
    let _ = Time { year: i32::MAX, mon: i32::MAX, mday: i32::MAX, ..Time::default() }.to_seconds();
    assert!(!Time { year: i32::MIN, mon: i32::MIN, mday: i32::MIN, ..Time::default() }.is_valid());
}

#[test]
fn limits_of_fields() {
    let good = Time { sec: 59, min: 59, hour: 23, mday: 28, mon: 1, year: 123, wday: -1, yday: -1 };
    assert!(good.is_valid());
    let bad = [
        Time { sec: 60, ..good },
        Time { sec: -1, ..good },
        Time { min: 60, ..good },
        Time { hour: 24, ..good },
        Time { mday: 29, ..good },
        Time { mday: 0, ..good },
        Time { mon: 12, ..good },
        Time { mon: -1, ..good },
        Time { year: 69, ..good },
        Time { year: i32::MAX, ..good },
    ];
    assert!(bad.iter().all(|time| !time.is_valid()));
}

#[test]
fn registers() {
    let time = Time { sec: 56, min: 34, hour: 12, mday: 29, mon: 1, year: 124, wday: 0, yday: 0 };
    let bcd = Fields::of(&time, HOURS_24, true).unwrap();
    assert_eq!((bcd.seconds, bcd.hours, bcd.month, bcd.year, bcd.century), (0x56, 0x12, 2, 0x24, Some(0x20)));
    // Noon and midnight of a clock with twelve hours.
    assert_eq!(Fields::of(&time, 0, false).unwrap().hours, 0x92);
    assert_eq!(Fields::of(&Time { hour: 0, ..time }, 0, false).unwrap().hours, 0x12);
    assert!(Fields::of(&Time { year: 170, ..time }, 0, false).is_none());
    assert!(Fields::of(&Time { year: 255, ..time }, 0, true).is_some());
    assert!(Fields::of(&Time { year: 256, ..time }, 0, true).is_none());
    // Any bytes give some value.
    for byte in 0..=255u8 {
        for control in [0, BINARY, HOURS_24, BINARY | HOURS_24] {
            let _ = alarm_time([byte; 3], control);
            let _ =
                Fields { seconds: byte, hours: byte, year: byte, century: Some(byte), control, ..Fields::default() }
                    .time();
        }
    }
}

#[test]
fn alarms_without_a_date() {
    let now = Time::from_seconds(951_827_696);
    let at = |hour, mday, mon, year| Time { sec: 0, min: 0, hour, mday, mon, year, wday: -1, yday: -1 };
    let date = |time: Option<Time>| time.map(|time| time.date().to_string());
    assert_eq!(date(complete_alarm(at(13, -1, -1, -1), &now)).as_deref(), Some("2000-02-29"));
    assert_eq!(date(complete_alarm(at(12, -1, -1, -1), &now)).as_deref(), Some("2000-03-01"));
    assert_eq!(date(complete_alarm(at(1, 29, -1, -1), &now)).as_deref(), Some("2000-03-29"));
    assert_eq!(date(complete_alarm(at(1, 29, 1, -1), &now)).as_deref(), Some("2004-02-29"));
    assert_eq!(complete_alarm(at(25, -1, -1, -1), &now), None);
    let january = Time::from_seconds(Time { mon: 0, mday: 31, ..now }.to_seconds());
    assert_eq!(date(complete_alarm(at(1, 31, -1, -1), &january)).as_deref(), Some("2000-03-31"));
}

proptest! {
    #[test]
    fn days_are_those_of_the_calendar(days in 0i64..200_000) {
        let time = Time::from_seconds(days * DAY + 1);
        prop_assert_eq!((i64::from(time.year) + 1900, time.mon, time.mday), slow(days));
        prop_assert!(time.is_valid());
    }

    #[test]
    fn there_and_back(seconds in -5_000_000_000_000i64..5_000_000_000_000) {
        prop_assert_eq!(Time::from_seconds(seconds).to_seconds(), seconds);
    }

    #[test]
    fn registers_keep_dates(seconds in 0i64..7_258_118_400, binary: bool, hours_24: bool, century: bool) {
        let control = if binary { BINARY } else { 0 } | if hours_24 { HOURS_24 } else { 0 };
        let time = Time { wday: 0, yday: 0, ..Time::from_seconds(seconds) };
        if let Some(fields) = Fields::of(&time, control, century) {
            prop_assert_eq!(fields.time(), time);
        }
        let alarm = alarm_time(alarm_bytes(&time, control), control);
        prop_assert_eq!((alarm.sec, alarm.min, alarm.hour), (time.sec, time.min, time.hour));
    }
}
