// SPDX-License-Identifier: GPL-2.0
//! The 8250/16550 serial ports of PCs: `/dev/ttyS0` to `/dev/ttyS3` and the console of that name. `init` calls `console_init`
//! early (the log wants its console) and `init` once interrupts and the tty core are there.
//!
//! Locks: one for each port, see `port`; it is taken in interrupts, and inside the tty core's.
//!
//! | file | what |
//! |---|---|
//! | `uart` | the chip's registers |
//! | `port` | the ports |
//! | `interrupt` | bytes in and out |
//! | `line` | the terminal layer's side |
//! | `console` | kernel log |
//! | `pm` | the device on the platform bus, and its sleep |

#![no_std]
#![forbid(unsafe_code)]

mod console;
mod interrupt;
mod line;
mod pm;
mod port;
mod uart;

pub use uart::Kind;

use klog::{pr_info, pr_warn};
use tty::{Driver, Kind as TtyKind};

static DRIVER: Driver =
    Driver::new("serial", "ttyS", (uapi::TTY_MAJOR, 64, port::PORTS.len() as u32), TtyKind::Serial, &line::Lines);

/// Finds the ports and offers them to the log as consoles `ttyS0` to `ttyS3`. Needs nothing but printk; called once, early,
/// by the boot CPU.
pub fn console_init() {
    for (port, console) in port::PORTS.iter().zip(&console::CONSOLES) {
        if port.probe().is_some() {
            printk::register(console);
        }
    }
}

/// Registers `/dev/ttyS0` to `/dev/ttyS3`. Called once, after `irq::init` and `tty::init`. May sleep.
pub fn init() -> errno::Result {
    for port in &port::PORTS {
        if let Some(uart) = port.probe() {
            let (index, base, irq) = (port.index, port.base, port.irq);
            let name = uart.kind.name();
            pr_info!("serial8250: ttyS{index} at I/O {base:#x} (irq = {irq}, base_baud = 115200) is a {name}");
        }
    }
    if let Err(error) = pm::add() {
        pr_warn!("serial8250: not shown: {error}");
    }
    tty::register_driver(&DRIVER)
}
