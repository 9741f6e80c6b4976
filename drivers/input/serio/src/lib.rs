// SPDX-License-Identifier: GPL-2.0
//! The keyboard of PCs: the i8042 controller's first port and the PS/2 keyboard behind it, as a driver of the platform bus: device
//! `i8042`, which `init` adds where firmware does not say that there is none. Scan codes go to crate `input`; they are of set 1, into
//! which the controller translates.
//!
//! Locks: `STATE`, taken in the interrupt, innermost. Scan codes are given on by the interrupt's thread with no lock held.
//!
//! | file | what |
//! |---|---|
//! | `controller` | the chip's ports, polled; finding it and setting it up |
//! | `keyboard` | the keyboard: its interrupt, commands to it |
//!
//! Source: IBM PS/2 Hardware Interface Technical Reference.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod controller;
mod keyboard;

use kalloc::Arc;
use kernel::ext::Mutex;
use kernel::hardware::device::{Device, Driver, DriverOps, Phase, platform};
use kernel::hardware::input;
use kernel::prelude::*;
use klog::{pr_info, pr_warn};

module! {
    type: I8042,
    name: "i8042",
    authors: ["The Rideau developers"],
    description: "i8042 keyboard controller and PS/2 keyboard driver",
    license: "GPL",
    alias: ["platform:i8042", "acpi*:PNP0303:*", "acpi*:PNP030B:*", "acpi*:PNP0320:*"],
}

/// The driver's name, and the device's.
const NAME: &[u8] = b"i8042";

/// What is bound. The fields are dropped in order.
struct Bound {
    _lights: Option<input::Registration>,
    served: keyboard::Served,
    /// Its interrupt was made to wake the machine.
    wakes: bool,
}

/// The driver of the platform bus.
struct Ops {
    bound: Mutex<Option<Bound>>,
}

impl DriverOps for Ops {
    fn matches(&self, device: &Device) -> bool {
        device.name() == NAME
    }

    /// A machine without a controller is no error.
    fn probe(&self, device: &Arc<Device>) -> Result {
        let mut bound = self.bound.lock();
        // There is one.
        if bound.is_some() {
            return Err(EBUSY);
        }
        let controller = controller::Controller::probe().inspect_err(|error| {
            if *error == ENODEV {
                pr_info!("i8042: No controller found");
            }
        })?;
        pr_info!("serio: i8042 KBD port at 0x60,0x64 irq 1");
        let found = keyboard::probe(&controller);
        let served = keyboard::start(controller)?;
        let lights = match found {
            true => {
                pr_info!("input: AT Translated Set 2 keyboard");
                Some(input::Registration::new(Arc::new(keyboard::Lights, GFP_KERNEL)?)?)
            }
            false => {
                pr_warn!("i8042: no keyboard answers");
                None
            }
        };
        // As in a Linux that sleeps like this one, a key wakes the machine.
        device.init_wakeup(true)?;
        *bound = Some(Bound { _lights: lights, served, wakes: false });
        Ok(())
    }

    /// The controller stays as it is: what comes from the keyboard is kept, or wakes the machine.
    fn pm(&self, device: &Arc<Device>, phase: Phase) -> Result {
        let mut bound = self.bound.lock();
        let Some(bound) = &mut *bound else { return Ok(()) };
        match phase {
            Phase::Suspend if device.may_wakeup() => bound.wakes = bound.served.set_wake(true)?,
            Phase::Resume if core::mem::take(&mut bound.wakes) => drop(bound.served.set_wake(false)?),
            _ => {}
        }
        Ok(())
    }

    fn remove(&self, device: &Arc<Device>) {
        device.clear_wakeup();
        let bound = self.bound.lock().take();
        drop(bound);
    }

    /// As in Linux.
    fn has_bind_files(&self) -> bool {
        false
    }
}

/// The driver, while the module is there.
struct I8042(Arc<Driver>);

impl kernel::Module for I8042 {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let ops = Arc::new(Ops { bound: Mutex::new(None) }, GFP_KERNEL)?;
        Ok(Self(Driver::register(&platform::BUS, NAME, ops)?))
    }
}

impl Drop for I8042 {
    fn drop(&mut self) {
        self.0.unregister();
    }
}
