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
//! Locks: each place's spin lock (interrupts off) around taking its command, a disk's `facts` (the same), its `learning` mutex (sleeping)
//! around asking it again. Source: SBC-3; numbers and texts are those of Linux's `drivers/scsi/sd.c`.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod disk;
mod learn;
mod life;
mod show;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use device::{Device, DriverOps};
use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;

/// Disks at a time.
const MAX_DISKS: u32 = 256;
/// Numbers for each disk and its partitions.
const MINORS: u32 = 16;

/// Disks that are there, by bit: their letters.
static NAMES: [AtomicU64; (MAX_DISKS / 64) as usize] = [const { AtomicU64::new(0) }; (MAX_DISKS / 64) as usize];

/// A disk's letter, given back when it is dropped. Any context.
pub(crate) struct Index(u32);

impl Index {
    /// The first free one. ENOSPC if there is none.
    fn take() -> Result<Self> {
        for (at, word) in NAMES.iter().enumerate() {
            let taken = word.fetch_update(Relaxed, Relaxed, |used| (used != u64::MAX).then(|| used | (used + 1)));
            if let Ok(old) = taken {
                return Ok(Self(at as u32 * 64 + old.trailing_ones()));
            }
        }
        Err(ENOSPC)
    }

    pub(crate) fn get(&self) -> u32 {
        self.0
    }

    /// Major number: 8, 65 to 71, 128 to 135, for 16 disks each.
    pub(crate) fn major(&self) -> u32 {
        major(self.0 >> 4)
    }

    /// First minor number.
    pub(crate) fn first_minor(&self) -> u32 {
        (self.0 & 0xf) * MINORS
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        if let Some(word) = NAMES.get((self.0 / 64) as usize) {
            word.fetch_and(!(1 << (self.0 % 64)), Relaxed);
        }
    }
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
}

/// Registers the driver. Once, at boot, after the bus. May sleep.
pub fn init() -> Result {
    for n in 0..MAX_DISKS / 16 {
        block::register_blkdev(major(n), "sd")?;
    }
    // It stays.
    device::Driver::register(&scsi::BUS, b"sd", Arc::new(Sd, GFP_KERNEL)?).map(drop)
}
