// SPDX-License-Identifier: GPL-2.0
//! virtio: devices of a hypervisor. A transport (`virtio_pci`, `virtio_mmio`) finds devices and registers them; a driver registers for
//! kinds of devices and is given each. Both may come first.
//!
//! | file | what |
//! |---|---|
//! | `ring` | [`VirtQueue`]: a ring of the crate `virtio_ring`, split or packed as was agreed, in memory that the device sees |
//! | `transport` | [`Transport`]: what a bus has to do for a device |
//! | `device` | [`VirtioDevice`]: life of a device, features, configuration; the bus |
//!
//! A device is not trusted: what it writes into a ring is checked, and a wrong value breaks the queue (`EIO`), nothing else.
//! Locks: `BUS` (mutex) around probing and removing; a queue is locked by its driver. Source: Virtual I/O Device Version 1.2, OASIS.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod device;
mod ring;
mod transport;

pub use device::{
    BUS, Handler, VirtioDevice, VirtioDriver, register_device, register_driver, unregister_device, unregister_driver,
};
pub use ring::{RingMemory, VirtQueue};
pub use transport::{Identity, QueueAddresses, Transport, status};
pub use virtio_ring::{Sg, Shape};

use kernel::ext::Alive;
use kernel::prelude::*;

module! {
    type: Virtio,
    name: "virtio",
    authors: ["The Rideau developers"],
    description: "Virtio core",
    license: "GPL",
    initcall: "subsys",
}

/// Devices that are in memory.
static ALIVE: Alive = Alive::new();

/// The bus, while the module is there. Who has a device or a driver uses this module.
struct Virtio;

impl kernel::Module for Virtio {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        BUS.register()?;
        Ok(Self)
    }
}

impl Drop for Virtio {
    fn drop(&mut self) {
        BUS.unregister();
        ALIVE.wait_gone();
        device::clear();
    }
}

/// Feature bits that are the ring's or the transport's.
pub mod features {
    /// Legacy: the device may be notified of an empty ring.
    pub const NOTIFY_ON_EMPTY: u64 = 1 << 24;
    /// Legacy: descriptors in any layout.
    pub const ANY_LAYOUT: u64 = 1 << 27;
    /// A descriptor may point to a table of descriptors.
    pub const INDIRECT_DESC: u64 = 1 << 28;
    /// Each side says up to where it wants to hear nothing.
    pub const EVENT_IDX: u64 = 1 << 29;
    /// Version 1.0 and later.
    pub const VERSION_1: u64 = 1 << 32;
    /// The device sees memory as the platform says.
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
    /// Rings are packed ones.
    pub const RING_PACKED: u64 = 1 << 34;
    /// Bits that no device type has for itself.
    pub const TRANSPORT_MASK: u64 = 0xfff << 28 | 0x1f << 24;
    /// What this core can do.
    pub const SUPPORTED: u64 = INDIRECT_DESC | EVENT_IDX | VERSION_1 | ACCESS_PLATFORM | RING_PACKED | ANY_LAYOUT;
}
