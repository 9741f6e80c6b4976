// SPDX-License-Identifier: GPL-2.0
//! Netlink sockets, as far as events of devices need them (`NETLINK_KOBJECT_UEVENT`): the kernel sends to group 1, udev passes
//! on what it made of an event to group 2. Other protocols are not there (`EPROTONOSUPPORT`).
//!
//! | file | what |
//! |---|---|
//! | `sock` | the socket: its queue, receiving |
//! | `table` | which sockets there are, their addresses, and sending to them |
//!
//! Locks: `table::SOCKETS` (sleeping), then a socket's `queue` and `peer` (spinning, innermost, never two).
//! Source: `netlink(7)`, `libudev`'s monitors.

#![no_std]
#![forbid(unsafe_code)]

mod sock;
mod table;

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use socket::{Family, Socket, Ucred};
use uapi::{SOCK_DGRAM, SOCK_RAW};

const AF_NETLINK: u16 = uapi::AF_NETLINK as u16;
/// The protocol of events.
const KOBJECT_UEVENT: u32 = 15;
/// The group that the kernel sends events to.
const KERNEL_GROUP: u32 = 1;

struct Netlink;

impl Family for Netlink {
    fn number(&self) -> u16 {
        AF_NETLINK
    }

    fn create(&self, kind: u32, protocol: u32) -> Result<Arc<dyn Socket>> {
        if kind != SOCK_RAW && kind != SOCK_DGRAM {
            return Err(ESOCKTNOSUPPORT);
        }
        if protocol != KOBJECT_UEVENT {
            return Err(EPROTONOSUPPORT);
        }
        let socket: Arc<dyn Socket> = table::add(kind, protocol)?;
        Ok(socket)
    }
}

struct Events;

impl sysfs::uevent::Listener for Events {
    fn event(&self, message: &[u8]) {
        let mut data = KVec::new();
        if data.extend_from_slice(message, GFP_KERNEL).is_err() {
            table::lost(KERNEL_GROUP);
            return;
        }
        let kernel = Ucred::KERNEL;
        // Without memory its listeners learn that something is lost.
        let _ = table::broadcast(data, KERNEL_GROUP, 0, kernel, None);
    }
}

/// Makes the family known, and lets it carry events. Once, at boot.
pub fn init() -> Result {
    static NETLINK: Netlink = Netlink;
    static EVENTS: Events = Events;
    socket::register_family(&NETLINK)?;
    sysfs::uevent::LISTENER.set(&EVENTS).map_err(|_| EBUSY)
}
