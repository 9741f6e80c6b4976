// SPDX-License-Identifier: GPL-2.0
//! Nodes in devtmpfs for terminals: the terminal layer does not know devtmpfs, and says which lines it has.

use devtmpfs::{Device, Kind};
use errno::Result;
use kalloc::KString;
use kalloc::flags::GFP_KERNEL;
use klog::pr_err;

/// Permissions of Linux's nodes: the caller's own terminal for everybody, others for their owner.
fn mode(kind: tty::Kind) -> u32 {
    match kind {
        tty::Kind::SystemTty => 0o666,
        _ => 0o600,
    }
}

/// Makes a node for every line of every terminal driver that is there.
pub(crate) fn terminals() -> Result {
    tty::for_each_device(|driver, index| {
        let single = driver.count == 1;
        let name = match single {
            true => KString::from_str(driver.name, GFP_KERNEL),
            false => KString::from_fmt(format_args!("{}{}", driver.name, index), GFP_KERNEL),
        };
        let made = name.map_err(errno::Error::from).and_then(|name| {
            devtmpfs::create_device(&Device {
                class: "tty",
                name: name.to_str().unwrap_or(""),
                node: None,
                kind: Kind::Char,
                dev: driver.dev(index),
                mode: mode(driver.kind),
                parent: None,
            })
        });
        if let Err(error) = made {
            pr_err!("devtmpfs: no node for {}{index}: {error}", driver.name);
        }
    });
    for (name, minor) in [("tty", 0), ("console", 1), ("ptmx", 2)] {
        let node_mode = if minor == 1 { 0o600 } else { 0o666 };
        let dev = vfs::Dev::new(uapi::TTYAUX_MAJOR, minor);
        let device = Device { class: "tty", name, node: None, kind: Kind::Char, dev, mode: node_mode, parent: None };
        match devtmpfs::create_device(&device) {
            Ok(()) | Err(errno::code::EEXIST) => {}
            Err(error) => pr_err!("devtmpfs: no node for {name}: {error}"),
        }
    }
    Ok(())
}

/// `/sys/class/tty/console/active` (the consoles of the log, the one behind `/dev/console` last) and what `tty0` has.
pub(crate) fn consoles() -> Result {
    let dir = sysfs::root()?.path_or_new("devices/virtual/tty/console")?;
    sysfs::attr(&dir, "active", |out| {
        let Some(last) = printk::console::preferred() else { return Ok(()) };
        let is_last = |console: &&dyn printk::Console| (console.name(), console.index()) == (last.name(), last.index());
        for console in printk::console::consoles().filter(|console| !console.is_boot() && !is_last(console)) {
            vfs::seq_print!(out, "{}{} ", console.name(), console.index())?;
        }
        vfs::seq_print!(out, "{}{}\n", last.name(), last.index())
    })?;
    vt::init_sysfs()
}
