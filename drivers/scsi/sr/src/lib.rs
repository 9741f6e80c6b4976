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

use device::{Device, Driver, DriverOps, Ida};
use kalloc::Arc;
use kernel::ext::Alive;
use kernel::hardware::{block, device};
use kernel::prelude::*;

module! {
    type: SrMod,
    name: "sr_mod",
    authors: ["The Rideau developers"],
    description: "SCSI cdrom (sr) driver",
    license: "GPL",
    alias: ["block-major-11-*", "scsi:t-0x05*", "scsi:t-0x04*"],
}

/// `SCSI_CDROM_MAJOR`.
pub(crate) const MAJOR: u32 = 11;

/// Drives at a time (`SR_DISKS`).
pub(crate) const MAX_DRIVES: u32 = 256;

/// The drives' numbers, which are in their names.
pub(crate) static NUMBERS: Ida = Ida::new();
/// Drives that are in memory.
pub(crate) static ALIVE: Alive = Alive::new();

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

/// The driver, while the module is there.
struct SrMod(Arc<Driver>);

impl kernel::Module for SrMod {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let ops = Arc::new(Sr, GFP_KERNEL)?;
        block::register_blkdev(MAJOR, "sr")?;
        let driver = Driver::register(&scsi::BUS, b"sr", ops).inspect_err(|_| block::unregister_blkdev(MAJOR))?;
        Ok(Self(driver))
    }
}

impl Drop for SrMod {
    fn drop(&mut self) {
        self.0.unregister();
        block::unregister_blkdev(MAJOR);
        // Who reads a list of disks may have one for a moment.
        ALIVE.wait_gone();
    }
}
