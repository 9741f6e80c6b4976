// SPDX-License-Identifier: GPL-2.0
//! `ttyS` as a console of the kernel log: polled output under the port's lock, which a panic ignores. Called by `printk` in
//! any context but NMI.

use crate::port::{PORTS, Port};
use crate::uart::divisor;
use errno::{Result, code::ENODEV};
use printk::Console;
use uapi::*;

/// The console on one port.
pub(crate) struct SerialConsole {
    port: &'static Port,
}

/// One for each port.
pub(crate) static CONSOLES: [SerialConsole; PORTS.len()] = {
    let [a, b, c, d] = &PORTS;
    [SerialConsole { port: a }, SerialConsole { port: b }, SerialConsole { port: c }, SerialConsole { port: d }]
};

impl Console for SerialConsole {
    fn name(&self) -> &str {
        "ttyS"
    }

    fn index(&self) -> u32 {
        self.port.index
    }

    fn device(&self) -> Option<(u32, u32)> {
        Some((TTY_MAJOR, self.port.index.saturating_add(64)))
    }

    fn any_time(&self) -> bool {
        true
    }

    fn setup(&self, options: &str) -> Result {
        let uart = self.port.uart().ok_or(ENODEV)?;
        let wanted = cmdline::parse_serial_options(options.as_bytes());
        let mut lcr = match wanted.bits {
            7 => UART_LCR_WLEN7,
            6 => UART_LCR_WLEN6,
            5 => UART_LCR_WLEN5,
            _ => UART_LCR_WLEN8,
        };
        match wanted.parity {
            b'o' => lcr |= UART_LCR_PARITY,
            b'e' => lcr |= UART_LCR_PARITY | UART_LCR_EPAR,
            _ => {}
        }
        let mut state = self.port.state.lock_irqsave();
        state.lcr = lcr as u8;
        state.divisor = divisor(wanted.baud);
        state.console_options = Some(wanted);
        uart.set_line(state.divisor, state.lcr);
        state.mcr |= (UART_MCR_DTR | UART_MCR_RTS) as u8;
        uart.write(UART_MCR, state.mcr);
        Ok(())
    }

    fn write(&self, bytes: &[u8]) {
        let Some(uart) = self.port.uart() else { return };
        // The CPU that holds the lock may be stopped for good in a panic.
        let guard = match printk::in_panic() {
            true => self.port.state.try_lock_irqsave(),
            false => Some(self.port.state.lock_irqsave()),
        };
        // No interrupt for room that polling uses up; it comes at once when there still is room afterwards.
        let ier = guard.as_ref().map_or(0, |state| state.ier);
        uart.write(UART_IER, 0);
        uart.write_polled(bytes);
        if printk::in_panic() {
            uart.drain();
        }
        uart.write(UART_IER, ier);
    }
}
