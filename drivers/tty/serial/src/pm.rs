// SPDX-License-Identifier: GPL-2.0
//! What ports do when the machine sleeps: one that is open ends what it sends and hears nothing, or, if programs said so in its
//! `power/wakeup`, wakes the machine by what it hears. The log still comes out. Called by the drivers (`bind`, `pci_cards`); may sleep.

use crate::owner::ports_of;
use crate::port::{Port, State};
use crate::uart::Uart;
use core::sync::atomic::Ordering::Relaxed;
use device::Phase;
use errno::Result;
use uapi::*;

/// How often it is looked at whether all was sent, a millisecond apart.
const TRIES: u32 = 30;

/// What was done to a port when the machine went to sleep.
#[derive(Clone, Copy)]
pub(crate) enum Asleep {
    /// This interrupt was made to wake the machine.
    Wakes(u32),
    /// These interrupts of the chip were switched off.
    Silent(u8),
}

impl Asleep {
    /// An interrupt that was to wake the machine does not any more.
    pub(crate) fn stop_waking(self) {
        if let Self::Wakes(irq) = self {
            // It was enabled just so.
            let _ = irq::disable_irq_wake(irq);
        }
    }
}

/// A step of the device at `path` in sysfs; `None`: of `serial8250`.
pub(crate) fn step(path: Option<&str>, phase: Phase) -> Result {
    match phase {
        Phase::Suspend => {
            let slept = ports_of(path, Port::suspend);
            slept.inspect_err(|_| wake(path))
        }
        Phase::Resume => {
            wake(path);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn wake(path: Option<&str>) {
    // Waking has no errors.
    let _ = ports_of(path, |port| {
        port.resume();
        Ok(())
    });
}

impl Port {
    /// The machine goes to sleep. May sleep.
    fn suspend(&self) -> Result {
        let request = self.request.lock();
        // Nobody has it open: nothing of it is on.
        let (Some(uart), Some(request)) = (self.uart(), &*request) else { return Ok(()) };
        if self.may_wakeup.load(Relaxed) {
            irq::enable_irq_wake(request.irq())?;
            self.state.lock_irqsave().asleep = Some(Asleep::Wakes(request.irq()));
            return Ok(());
        }
        {
            let mut state = self.state.lock_irqsave();
            state.asleep = Some(Asleep::Silent(state.ier));
            state.ier = 0;
            uart.write(UART_IER, 0);
        }
        for _ in 0..TRIES {
            if uart.read(UART_LSR) & UART_LSR_TEMT as u8 != 0 {
                break;
            }
            ktime::sleep_ns(1_000_000);
        }
        Ok(())
    }

    /// It wakes. May sleep.
    fn resume(&self) {
        let Some(uart) = self.uart() else { return };
        let mut state = self.state.lock_irqsave();
        match state.asleep.take() {
            // Whoever closed it has undone it.
            None => {}
            Some(Asleep::Silent(ier)) => state.restore(uart, ier),
            Some(wakes) => wakes.stop_waking(),
        }
    }
}

impl State {
    /// The chip's registers, which may be lost, are written again.
    fn restore(&mut self, uart: &Uart, ier: u8) {
        uart.set_line(self.divisor, self.lcr);
        uart.keep_fifos();
        self.change_mcr(uart, 0, 0);
        // What is in the chip raises its interrupt now; sending begins again by itself.
        self.ier |= ier & !(UART_IER_THRI as u8);
        uart.write(UART_IER, self.ier);
        self.start_sending(uart);
    }
}
