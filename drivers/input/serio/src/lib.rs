// SPDX-License-Identifier: GPL-2.0
//! The keyboard of PCs: the i8042 controller's first port and the PS/2 keyboard behind it. `init` calls [`init`] with whoever
//! takes the scan codes (the virtual terminals); they are of set 1, into which the controller translates.
//!
//! Locks: `STATE`, taken in the interrupt, innermost. The sink is called from the interrupt's thread with no lock held.
//!
//! | file | what |
//! |---|---|
//! | `controller` | the chip's ports, polled; finding it and setting it up |
//! | `keyboard` | the keyboard: its interrupt, commands to it |
//!
//! Source: IBM PS/2 Hardware Interface Technical Reference.

#![no_std]
#![forbid(unsafe_code)]

mod controller;
mod keyboard;

pub use keyboard::set_leds;

use errno::{Result, code::ENODEV};
use klog::{pr_info, pr_warn};

/// Who takes scan codes.
pub trait Sink: Sync {
    /// A byte from the keyboard, in a thread that may sleep.
    fn scan_code(&self, byte: u8);
}

/// Looks for the controller and a keyboard, and gives what is typed to `sink`. A machine without them is no error. Called once,
/// when interrupts and threads are there. May sleep.
pub fn init(sink: &'static dyn Sink) -> Result {
    let controller = match controller::Controller::probe() {
        Ok(controller) => controller,
        Err(ENODEV) => {
            pr_info!("i8042: No controller found");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    pr_info!("serio: i8042 KBD port at 0x60,0x64 irq 1");
    if let Err(error) = device::platform::add_fixed("i8042") {
        pr_warn!("i8042: not shown: {error}");
    }
    let found = keyboard::probe(&controller);
    keyboard::start(controller, sink)?;
    match found {
        true => pr_info!("input: AT Translated Set 2 keyboard"),
        false => pr_warn!("i8042: no keyboard answers"),
    }
    Ok(())
}
