// SPDX-License-Identifier: GPL-2.0
//! The registers of an MC146818, the clock of PCs, and what their bytes mean: binary or decimal, 12 or 24 hours, two digits of the
//! year. The registers themselves are read and written by who has the ports. Source: MC146818A data sheet, ACPI 5.2.9 (century).

use crate::Time;

/// Numbers of registers.
pub mod reg {
    /// Seconds.
    pub const SECONDS: u8 = 0;
    /// Seconds of the alarm.
    pub const SECONDS_ALARM: u8 = 1;
    /// Minutes.
    pub const MINUTES: u8 = 2;
    /// Minutes of the alarm.
    pub const MINUTES_ALARM: u8 = 3;
    /// Hours.
    pub const HOURS: u8 = 4;
    /// Hours of the alarm.
    pub const HOURS_ALARM: u8 = 5;
    /// Day of the week; 1 is Sunday.
    pub const DAY_OF_WEEK: u8 = 6;
    /// Day of the month.
    pub const DAY_OF_MONTH: u8 = 7;
    /// Month.
    pub const MONTH: u8 = 8;
    /// Year, its last two digits.
    pub const YEAR: u8 = 9;
    /// Register A: the divider; whether an update is in progress.
    pub const FREQ_SELECT: u8 = 10;
    /// Register B: interrupts, formats.
    pub const CONTROL: u8 = 11;
    /// Register C: which interrupts there are; reading it takes them back.
    pub const INTR_FLAGS: u8 = 12;
    /// Register D: whether the battery holds.
    pub const VALID: u8 = 13;
}

/// Register A: an update is in progress, the time must not be read.
pub const UIP: u8 = 0x80;
/// Register A: the divider is held.
pub const DIV_RESET2: u8 = 0x70;
/// Register A: the usual divider, and 1024 periodic interrupts a second.
pub const USUAL_RATE: u8 = 0x26;
/// Register B: the time stands still, to be set.
pub const SET: u8 = 0x80;
/// Register B: interrupts, periodic; register C: there was one.
pub const PIE: u8 = 0x40;
/// Register B: interrupts of the alarm; register C: it rang.
pub const AIE: u8 = 0x20;
/// Register B: interrupts with each second; register C: there was one.
pub const UIE: u8 = 0x10;
/// Register B: fields are binary, not decimal.
pub const BINARY: u8 = 0x04;
/// Register B: 24 hours.
pub const HOURS_24: u8 = 0x02;
/// Register B: daylight saving time is switched.
pub const DST: u8 = 0x01;
/// Register C: one of the interrupts is there.
pub const IRQF: u8 = 0x80;
/// Register D: the battery holds.
pub const VRT: u8 = 0x80;

/// The bytes of a date, with register B that says how to read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Seconds.
    pub seconds: u8,
    /// Minutes.
    pub minutes: u8,
    /// Hours; without [`HOURS_24`] the top bit means the afternoon.
    pub hours: u8,
    /// Day of the month.
    pub day: u8,
    /// Month, from 1.
    pub month: u8,
    /// Last two digits of the year.
    pub year: u8,
    /// The others, if the machine has a register for them.
    pub century: Option<u8>,
    /// Register B.
    pub control: u8,
}

/// A byte's value.
fn decode(byte: u8, control: u8) -> i32 {
    if control & BINARY != 0 { byte.into() } else { i32::from(byte >> 4) * 10 + i32::from(byte & 0xf) }
}

/// The byte of a value from 0 to 99.
pub fn encode(value: i32, control: u8) -> u8 {
    let value = value.clamp(0, 99) as u8;
    if control & BINARY != 0 { value } else { ((value / 10) << 4) | (value % 10) }
}

/// An hour's value.
fn decode_hours(byte: u8, control: u8) -> i32 {
    if control & HOURS_24 != 0 {
        return decode(byte, control);
    }
    decode(byte & 0x7f, control) % 12 + if byte & 0x80 != 0 { 12 } else { 0 }
}

/// The byte of an hour.
fn encode_hours(hour: i32, control: u8) -> u8 {
    if control & HOURS_24 != 0 {
        return encode(hour, control);
    }
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    encode(twelve, control) | if hour >= 12 { 0x80 } else { 0 }
}

impl Fields {
    /// The date; days of week and year are not known (0). It may be no valid one.
    pub fn time(&self) -> Time {
        let control = self.control;
        let mut year = decode(self.year, control);
        if let Some(century) = self.century.map(|century| decode(century, control)).filter(|&century| century > 19) {
            year += (century - 19) * 100;
        }
        // Two digits: the clock is no older than 1970.
        if year <= 69 {
            year += 100;
        }
        Time {
            sec: decode(self.seconds, control),
            min: decode(self.minutes, control),
            hour: decode_hours(self.hours, control),
            mday: decode(self.day, control),
            mon: decode(self.month, control) - 1,
            year,
            wday: 0,
            yday: 0,
        }
    }

    /// The bytes of a valid date. `None`: the clock cannot tell its year, whether or not it has a `century`.
    pub fn of(time: &Time, control: u8, century: bool) -> Option<Self> {
        if time.year > 255 || (!century && time.year > 169) {
            return None;
        }
        Some(Self {
            seconds: encode(time.sec, control),
            minutes: encode(time.min, control),
            hours: encode_hours(time.hour, control),
            day: encode(time.mday, control),
            month: encode(time.mon + 1, control),
            year: encode(time.year % 100, control),
            century: century.then(|| encode((time.year + 1900) / 100, control)),
            control,
        })
    }
}

/// The bytes of an alarm: seconds, minutes, hours.
pub fn alarm_bytes(time: &Time, control: u8) -> [u8; 3] {
    [encode(time.sec, control), encode(time.min, control), encode_hours(time.hour, control)]
}

/// An alarm of which nothing but seconds, minutes and hours is kept; -1 is what the clock does not compare.
pub fn alarm_time([seconds, minutes, hours]: [u8; 3], control: u8) -> Time {
    let field = |byte: u8, end| Some(decode(byte, control)).filter(|&value| byte < 0xc0 && value < end).unwrap_or(-1);
    let hour = if hours >= 0xc0 { -1 } else { decode_hours(hours, control) };
    Time {
        sec: field(seconds, 60),
        min: field(minutes, 60),
        hour: if hour < 24 { hour } else { -1 },
        mday: -1,
        mon: -1,
        year: -1,
        wday: -1,
        yday: -1,
    }
}
