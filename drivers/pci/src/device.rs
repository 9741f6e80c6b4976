// SPDX-License-Identifier: GPL-2.0
//! `PciDevice`: one function, as enumeration found it.

use crate::bar::{Bar, BarKind};
use crate::capability::{CapId, capabilities};
use crate::regs::*;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use errno::{Result, code::EBUSY, code::EINVAL, code::ENODEV};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use mm_alloc::MmioRegion;
use sync::Mutex;
use x86::pci_config::{self, PciAddress};
use x86_cpu::io::PortRange;

/// A function on a PCI bus.
pub struct PciDevice {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Subsystem vendor and device id (0 for bridges).
    pub subsystem: (u16, u16),
    /// Class, subclass, programming interface: 24 bits.
    pub class: u32,
    /// Revision.
    pub revision: u8,
    /// Header type without the multi-function bit.
    pub header: u8,
    /// Address ranges by register.
    pub bars: [Option<Bar>; 6],
    /// Interrupt pin: 1 to 4 for INTA to INTD, 0 for none.
    pub pin: u8,
    /// The bridge to its bus.
    parent: Option<Arc<PciDevice>>,
    config: Mutex<()>,
    /// Base address registers that somebody has for himself, by bit.
    claimed: AtomicU8,
    /// How many [`MsiVectors`](crate::MsiVectors) there are of it.
    pub(crate) messages: AtomicU8,
}

/// A claim of what is behind a base address register, which ends when this is dropped.
pub struct BarClaim {
    device: Arc<PciDevice>,
    bit: u8,
}

impl Drop for BarClaim {
    fn drop(&mut self) {
        self.device.claimed.fetch_and(!self.bit, Relaxed);
    }
}

impl PciDevice {
    /// Reads the function at `address`, which answers.
    pub(crate) fn read(address: PciAddress, parent: Option<&Arc<Self>>) -> Self {
        let class = pci_config::read32(address, PCI_CLASS_REVISION);
        let header = pci_config::read8(address, PCI_HEADER_TYPE) & 0x7f;
        let (slots, subsystem) = match header {
            0 => {
                let id = |at| pci_config::read16(address, at);
                (6, (id(PCI_SUBSYSTEM_VENDOR_ID), id(PCI_SUBSYSTEM_VENDOR_ID + 2)))
            }
            PCI_HEADER_TYPE_BRIDGE => (2, (0, 0)),
            _ => (0, (0, 0)),
        };
        Self {
            address,
            vendor: pci_config::read16(address, PCI_VENDOR_ID),
            device: pci_config::read16(address, PCI_DEVICE_ID),
            subsystem,
            class: class >> 8,
            revision: class as u8,
            header,
            bars: crate::bar::read_all(address, slots),
            pin: pci_config::read8(address, PCI_INTERRUPT_PIN),
            parent: parent.cloned(),
            config: Mutex::new(()),
            claimed: AtomicU8::new(0),
            messages: AtomicU8::new(0),
        }
    }

    /// The bridges above it, the nearest first.
    fn bridges(&self) -> impl Iterator<Item = &Self> {
        core::iter::successors(self.parent.as_deref(), |bridge| bridge.parent.as_deref())
    }

    /// How many bridges are above it.
    pub(crate) fn depth(&self) -> u32 {
        self.bridges().count() as u32
    }

    /// Takes what is behind base address register `bar` for the caller alone (`pci_request_region`). `EINVAL`, `EBUSY`.
    pub fn claim_bar(this: &Arc<Self>, bar: usize) -> Result<BarClaim> {
        if bar >= this.bars.len() {
            return Err(EINVAL);
        }
        let bit = 1 << bar;
        if this.claimed.fetch_or(bit, Relaxed) & bit != 0 {
            return Err(EBUSY);
        }
        Ok(BarClaim { device: this.clone(), bit })
    }

    /// Bytes of its configuration space: 4096 if the part beyond the first 256 is there and can be reached.
    pub fn config_size(&self) -> u16 {
        let extended = self.class >> 8 == PCI_CLASS_BRIDGE_HOST || self.find_capability(CapId::EXPRESS).is_some();
        let size = pci_config::space_size(self.address);
        if extended && size > 256 && pci_config::read32(self.address, 256) != u32::MAX { size } else { 256 }
    }

    /// Whether it answers: it is still there.
    pub fn is_present(&self) -> bool {
        pci_config::read16(self.address, PCI_VENDOR_ID) == self.vendor
    }

