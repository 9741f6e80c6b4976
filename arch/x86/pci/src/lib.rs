// SPDX-License-Identifier: GPL-2.0
//! Access to PCI configuration space: by the ports 0xcf8 and 0xcfc where they reach (segment 0, the first 256 bytes), by memory
//! (ECAM, table MCFG) for the rest, or for all where there are no such ports. A bus of ECAM is a megabyte, of which little is ever
//! looked at: it is mapped at its first use.
//! Callers: `drivers/pci`, which decides what is written (it alone may move BARs), and AML through `drivers/acpi`.
//!
//! Locks: `PORTS`, for the two-step port access, and `BUSES`, the mapped buses; both with interrupts off, innermost.
//! Source: PCI Local Bus 3.0, 3.2.2.3; PCI Express Base 7.2.2.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering};
use locking::{SetOnce, SpinLock};
use mm_alloc::MmioRegion;
use x86_acpi::tables::{Ecam, ecams};
use x86_cpu::io::PortRange;

/// ECAM ranges that are used.
const MAX_ECAMS: usize = 8;
/// Offsets of the ports.
const ADDRESS: u16 = 0;
const DATA: u16 = 4;

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

static ECAMS: SetOnce<[Option<Ecam>; MAX_ECAMS]> = SetOnce::new();
static PORTS: SpinLock<PortRange> = SpinLock::new(PortRange::pci_config());
static HAS_PORTS: AtomicBool = AtomicBool::new(false);

/// A bus of ECAM that is mapped, for ever.
struct Bus {
    segment: u16,
    bus: u8,
    registers: MmioRegion,
}

/// Buses that stay mapped.
const MAX_BUSES: usize = 64;
static BUSES: SpinLock<[Option<Bus>; MAX_BUSES]> = SpinLock::new([const { None }; MAX_BUSES]);
/// Bytes of a bus.
const BUS_SIZE: usize = 1 << 20;

/// Finds out what ways there are. At boot, once, before the first access by bus enumeration.
pub fn init() {
    let mut list = [None; MAX_ECAMS];
    for (slot, ecam) in list.iter_mut().zip(ecams()) {
        klog::pr_info!(
            "PCI: ECAM {:#x} for domain {:04x} bus {:02x}-{:02x}",
            ecam.base,
            ecam.segment,
            ecam.first_bus,
            ecam.last_bus
        );
        *slot = Some(ecam);
    }
    // A second call changes nothing.
    let _ = ECAMS.set(list);
    HAS_PORTS.store(ports_answer(), Ordering::Relaxed);
}

/// Segments and bus ranges that there are: those of ECAM, or segment 0 by ports if a host bridge answers there.
pub fn roots() -> impl Iterator<Item = (u16, u8, u8)> {
    let listed = ECAMS.get().into_iter().flatten().flatten();
    let by_ports = listed.clone().next().is_none() && HAS_PORTS.load(Ordering::Relaxed);
    listed.map(|ecam| (ecam.segment, ecam.first_bus, ecam.last_bus)).chain(by_ports.then_some((0, 0, 0xff)))
}

/// Bytes of configuration space of a function (4096 with ECAM, else 256).
pub fn space_size(at: PciAddress) -> u16 {
    if ecam_of(at).is_some() { 4096 } else { 256 }
}

fn ecam_of(at: PciAddress) -> Option<Ecam> {
    let covers = |ecam: &&Ecam| ecam.segment == at.segment && (ecam.first_bus..=ecam.last_bus).contains(&at.bus);
    ECAMS.get()?.iter().flatten().find(covers).copied()
}

fn ports_answer() -> bool {
    let ports = PORTS.lock_irqsave();
    // The address port of the PC's host bridge: its enable bit reads back where there is one.
    let old = ports.read32(ADDRESS);
    ports.write32(ADDRESS, 1 << 31);
    let answer = ports.read32(ADDRESS) == 1 << 31;
    ports.write32(ADDRESS, old);
    answer
}

/// Whether an access goes by ports.
fn by_ports(at: PciAddress, offset: u16) -> bool {
    at.segment == 0 && offset < 256 && HAS_PORTS.load(Ordering::Relaxed)
}

/// Calls `access` with the mapped ECAM of a function's bus, and where `offset` of the function is in it; `None` if it has none, or
/// no memory for the mapping.
fn with_ecam<R>(at: PciAddress, offset: u16, access: impl FnOnce(&MmioRegion, usize) -> R) -> Option<R> {
    let ecam = ecam_of(at)?;
    let within = usize::from(at.device & 31) << 15 | usize::from(at.function & 7) << 12 | usize::from(offset & 0xfff);
    let mut buses = BUSES.lock_irqsave();
    if let Some(bus) = buses.iter().flatten().find(|bus| bus.segment == at.segment && bus.bus == at.bus) {
        return Some(access(&bus.registers, within));
    }
    let free = buses.iter_mut().find(|slot| slot.is_none())?;
    let registers = MmioRegion::map(ecam.base.checked_add(u64::from(at.bus) << 20)?, BUS_SIZE).ok()?;
    let bus = free.insert(Bus { segment: at.segment, bus: at.bus, registers });
    Some(access(&bus.registers, within))
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
    if !by_ports(at, offset) {
        return with_ecam(at, offset & 0xffc, |bus, place| bus.read32(place)).unwrap_or(u32::MAX);
    }
    let Some(address) = port_address(at, offset) else { return u32::MAX };
    let ports = PORTS.lock_irqsave();
    ports.write32(ADDRESS, address);
    ports.read32(DATA)
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
    if !by_ports(at, offset) {
        // Nothing answers where there is no mapping.
        let _ = with_ecam(at, offset & 0xffc, |bus, place| bus.write32(place, value));
        return;
    }
    let Some(address) = port_address(at, offset) else { return };
    let ports = PORTS.lock_irqsave();
    ports.write32(ADDRESS, address);
    ports.write32(DATA, value);
}

/// Writes 16 bits at `offset` (even), without touching the word's other half.
pub fn write16(at: PciAddress, offset: u16, value: u16) {
    if !by_ports(at, offset) {
        // Nothing answers where there is no mapping.
        let _ = with_ecam(at, offset & 0xffe, |bus, place| bus.write16(place, value));
        return;
    }
    let Some(address) = port_address(at, offset) else { return };
    let ports = PORTS.lock_irqsave();
    ports.write32(ADDRESS, address);
    ports.write16(DATA + (offset & 2), value);
}

/// Writes a byte at `offset`.
pub fn write8(at: PciAddress, offset: u16, value: u8) {
    if !by_ports(at, offset) {
        // Nothing answers where there is no mapping.
        let _ = with_ecam(at, offset & 0xfff, |bus, place| bus.write8(place, value));
        return;
    }
    let Some(address) = port_address(at, offset) else { return };
    let ports = PORTS.lock_irqsave();
    ports.write32(ADDRESS, address);
    ports.write8(DATA + (offset & 3), value);
}
