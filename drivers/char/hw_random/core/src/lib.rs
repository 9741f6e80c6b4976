// SPDX-License-Identifier: GPL-2.0
//! Generators of random numbers in hardware: `/dev/hwrng` reads from one of them, which the best one is or a program chose
//! (`/sys/class/misc/hw_random`), and a thread of the kernel (`hwrng`) feeds the random numbers of everybody from it.
//!
//! A driver registers what reads from its device ([`Registration`]). A read may wait for the device; a driver that goes ends such
//! waits before it drops its registration, which waits for readers.
//!
//! | file | what |
//! |---|---|
//! | `list` | the generators, and which is in use |
//! | `fill` | the thread |
//! | `dev` | the device node and the files in sysfs |
//!
//! Locks, in this order: `list::CHANGING` (sleeping), while a generator comes or goes; `fill::RUNNING` (sleeping); `READING` (sleeping),
//! one reader at a time, around what the driver does; `list::LIST` (sleeping), never held while a driver runs.
//!
//! Source: Linux's `Documentation/admin-guide/hw_random.rst`, `hwrng(4)` of other systems.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod dev;
mod fill;
mod list;

pub use list::Registration;

use kernel::prelude::*;

module! {
    type: RngCore,
    name: "rng_core",
    authors: ["The Rideau developers"],
    description: "H/W Random Number Generator (RNG) driver",
    license: "GPL",
    initcall: "subsys",
}

/// Most of [`HwRng::quality`]: every bit is worth one.
pub const MAX_QUALITY: u32 = 1024;

/// A generator.
pub trait HwRng: Send + Sync {
    /// Fills `out` from its start; how many bytes. `wait`: may sleep until there is at least one; without it 0 means that there is
    /// nothing now. `ENODEV`: the device is gone.
    fn read(&self, out: &mut [u8], wait: bool) -> Result<usize>;
}

/// The device, while the module is there: whoever has a generator uses this module.
struct RngCore(Option<kernel::ext::MiscRegistration>);

impl kernel::Module for RngCore {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self(Some(dev::register()?)))
    }
}

impl Drop for RngCore {
    fn drop(&mut self) {
        // Nobody has it open.
        let device = self.0.take();
        drop(device);
        fill::end_if_alone();
        list::clear();
    }
}
