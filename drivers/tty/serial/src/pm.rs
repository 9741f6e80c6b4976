// SPDX-License-Identifier: GPL-2.0
//! The ports as the device `serial8250` of the platform bus, and what they do when the machine sleeps: one that is open ends what it sends and
//! hears nothing, or, if programs said so in the device's `power/wakeup`, wakes the machine by what it hears. The log still comes out.
//!
//! The driver serves the ports before there is a bus, and cannot be taken from them.

use crate::port::{PORTS, Port};
use crate::uart::Uart;
use device::platform::{self, BUS, Info};
use device::{Device, Driver, DriverOps, Phase};
use errno::Result;
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use uapi::*;

/// The driver's name, and the device's.
const NAME: &[u8] = b"serial8250";
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

struct Ops;

impl DriverOps for Ops {
    fn matches(&self, device: &Device) -> bool {
        device.name() == NAME
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        device.init_wakeup(false)
    }

    fn remove(&self, device: &Arc<Device>) {
        device.clear_wakeup();
    }

    fn pm(&self, device: &Arc<Device>, phase: Phase) -> Result {
        match phase {
            Phase::Suspend => {
                let slept = PORTS.iter().try_for_each(|port| port.suspend(device.may_wakeup()));
                slept.inspect_err(|_| PORTS.iter().for_each(Port::resume))
            }
            Phase::Resume => {
                PORTS.iter().for_each(Port::resume);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn has_bind_files(&self) -> bool {
        false
    }
}

/// Shows the device and its driver. `EEXIST`. May sleep.
pub(crate) fn add() -> Result {
    // The bus keeps it for ever.
    Driver::register(&BUS, NAME, Arc::new(Ops, GFP_KERNEL)?)?;
    platform::add(NAME, Info::default()).map(drop)
}

impl Port {
    /// The machine goes to sleep. May sleep.
    fn suspend(&self, wakes: bool) -> Result {
        let request = self.request.lock();
        // Nobody has it open: nothing of it is on.
        let (Some(uart), Some(request)) = (self.uart(), &*request) else { return Ok(()) };
        if wakes {
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
        let asleep = self.state.lock_irqsave().asleep.take();
        match asleep {
            None => {}
            Some(Asleep::Wakes(irq)) => {
                // It was enabled just so.
                let _ = irq::disable_irq_wake(irq);
            }
            Some(Asleep::Silent(ier)) => self.restore(uart, ier),
        }
    }

    /// The chip's registers, which may be lost, are written again.
    fn restore(&self, uart: &Uart, ier: u8) {
        let mut state = self.state.lock_irqsave();
        uart.set_line(state.divisor, state.lcr);
        uart.keep_fifos();
        state.change_mcr(uart, 0, 0);
        // What is in the chip raises its interrupt now; sending begins again by itself.
        state.ier |= ier & !(UART_IER_THRI as u8);
        uart.write(UART_IER, state.ier);
        state.start_sending(uart);
    }
}
