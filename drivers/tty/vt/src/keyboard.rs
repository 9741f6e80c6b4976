// SPDX-License-Identifier: GPL-2.0
//! From scan codes to the input of the terminal in front, and to what keys do themselves: bring another terminal to the front,
//! stop output, restart. Called by the keyboard driver's thread.

use crate::terminals::{Terminals, VT};
use crate::{COUNT, switch};
use kalloc::Arc;
use tty::{Flag, Tty};
use uapi::{K_MEDIUMRAW, K_OFF, K_RAW};
use vt_emul::keymap::{Action, Bytes, medium_raw};

pub(crate) struct Keyboard;

/// The one keyboard.
pub(crate) static KEYBOARD: Keyboard = Keyboard;

/// What a scan code comes to.
enum Outcome {
    Nothing,
    /// Input of this terminal.
    Input(Option<Arc<Tty>>, Bytes),
    Scan(Option<Arc<Tty>>, u8),
    Act(Option<Arc<Tty>>, Action),
}

impl Terminals {
    fn scan_code(&mut self, byte: u8) -> Outcome {
        let key = self.decoder.push(byte);
        let Some((terminal, keyboard)) = self.front_and_keyboard() else { return Outcome::Nothing };
        let tty = terminal.tty.clone();
        // Which keys are down is kept in every mode.
        let action = key.map_or(Action::None, |key| keyboard.key(key, terminal.emulator.modes()));
        match (terminal.key_mode, action) {
            (_, Action::SysRq(_)) => Outcome::Act(tty, action),
            (K_RAW, _) => Outcome::Scan(tty, byte),
            (K_MEDIUMRAW, _) => key.map_or(Outcome::Nothing, |key| Outcome::Input(tty, medium_raw(key))),
            (_, Action::None) | (K_OFF, _) => Outcome::Nothing,
            (_, Action::Send(bytes)) => {
                let bytes = if terminal.meta_bit { high_bit(bytes) } else { bytes };
                Outcome::Input(tty, bytes)
            }
            _ => Outcome::Act(tty, action),
        }
    }
}

/// Alt and a character as one byte with the high bit.
fn high_bit(bytes: Bytes) -> Bytes {
    match bytes.as_slice() {
        &[0x1b, c @ 0..0x80] if !matches!(c, b'[' | b'O') => Bytes::single(c | 0x80),
        _ => bytes,
    }
}

impl sysrq::Keyboard for Keyboard {
    fn set_default_mode(&self) {
        if let Some((terminal, _)) = VT.lock_irqsave().front_and_keyboard() {
            terminal.key_mode = uapi::K_UNICODE;
        }
    }
}

impl input::Handler for Keyboard {
    fn lights(&self) -> u8 {
        VT.lock_irqsave().keyboard.leds()
    }

    fn scan_code(&self, byte: u8) {
        let outcome = VT.lock_irqsave().scan_code(byte);
        match outcome {
            Outcome::Input(Some(tty), bytes) => {
                tty.receive(bytes.as_slice(), None);
            }
            Outcome::Scan(Some(tty), byte) => {
                tty.receive(&[byte], None);
            }
            Outcome::Act(tty, action) => act(tty, action),
            // Nobody has the terminal open.
            _ => {}
        }
    }
}

/// The next terminal there is from the one in front, in either direction.
fn neighbour(forward: bool) -> usize {
    let vt = VT.lock_irqsave();
    let step = if forward { 1 } else { COUNT - 1 };
    let candidates = (1..=COUNT).map(|n| vt.front.saturating_add(n.saturating_mul(step)) % COUNT);
    candidates.into_iter().find(|&n| vt.is_allocated(n)).unwrap_or(vt.front)
}

fn act(tty: Option<Arc<Tty>>, action: Action) {
    // A terminal that is not there, or may not come, leaves things as they are.
    match action {
        Action::Console(n) => drop(switch::to(usize::from(n).saturating_sub(1))),
        Action::PreviousConsole => drop(switch::to(neighbour(false))),
        Action::NextConsole => drop(switch::to(neighbour(true))),
        Action::Reboot => process::misc::ctrl_alt_del(),
        Action::Leds => set_lights(),
        Action::Hold(stop) => {
            set_lights();
            if let Some(tty) = tty {
                tty.set_flow(stop);
            }
        }
        Action::Break => {
            if let Some(tty) = tty {
                tty.receive(&[0], Some(&[Flag::Break]));
            }
        }
        Action::SysRq(key) => sysrq::handle(key),
        // As Linux since 5.9: nothing scrolls back.
        Action::ScrollBack | Action::ScrollForward | Action::None | Action::Send(_) => {}
    }
}

/// Shows the locks on the keyboard.
pub(crate) fn set_lights() {
    let leds = VT.lock_irqsave().keyboard.leds();
    input::set_leds(leds);
}
