// SPDX-License-Identifier: GPL-2.0
//! The block layer's core: disks and partitions, and the requests that file systems and the page cache send them.
//!
//! | file | what |
//! |---|---|
//! | `types` | operations, flags |
//! | `bio` | [`Bio`]: one transfer between pages and a device |
//! | `submit` | [`submit_bio`], [`submit_bio_wait`]: checks, partition offset, splitting, hand-over to the driver |
//! | `issue` | flush, discard, zeroes, and reading or writing a few bytes, with a wait |
//! | `limits` | what a device can do at once |
//! | `bdev` | [`BlockDevice`]: a disk or a partition, as `dev_t` names it |
//! | `disk` | [`Gendisk`]: a disk, its driver, its partitions |
//! | `ratios` | what a disk has of the memory that may be dirty |
//! | `registry` | which disks there are, their numbers and names |
//! | `open` | opening, exclusive claims |
//! | `plug` | what a task keeps back while it sends several |
//! | `mq` | requests for drivers with hardware queues |
//! | `trace` | telling a listener of all this |
//! | `stats` | counters of `/proc/diskstats` |
//!
//! Above: the page cache, file systems, block device files. Below: drivers, through [`BlockOps`].
//!
//! Locks, outermost first: a disk's `open` mutex, the registry's (see `registry`). None is held while a driver is called but
//! `open`. Submitting takes no lock: the partition table and the limits are read under RCU.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod bdev;
mod bio;
mod disk;
mod issue;
mod limits;
pub mod mq;
mod open;
mod plug;
mod ratios;
mod registry;
mod stats;
mod submit;
mod trace;
mod types;

#[cfg(any(test, CONFIG_KUNIT = "y"))]
pub mod testing;
#[cfg(any(test, CONFIG_KUNIT = "y"))]
mod tests;

pub use bdev::{BdevCache, BlockDevice, PartitionInfo};
pub use bio::{Bio, BioEnd, BioVec, EndIo};
pub use disk::{BlockEvents, BlockOps, DiskOps, Gendisk, GendiskParams, Geometry, set_events};
pub use issue::{
    issue_discard, issue_flush, issue_secure_erase, issue_zeroout, read_bytes, read_pages, transfer_bytes, write_bytes,
    write_pages,
};
pub use kdev::Dev;
pub use limits::{BLK_DEF_MAX_SECTORS, QueueLimits};
pub use open::{Autoload, BdevHandle, Holder, open_by_dev, open_nonblock, set_autoload};
pub use plug::init;
pub use ratios::DirtyRatios;
pub use registry::{
    BLOCK_EXT_MAJOR, disk_name, disks, for_each_major, lookup, lookup_name, register_blkdev, unregister_blkdev,
};
pub use stats::{DiskStats, StatTotals};
pub use submit::{submit_bio, submit_bio_wait};
pub use task_io::Plug;
pub use trace::{Action, Event, Extra, Traced, Tracer};
pub use types::{Op, OpFlags, SECTOR_SHIFT, SECTOR_SIZE};
