// SPDX-License-Identifier: GPL-2.0
//! The boot loader's initial RAM disks: read once, then ordinary memory.
//!
//! A loader may put one where firmware reserved memory of its own later: QEMU chooses the place before SeaBIOS takes memory for each
//! disk that it can start from. Such an archive is whole, but not all of it lies in what the memory map calls usable; it is copied.

use crate::layout::phys_to_virt;
use crate::memblock::free_reserved;
use crate::mmio::MmioRegion;
use boot_info::{BootInfo, MemRegion, PhysRange};
use core::sync::atomic::{AtomicBool, Ordering};
use errno::{Result, code::*};
use kalloc::KVVec;
use kalloc::flags::GFP_KERNEL;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Runs `f` on each RAM disk in the loader's order, then gives their memory to the page allocator. Only the first call does.
/// Task context; may sleep. One that cannot be read is passed over.
pub fn consume(info: &BootInfo, mut f: impl FnMut(&[u8])) {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return;
    }
    for &range in info.initrds() {
        if let Some(whole) = piece(info, range.start, range.end()).filter(|whole| whole.end == range.end()) {
            // SAFETY: `memblock::init` reserved the range, so nobody else has it; the direct map covers all memory; it is given to
            // the allocator only below, and only once (`TAKEN`).
            f(unsafe { whole.bytes() });
        } else {
            klog::pr_info!("initrd: [{:#x}-{:#x}] is not all in usable memory: copied", range.start, range.end());
            match copy(info, range) {
                Ok(copy) => f(&copy),
                Err(error) => klog::pr_err!("initrd: cannot be read: {error}"),
            }
        }
        for ram in info.memory.ram() {
            // SAFETY: Reserved by `memblock::init`; the slices above are gone.
            unsafe { free_reserved(ram.start.max(range.start), ram.end().min(range.end())) };
        }
    }
}

/// A part of an archive that lies in memory which the direct map covers.
struct Piece {
    start: u64,
    end: u64,
}

impl Piece {
    /// # Safety
    /// Nobody else has the memory as long as the slice is there.
    unsafe fn bytes<'a>(&self) -> &'a [u8] {
        let len = usize::try_from(self.end - self.start).unwrap_or(0);
        // SAFETY: It is memory by `piece`, and the caller's by the contract.
        unsafe { core::slice::from_raw_parts(phys_to_virt(self.start), len) }
    }
}

/// What begins at `start` and is usable memory, up to `end`.
fn piece(info: &BootInfo, start: u64, end: u64) -> Option<Piece> {
    let ram = info.memory.ram().find(|ram| (ram.start..ram.end()).contains(&start))?;
    Some(Piece { start, end: ram.end().min(end) })
}

/// Bytes of reserved memory that are mapped at once.
const WINDOW: u64 = 1 << 20;

/// An archive that lies partly in reserved memory. `ENOMEM`.
fn copy(info: &BootInfo, range: PhysRange) -> Result<KVVec<u8>> {
    let len = usize::try_from(range.len).map_err(|_| ENOMEM)?;
    let mut all = KVVec::with_capacity(len, GFP_KERNEL)?;
    let mut at = range.start;
    while at < range.end() {
        if let Some(piece) = piece(info, at, range.end()) {
            // SAFETY: Reserved by `memblock::init` and not given back yet.
            all.extend_from_slice(unsafe { piece.bytes() }, GFP_KERNEL)?;
            at = piece.end;
            continue;
        }
        let next =
            info.memory.ram().map(|ram: &MemRegion| ram.start).filter(|&start| start > at).min().unwrap_or(u64::MAX);
        let stop = range.end().min(next).min(at.saturating_add(WINDOW));
        let (from, count) = (all.len(), usize::try_from(stop - at).map_err(|_| ENOMEM)?);
        all.resize(from + count, 0, GFP_KERNEL)?;
        let into = all.get_mut(from..).ok_or(EINVAL)?;
        MmioRegion::map_table(at, count)?.read_bytes(0, into)?;
        at = stop;
    }
    Ok(all)
}
