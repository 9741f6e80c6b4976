// SPDX-License-Identifier: GPL-2.0
//! FADT: the power management registers. Source: ACPI specification 5.2.9.

use crate::bytes::Bytes;
use crate::find;
use errno::{Result, code::ENODEV};
use mm_alloc::MmioRegion;
use x86_cpu::io::PortRange;

/// Where a register is (`GAS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// A port.
    Port(u16),
    /// Physical memory.
    Memory(u64),
}

impl Register {
    /// A generic address structure; `None` for an absent one or an address space that is not supported.
    fn from_gas(bytes: Option<Bytes<'_>>) -> Option<Self> {
        let bytes = bytes?;
        let address = bytes.u64(4).filter(|&address| address != 0)?;
        match bytes.u8(0)? {
            0 => Some(Self::Memory(address)),
            1 => u16::try_from(address).ok().map(Self::Port),
            _ => None,
        }
    }

    /// Writes one byte.
    pub fn write8(self, value: u8) -> Result {
        match self {
            Self::Port(port) => PortRange::claim_firmware(port, 1).ok_or(ENODEV)?.write8(0, value),
            Self::Memory(phys) => MmioRegion::map(phys, 1)?.write8(0, value),
        }
        Ok(())
    }

    fn write16(self, value: u16) -> Result {
        match self {
            Self::Port(port) => PortRange::claim_firmware(port, 2).ok_or(ENODEV)?.write16(0, value),
            Self::Memory(phys) => MmioRegion::map(phys, 2)?.write16(0, value),
        }
        Ok(())
    }

    fn read16(self) -> Result<u16> {
        match self {
            Self::Port(port) => Ok(PortRange::claim_firmware(port, 2).ok_or(ENODEV)?.read16(0)),
            Self::Memory(phys) => Ok(MmioRegion::map(phys, 2)?.read16(0)),
        }
    }
}

/// The parts of the FADT that are used.
#[derive(Clone, Copy)]
pub struct Fadt {
    /// Power management timer.
    pub pm_timer: Option<Register>,
    /// The timer counts 32 bits (else 24).
    pub pm_timer_32: bool,
    /// Reset register and what to write there.
    pub reset: Option<(Register, u8)>,
    /// Hardware-reduced ACPI: sleep registers instead of PM1.
    pub hardware_reduced: bool,
    pm1a_event: Option<Register>,
    pm1a_control: Option<Register>,
    pm1b_control: Option<Register>,
    sleep_control: Option<Register>,
    smi_command: u16,
    acpi_enable: u8,
    /// There is a keyboard controller (or the table is too old to say).
    pub has_i8042: bool,
    /// There is a CMOS clock.
    pub has_rtc: bool,
    /// Its register for the century, and those of the alarm's day and month.
    pub century: Option<u8>,
    /// See `century`.
    pub day_alarm: Option<u8>,
    /// See `century`.
    pub month_alarm: Option<u8>,
    /// The interrupt of ACPI events.
    pub sci: u16,
}

const FLAG_RESET: u32 = 1 << 10;
const FLAG_TIMER_32: u32 = 1 << 8;
const FLAG_REDUCED: u32 = 1 << 20;
const BOOT_I8042: u16 = 1 << 1;
const BOOT_NO_RTC: u16 = 1 << 5;
/// PM1 control: ACPI mode is on.
const SCI_EN: u16 = 1 << 0;
/// PM1 control: go to sleep now.
const SLP_EN: u16 = 1 << 13;

impl Fadt {
    /// Reads the table.
    pub fn read() -> Option<Self> {
        let bytes = find(b"FACP")?.bytes;
        let flags = bytes.u32(112)?;
        // The extended address, or the old 32-bit port.
        let register = |extended: usize, old: usize| {
            Register::from_gas(bytes.from(extended)).or_else(|| {
                let port = u16::try_from(bytes.u32(old)?).ok().filter(|&port| port != 0)?;
                Some(Register::Port(port))
            })
        };
        let reset = Register::from_gas(bytes.from(116)).filter(|_| flags & FLAG_RESET != 0);
        let revision = bytes.u8(8)?;
        let boot_flags = bytes.u16(109).unwrap_or(0);
        Some(Self {
            pm_timer: register(208, 76),
            pm_timer_32: flags & FLAG_TIMER_32 != 0,
            reset: reset.zip(bytes.u8(128)),
            hardware_reduced: flags & FLAG_REDUCED != 0,
            pm1a_event: register(148, 56),
            pm1a_control: register(172, 64),
            pm1b_control: register(184, 68),
            sleep_control: Register::from_gas(bytes.from(244)),
            smi_command: bytes.u32(48).and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
            acpi_enable: bytes.u8(52).unwrap_or(0),
            has_i8042: revision < 3 || boot_flags & BOOT_I8042 != 0,
            has_rtc: boot_flags & BOOT_NO_RTC == 0 && flags & FLAG_REDUCED == 0,
            century: bytes.u8(108).filter(|&register| register != 0),
            day_alarm: bytes.u8(106).filter(|&register| register != 0),
            month_alarm: bytes.u8(107).filter(|&register| register != 0),
            sci: bytes.u16(46).unwrap_or(9),
        })
    }

    /// Switches the machine from legacy to ACPI mode, where power-off works. Waits up to 3 s for the firmware.
    pub fn enable_acpi_mode(&self) -> Result {
        let Some(control) = self.pm1a_control else { return if self.hardware_reduced { Ok(()) } else { Err(ENODEV) } };
        if self.hardware_reduced || control.read16()? & SCI_EN != 0 || self.smi_command == 0 || self.acpi_enable == 0 {
            return Ok(());
        }
        PortRange::claim_firmware(self.smi_command, 1).ok_or(ENODEV)?.write8(0, self.acpi_enable);
        for _ in 0..3000 {
            if control.read16()? & SCI_EN != 0 {
                return Ok(());
            }
            x86_delay::delay::mdelay(1);
        }
        Err(ENODEV)
    }

    /// Enters the sleep state whose types `_Sx` gave (`slp_typa`, `slp_typb`). For S5 it does not return if all goes well.
    /// Interrupts off, other CPUs stopped.
    pub fn enter_sleep(&self, slp_typa: u8, slp_typb: u8) -> Result {
        if self.hardware_reduced {
            return self.sleep_control.ok_or(ENODEV)?.write8((slp_typa & 7) << 2 | 1 << 5);
        }
        let control = self.pm1a_control.ok_or(ENODEV)?;
        let keep = control.read16()? & !(7 << 10 | SLP_EN);
        control.write16(keep | u16::from(slp_typa & 7) << 10 | SLP_EN)?;
        if let Some(control) = self.pm1b_control {
            control.write16(keep | u16::from(slp_typb & 7) << 10 | SLP_EN)?;
        }
        Ok(())
    }

    /// The PM1a event block (status, then enable).
    pub fn pm1a_event(&self) -> Option<Register> {
        self.pm1a_event
    }
}
