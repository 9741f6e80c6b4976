// SPDX-License-Identifier: GPL-2.0
//! Address ranges for a function that came after boot: free places within the windows of the bridge to its bus, which firmware left room
//! in for slots that cards can come to.

use crate::bar::{Bar, BarKind};
use crate::device::PciDevice;
use crate::regs::*;
use core::ops::RangeInclusive;
use kalloc::Arc;
use x86::pci_config::{PciAddress, read8, read16, read32, write32};

/// What a bridge lets through.
struct Windows {
    io: Option<RangeInclusive<u64>>,
    memory: Option<RangeInclusive<u64>>,
    prefetchable: Option<RangeInclusive<u64>>,
}

fn window(base: u64, limit: u64) -> Option<RangeInclusive<u64>> {
    (base != 0 && base <= limit).then_some(base..=limit)
}

impl Windows {
    fn of(at: PciAddress) -> Self {
        let (io_base, io_limit) = (read8(at, PCI_IO_BASE), read8(at, PCI_IO_LIMIT));
        let high = read32(at, PCI_IO_BASE_UPPER16);
        let wide = io_base & 0xf == 1;
        let upper = |bits: u32| if wide { u64::from(bits & 0xffff) << 16 } else { 0 };
        let io = window(
            u64::from(io_base & 0xf0) << 8 | upper(high),
            u64::from(io_limit & 0xf0) << 8 | 0xfff | upper(high >> 16),
        );
        let megabytes = |register| u64::from(read16(at, register) & 0xfff0) << 16;
        let memory = window(megabytes(PCI_MEMORY_BASE), megabytes(PCI_MEMORY_LIMIT) | 0xf_ffff);
        let wide = read16(at, PCI_PREF_MEMORY_BASE) & 0xf == 1;
        let upper = |register| if wide { u64::from(read32(at, register)) << 32 } else { 0 };
        let prefetchable = window(
            megabytes(PCI_PREF_MEMORY_BASE) | upper(PCI_PREF_BASE_UPPER32),
            megabytes(PCI_PREF_MEMORY_LIMIT) | 0xf_ffff | upper(PCI_PREF_LIMIT_UPPER32),
        );
        Self { io, memory, prefetchable }
    }

    /// Where a range of that kind may lie, the best window first.
    fn for_kind(&self, kind: BarKind) -> [Option<&RangeInclusive<u64>>; 2] {
        match kind {
            BarKind::Io => [self.io.as_ref(), None],
            // An address above 4 GB needs a register of 64 bits.
            BarKind::Memory { wide, prefetchable: true } => {
                let fits = self.prefetchable.as_ref().filter(|range| wide || *range.end() <= u64::from(u32::MAX));
                [fits, self.memory.as_ref()]
            }
            BarKind::Memory { .. } => [self.memory.as_ref(), None],
        }
    }
}

/// The lowest multiple of `size` in `window` where `size` bytes meet none of `taken`.
fn place(window: &RangeInclusive<u64>, size: u64, taken: impl Iterator<Item = (u64, u64)> + Clone) -> Option<u64> {
    let mut start = window.start().checked_next_multiple_of(size)?;
    // Each round passes one range by.
    for _ in 0..=taken.clone().count() {
        let last = start.checked_add(size - 1).filter(|last| last <= window.end())?;
        match taken.clone().find(|&(from, to)| from <= last && start <= to) {
            None => return Some(start),
            Some((_, to)) => start = to.checked_add(1)?.checked_next_multiple_of(size)?,
        }
    }
    None
}

/// Gives each range of `device` that has no address one that none of `others` has. What finds no place stays without.
pub(crate) fn assign<'a>(
    device: &mut PciDevice,
    bridge: &PciDevice,
    others: impl Iterator<Item = &'a Arc<PciDevice>> + Clone,
) {
    let windows = Windows::of(bridge.address);
    for slot in 0..device.bars.len() {
        let Some(bar) = device.bars.get(slot).copied().flatten().filter(|bar| bar.start == 0) else { continue };
        let own = device.bars;
        let is_io = bar.kind == BarKind::Io;
        let taken = others
            .clone()
            .flat_map(|other| other.bars)
            .chain(own)
            .flatten()
            .filter(move |other| other.start != 0 && other.size != 0 && (other.kind == BarKind::Io) == is_io);
        let taken = taken.map(|other| (other.start, other.start.saturating_add(other.size - 1)));
        let found = windows.for_kind(bar.kind).into_iter().flatten().find_map(|w| place(w, bar.size, taken.clone()));
        let Some(start) = found else {
            klog::pr_err!("pci {}: BAR {slot}: no space for {:#x} bytes", device.address, bar.size);
            continue;
        };
        let register = PCI_BASE_ADDRESS_0 + 4 * slot as u16;
        write32(device.address, register, start as u32);
        if matches!(bar.kind, BarKind::Memory { wide: true, .. }) {
            write32(device.address, register + 4, (start >> 32) as u32);
        }
        klog::pr_info!("pci {}: BAR {slot}: assigned {start:#x}-{:#x}", device.address, start + (bar.size - 1));
        if let Some(its) = device.bars.get_mut(slot) {
            *its = Some(Bar { start, ..bar });
        }
    }
}

#[macros::kunit_tests(pci_assign)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let window = 0x10_0000..=0x1f_ffff;
        let none: [(u64, u64); 0] = [];
        assert_eq!(place(&window, 0x1000, none.into_iter()), Some(0x10_0000));
        assert_eq!(place(&window, 0x20_0000, none.into_iter()), None);
        let taken = [(0x10_0000, 0x10_0fff), (0x10_1000, 0x10_1fff)];
        assert_eq!(place(&window, 0x1000, taken.into_iter()), Some(0x10_2000));
        assert_eq!(place(&window, 0x4000, taken.into_iter()), Some(0x10_4000));
        assert_eq!(place(&window, 0x10_0000, taken.into_iter()), None);
        let end = [(0x10_0000, 0x1f_ffff)];
        assert_eq!(place(&window, 0x1000, end.into_iter()), None);
    }
}
