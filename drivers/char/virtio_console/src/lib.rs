// SPDX-License-Identifier: GPL-2.0
//! A hypervisor's serial ports (virtio device 3): the terminals `/dev/hvc*` and, where the device has several ports, `/dev/vportNpM`
//! for those that are no consoles. Port 0 is a console; the others come and go by messages in a queue of their own.
//!
//! | file | what |
//! |---|---|
//! | `lib` | the module |
//! | `device` | a device comes and goes; its ports |
//! | `control` | messages about ports |
//! | `queues` | a port's two queues: bytes in and out |
//! | `port` | a port; its console |
//! | `file` | an open `/dev/vportNpM` |
//!
//! Locks: `Console::ports` (spin, interrupts off), around a port's console and queues for interrupts; a console's line (`hvc`); each
//! queue's spin lock, innermost. Whatever sleeps holds none. Source: Virtual I/O Device Version 1.2, 5.3.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod control;
mod device;
mod file;
mod port;
mod queues;

use kernel::prelude::*;
use kernel::sync::Arc;
use virtio::{Handler, VirtioDevice, VirtioDriver, register_driver, unregister_driver};

module! {
    type: VirtioConsole,
    name: "virtio_console",
    authors: ["The Rideau developers"],
    description: "Virtio console driver",
    license: "GPL",
    alias: ["virtio:d00000003v*"],
}

struct Driver;

static DRIVER: Driver = Driver;

impl VirtioDriver for Driver {
    fn name(&self) -> &'static str {
        "virtio_console"
    }

    fn device_types(&self) -> &'static [u32] {
        &[3]
    }

    fn features(&self) -> u64 {
        device::feature::KNOWN
    }

    fn probe(&self, device: &Arc<VirtioDevice>) -> Result<Arc<dyn Handler>> {
        device::probe(device)
    }
}

struct VirtioConsole;

impl kernel::Module for VirtioConsole {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        register_driver(&DRIVER)?;
        Ok(Self)
    }
}

impl Drop for VirtioConsole {
    fn drop(&mut self) {
        unregister_driver(&DRIVER);
        device::ALIVE.wait_gone();
    }
}
