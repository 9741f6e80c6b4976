// SPDX-License-Identifier: GPL-2.0
//! The four standard ports of a PC and what the driver knows of each. Called by everything in this crate.
//!
//! Locks: `Port::state`, interrupts off; nothing is taken inside it.

use crate::uart::Uart;
use cmdline::SerialOptions;
use locking::{SetOnce, SpinLock};
use uapi::*;

/// What changes.
pub(crate) struct State {
    /// Copies of the chip's registers.
    pub(crate) lcr: u8,
    pub(crate) mcr: u8,
    pub(crate) ier: u8,
    pub(crate) divisor: u16,
    /// What `console=` said: the line starts with it.
    pub(crate) console_options: Option<SerialOptions>,
}

/// One port.
pub(crate) struct Port {
    pub(crate) index: u32,
    pub(crate) base: u16,
    pub(crate) irq: u8,
    uart: SetOnce<Uart>,
    pub(crate) state: SpinLock<State>,
}

/// COM1 to COM4.
pub(crate) static PORTS: [Port; 4] =
    [Port::new(0, 0x3f8, 4), Port::new(1, 0x2f8, 3), Port::new(2, 0x3e8, 4), Port::new(3, 0x2e8, 3)];

impl Port {
    const fn new(index: u32, base: u16, irq: u8) -> Self {
        // DTR, RTS and the interrupt's gate are off until the port is opened.
        let state = State { lcr: UART_LCR_WLEN8 as u8, mcr: 0, ier: 0, divisor: 12, console_options: None };
        Self { index, base, irq, uart: SetOnce::new(), state: SpinLock::new(state) }
    }

    /// Looks for the chip, once.
    pub(crate) fn probe(&self) -> Option<&Uart> {
        if self.uart.get().is_none()
            && let Some(uart) = Uart::probe(self.base)
        {
            // Probing is done once, at boot.
            drop(self.uart.set(uart));
        }
        self.uart()
    }

    /// The chip, if there is one.
    #[inline(always)]
    pub(crate) fn uart(&self) -> Option<&Uart> {
        self.uart.get()
    }
}
