// SPDX-License-Identifier: GPL-2.0
//! What a line shows in `/sys/class/tty/ttySn`: the settings of `TIOCGSERIAL`, whether the log is shown there, and
//! whether it wakes the machine. Called by sysfs.

use crate::console::CONSOLES;
use crate::line::settings;
use crate::port::Port;
use core::sync::atomic::Ordering::Relaxed;
use errno::{Result, code::*};
use kalloc::Arc;
use sysfs::Node;
use uapi::serial_struct;
use vfs::{SeqBuf, seq_print};

/// A number of the settings.
type Number = (&'static str, fn(&serial_struct) -> i64);

/// Those that are shown in decimal.
const NUMBERS: [Number; 10] = [
    ("uartclk", |its| i64::from(its.baud_base) * 16),
    ("type", |its| its.type_.into()),
    ("line", |its| its.line.into()),
    ("irq", |its| its.irq.into()),
    ("xmit_fifo_size", |its| its.xmit_fifo_size.into()),
    ("close_delay", |its| its.close_delay.into()),
    ("closing_wait", |its| its.closing_wait.into()),
    ("custom_divisor", |its| its.custom_divisor.into()),
    ("io_type", |its| its.io_type.into()),
    ("iomem_reg_shift", |its| its.iomem_reg_shift.into()),
];

/// `console`: takes the log away from the line, or gives it back.
fn set_console(port: &Port, text: &[u8]) -> Result<usize> {
    let console = CONSOLES.get(port.index as usize).ok_or(ENXIO)?;
    match (port.is_console(), cmdline::kstrtobool(text)?) {
        (true, false) => printk::console::unregister(console),
        // Only where the log was, or was to be.
        (false, true) if !printk::console::is_wanted(console) => return Err(ENOENT),
        (false, true) if port.is_usable() => {
            printk::register(console);
            // Whoever takes the chip away has been at the console before, or comes to it after this.
            if !port.is_usable() {
                printk::console::unregister(console);
            }
        }
        _ => {}
    }
    Ok(text.len())
}

/// `rx_trig_bytes`: how many bytes wait in the receiver before it interrupts.
fn set_trigger(port: &Port, text: &[u8]) -> Result<usize> {
    let bytes = core::str::from_utf8(text).ok().and_then(|text| text.trim_end().parse().ok()).ok_or(EINVAL)?;
    let _state = port.state.lock_irqsave();
    let uart = port.uart().filter(|uart| uart.trigger().is_some()).ok_or(EINVAL)?;
    uart.set_trigger(bytes);
    Ok(text.len())
}

/// Adds a line's files to its directory. May sleep.
pub(crate) fn fill(node: &Arc<Node>, port: &'static Port) -> Result {
    for (name, number) in NUMBERS {
        sysfs::attr(node, name, move |out| seq_print!(out, "{}\n", number(&settings(port))))?;
    }
    sysfs::attr(node, "port", move |out| seq_print!(out, "0x{:X}\n", settings(port).port))?;
    sysfs::attr(node, "flags", move |out| seq_print!(out, "0x{:X}\n", settings(port).flags))?;
    sysfs::attr(node, "iomem_base", |out| out.put(b"0x0\n"))?;
    let show = move |out: &mut SeqBuf| out.put(if port.is_console() { b"Y\n" } else { b"N\n" });
    sysfs::attr_rw(node, "console", show, move |text| set_console(port, text))?;
    if port.uart().is_some_and(|uart| uart.trigger().is_some()) {
        let show = move |out: &mut SeqBuf| match port.uart().and_then(|uart| uart.trigger()) {
            Some(bytes) => seq_print!(out, "{bytes}\n"),
            None => Err(EINVAL),
        };
        sysfs::attr_rw(node, "rx_trig_bytes", show, move |text| set_trigger(port, text))?;
    }
    // As in Linux it is the terminal's, not that of the device that brought the chip; another one's begins anew.
    port.may_wakeup.store(false, Relaxed);
    let set = move |on: bool| {
        port.may_wakeup.store(on, Relaxed);
        Ok(())
    };
    device::wakeup_file(node, move || Ok(port.may_wakeup.load(Relaxed)), set)
}
