// SPDX-License-Identifier: GPL-2.0
//! The port's interrupt: the hard half moves bytes between the chip and the rings, the thread gives input to the terminal.

use crate::port::{Port, flag};
use irq::IrqReturn;
use tty::{Flag, Tty};
use uapi::*;

/// Below so many bytes waiting to be sent, writers are woken.
const WAKEUP_CHARS: usize = 256;
/// Bytes given to the terminal at once.
const CHUNK: usize = 128;

impl Port {
    /// The hard handler.
    pub(crate) fn interrupt(&self, tty: &Tty) -> IrqReturn {
        let Some(uart) = self.uart() else { return IrqReturn::None };
        let mut state = self.state.lock_irqsave();
        let before = state.rings.as_ref().map_or(0, |r| r.tx.len());
        let deltas = [state.counts.rng, state.counts.dsr, state.counts.dcd, state.counts.cts];
        let mut handled = false;
        // The line is edge-triggered: it must be seen quiet once. A chip that never is must not hang the CPU.
        for _ in 0..256 {
            let iir = uart.read(UART_IIR);
            if iir & UART_IIR_NO_INT as u8 != 0 {
                break;
            }
            handled = true;
            let lsr = uart.read(UART_LSR);
            let lsr = state.receive(uart, lsr);
            state.check_modem(uart);
            if lsr & UART_LSR_THRE as u8 != 0 && state.ier & UART_IER_THRI as u8 != 0 {
                state.fill_transmitter(uart);
            }
        }
        if !handled {
            return IrqReturn::None;
        }
        let (waiting, input) = state.rings.as_ref().map_or((0, false), |r| (r.tx.len(), !r.rx.is_empty()));
        let modem = deltas != [state.counts.rng, state.counts.dsr, state.counts.dcd, state.counts.cts];
        let thread = input || state.carrier_changed || (tty.echo_waits() || tty.wants_room()) && waiting < WAKEUP_CHARS;
        let request = state.request.take();
        drop(state);
        // It prints on this port.
        if let Some(key) = request {
            sysrq::handle(key);
        }
        if waiting < before && waiting < WAKEUP_CHARS {
            tty.write_wakeup();
        }
        if modem {
            self.modem_wait.wake_up_all();
        }
        if thread { IrqReturn::WakeThread } else { IrqReturn::Handled }
    }

    /// The thread.
    pub(crate) fn interrupt_thread(&self, tty: &Tty) {
        if core::mem::take(&mut self.state.lock_irqsave().carrier_changed)
            && let Some(uart) = self.uart()
        {
            tty.carrier_changed(uart.read(UART_MSR) & UART_MSR_DCD as u8 != 0);
        }
        self.deliver(tty);
        if tty.echo_waits() {
            tty.drain_echo();
        }
        if tty.wants_room() {
            tty.room_made();
        }
    }

    /// Gives the terminal what came, as far as it takes it. May sleep.
    pub(crate) fn deliver(&self, tty: &Tty) {
        let _delivery = self.delivery.lock();
        let (mut bytes, mut codes, mut flags) = ([0; CHUNK], [0; CHUNK], [Flag::Normal; CHUNK]);
        loop {
            let n = match &self.state.lock_irqsave().rings {
                Some(rings) => {
                    rings.rx_flags.peek(&mut codes);
                    rings.rx.peek(&mut bytes)
                }
                None => return,
            };
            let (Some(data), Some(codes)) = (bytes.get(..n), codes.get(..n)) else { return };
            if data.is_empty() {
                return;
            }
            let clean = codes.iter().all(|&c| c == 0);
            flags.iter_mut().zip(codes).for_each(|(to, &code)| *to = flag(code));
            let taken = tty.receive(data, if clean { None } else { flags.get(..n) });
            if let Some(rings) = &mut self.state.lock_irqsave().rings {
                rings.rx.consume(taken);
                rings.rx_flags.consume(taken);
            }
            if taken < n {
                // The terminal is full; `unthrottle` comes back here.
                return;
            }
        }
    }
}