    /// Maps the registers behind base address register `bar`. EINVAL if there is no memory there, ENOMEM.
    pub fn map_bar(&self, bar: usize) -> Result<MmioRegion> {
        let bar = self.bars.get(bar).copied().flatten().ok_or(EINVAL)?;
        if bar.kind == BarKind::Io || bar.start == 0 {
            return Err(EINVAL);
        }
        MmioRegion::map(bar.start, usize::try_from(bar.size).map_err(|_| EINVAL)?)
    }

    /// The ports behind base address register `bar`. EINVAL if there are none.
    pub fn port_bar(&self, bar: usize) -> Result<PortRange> {
        let bar = self.bars.get(bar).copied().flatten().filter(|bar| bar.kind == BarKind::Io).ok_or(EINVAL)?;
        let (start, size) = (u16::try_from(bar.start)?, u16::try_from(bar.size.min(0xffff))?);
        PortRange::claim_bar(start, size).ok_or(EINVAL)
    }

    /// Maps `len` bytes from `offset` on behind base address register `bar`. EINVAL if they are not there, ENOMEM.
    pub fn map_bar_range(&self, bar: usize, offset: u64, len: usize) -> Result<MmioRegion> {
        let bar = self.bars.get(bar).copied().flatten().ok_or(EINVAL)?;
        let inside = offset.checked_add(len as u64).is_some_and(|end| end <= bar.size);
        if bar.kind == BarKind::Io || bar.start == 0 || !inside {
            return Err(EINVAL);
        }
        MmioRegion::map(bar.start.checked_add(offset).ok_or(EINVAL)?, len)
    }

    /// Where in `/sys` it is: `devices/pci0000:00/0000:00:04.0`, behind a bridge
    /// `devices/pci0000:00/0000:00:02.0/0000:01:00.0`. ENOMEM.
    pub fn sysfs_path(&self) -> Result<KString> {
        let top = self.bridges().last().unwrap_or(self).address;
        let mut path = KString::from_fmt(format_args!("devices/pci{:04x}:{:02x}", top.segment, top.bus), GFP_KERNEL)?;
        for depth in (0..self.depth()).rev() {
            if let Some(bridge) = self.bridges().nth(depth as usize) {
                path = KString::from_fmt(format_args!("{path}/{}", bridge.address), GFP_KERNEL)?;
            }
        }
        Ok(KString::from_fmt(format_args!("{path}/{}", self.address), GFP_KERNEL)?)
    }

    /// Lets a bridge pass accesses and transfers on. May sleep.
    pub fn enable_bridge(&self) {
        self.change_command(0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }

    /// Lets the device, and the bridges above it, answer to accesses of its ranges. May sleep.
    pub fn enable(&self) {
        self.bridges().for_each(Self::enable_bridge);
        let has = |io: bool| self.bars.iter().flatten().any(|bar| (bar.kind == BarKind::Io) == io);
        let io = if has(true) { PCI_COMMAND_IO } else { 0 };
        let memory = if has(false) { PCI_COMMAND_MEMORY } else { 0 };
        self.change_command(0, io | memory);
    }

    /// Lets the device start transfers. May sleep.
    pub fn set_master(&self) {
        self.change_command(0, PCI_COMMAND_MASTER);
    }

    /// Stops the device from answering and from starting transfers. May sleep.
    pub fn disable(&self) {
        self.change_command(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    }

    pub(crate) fn change_command(&self, clear: u16, set: u16) {
        let _config = self.config.lock();
        let old = pci_config::read16(self.address, PCI_COMMAND);
        let new = old & !clear | set;
        if new != old {
            pci_config::write16(self.address, PCI_COMMAND, new);
        }
    }

    /// Offset of a capability.
    pub fn find_capability(&self, id: CapId) -> Option<u16> {
        capabilities(self.address).find(|&(found, _)| found == id).map(|(_, offset)| offset)
    }

    /// The line of the old interrupt controller that firmware routed the pin to. A card that came later has that of the
    /// bridge's own pin, if the bridge brings its pin there. ENODEV without one.
    pub fn isa_irq(&self) -> Result<u8> {
        let line = pci_config::read8(self.address, PCI_INTERRUPT_LINE);
        if self.pin == 0 || self.pin > 4 {
            return Err(ENODEV);
        }
        if (1..16).contains(&line) {
            return Ok(line);
        }
        let bridge = self.parent.as_ref().ok_or(ENODEV)?;
        let pin = (self.pin - 1).wrapping_add(self.address.device) % 4 + 1;
        if pin == bridge.pin { bridge.isa_irq() } else { Err(ENODEV) }
    }

    /// Whether this is a bridge to another bus.
    pub fn is_bridge(&self) -> bool {
        self.header == PCI_HEADER_TYPE_BRIDGE
    }
}
