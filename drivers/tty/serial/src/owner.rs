// SPDX-License-Identifier: GPL-2.0
//! Which device each line belongs to: one of a bus whose driver brought the chip (`bind`, `pci_cards`), or else the platform device
//! `serial8250`. The terminal's directory in sysfs is below that device. Called by drivers' probe and removal; may sleep.
//!
//! Lock: `OWNERS`, outside the terminal layer's.

use crate::console::CONSOLES;
use crate::port::{PORTS, Port};
use crate::{DRIVER, show, uart};
use core::sync::atomic::Ordering::SeqCst;
use device::Device;
use devtmpfs::Kind;
use errno::{Result, code::*};
use kalloc::KString;
use kalloc::flags::GFP_KERNEL;
use klog::{pr_err, pr_info};
use sync::Mutex;
use x86_cpu::io::PortRange;

/// Where the device is that has the lines of no other.
const PLATFORM: &str = "devices/platform/serial8250";
const NAMES: [&str; PORTS.len()] = ["ttyS0", "ttyS1", "ttyS2", "ttyS3"];

/// Whose a line is.
pub(crate) struct Owner {
    /// Where in `/sys` the device is; `None`: it is `serial8250`.
    path: Option<KString>,
    /// The terminal is shown.
    is_shown: bool,
}

/// The owners, by line.
pub(crate) static OWNERS: Mutex<[Owner; PORTS.len()]> =
    Mutex::new([const { Owner { path: None, is_shown: false } }; PORTS.len()]);

/// The name of a line.
pub(crate) fn name(index: u32) -> &'static str {
    NAMES.get(index as usize).copied().unwrap_or("ttyS")
}

impl Owner {
    fn shown<'a>(&'a self, port: &Port) -> devtmpfs::Device<'a> {
        devtmpfs::Device {
            class: "tty",
            name: name(port.index),
            node: None,
            kind: Kind::Char,
            dev: DRIVER.dev(port.index),
            mode: 0o600,
            parent: Some(self.path.as_ref().and_then(KString::to_str).unwrap_or(PLATFORM)),
        }
    }

    /// The line is another device's from now on; `None`: that of no driver.
    fn change(&mut self, port: &'static Port, path: Option<KString>) {
        if core::mem::take(&mut self.is_shown) {
            devtmpfs::remove_device(&self.shown(port));
        }
        self.path = path;
        self.show(port);
    }

    fn show(&mut self, port: &'static Port) {
        match devtmpfs::create_device_with(&self.shown(port), |node| show::fill(node, port)) {
            Ok(_) => self.is_shown = true,
            Err(error) => pr_err!("{}: not shown: {error}", name(port.index)),
        }
    }
}

