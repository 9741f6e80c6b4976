// SPDX-License-Identifier: GPL-2.0
//! What `kernel/irq` needs from the interrupt hardware: routes from lines (GSIs) and messages (MSI) to a CPU's vector, and
//! masks. All functions may be called with interrupts off; none sleeps.

use crate::{io, vectors};
use errno::{Result, code::EINVAL};
use x86_apic::local;
use x86_cpu::CpuId;

pub use x86_acpi::line::{Line, Polarity, Trigger};

/// The GSI of ISA interrupt `irq` (0 to 15), with firmware's overrides.
pub fn isa_line(irq: u8) -> Line {
    io::isa_line(irq)
}

/// GSIs of this machine: one past the highest. Interrupt numbers below are GSIs; messages get numbers above.
pub fn gsi_end() -> u32 {
    io::gsi_end()
}

/// Routes GSI `gsi` to CPU `cpu` as interrupt number `irq`, masked. Replaces an earlier route of the same GSI (its vector is
/// given back). EINVAL for a GSI that no IOAPIC has, ENOSPC when the CPU has no vector left.
pub fn ioapic_route(gsi: u32, trigger: Trigger, polarity: Polarity, irq: u32, cpu: CpuId) -> Result<u8> {
    io::route(gsi, trigger, polarity, irq, cpu)
}

/// Masks a GSI.
pub fn ioapic_mask(gsi: u32) {
    io::set_masked(gsi, true);
}

/// Unmasks a GSI.
pub fn ioapic_unmask(gsi: u32) {
    io::set_masked(gsi, false);
}

/// Masks a GSI and gives its vector back.
pub fn ioapic_release(gsi: u32) {
    io::release(gsi);
}

/// What a device writes to raise a message-signalled interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiMessage {
    /// Address, below 4 GB.
    pub address: u64,
    /// Data.
    pub data: u32,
    /// The vector behind it.
    pub vector: u8,
    /// The CPU it goes to.
    pub cpu: CpuId,
}

/// Allocates a vector of CPU `cpu` for `irq` and says how a device raises it. ENOSPC without a free vector, EINVAL if the CPU
/// cannot be addressed by messages. Source: Intel SDM volume 3, 11.11.
pub fn msi_compose(irq: u32, cpu: CpuId) -> Result<MsiMessage> {
    let apic_id = crate::topology::apic_id(cpu).filter(|&id| id < 255).ok_or(EINVAL)?;
    let vector = vectors::allocate(cpu, irq)?;
    Ok(MsiMessage { address: 0xfee0_0000 | u64::from(apic_id) << 12, data: u32::from(vector), vector, cpu })
}

/// Gives back what [`msi_compose`] took. The device no longer raises it.
pub fn msi_release(message: &MsiMessage) {
    vectors::release(message.cpu, message.vector);
}

/// Whether devices may use messages on this machine (there is a local APIC).
pub fn msi_supported() -> bool {
    local::is_enabled()
}
