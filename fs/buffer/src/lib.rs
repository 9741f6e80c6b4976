// SPDX-License-Identifier: GPL-2.0
//! Block devices as the ground of file systems: the cached pages of a device, metadata blocks ([`Buffer`]), mounting a device.
//!
//! | file | what |
//! |---|---|
//! | `device` | [`DeviceCache`]: what is cached of a device; its pages |
//! | `buffer` | [`Buffer`]: one metadata block in memory |
//! | `table` | finding, reading and forgetting buffers |
//! | `write` | writing dirty buffers |
//! | `bios` | bios for runs of pages |
//! | `io` | reading and writing a device through its pages |
//! | `direct` | transfers past them, of programs' own pages, that are waited for or told of |
//! | `mount` | a device for a super block |
//!
//! A buffer's bytes live in memory of their own. They and the device's pages are kept the same: a page is filled from the buffers
//! that lie in it, changing a buffer changes the page if there is one, and a write to the device changes the buffers.
//!
//! Called by file systems on devices, and by device files (`block/fops`). Locks, outermost first: a device inode's `lock`, `Buffer`'s data
//! lock (sleeping), page locks; spin locks of `table`'s buckets and of the dirty list are innermost and never nested.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

pub mod bios;
mod buffer;
mod device;
pub mod direct;
pub mod io;
#[cfg(CONFIG_KUNIT = "y")]
mod kunit;
mod mount;
mod table;
mod write;

pub use buffer::{Buffer, BufferRead, BufferWrite, Claim};
pub use device::DeviceCache;
pub use mount::{MountedDevice, mount_bdev, open_source};

struct Devices;

impl vfs::hooks::SyncDevices for Devices {
    fn sync_all(&self) {
        // Errors are remembered for those who have a file open.
        device::for_each(|cache| {
            cache.sync_unheard();
        });
    }

    fn shrink(&self, count: usize) -> usize {
        let mut dropped = 0;
        device::for_each(|cache| dropped += cache.shrink(count));
        dropped
    }

    fn pages(&self) -> u64 {
        let mut pages = 0;
        device::for_each(|cache| pages += cache.mapping().page_count() as u64);
        pages
    }
}

/// Tells the VFS of devices with dirty pages. Once, at boot.
pub fn init() {
    static DEVICES: &dyn vfs::hooks::SyncDevices = &Devices;
    vfs::hooks::DEVICES.set(&DEVICES);
}
