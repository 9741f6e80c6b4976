// SPDX-License-Identifier: GPL-2.0
//! Disks of a hypervisor (`/dev/vd*`): requests go into virtio rings, one for each CPU where the device has enough, and end in the
//! interrupt of the ring.
//!
//! | file | what |
//! |---|---|
//! | `lib` | the module, names and numbers |
//! | `disk` | a device comes and goes; its configuration |
//! | `ring` | requests into a ring and out of it |
//!
//! Locks: each ring's spin lock, with interrupts off; requests are ended without it. Source: Virtual I/O Device Version 1.2, 5.2.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod disk;
mod ring;

use kernel::block::{register_blkdev, unregister_blkdev};
use kernel::prelude::*;
use kernel::sync::Arc;
use virtio::{Handler, VirtioDevice, VirtioDriver, register_driver, unregister_driver};

module! {
    type: VirtioBlk,
    name: "virtio_blk",
    authors: ["The Rideau developers"],
    description: "Virtio block driver",
    license: "GPL",
    alias: ["virtio:d00000002v*"],
    params: {
        num_request_queues: u32 {
            default: 0,
            description: "Limit the number of request queues to use for blk device. 0 for no limit. Values > nr_cpu_ids truncated to nr_cpu_ids.",
            permissions: 0o444,
        },
        poll_queues: u32 {
            default: 0,
            description: "The number of dedicated virtqueues for polling I/O",
            permissions: 0o444,
        },
        queue_depth: u32 {
            default: 0,
            description: "Requests of each queue; 0: as many as the ring has room for.",
            permissions: 0o444,
        },
    },
}

struct Driver;

static DRIVER: Driver = Driver;

impl VirtioDriver for Driver {
    fn name(&self) -> &'static str {
        "virtio_blk"
    }

    fn device_types(&self) -> &'static [u32] {
        &[2]
    }

    fn features(&self) -> u64 {
        disk::feature::KNOWN
    }

    fn probe(&self, device: &Arc<VirtioDevice>) -> Result<Arc<dyn Handler>> {
        disk::probe(device)
    }
}

struct VirtioBlk {
    major: u32,
}

impl kernel::Module for VirtioBlk {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let major = register_blkdev(0, "virtblk")?;
        disk::set_major(major);
        register_driver(&DRIVER).inspect_err(|_| unregister_blkdev(major))?;
        Ok(Self { major })
    }
}

impl Drop for VirtioBlk {
    fn drop(&mut self) {
        unregister_driver(&DRIVER);
        // Nobody has a disk open, but who reads a list of disks may have one for a moment.
        disk::ALIVE.wait_gone();
        unregister_blkdev(self.major);
    }
}
