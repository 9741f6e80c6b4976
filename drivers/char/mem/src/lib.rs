// SPDX-License-Identifier: GPL-2.0
//! The devices of major 1 that are no hardware: null, zero, full, random, urandom, kmsg; and the system calls beside two of
//! them, `getrandom` and `syslog`. The boot code calls `init` after `devtmpfs::init`.
//!
//! Locks: the cursor of an open `/dev/kmsg` and the reader of `syslog` (both sleeping). Source: `null(4)`, `full(4)`,
//! `random(4)`, Linux's Documentation/ABI/testing/dev-kmsg.

#![no_std]
#![forbid(unsafe_code)]

mod kmsg;
mod null;
mod rand;
mod syslog;

pub use rand::sys_getrandom;
pub use syslog::sys_syslog;

use devtmpfs::{Device, Kind, create_device};
use errno::{Result, code::ENXIO};
use kalloc::{Arc, KBox};
use vfs::{CharDevice, Dev, FileOps, Inode, OpenFlags, register_chrdev};

/// Major number (`MEM_MAJOR`).
const MAJOR: u32 = 1;

struct MemDevices;

impl CharDevice for MemDevices {
    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        match inode.rdev.minor() {
            3 => null::null(),
            5 => null::zero(),
            7 => null::full(),
            8 => rand::open(false),
            9 => rand::open(true),
            11 => kmsg::open(flags),
            _ => Err(ENXIO),
        }
    }
}

/// Minor, name, permissions.
const NODES: [(u32, &str, u32); 6] = [
    (3, "null", 0o666),
    (5, "zero", 0o666),
    (7, "full", 0o666),
    (8, "random", 0o666),
    (9, "urandom", 0o666),
    (11, "kmsg", 0o644),
];

/// Registers the devices and makes their nodes. Once, at boot, in a task.
pub fn init() -> Result {
    static DEVICES: MemDevices = MemDevices;
    rand::init()?;
    register_chrdev(MAJOR, 0, 256, "mem", &DEVICES)?;
    for (minor, name, mode) in NODES {
        let dev = Dev::new(MAJOR, minor);
        create_device(&Device { class: "mem", name, node: None, kind: Kind::Char, dev, mode, parent: None })?;
    }
    Ok(())
}
