// SPDX-License-Identifier: GPL-2.0
//! The 8250/16550 serial ports of PCs and of PCI cards: `/dev/ttyS0` to `/dev/ttyS3` and the console of that name. `init` calls
//! `console_init` early (the log wants its console) and `init` once interrupts, the tty core and the buses are there.
//!
//! Locks: one for each port, see `port`; it is taken in interrupts, and inside the tty core's. `owner::OWNERS` is outside these.
//!
//! | file | what |
//! |---|---|
//! | `uart` | the chip's registers |
//! | `port` | the ports |
//! | `interrupt` | bytes in and out |
//! | `line` | the terminal layer's side |
//! | `console` | kernel log |
//! | `owner`, `show` | which device a line belongs to; what it shows in sysfs |
//! | `bind`, `pci_cards` | drivers of the device model |
//! | `pm` | what ports do when the machine sleeps |

#![no_std]
#![forbid(unsafe_code)]

mod bind;
mod console;
mod interrupt;
mod line;
mod owner;
#[cfg(feature = "pci")]
mod pci_cards;
mod pm;
mod port;
mod show;
mod uart;

pub use uart::Kind;

use klog::{pr_info, pr_warn};
use tty::{Driver, Kind as TtyKind};
use x86_cpu::io::PortRange;

static DRIVER: Driver =
    Driver::new("serial", "ttyS", (uapi::TTY_MAJOR, 64, port::PORTS.len() as u32), TtyKind::Serial, &line::Lines);

/// Finds the ports and offers them to the log as consoles `ttyS0` to `ttyS3`. Needs nothing but printk; called once, early,
/// by the boot CPU.
pub fn console_init() {
    for (port, console) in port::PORTS.iter().zip(&console::CONSOLES) {
        if PortRange::claim(port.base(), uart::PORTS).and_then(|io| port.probe(io)).is_some() {
            printk::register(console);
        }
    }
}

/// Registers `/dev/ttyS0` to `/dev/ttyS3` and the drivers. Called once, after `irq::init`, `tty::init`, the buses and what
/// firmware has on them. May sleep.
pub fn init() -> errno::Result {
    pr_info!("Serial: 8250/16550 driver, {} ports, IRQ sharing enabled", port::PORTS.len());
    tty::register_driver(&DRIVER)?;
    // The terminals are there without drivers, too.
    if let Err(error) = bind::init() {
        pr_warn!("serial8250: not all drivers are there: {error}");
        owner::show_rest();
    }
    Ok(())
}
