// SPDX-License-Identifier: GPL-2.0
//! All devices go to sleep and wake (`dpm_suspend` and its kin): a step is taken by every device before one takes the next. Towards sleep the
//! youngest device comes first, so children before parents; back it is the other way round. An error, or something that wants the
//! machine awake, ends a step, and those that took it wake again. Called by `kernel/power`; what a device does is in `drivers/base/core`'s
//! `pm`.
//!
//! Devices that come meanwhile are neither asked nor probed before all is over. No locks.

#![no_std]
#![forbid(unsafe_code)]

use device::{Depth, Device};
use errno::{Result, code::EBUSY};
use kalloc::{Arc, KVec};
use klog::{Level, pr_info};

/// Devices that are prepared, in the order in which they came.
pub struct Devices {
    all: KVec<Arc<Device>>,
}

impl Devices {
    /// Prepares all devices; none is probed until this is dropped. May sleep.
    pub fn prepare() -> Result<Self> {
        device::block_probing();
        // From here on the drop undoes all.
        let mut devices = Self { all: KVec::new() };
        devices.all = device::registered()?;
        // Parents first: they are to hear before their children that none is to come.
        devices.all.iter().try_for_each(|device| step(device, Depth::Prepared))?;
        Ok(devices)
    }

    /// Every device goes to sleep as deep as `depth`, the step after the last. An error: none does. May sleep.
    pub fn sleep_to(&self, depth: Depth) -> Result {
        let taken = self.all.iter().rev().try_for_each(|device| {
            if wakeup::is_pending() {
                pr_info!("PM: Wakeup pending, aborting suspend");
                return Err(EBUSY);
            }
            step(device, depth)
        });
        if taken.is_err() {
            self.wake_from(depth);
        }
        taken
    }

    /// Those that sleep as deep as `depth` take the step up. May sleep.
    pub fn wake_from(&self, depth: Depth) {
        for device in &self.all {
            device.wake_from(depth);
        }
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        for device in self.all.iter().rev() {
            device.wake_from(Depth::Prepared);
        }
        device::unblock_probing();
    }
}

/// One device takes a step, or the log has why not.
fn step(device: &Arc<Device>, depth: Depth) -> Result {
    let taken = device.sleep_to(depth);
    if let Err(error) = taken {
        let word = match depth {
            Depth::Prepared => "prepare",
            Depth::Suspended => "suspend",
            Depth::Late => "suspend late",
            Depth::Noirq => "suspend noirq",
        };
        device.print(Level::Err, format_args!("PM: failed to {word}: error {}", error.to_errno()));
    }
    taken
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
mod tests;