/// Calls `f` with the ports of the device at `path`, up to an error; `None`: those of `serial8250`. May sleep.
pub(crate) fn ports_of(path: Option<&str>, mut f: impl FnMut(&'static Port) -> Result) -> Result {
    let owners = OWNERS.lock();
    let its = |owner: &Owner| owner.path.as_ref().and_then(KString::to_str) == path;
    owners.iter().zip(&PORTS).filter(|(owner, _)| its(owner)).try_for_each(|(_, port)| f(port))
}

/// Says what was found.
fn report(device: &str, port: &Port) {
    if let Some(uart) = port.uart() {
        let (name, base, irq, kind) = (name(port.index), port.base(), port.irq(), uart.kind().name());
        pr_info!("{device}: {name} at I/O {base:#x} (irq = {irq}, base_baud = {}) is a {kind}", uart::BASE_BAUD);
    }
}

/// Shows the lines that no driver has taken at boot.
pub(crate) fn show_rest() {
    for (owner, port) in OWNERS.lock().iter_mut().zip(&PORTS).filter(|(owner, _)| !owner.is_shown) {
        report("serial8250", port);
        owner.show(port);
    }
}

/// A line that a driver brought. Dropping it takes the chip away: who has the terminal open is hung up.
pub(crate) struct Line {
    port: &'static Port,
}

/// The line for a chip at `base`: the one that has these ports, or else the first without a chip.
fn choose(owners: &[Owner], base: u16) -> Result<usize> {
    let is_free = |at: usize| owners.get(at).is_some_and(|owner| owner.path.is_none());
    if let Some(at) = PORTS.iter().position(|port| port.base() == base) {
        return if is_free(at) { Ok(at) } else { Err(EBUSY) };
    }
    PORTS.iter().enumerate().position(|(at, port)| is_free(at) && port.uart().is_none()).ok_or(ENOSPC)
}

impl Line {
    /// A line for the chip behind `io`, which is `device`'s; `path`: its place in `/sys`. A chip that was found at boot is not
    /// touched: the log may be on its way. Without a chip the line is the device's all the same, as in Linux. `EBUSY`,
    /// `ENOSPC`, `ENOMEM`.
    pub(crate) fn add(device: &Device, path: &str, io: PortRange, irq: u8) -> Result<Self> {
        let path = KString::from_str(path, GFP_KERNEL)?;
        let mut owners = OWNERS.lock();
        let at = choose(&*owners, io.base())?;
        let (owner, port) = owners.get_mut(at).zip(PORTS.get(at)).ok_or(ENOSPC)?;
        port.move_to(io.base(), irq);
        let is_new = port.uart().is_none();
        port.probe(io);
        owner.change(port, Some(path));
        report(device.name().utf8_chunks().next().map_or("", |chunk| chunk.valid()), port);
        if is_new && port.uart().is_some() {
            if let Some(console) = CONSOLES.get(at) {
                printk::register(console);
            }
            if let Some(tty) = DRIVER.known_line(port.index) {
                tty.plug();
            }
        }
        Ok(Self { port })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(owner) = OWNERS.lock().get_mut(self.port.index as usize) {
            take_away(owner, self.port);
        }
    }
}

/// The chip goes: the log is not shown there any more, who uses the terminal is hung up, the line is `serial8250`'s, without a
/// chip.
fn take_away(owner: &mut Owner, port: &'static Port) {
    // A terminal that is made from here on finds it closing; one that is there already is unplugged.
    port.closing.store(true, SeqCst);
    if let Some(console) = CONSOLES.get(port.index as usize) {
        printk::console::unregister(console);
    }
    match DRIVER.known_line(port.index) {
        Some(tty) => tty.unplug(&|| port.forget()),
        None => port.forget(),
    }
    port.closing.store(false, SeqCst);
    owner.change(port, None);
}

/// The driver of `serial8250` is unbound: the lines that are its own lose their chips.
pub(crate) fn take_rest_away() {
    for (owner, port) in OWNERS.lock().iter_mut().zip(&PORTS) {
        if owner.path.is_none() && port.uart().is_some() {
            take_away(owner, port);
        }
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(serial8250_lines)]
mod tests {
    use super::*;

    #[test]
    fn a_chip_keeps_its_line() {
        let free = || Owner { path: None, is_shown: false };
        let mut owners = [free(), free(), free(), free()];
        for (at, port) in PORTS.iter().enumerate() {
            assert_eq!(choose(&owners, port.base()), Ok(at));
        }
        // Another one gets a line without a chip.
        let first = PORTS.iter().position(|port| port.uart().is_none());
        assert_eq!(choose(&owners, 0xc000).ok(), first);
        if let (Some(first), Ok(path)) = (first, KString::from_str("devices/pnp0/00:00", GFP_KERNEL))
            && let (Some(owner), Some(port)) = (owners.get_mut(first), PORTS.get(first))
        {
            owner.path = Some(path);
            assert_eq!(choose(&owners, port.base()), Err(EBUSY));
            assert_ne!(choose(&owners, 0xc000), Ok(first));
        }
    }
}
