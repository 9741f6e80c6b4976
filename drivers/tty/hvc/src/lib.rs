// SPDX-License-Identifier: GPL-2.0
//! Consoles of hypervisors: the terminals `/dev/hvc0` to `/dev/hvc7`, and the consoles of the kernel log of that name. A driver
//! (`drivers/char/virtio_console`) takes a line with [`alloc`] and gives what moves bytes ([`HvcOps`]); what the terminal layer and
//! the log keep is here, so that the driver may go.
//!
//! | file | what |
//! |---|---|
//! | `port` | the lines: bytes on their way in and out |
//! | `line` | the terminal layer's side |
//! | `console` | kernel log |
//!
//! Locks: `port::Port::delivery` (sleeping) around moving input to the terminal; `port::Port::state`, interrupts off, around all that
//! the driver does; inside it the driver's own. The terminal layer calls with its line discipline's lock held, which is outside.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod console;
mod line;
mod port;

pub use port::Hvc;

use devtmpfs::{Device, Kind};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use sync::Mutex;
use tty::Driver;

/// Lines there are.
pub(crate) const LINES: usize = 8;
/// Major number of the nodes.
const MAJOR: u32 = 229;

static DRIVER: Driver = Driver::new("hvc", "hvc", (MAJOR, 0, LINES as u32), tty::Kind::System, &line::Lines);

/// What a driver does for a line. All are called with the line's lock held and interrupts off: none may sleep.
pub trait HvcOps: Send + Sync {
    /// Takes bytes to send, as many as there is room for now; how many.
    fn put(&self, bytes: &[u8]) -> usize;

    /// Bytes that came, as many as fit; how many.
    fn get(&self, out: &mut [u8]) -> usize;

    /// Brings bytes out although [`Self::put`] takes none any more: the system panics.
    fn put_emergency(&self, bytes: &[u8]) {
        let _ = bytes;
    }
}

/// Whether the driver is known to the terminal layer.
static REGISTERED: Mutex<bool> = Mutex::new(false);

/// Takes a line. `ENOSPC`: all are taken. May sleep.
pub fn alloc(ops: Arc<dyn HvcOps>) -> Result<Hvc> {
    register()?;
    Hvc::new(ops)
}

/// Whether the command line wants a line of this kind for the log (`console=hvc0`).
pub fn is_wanted() -> bool {
    printk::console::chosen_index("hvc").is_some()
}

/// The first time: nodes for all lines, as Linux has them.
fn register() -> Result {
    let mut registered = REGISTERED.lock();
    if *registered {
        return Ok(());
    }
    for port in &port::PORTS {
        port.prepare()?;
    }
    tty::register_driver(&DRIVER)?;
    *registered = true;
    for index in 0..LINES as u32 {
        let name = KString::from_fmt(format_args!("hvc{index}"), GFP_KERNEL)?;
        let device = Device {
            class: "tty",
            name: name.to_str().unwrap_or("hvc"),
            node: None,
            kind: Kind::Char,
            dev: DRIVER.dev(index),
            mode: 0o600,
            parent: None,
        };
        if let Err(error) = devtmpfs::create_device(&device) {
            klog::pr_err!("hvc: no node for {name}: {error}");
        }
    }
    Ok(())
}
