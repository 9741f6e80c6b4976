// SPDX-License-Identifier: GPL-2.0
//! CD and DVD drives behind SCSI and SATA adapters (`/dev/sr*`), to be read: blocks of 2048 bytes, the medium comes and goes.
//!
//! | file | what |
//! |---|---|
//! | `lib` | the driver, names and numbers |
//! | `drive` | a drive's requests, its medium, its life |
//! | `ioctl` | `CDROM*` requests |
//!
//! Locks: each place's spin lock (interrupts off) around taking its command; a drive's `medium` mutex (sleeping) around looking at the
//! medium. Source: MMC-5; numbers and texts are those of Linux's `drivers/scsi/sr.c` and `drivers/cdrom/cdrom.c`.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod drive;
mod ioctl;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use device::{Device, DriverOps};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};

/// `SCSI_CDROM_MAJOR`.
pub(crate) const MAJOR: u32 = 11;

/// Drives that are there, by bit: their numbers.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// A drive's number, given back when it is dropped. Any context.
pub(crate) struct Index(pub(crate) u32);

impl Index {
    /// The first free one. ENOSPC after 64 drives.
    pub(crate) fn take() -> Result<Self> {
        let taken = NUMBERS.fetch_update(Relaxed, Relaxed, |used| (used != u64::MAX).then(|| used | (used + 1)));
        taken.map(|old| Self(old.trailing_ones())).map_err(|_| ENOSPC)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        NUMBERS.fetch_and(!(1 << self.0), Relaxed);
    }
}

/// The driver of the bus `scsi`.
struct Sr;

impl DriverOps for Sr {
    /// CDs, and optical disks that are written once.
    fn matches(&self, device: &Device) -> bool {
        let kind = scsi::unit_of(device).and_then(|unit| unit.inquiry()).map(|inquiry| inquiry.kind);
        matches!(kind, Some(4 | 5))
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let unit = scsi::unit_of(device).ok_or(ENODEV)?;
        device.add_resource(KBox::new(drive::probe(unit)?, GFP_KERNEL)?)
    }

    /// What is to be done is the resource's.
    fn remove(&self, _: &Arc<Device>) {}
}

/// Registers the driver. Once, at boot, after the bus. May sleep.
pub fn init() -> Result {
    block::register_blkdev(MAJOR, "sr")?;
    // It stays.
    device::Driver::register(&scsi::BUS, b"sr", Arc::new(Sr, GFP_KERNEL)?).map(drop)
}
