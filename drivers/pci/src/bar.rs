// SPDX-License-Identifier: GPL-2.0
//! Base address registers: where a function's registers and memory are. The size is found by writing all ones and reading back
//! which bits stuck, with the function's decoders off meanwhile.

use crate::regs::*;
use x86::pci_config::{PciAddress, read16, read32, write16, write32};

/// What is behind a base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// Ports.
    Io,
    /// Memory.
    Memory {
        /// The register is 64 bits wide (and takes two slots).
        wide: bool,
        /// Reads have no side effects: may be cached.
        prefetchable: bool,
    },
}

/// One range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// First bus address (on PCs: physical address, or port).
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Ports or memory.
    pub kind: BarKind,
}

const IO_MASK: u32 = !0x3;
const MEMORY_MASK: u32 = !0xf;

/// Reads the base address registers of a function with `slots` of them.
pub(crate) fn read_all(at: PciAddress, slots: usize) -> [Option<Bar>; 6] {
    let mut bars = [None; 6];
    let command = read16(at, PCI_COMMAND);
    write16(at, PCI_COMMAND, command & !(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
    let mut slot = 0;
    while slot < slots.min(6) {
        let bar = read_one(at, slot, slots);
        let wide = matches!(bar, Some(Bar { kind: BarKind::Memory { wide: true, .. }, .. }));
        if let Some(place) = bars.get_mut(slot) {
            *place = bar.filter(|bar| bar.size != 0);
        }
        slot += if wide { 2 } else { 1 };
    }
    write16(at, PCI_COMMAND, command);
    bars
}

fn read_one(at: PciAddress, slot: usize, slots: usize) -> Option<Bar> {
    let register = PCI_BASE_ADDRESS_0 + 4 * u16::try_from(slot).ok()?;
    let low = read32(at, register);
    let low_ones = ones(at, register, low);
    if low & 1 != 0 {
        let mask = low_ones & IO_MASK;
        // Some devices decode 16 bits of port numbers only.
        let mask = if mask & 0xffff_0000 == 0 { mask | 0xffff_0000 } else { mask };
        let size = if low_ones & IO_MASK == 0 { 0 } else { u64::from((!mask).wrapping_add(1)) };
        return Some(Bar { start: u64::from(low & IO_MASK), size, kind: BarKind::Io });
    }
    let wide = low >> 1 & 3 == 2 && slot + 1 < slots;
    let prefetchable = low & 8 != 0;
    let (mut start, mut mask) = (u64::from(low & MEMORY_MASK), u64::from(low_ones & MEMORY_MASK));
    if wide {
        let high = read32(at, register + 4);
        start |= u64::from(high) << 32;
        mask |= u64::from(ones(at, register + 4, high)) << 32;
    } else if mask != 0 {
        mask |= 0xffff_ffff << 32;
    }
    let size = if mask == 0 { 0 } else { (!mask).wrapping_add(1) };
    Some(Bar { start, size, kind: BarKind::Memory { wide, prefetchable } })
}

/// What sticks of all ones; `old` is put back.
fn ones(at: PciAddress, register: u16, old: u32) -> u32 {
    write32(at, register, u32::MAX);
    let stuck = read32(at, register);
    write32(at, register, old);
    stuck
}
