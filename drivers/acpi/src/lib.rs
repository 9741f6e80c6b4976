// SPDX-License-Identifier: GPL-2.0
//! ACPI's interpreted part: AML, through the `acpi` crate, on top of the static tables of `arch/x86/kernel`. It is used for what
//! the static tables do not say: the sleep type of soft-off (`\_S5`), and devices.
//!
//! The interpreter runs in process context when the machine is to be switched off, and at boot only if the DSDT has devices that
//! nothing else names (`devices`, `pnp`) or there are additional tables (`namespace`): loading it takes longer than all of the rest of
//! ACPI. A DSDT that the interpreter cannot load is searched for a plain `\_S5` package instead.
//! No locks of its own; one caller at a time: process 1 at boot, then `reboot(2)`, which has a lock for that (`process::misc`).
//! What the interpreter may do to the machine, with the unsafe code that this takes, is `acpi_osl`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod aml;
mod devices;
pub mod namespace;
mod pnp;
mod s5;

pub use devices::{PlatformDevice, devices_with_hid};
pub use pnp::{PnpDevice, devices_with_eisa_id};

use core::sync::atomic::{AtomicU32, Ordering};
use x86::acpi::fadt::Fadt;
use x86::reboot::{POWER_OFF, PowerOff};

/// The sleep types of `\_S5`, as `PREPARED | a << 8 | b`; 0 before [`PowerOff::prepare`].
static SLEEP_TYPES: AtomicU32 = AtomicU32::new(0);
const PREPARED: u32 = 1 << 31;

struct AcpiPowerOff;

impl PowerOff for AcpiPowerOff {
    fn prepare(&self) -> bool {
        let Some(fadt) = Fadt::read() else { return false };
        let Some((a, b)) = s5::sleep_types() else {
            klog::pr_warn!("ACPI: no \\_S5, the machine cannot switch itself off");
            return false;
        };
        if let Err(error) = fadt.enable_acpi_mode() {
            klog::pr_warn!("ACPI: firmware does not enable ACPI mode: {error}");
            return false;
        }
        SLEEP_TYPES.store(PREPARED | u32::from(a) << 8 | u32::from(b), Ordering::Release);
        true
    }

    fn power_off(&self) {
        let types = SLEEP_TYPES.load(Ordering::Acquire);
        if let Some(fadt) = Fadt::read()
            && types & PREPARED != 0
            && let Err(error) = fadt.enter_sleep((types >> 8) as u8, types as u8)
        {
            klog::pr_emerg!("ACPI: power-off failed: {error}");
        }
    }
}

/// Offers power-off to `arch/x86/kernel`, if this machine has ACPI. At boot, after the tables were read.
pub fn init() {
    static POWER: &dyn PowerOff = &AcpiPowerOff;
    if Fadt::read().is_some() {
        POWER_OFF.set(&POWER);
    }
}
