// SPDX-License-Identifier: GPL-2.0
//! Disks behind SCSI adapters (`/dev/sd*`): requests of the block layer become READ, WRITE, SYNCHRONIZE CACHE, UNMAP and WRITE SAME.
//!
//! | file | what |
//! |---|---|
//! | `lib` | the driver, names and numbers |
//! | `disk` | a disk's requests: commands that are kept ready for every tag |
//! | `learn` | what a disk is like: size, cache, what it can give back |
//! | `life` | a disk comes, changes and goes |
//! | `show` | `/sys/class/scsi_disk` |
//!
//! Locks: each place's spin lock (interrupts off) around taking its command, a disk's `learning` mutex (sleeping) around asking it again;
//! what is known of it (`facts`) is read by RCU. Source: SBC-3; numbers and texts are those of Linux's `drivers/scsi/sd.c`.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod disk;
mod learn;
mod life;
mod show;

use device::{Device, Driver, DriverOps, Ida};
use kalloc::Arc;
use kernel::ext::Alive;
use kernel::hardware::{block, device};
use kernel::prelude::*;

module! {
    type: SdMod,
    name: "sd_mod",
    authors: ["The Rideau developers"],
    description: "SCSI disk (sd) driver",
    license: "GPL",
    alias: [
        "block-major-8-*", "block-major-65-*", "block-major-66-*", "block-major-67-*", "block-major-68-*",
        "block-major-69-*", "block-major-70-*", "block-major-71-*", "block-major-128-*", "block-major-129-*",
        "block-major-130-*", "block-major-131-*", "block-major-132-*", "block-major-133-*", "block-major-134-*",
        "block-major-135-*", "scsi:t-0x00*", "scsi:t-0x07*", "scsi:t-0x0e*", "scsi:t-0x14*",
    ],
}

/// Disks at a time.
const MAX_DISKS: u32 = 256;
/// Numbers for each disk and its partitions.
const MINORS: u32 = 16;

/// The disks' numbers, which are the letters of their names.
static NUMBERS: Ida = Ida::new();
/// Disks that are in memory.
static ALIVE: Alive = Alive::new();

/// The first device number of disk `index`: majors 8, 65 to 71, 128 to 135, for 16 disks each.
fn number(index: u32) -> (u32, u32) {
    (major(index >> 4), (index & 0xf) * MINORS)
}

/// The major number of the `n`th 16 disks.
fn major(n: u32) -> u32 {
    match n {
        0 => 8,
        1..=7 => 64 + n,
        n => 120 + n,
    }
}

/// The driver of the bus `scsi`.
struct Sd;

impl DriverOps for Sd {
    /// Disks, magneto-optical ones, and simplified ones.
    fn matches(&self, device: &Device) -> bool {
        let kind = scsi::unit_of(device).and_then(|unit| unit.inquiry()).map(|inquiry| inquiry.kind);
        matches!(kind, Some(0 | 7 | 14 | 0x14))
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let unit = scsi::unit_of(device).ok_or(ENODEV)?;
        device.add_resource(kalloc::KBox::new(life::probe(device, unit)?, GFP_KERNEL)?)
    }

    /// What is to be done is the resource's.
    fn remove(&self, _: &Arc<Device>) {}

    /// What is in the disk's cache is written.
    fn shutdown(&self, device: &Arc<Device>) {
        device.with_resource(life::Bound::sync);
    }
}

/// The driver's device numbers.
struct Majors(u32);

impl Majors {
    fn register() -> Result<Self> {
        let mut these = Self(0);
        for n in 0..MAX_DISKS / 16 {
            block::register_blkdev(major(n), "sd")?;
            these.0 += 1;
        }
        Ok(these)
    }
}

impl Drop for Majors {
    fn drop(&mut self) {
        (0..self.0).for_each(|n| block::unregister_blkdev(major(n)));
    }
}

/// The driver, while the module is there.
struct SdMod {
    driver: Arc<Driver>,
    _majors: Majors,
}

impl kernel::Module for SdMod {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let majors = Majors::register()?;
        Ok(Self { driver: Driver::register(&scsi::BUS, b"sd", Arc::new(Sd, GFP_KERNEL)?)?, _majors: majors })
    }
}

impl Drop for SdMod {
    fn drop(&mut self) {
        self.driver.unregister();
        // Who reads a list of disks may have one for a moment.
        ALIVE.wait_gone();
    }
}
