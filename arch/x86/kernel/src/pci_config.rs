// SPDX-License-Identifier: GPL-2.0
//! Access to PCI configuration space: by memory (ECAM, table MCFG) where firmware has it, else by the ports 0xcf8 and 0xcfc.
//! Callers: `drivers/pci`, which decides what is written (it alone may move BARs), and AML through `drivers/acpi`.
//!
//! Lock: `PORTS`, interrupts off, for the two-step port access. ECAM needs none.
//! Source: PCI Local Bus 3.0, 3.2.2.3; PCI Express Base 7.2.2.

use crate::acpi::tables::{Ecam, ecams};
use locking::{SetOnce, SpinLock};
use mm_alloc::MmioRegion;
use x86_cpu::io::{inl, outl};

/// ECAM ranges that are used.
const MAX_ECAMS: usize = 8;
const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// A function on a PCI bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PciAddress {
    /// Segment (domain).
    pub segment: u16,
    /// Bus.
    pub bus: u8,
    /// Device, below 32.
    pub device: u8,
    /// Function, below 8.
    pub function: u8,
}

impl core::fmt::Display for PciAddress {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.segment, self.bus, self.device, self.function)
    }
}

struct Window {
    ecam: Ecam,
    region: MmioRegion,
}

static WINDOWS: SetOnce<[Option<Window>; MAX_ECAMS]> = SetOnce::new();
static PORTS: SpinLock<()> = SpinLock::new(());

/// Maps the ECAM ranges. Process context or boot, once, before the first access by bus enumeration.
pub fn init() {
    let mut windows = [const { None }; MAX_ECAMS];
    for (slot, ecam) in windows.iter_mut().zip(ecams()) {
        let buses = usize::from(ecam.last_bus - ecam.first_bus) + 1;
        let start = ecam.base.saturating_add(u64::from(ecam.first_bus) << 20);
        match MmioRegion::map(start, buses << 20) {
            Ok(region) => {
                klog::pr_info!(
                    "PCI: ECAM {start:#x} for domain {:04x} bus {:02x}-{:02x}",
                    ecam.segment,
                    ecam.first_bus,
                    ecam.last_bus
                );
                *slot = Some(Window { ecam, region });
            }
            Err(error) => klog::pr_warn!("PCI: ECAM at {start:#x}: {error}"),
        }
    }
    // A second call changes nothing.
    let _ = WINDOWS.set(windows);
}

/// Segments and bus ranges that there are: those of ECAM, or segment 0 by ports if a host bridge answers there.
pub fn roots() -> impl Iterator<Item = (u16, u8, u8)> {
    let windows = WINDOWS.get().into_iter().flatten().flatten();
    let by_ports = windows.clone().next().is_none() && ports_answer();
    windows.map(|w| (w.ecam.segment, w.ecam.first_bus, w.ecam.last_bus)).chain(by_ports.then_some((0, 0, 0xff)))
}

/// Bytes of configuration space of a function on `segment` (4096 with ECAM, else 256).
pub fn space_size(at: PciAddress) -> u16 {
    if window_of(at).is_some() { 4096 } else { 256 }
}

fn ports_answer() -> bool {
    let _guard = PORTS.lock_irqsave();
    // SAFETY: The address port of the PC's host bridge; its enable bit reads back where there is one.
    unsafe {
        let old = inl(ADDRESS);
        outl(ADDRESS, 1 << 31);
        let answer = inl(ADDRESS) == 1 << 31;
        outl(ADDRESS, old);
        answer
    }
}

fn window_of(at: PciAddress) -> Option<(&'static MmioRegion, usize)> {
    let window = WINDOWS
        .get()?
        .iter()
        .flatten()
        .find(|w| w.ecam.segment == at.segment && (w.ecam.first_bus..=w.ecam.last_bus).contains(&at.bus))?;
    let bus = usize::from(at.bus - window.ecam.first_bus);
    let device = usize::from(at.device & 31);
    Some((&window.region, bus << 20 | device << 15 | usize::from(at.function & 7) << 12))
}

fn port_address(at: PciAddress, offset: u16) -> Option<u32> {
    if at.segment != 0 || offset >= 256 {
        return None;
    }
    let device = u32::from(at.device & 31) << 11 | u32::from(at.function & 7) << 8;
    Some(1 << 31 | u32::from(at.bus) << 16 | device | u32::from(offset & 0xfc))
}

/// Reads the 32-bit word at `offset` (rounded down to a multiple of 4); all ones where nothing answers. Any context.
pub fn read32(at: PciAddress, offset: u16) -> u32 {
    if let Some((region, base)) = window_of(at) {
        return region.read32(base + usize::from(offset & 0xffc));
    }
    let Some(address) = port_address(at, offset) else { return u32::MAX };
    let _guard = PORTS.lock_irqsave();
    // SAFETY: Configuration reads through the host bridge's ports, one CPU at a time.
    unsafe {
        outl(ADDRESS, address);
        inl(DATA)
    }
}

/// Reads 16 bits at `offset` (even).
pub fn read16(at: PciAddress, offset: u16) -> u16 {
    (read32(at, offset) >> ((offset & 2) * 8)) as u16
}

/// Reads a byte at `offset`.
pub fn read8(at: PciAddress, offset: u16) -> u8 {
    (read32(at, offset) >> ((offset & 3) * 8)) as u8
}

/// Writes the 32-bit word at `offset` (rounded down to a multiple of 4).
pub fn write32(at: PciAddress, offset: u16, value: u32) {
    if let Some((region, base)) = window_of(at) {
        return region.write32(base + usize::from(offset & 0xffc), value);
    }
    let Some(address) = port_address(at, offset) else { return };
    let _guard = PORTS.lock_irqsave();
    // SAFETY: Configuration writes through the host bridge's ports, one CPU at a time; what is written is the PCI core's
    // responsibility (see the header).
    unsafe {
        outl(ADDRESS, address);
        outl(DATA, value);
    }
}

/// Writes 16 bits at `offset` (even), without touching the word's other half.
pub fn write16(at: PciAddress, offset: u16, value: u16) {
    if let Some((region, base)) = window_of(at) {
        return region.write16(base + usize::from(offset & 0xffe), value);
    }
    let Some(address) = port_address(at, offset) else { return };
    let _guard = PORTS.lock_irqsave();
    // SAFETY: As in `write32`.
    unsafe {
        outl(ADDRESS, address);
        x86_cpu::io::outw(DATA + (offset & 2), value);
    }
}

/// Writes a byte at `offset`.
pub fn write8(at: PciAddress, offset: u16, value: u8) {
    if let Some((region, base)) = window_of(at) {
        return region.write8(base + usize::from(offset & 0xfff), value);
    }
    let Some(address) = port_address(at, offset) else { return };
    let _guard = PORTS.lock_irqsave();
    // SAFETY: As in `write32`.
    unsafe {
        outl(ADDRESS, address);
        x86_cpu::io::outb(DATA + (offset & 3), value);
    }
}
