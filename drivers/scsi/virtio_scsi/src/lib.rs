// SPDX-License-Identifier: GPL-2.0
//! SCSI adapters of a hypervisor: commands go into virtio rings, one for each CPU where the device has enough; a ring of its own is for
//! aborting and resetting, one for what the device reports (units that come, go, change).
//!
//! | file | what |
//! |---|---|
//! | `lib` | the module |
//! | `adapter` | a device comes and goes; what it reports |
//! | `ring` | commands into a ring and out of it |
//! | `control` | the ring for aborting and resetting |
//! | `events` | the ring of reports |
//! | `spec` | layouts and numbers |
//!
//! Locks: each ring's spin lock, with interrupts off; commands are ended without it. Source: Virtual I/O Device Version 1.2, 5.6.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod adapter;
mod control;
mod events;
mod ring;
mod spec;

use kernel::prelude::*;
use kernel::sync::Arc;
use virtio::{Handler, VirtioDevice, VirtioDriver, register_driver, unregister_driver};

module! {
    type: VirtioScsi,
    name: "virtio_scsi",
    authors: ["The Rideau developers"],
    description: "Virtio SCSI HBA driver",
    license: "GPL",
    alias: ["virtio:d00000008v*"],
}

struct Driver;

static DRIVER: Driver = Driver;

impl VirtioDriver for Driver {
    fn name(&self) -> &'static str {
        "virtio_scsi"
    }

    fn device_types(&self) -> &'static [u32] {
        &[8]
    }

    fn features(&self) -> u64 {
        spec::feature::HOTPLUG | spec::feature::CHANGE
    }

    fn probe(&self, device: &Arc<VirtioDevice>) -> Result<Arc<dyn Handler>> {
        adapter::probe(device)
    }
}

struct VirtioScsi;

impl kernel::Module for VirtioScsi {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        register_driver(&DRIVER)?;
        Ok(Self)
    }
}

impl Drop for VirtioScsi {
    fn drop(&mut self) {
        unregister_driver(&DRIVER);
        // Nobody has a disk open, but who reads a list of disks may have one for a moment.
        adapter::ALIVE.wait_gone();
    }
}
