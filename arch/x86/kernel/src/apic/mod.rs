// SPDX-License-Identifier: GPL-2.0
//! Interrupt controllers: the CPUs' local APICs (`local`), the IOAPICs (`io`), and the old 8259 pair, which is only silenced.

use crate::acpi::madt;
use errno::Result;
use x86_apic::pic;

pub use x86_apic::local;
pub(crate) use x86_irq::io;

/// Finds and starts the interrupt controllers: silences the 8259, starts the boot CPU's local APIC, sets up the IOAPICs with
/// all inputs masked. Boot CPU, after memory management, interrupts off. ENODEV on a machine without a local APIC.
pub(crate) fn init(madt: &madt::Madt) -> Result {
    pic::disable();
    local::init(madt)?;
    io::init(madt);
    Ok(())
}
