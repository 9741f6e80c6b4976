// SPDX-License-Identifier: GPL-2.0
//! NVM Express: solid state disks on the PCI bus (`/dev/nvme0n1`). A controller has a pair of rings (submission, completion) for
//! administration and, for each CPU where it has enough, one for transfers with an interrupt message of its own.
//!
//! | file | what |
//! |---|---|
//! | `spec` | registers, commands, what identification says |
//! | `queue` | a pair of rings for transfers |
//! | `command` | a request as a command, with its list of pages |
//! | `admin` | the administrative rings: one command at a time |
//! | `ctrl` | a controller: starting, namespaces, reset after a time-out |
//!
//! Locks: a controller's `admin` mutex around starting, resetting and administrative commands; each queue's spin lock (interrupts
//! off); requests are ended without it. Source: NVM Express Base Specification 2.0, NVM Command Set Specification 1.0.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod admin;
mod command;
mod ctrl;
mod queue;
mod spec;

use klog::pr_err;

/// Class, subclass and interface of controllers.
const CLASS: u32 = 0x01_08_02;

/// Starts all controllers. Once, at boot, after PCI enumeration. May sleep.
pub fn init() {
    for (index, device) in pci::devices().filter(|device| device.class == CLASS).enumerate() {
        if let Err(error) = ctrl::probe(device, index) {
            pr_err!("nvme nvme{index}: {}: {error}", device.address);
        }
    }
}
