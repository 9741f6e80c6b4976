// SPDX-License-Identifier: GPL-2.0
//! The CMOS clock: what time it is at boot. Read once, and by whoever asks again; no locks (the index port is used by this
//! code alone). Source: MC146818A data sheet.

use errno::{Result, code::EIO};
use x86_cpu::io::PortRange;
use x86_cpu::irqflags::IrqGuard;

/// The index port and, after it, the data port.
const PORTS: Option<PortRange> = PortRange::claim(0x70, 2);
const INDEX: u16 = 0;
const DATA: u16 = 1;
/// Register A: an update is in progress.
const UPDATING: u8 = 1 << 7;
/// Register B: binary, not BCD.
const BINARY: u8 = 1 << 2;
/// Register B: 24-hour.
const HOURS_24: u8 = 1 << 1;

fn read(register: u8) -> u8 {
    let Some(ports) = PORTS else { return 0xff };
    // Bit 7 (NMI off) stays clear.
    ports.write8(INDEX, register);
    ports.read8(DATA)
}

/// Seconds since 1970 by the CMOS clock (taken as UTC). EIO when there is no sensible clock. Waits up to 10 ms.
pub fn read_seconds() -> Result<i64> {
    let _irq = IrqGuard::new();
    for _ in 0..100 {
        if read(0x0a) & UPDATING != 0 {
            crate::delay::udelay(100);
            continue;
        }
        let fields = read_fields();
        // The same twice: no update fell in between.
        if fields == read_fields() {
            return to_seconds(fields);
        }
    }
    Err(EIO)
}

/// Second, minute, hour, day, month, year, century as the registers have them.
fn read_fields() -> [u8; 7] {
    [0x00, 0x02, 0x04, 0x07, 0x08, 0x09, 0x32].map(read)
}

fn to_seconds([second, minute, hour, day, month, year, century]: [u8; 7]) -> Result<i64> {
    let mode = read(0x0b);
    let decode = |value: u8| -> i64 {
        let value = if mode & BINARY != 0 { value } else { (value >> 4).wrapping_mul(10).wrapping_add(value & 0xf) };
        i64::from(value)
    };
    let mut h = decode(hour & 0x7f);
    if mode & HOURS_24 == 0 {
        h = h % 12 + if hour & 0x80 != 0 { 12 } else { 0 };
    }
    // The century register is not everywhere; the kernel did not run before 2000.
    let c = match decode(century) {
        c @ 19..=21 => c,
        _ => 20,
    };
    let (y, m, d) = (c * 100 + decode(year), decode(month), decode(day));
    if !(1..=12).contains(&m) || !(1..=31).contains(&d) || h > 23 {
        return Err(EIO);
    }
    Ok(days_from_civil(y, m, d) * 86400 + h * 3600 + decode(minute) * 60 + decode(second))
}

/// Days since 1970-01-01 of a date in the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March, so that the leap day is the last.
    let y = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719_468
}
