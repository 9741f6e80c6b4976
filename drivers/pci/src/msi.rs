// SPDX-License-Identifier: GPL-2.0
//! Message-signalled interrupts: numbers from `irq`, written into the device's capability (MSI, one message) or table (MSI-X).
//! A value of [`MsiVectors`] keeps them; dropping it turns them off and gives the numbers back, so it must outlive the
//! handlers' registrations. May sleep.

use crate::capability::CapId;
use crate::device::PciDevice;
use crate::regs::*;
use core::sync::atomic::Ordering::Relaxed;
use errno::{Result, code::EINVAL, code::ENODEV};
use irq::MsiMessage;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use mm_alloc::MmioRegion;
use x86::pci_config::{read16, read32, write16, write32};

/// MSI control: on.
const MSI_ENABLE: u16 = 1 << 0;
/// MSI control: how many messages are on (log2).
const MSI_QSIZE: u16 = 0x70;
/// MSI control: 64-bit address.
const MSI_64BIT: u16 = 1 << 7;
/// MSI-X control: on.
const MSIX_ENABLE: u16 = 1 << 15;
/// MSI-X control: all masked.
const MSIX_MASKALL: u16 = 1 << 14;
/// MSI-X control: entries less one.
const MSIX_SIZE: u16 = 0x7ff;
/// Bytes of an MSI-X entry.
const MSIX_ENTRY: usize = 16;
/// MSI-X entry control: masked.
const MSIX_ENTRY_MASKED: u32 = 1;

enum Table {
    Msi,
    /// MSI-X: the mapped table.
    Msix(MmioRegion),
}

/// A device's messages, while they are on.
pub struct MsiVectors {
    device: Arc<PciDevice>,
    capability: u16,
    table: Table,
    irqs: KVec<u32>,
}

impl MsiVectors {
    /// Interrupt number of message `index`, to be requested from `irq`.
    pub fn irq(&self, index: usize) -> Option<u32> {
        self.irqs.get(index).copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.irqs.len()
    }

    /// Whether they are in a table (MSI-X).
    pub fn is_msix(&self) -> bool {
        matches!(self.table, Table::Msix(_))
    }

    /// Whether there are none (there is always one).
    pub fn is_empty(&self) -> bool {
        self.irqs.is_empty()
    }
}

/// Turns MSI on with one message to CPU `cpu`. ENODEV if the device has none or the machine cannot.
pub fn enable_msi(device: &Arc<PciDevice>, cpu: u32) -> Result<MsiVectors> {
    if !x86::irq::chip::msi_supported() {
        return Err(ENODEV);
    }
    let at = device.address;
    let capability = device.find_capability(CapId::MSI).ok_or(ENODEV)?;
    let mut vectors = MsiVectors::new(device, capability, Table::Msi);
    let message = vectors.allocate(cpu)?;
    let control = read16(at, capability + 2);
    write32(at, capability + 4, message.address as u32);
    if control & MSI_64BIT != 0 {
        write32(at, capability + 8, (message.address >> 32) as u32);
        write16(at, capability + 12, message.data as u16);
    } else {
        write16(at, capability + 8, message.data as u16);
    }
    device.change_command(0, PCI_COMMAND_INTX_DISABLE | PCI_COMMAND_MASTER);
    write16(at, capability + 2, control & !MSI_QSIZE | MSI_ENABLE);
    Ok(vectors)
}

/// Whether the device's messages are on.
pub fn has_messages(device: &PciDevice) -> bool {
    device.messages.load(Relaxed) != 0
}

/// How many messages the device's MSI-X table has. ENODEV if it has none or the machine cannot.
pub fn msix_count(device: &PciDevice) -> Result<usize> {
    if !x86::irq::chip::msi_supported() {
        return Err(ENODEV);
    }
    let capability = device.find_capability(CapId::MSIX).ok_or(ENODEV)?;
    Ok(usize::from(read16(device.address, capability + 2) & MSIX_SIZE) + 1)
}

/// Turns MSI-X on with a message for each CPU of `cpus`. ENODEV if the device has none or the machine cannot, EINVAL if its table
/// is shorter than `cpus` or not in memory.
pub fn enable_msix(device: &Arc<PciDevice>, cpus: &[u32]) -> Result<MsiVectors> {
    if !x86::irq::chip::msi_supported() {
        return Err(ENODEV);
    }
    let at = device.address;
    let capability = device.find_capability(CapId::MSIX).ok_or(ENODEV)?;
    let control = read16(at, capability + 2);
    let entries = usize::from(control & MSIX_SIZE) + 1;
    if cpus.is_empty() || cpus.len() > entries {
        return Err(EINVAL);
    }
    let table = map_table(device, read32(at, capability + 4), entries)?;
    let mut vectors = MsiVectors::new(device, capability, Table::Msix(table));
    write16(at, capability + 2, control | MSIX_ENABLE | MSIX_MASKALL);
    for (index, &cpu) in cpus.iter().enumerate() {
        let message = vectors.allocate(cpu)?;
        vectors.write_entry(index, &message);
    }
    device.change_command(0, PCI_COMMAND_INTX_DISABLE | PCI_COMMAND_MASTER);
    write16(at, capability + 2, (control | MSIX_ENABLE) & !MSIX_MASKALL);
    Ok(vectors)
}

/// Maps the table: register number in the low bits, offset in the others. Entries that are not used stay masked.
fn map_table(device: &PciDevice, place: u32, entries: usize) -> Result<MmioRegion> {
    let bar = device.bars.get((place & 7) as usize).copied().flatten().ok_or(EINVAL)?;
    let (offset, len) = (u64::from(place & !7), entries * MSIX_ENTRY);
    if offset.saturating_add(len as u64) > bar.size || bar.kind == crate::BarKind::Io {
        return Err(EINVAL);
    }
    let table = MmioRegion::map(bar.start.checked_add(offset).ok_or(EINVAL)?, len)?;
    for entry in 0..entries {
        table.write32(entry * MSIX_ENTRY + 12, MSIX_ENTRY_MASKED);
    }
    Ok(table)
}

impl MsiVectors {
    /// No messages yet.
    fn new(device: &Arc<PciDevice>, capability: u16, table: Table) -> Self {
        device.messages.fetch_add(1, Relaxed);
        Self { device: device.clone(), capability, table, irqs: KVec::new() }
    }

    fn allocate(&mut self, cpu: u32) -> Result<MsiMessage> {
        self.irqs.reserve(1, GFP_KERNEL)?;
        let (irq, message) = irq::alloc_message(cpu)?;
        self.irqs.push(irq, GFP_KERNEL)?;
        Ok(message)
    }

    fn write_entry(&self, index: usize, message: &MsiMessage) {
        if let Table::Msix(table) = &self.table {
            let at = index * MSIX_ENTRY;
            table.write32(at, message.address as u32);
            table.write32(at + 4, (message.address >> 32) as u32);
            table.write32(at + 8, message.data);
            table.write32(at + 12, 0);
        }
    }
}

impl Drop for MsiVectors {
    fn drop(&mut self) {
        let at = self.device.address;
        let control = read16(at, self.capability + 2);
        let off = match &self.table {
            Table::Msi => control & !MSI_ENABLE,
            Table::Msix(_) => control & !MSIX_ENABLE,
        };
        write16(at, self.capability + 2, off);
        self.device.change_command(PCI_COMMAND_INTX_DISABLE, 0);
        for &irq in self.irqs.iter() {
            irq::free_message(irq);
        }
        self.device.messages.fetch_sub(1, Relaxed);
    }
}
