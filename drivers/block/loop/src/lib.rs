// SPDX-License-Identifier: GPL-2.0
//! Loop devices (`/dev/loop*`): a file as a disk.
//!
//! | file | what |
//! |---|---|
//! | `lib` | the module, the list of devices |
//! | `control` | `/dev/loop-control`: adding, removing, finding a free one |
//! | `device` | a device: attaching a file, its status, `ioctl` |
//! | `direct` | past the file's cache |
//! | `info` | `struct loop_info64` and its old form |
//! | `io` | requests become reads and writes of the file, in a worker |
//! | `show` | `/sys/block/loopN/loop` |
//!
//! Locks, outermost first: `DEVICES` (mutex), a device's `state` (mutex); a device's list of requests (spin, interrupts off) inside
//! neither. The file's own locks are taken in the worker without any of them. Source: `loop(4)`, `linux/loop.h` of the UAPI headers.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod control;
mod device;
mod direct;
mod info;
mod io;
mod show;

use device::Device;
use kernel::block::{Gendisk, register_blkdev, unregister_blkdev};
use kernel::ext::{Alive, MiscRegistration, Mutex};
use kernel::prelude::*;
use kernel::sync::Arc;

/// Major number of loop devices.
const LOOP_MAJOR: u32 = 7;

module! {
    type: Loop,
    name: "loop",
    authors: ["The Rideau developers"],
    description: "Loopback device driver",
    license: "GPL",
    alias: ["char-major-10-237", "block-major-7-*", "devname:loop-control"],
    params: {
        max_loop: u32 {
            default: 8,
            description: "Maximum number of loop devices",
            permissions: 0o444,
        },
        max_part: u32 {
            default: 0,
            description: "Maximum number of partitions per loop device",
            permissions: 0o444,
        },
        hw_queue_depth: u32 {
            default: 128,
            description: "Queue depth for each hardware queue. Default: 128",
            permissions: 0o444,
        },
    },
}

static DEVICES: Mutex<KVec<Arc<Device>>> = Mutex::new(KVec::new());
/// Devices that are in memory, those that were removed too.
static ALIVE: Alive = Alive::new();

/// Adds device `number`, or the first free one. EEXIST, ENOMEM. May sleep.
fn add(number: Option<u32>) -> Result<u32> {
    let mut devices = DEVICES.lock();
    let taken = |wanted: u32| devices.iter().any(|device| device.number() == wanted);
    let number = match number {
        Some(number) if taken(number) => return Err(EEXIST),
        Some(number) => number,
        None => (0..=1 << 20).find(|&number| !taken(number)).ok_or(ENOSPC)?,
    };
    let at = devices.iter().take_while(|device| device.number() < number).count();
    // A device and its disk have each other: nothing fails between its making and `add`.
    devices.reserve(1, GFP_KERNEL)?;
    let device = Device::new(number)?;
    devices.insert(at, device.clone(), GFP_KERNEL)?;
    if let Err(error) = device.disk()?.add() {
        let _ = devices.remove(at);
        drop(device.take_disk());
        return Err(error);
    }
    Ok(number)
}

/// Removes a device that has no file and that nobody has open. ENODEV, EBUSY. May sleep.
fn remove(number: u32) -> Result {
    let mut devices = DEVICES.lock();
    let at = devices.iter().position(|device| device.number() == number).ok_or(ENODEV)?;
    let device = devices.get(at).ok_or(ENODEV)?.clone();
    if device.is_bound() || device.disk()?.openers() != 0 {
        return Err(EBUSY);
    }
    let _ = devices.remove(at);
    drop(devices);
    if let Some(disk) = device.take_disk() {
        disk.remove();
    }
    Ok(())
}

/// The first device without a file; added if there is none.
fn get_free() -> Result<u32> {
    let free = DEVICES.lock().iter().find(|device| !device.is_bound()).map(|device| device.number());
    match free {
        Some(number) => Ok(number),
        None => add(None),
    }
}

struct Loop {
    _control: MiscRegistration,
}

impl kernel::Module for Loop {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        register_blkdev(LOOP_MAJOR, "loop")?;
        let control = control::register().inspect_err(|_| unregister_blkdev(LOOP_MAJOR))?;
        let made = Self { _control: control };
        for number in 0..module_parameters::max_loop.value() {
            add(Some(number))?;
        }
        pr_info!("module loaded\n");
        Ok(made)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let devices = core::mem::take(&mut *DEVICES.lock());
        for device in &devices {
            if let Some(disk) = device.take_disk() {
                Gendisk::remove_and_wait(disk);
            }
        }
        drop(devices);
        // One that was removed a moment ago may wait for RCU, or for who reads a list of disks.
        ALIVE.wait_gone();
        unregister_blkdev(LOOP_MAJOR);
    }
}
