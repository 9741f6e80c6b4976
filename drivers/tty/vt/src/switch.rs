// SPDX-License-Identifier: GPL-2.0
//! Another terminal comes to the front: at once, or, if a process controls the one in front (`VT_PROCESS`), when that agrees.
//! Called from threads and requests with no lock held. Source: `ioctl_console(2)`.

use crate::line;
use crate::terminals::{SWITCHED, Terminals, VT, schedule_draw};
use errno::{
    Result,
    code::{EBUSY, EINVAL},
};
use kalloc::{Arc, WeakArc};
use locking::SetOnce;
use process::Process;
use process::signal::{SigInfo, send};
use uapi::{KD_GRAPHICS, KD_TEXT, VT_AUTO, VT_PROCESS};

/// `/sys/class/tty/tty0/active`, to be told.
static ACTIVE: SetOnce<Arc<sysfs::Node>> = SetOnce::new();

pub(crate) fn set_active_node(node: Arc<sysfs::Node>) -> Result {
    ACTIVE.set(node).map_err(|_| EBUSY)
}

/// What is to be done once the lock is released.
enum Then {
    /// The terminal in front stays.
    Nothing,
    /// Another one is in front; its process, if it has one, gets this signal.
    Switched(Option<(WeakArc<Process>, u16)>),
    /// The process of the one in front is asked by this signal; it holds things up until it answers.
    Ask(WeakArc<Process>, u16),
}

fn signal(process: &WeakArc<Process>, number: u16) -> bool {
    let Some(process) = process.upgrade() else { return false };
    number == 0 || send::send_to_process(&process, SigInfo::kernel(number.into())).is_ok()
}

impl Terminals {
    /// Brings terminal `to` to the front.
    fn complete(&mut self, to: usize) -> Then {
        let from = self.front;
        let leds = self.keyboard.leds();
        if let Some(terminal) = self.get(from) {
            terminal.leds = leds;
            terminal.switching.wanted = None;
        }
        (self.last, self.front) = (from, to);
        let Some(terminal) = self.get(to) else { return Then::Nothing };
        let leds = terminal.leds;
        let told = match terminal.switching.mode {
            VT_PROCESS => terminal.switching.owner.clone().map(|owner| (owner, terminal.switching.acqsig)),
            _ => None,
        };
        self.keyboard.set_leds(leds);
        self.refresh();
        Then::Switched(told)
    }

    fn request(&mut self, to: usize) -> Result<Then> {
        if !self.is_allocated(to) || self.locked {
            return Err(EINVAL);
        }
        if to == self.front {
            return Ok(Then::Nothing);
        }
        let Some(terminal) = self.front() else { return Ok(self.complete(to)) };
        if terminal.switching.mode == VT_AUTO && terminal.screen_mode == KD_GRAPHICS {
            return Err(EINVAL);
        }
        if terminal.switching.mode == VT_PROCESS
            && let Some(owner) = terminal.switching.owner.clone()
        {
            terminal.switching.wanted = Some(to);
            return Ok(Then::Ask(owner, terminal.switching.relsig));
        }
        Ok(self.complete(to))
    }
}

fn carry_out(then: Then) {
    match then {
        Then::Nothing => {}
        Then::Switched(told) => {
            schedule_draw();
            if let Some((owner, number)) = told {
                signal(&owner, number);
            }
            input::set_leds(VT.lock_irqsave().keyboard.leds());
            if let Some(node) = ACTIVE.get() {
                node.notify();
            }
            SWITCHED.wake_up_all();
        }
        Then::Ask(owner, number) => {
            if !signal(&owner, number) {
                // The process is gone, and with it its control.
                let then = {
                    let mut vt = VT.lock_irqsave();
                    let Some(terminal) = vt.front() else { return };
                    let wanted = terminal.switching.wanted;
                    line::reset(terminal);
                    match wanted {
                        Some(to) => vt.complete(to),
                        None => Then::Nothing,
                    }
                };
                carry_out(then);
            }
        }
    }
}

/// Asks for terminal `to` (counted from 0) to come to the front. `EINVAL` if it is not there or may not. May sleep.
pub(crate) fn to(to: usize) -> Result {
    let then = VT.lock_irqsave().request(to)?;
    carry_out(then);
    Ok(())
}

/// The answer of the process that controls the terminal `index` (`VT_RELDISP`): 0 no, 1 yes, 2 it has taken over. `EINVAL`.
pub(crate) fn answer(index: usize, arg: usize) -> Result {
    let then = {
        let mut vt = VT.lock_irqsave();
        let terminal = vt.get(index).ok_or(EINVAL)?;
        if terminal.switching.mode != VT_PROCESS {
            return Err(EINVAL);
        }
        match (terminal.switching.wanted, arg) {
            (Some(_), 0) => {
                terminal.switching.wanted = None;
                Then::Nothing
            }
            (Some(to), _) => vt.complete(to),
            (None, ack) if ack == uapi::VT_ACKACQ as usize => Then::Nothing,
            (None, _) => return Err(EINVAL),
        }
    };
    carry_out(then);
    Ok(())
}

/// `KDSETMODE`: text or graphics. The screen is drawn again when text comes back.
pub(crate) fn set_screen_mode(index: usize, mode: u32) {
    let shown = {
        let mut vt = VT.lock_irqsave();
        let front = vt.front == index;
        let Some(terminal) = vt.get(index) else { return };
        let old = core::mem::replace(&mut terminal.screen_mode, mode);
        let shown = front && old != mode && mode == KD_TEXT;
        if shown {
            vt.refresh();
        }
        shown
    };
    if shown {
        schedule_draw();
    }
}
