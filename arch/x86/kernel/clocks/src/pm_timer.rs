// SPDX-License-Identifier: GPL-2.0
//! The ACPI power management timer: 3.579545 MHz, 24 or 32 bits, slow to read but always right.
//! Source: ACPI specification 4.8.3.3.

use clock_hw::ClockSource;
use locking::SetOnce;
use mm_alloc::MmioRegion;
use x86_acpi::fadt::{Fadt, Register};
use x86_cpu::io::PortRange;

const FREQUENCY: u64 = 3_579_545;

/// The timer.
pub(crate) struct PmTimer {
    place: Place,
    mask: u64,
}

enum Place {
    Port(PortRange),
    Memory(MmioRegion),
}

static PM_TIMER: SetOnce<PmTimer> = SetOnce::new();

pub(crate) fn init(fadt: &Fadt) -> Option<&'static PmTimer> {
    let place = match fadt.pm_timer? {
        Register::Port(port) => Place::Port(PortRange::claim_firmware(port, 4)?),
        Register::Memory(phys) => Place::Memory(MmioRegion::map(phys, 4).ok()?),
    };
    let timer = PmTimer { place, mask: if fadt.pm_timer_32 { 0xffff_ffff } else { 0xff_ffff } };
    let first = timer.read();
    let runs = (0..10_000).any(|_| timer.read() != first);
    if !runs {
        return None;
    }
    // First and only call.
    let _ = PM_TIMER.set(timer);
    PM_TIMER.get()
}

impl ClockSource for PmTimer {
    fn name(&self) -> &'static str {
        "acpi_pm"
    }
    fn rating(&self) -> u32 {
        200
    }
    fn read(&self) -> u64 {
        let value = match &self.place {
            Place::Port(port) => port.read32(0),
            Place::Memory(region) => region.read32(0),
        };
        u64::from(value) & self.mask
    }
    fn mask(&self) -> u64 {
        self.mask
    }
    fn frequency_hz(&self) -> u64 {
        FREQUENCY
    }
}
