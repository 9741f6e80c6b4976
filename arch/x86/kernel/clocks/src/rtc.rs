// SPDX-License-Identifier: GPL-2.0
//! The CMOS clock's registers, behind one lock ([`CMOS`]): the index port is shared by all who use them. What time it is at boot is
//! read here; everything else is `drivers/rtc/cmos`. Source: MC146818A data sheet.

use errno::{Result, code::EIO};
use locking::SpinLock;
use rtc_lib::Time;
use rtc_lib::mc146818::{Fields, UIP, reg};
use x86_acpi::fadt::Fadt;
use x86_cpu::io::PortRange;

/// The ports of the clock.
const PORTS: u16 = 0x70;

/// The registers.
pub struct Cmos(());

/// The registers, for who holds the lock (with interrupts off). Nothing is taken inside.
pub static CMOS: SpinLock<Cmos> = SpinLock::new(Cmos(()));

impl Cmos {
    fn ports(&self) -> Option<PortRange> {
        PortRange::claim(PORTS, 2)
    }

    /// Reads a register (0 to 127). Without a clock: all ones.
    pub fn read(&mut self, register: u8) -> u8 {
        let Some(ports) = self.ports() else { return 0xff };
        // Bit 7 (NMI off) stays clear.
        ports.write8(0, register & 0x7f);
        ports.read8(1)
    }

    /// Writes a register.
    pub fn write(&mut self, register: u8, value: u8) {
        if let Some(ports) = self.ports() {
            ports.write8(0, register & 0x7f);
            ports.write8(1, value);
        }
    }

    /// The date's registers; `century`: where the century is.
    fn fields(&mut self, century: Option<u8>) -> Fields {
        Fields {
            seconds: self.read(reg::SECONDS),
            minutes: self.read(reg::MINUTES),
            hours: self.read(reg::HOURS),
            day: self.read(reg::DAY_OF_MONTH),
            month: self.read(reg::MONTH),
            year: self.read(reg::YEAR),
            century: century.map(|register| self.read(register)),
            control: self.read(reg::CONTROL),
        }
    }
}

/// The date that the clock shows, valid or not. `EIO` if it is never at rest. Waits up to 10 ms, with interrupts on in between.
pub fn read_time(century: Option<u8>) -> Result<Time> {
    for _ in 0..100 {
        let read = {
            let mut cmos = CMOS.lock_irqsave();
            if cmos.read(reg::FREQ_SELECT) & UIP == 0 {
                let fields = cmos.fields(century);
                // The same twice: no update fell in between.
                (fields == cmos.fields(century)).then_some(fields)
            } else {
                None
            }
        };
        match read {
            Some(fields) => return Ok(fields.time()),
            None => crate::delay::udelay(100),
        }
    }
    Err(EIO)
}

/// The register that firmware names for the century.
pub fn century() -> Option<u8> {
    Fadt::read()?.century
}

/// Seconds since 1970 by the CMOS clock (taken as UTC). EIO when there is no sensible clock. Waits up to 10 ms.
pub fn read_seconds() -> Result<i64> {
    let time = read_time(century())?;
    if time.is_valid() { Ok(time.to_seconds()) } else { Err(EIO) }
}
