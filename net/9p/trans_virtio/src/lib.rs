// SPDX-License-Identifier: GPL-2.0
//! 9P over virtio (device 9): a directory of the host. The device's configuration says a tag, which is what is mounted; one queue carries
//! requests and answers. One client at a time.
//!
//! Locks: `CHANNELS` (sleeping) and a channel's `queue` (spin, interrupts off), each alone. Source: Linux's `virtio_9p.h`; the device is in no published version
//! of the standard but for its number.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod channel;
mod device;

use kernel::prelude::*;
use p9net::{register_transport, unregister_transport};
use virtio::{register_driver, unregister_driver};

module! {
    type: Net9pVirtio,
    name: "9pnet_virtio",
    authors: ["The Rideau developers"],
    description: "Virtio 9p Transport",
    license: "GPL",
    alias: ["virtio:d00000009v*", "9p-virtio"],
}

struct Net9pVirtio;

impl kernel::Module for Net9pVirtio {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        register_transport(&device::VIRTIO)?;
        register_driver(&device::DRIVER).inspect_err(|_| unregister_transport(&device::VIRTIO))?;
        Ok(Self)
    }
}

impl Drop for Net9pVirtio {
    fn drop(&mut self) {
        unregister_driver(&device::DRIVER);
        unregister_transport(&device::VIRTIO);
        device::ALIVE.wait_gone();
        device::clear();
    }
}
