// SPDX-License-Identifier: GPL-2.0
//! Virtual terminals: `/dev/tty1` to `/dev/tty63` on the PC's screen and keyboard, `/dev/tty0` (the one in front), and the console
//! `tty0` of the kernel log. What a terminal is lives in crate `vt_emul`; here are the screen, the keyboard and who is in front.
//! `init` calls `console_init` before anything is printed, `init_screen` when memory is there, and `init` with the devices.
//!
//! | file | what |
//! |---|---|
//! | `terminals` | the terminals, which is in front, drawing |
//! | `display` | the screens: VGA text, frame buffer, none |
//! | `detect` | which screen this machine has |
//! | `line` | the terminal layer's side |
//! | `keyboard` | from scan codes to input |
//! | `switch` | another terminal comes to the front |
//! | `ioctl` | `VT_*` and `KD*` |
//! | `console` | kernel log |
//!
//! # Locks
//! `terminals::VT` (spin, interrupts off) guards terminals and screen. It is innermost: the kernel log takes it with any lock
//! held, so nothing is printed, woken or sent under it. Who finds something to do under it does so after letting go.

#![no_std]
#![forbid(unsafe_code)]

mod console;
mod detect;
mod display;
mod ioctl;
mod keyboard;
mod line;
mod switch;
mod terminals;

use boot_info::BootInfo;
use errno::Result;
use klog::pr_info;
use tty::{Driver, Kind};

/// Virtual terminals, as many as Linux has.
pub(crate) const COUNT: usize = 63;

/// `/dev/tty0` to `/dev/tty63`.
pub(crate) static DRIVER: Driver =
    Driver::new("vt", "tty", (uapi::TTY_MAJOR, 0, COUNT as u32 + 1), Kind::Console, &line::Lines);

/// Offers the console to the kernel log, if the machine has a screen: it is the default then. Needs nothing but printk.
pub fn console_init(info: &BootInfo) {
    if detect::has_screen(info) {
        console::register();
    }
}

/// Offers the console on a machine without a screen, to one who asks for it by name. After all other consoles.
pub fn console_init_late(info: &BootInfo) {
    if !detect::has_screen(info) && printk::console::chosen_index("tty").is_some() {
        console::register();
    }
}

/// Finds the screen and shows what was printed so far. Needs the heap; interrupts may be off.
pub fn init_screen(info: &BootInfo) -> Result {
    let display = detect::find(info)?;
    let (cols, rows) = display.size();
    let kind = display.name();
    terminals::start(display)?;
    console::screen_is_there();
    pr_info!("Console: {kind} {cols}x{rows}");
    Ok(())
}

/// Registers the terminals; from here on they take what keyboards give. Called once, after `tty::init` and work queues. May sleep.
pub fn init() -> Result {
    terminals::start_work()?;
    tty::register_driver(&DRIVER)?;
    static UNRAW: &dyn sysrq::Keyboard = &keyboard::KEYBOARD;
    sysrq::KEYBOARD.set(&UNRAW);
    input::set_handler(&keyboard::KEYBOARD);
    Ok(())
}

/// Adds `active` to the device of `/dev/tty0`: the terminal in front. After the devices are there. May sleep.
pub fn init_sysfs() -> Result {
    let dir = sysfs::root()?.path_or_new("devices/virtual/tty/tty0")?;
    let node = sysfs::attr(&dir, "active", |out| vfs::seq_print!(out, "tty{}\n", terminals::front() + 1))?;
    switch::set_active_node(node)
}
