// SPDX-License-Identifier: GPL-2.0
//! The keyboard: set up by polling, then served by its interrupt, whose hard half takes bytes and drives commands (each byte
//! sent is answered by ACK, or by a request to send it again), and whose thread gives scan codes on.

use crate::controller::{Controller, FROM_MOUSE, OUTPUT_FULL};
use containers::ByteRing;
use errno::Result;
use kalloc::KBox;
use kalloc::flags::GFP_KERNEL;
use kernel::ext::SpinLock;
use kernel::hardware::irq::{self, IrqFlags, IrqRequest, IrqReturn, request_threaded_irq};
use kernel::hardware::{input, irq_chip};

const SET_LEDS: u8 = 0xed;
const SET_RATE: u8 = 0xf3;
const ENABLE: u8 = 0xf4;
const DISABLE: u8 = 0xf5;
const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
/// A delay of 250 ms, then 30 characters a second, as Linux sets it.
const RATE: u8 = 0x00;
/// How often a byte is sent again.
const RETRIES: u8 = 3;
/// Scan codes that wait for the thread.
const RING: usize = 256;

/// A command that is going on: its bytes, the one that waits for its answer, how often it may be sent again.
struct Command {
    bytes: [u8; 2],
    at: usize,
    retries: u8,
}

struct State {
    controller: Controller,
    ring: ByteRing,
    command: Option<Command>,
    /// Lights to be set once the command that is going on is done.
    leds: Option<u8>,
}

static STATE: SpinLock<Option<State>> = SpinLock::new(None);

/// Sends a byte and waits for the answer, by polling.
fn ask(controller: &Controller, byte: u8) -> bool {
    for _ in 0..RETRIES {
        if controller.send(byte).is_err() {
            return false;
        }
        // Keys pressed meanwhile come before the answer.
        for _ in 0..16 {
            match controller.receive() {
                Some(ACK) => return true,
                Some(RESEND) => break,
                Some(_) => {}
                None => return false,
            }
        }
    }
    false
}

/// Sets the keyboard up, and says whether there is one.
pub(crate) fn probe(controller: &Controller) -> bool {
    let ok = ask(controller, DISABLE)
        && ask(controller, SET_LEDS)
        && ask(controller, 0)
        && ask(controller, SET_RATE)
        && ask(controller, RATE)
        && ask(controller, ENABLE);
    controller.flush();
    ok
}

impl Served {
    /// Has the keyboard wake a machine that sleeps, or no more. True: that was done.
    pub(crate) fn set_wake(&self, on: bool) -> Result<bool> {
        let Some(request) = &self.request else { return Ok(false) };
        let change = if on { irq::enable_irq_wake } else { irq::disable_irq_wake };
        change(request.irq()).map(|()| true)
    }
}

/// A keyboard that is served; dropped, it is not any more.
pub(crate) struct Served {
    request: Option<IrqRequest>,
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(state) = &mut *STATE.lock_irqsave() {
            state.controller.stop();
        }
        // Waits for the handler and its thread.
        let request = self.request.take();
        drop(request);
        let state = STATE.lock_irqsave().take();
        drop(state);
    }
}

/// From here on the interrupt serves the keyboard. There is one.
pub(crate) fn start(controller: Controller) -> Result<Served> {
    let state = State { controller, ring: ByteRing::new(RING, GFP_KERNEL)?, command: None, leds: None };
    *STATE.lock_irqsave() = Some(state);
    let mut served = Served { request: None };
    let line = irq_chip::isa_line(1);
    let flags = IrqFlags { trigger: Some((line.trigger, line.polarity)), ..IrqFlags::default() };
    let hard = KBox::new(|_: u32| interrupt(), GFP_KERNEL)?;
    let thread = KBox::new(|_: u32| deliver(), GFP_KERNEL)?;
    served.request = Some(request_threaded_irq(line.gsi, b"i8042", flags, Some(hard), thread)?);
    if let Some(state) = &mut *STATE.lock_irqsave() {
        state.controller.enable_interrupt()?;
    }
    Ok(served)
}

/// The hard half.
fn interrupt() -> IrqReturn {
    let mut guard = STATE.lock_irqsave();
    let Some(state) = &mut *guard else { return IrqReturn::None };
    let mut handled = false;
    // The line is edge-triggered: the chip must be seen empty once, but one that never is must not hang the CPU.
    for _ in 0..64 {
        let status = state.controller.status();
        if status & OUTPUT_FULL == 0 {
            break;
        }
        handled = true;
        let byte = state.controller.read_data();
        if status & FROM_MOUSE == 0 {
            state.take(byte);
        }
    }
    match (handled, state.ring.is_empty()) {
        (_, false) => IrqReturn::WakeThread,
        (true, true) => IrqReturn::Handled,
        (false, true) => IrqReturn::None,
    }
}

impl State {
    fn take(&mut self, byte: u8) {
        match (&mut self.command, byte) {
            (Some(command), ACK) => {
                command.at = command.at.saturating_add(1);
                match command.bytes.get(command.at) {
                    Some(&next) => self.controller.send_now(next),
                    None => {
                        self.command = None;
                        self.start_command();
                    }
                }
            }
            (Some(command), RESEND) => {
                command.retries = command.retries.saturating_sub(1);
                match command.bytes.get(command.at).copied().filter(|_| command.retries != 0) {
                    Some(again) => self.controller.send_now(again),
                    None => self.command = None,
                }
            }
            // A full ring drops keys, as a keyboard's own buffer does.
            _ => drop(self.ring.push(byte)),
        }
    }

    fn start_command(&mut self) {
        if self.command.is_none()
            && self.controller.can_send()
            && let Some(leds) = self.leds.take()
        {
            self.command = Some(Command { bytes: [SET_LEDS, leds], at: 0, retries: RETRIES });
            self.controller.send_now(SET_LEDS);
        }
    }
}

/// The thread.
fn deliver() {
    loop {
        let byte = STATE.lock_irqsave().as_mut().and_then(|state| state.ring.pop());
        match byte {
            Some(byte) => input::scan_code(byte),
            None => return,
        }
    }
}

/// The keyboard's lights.
pub(crate) struct Lights;

impl input::Keyboard for Lights {
    fn set_leds(&self, leds: u8) {
        if let Some(state) = &mut *STATE.lock_irqsave() {
            state.leds = Some(leds & 7);
            state.start_command();
        }
    }
}
