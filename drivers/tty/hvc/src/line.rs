// SPDX-License-Identifier: GPL-2.0
//! A line as the terminal layer's device. Called by it, see `tty::TtyOps` for what is held.

use crate::port::{PORTS, Port};
use errno::{Result, code::ENODEV};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use tty::{DriverOps, Tty, TtyOps};
use uapi::ktermios;

struct Line {
    port: &'static Port,
}

/// All lines.
pub(crate) struct Lines;

impl DriverOps for Lines {
    fn line(&self, index: u32) -> Result<KBox<dyn TtyOps>> {
        let port = PORTS.get(index as usize).ok_or(ENODEV)?;
        Ok(KBox::new(Line { port }, GFP_KERNEL)?)
    }

    fn init_termios(&self, _index: u32) -> ktermios {
        tty::std_termios()
    }
}

impl TtyOps for Line {
    fn open(&self, tty: &Arc<Tty>) -> Result {
        let old = {
            let mut state = self.port.state.lock_irqsave();
            if state.ops.is_none() {
                return Err(ENODEV);
            }
            state.stopped = false;
            state.tty.replace(tty.clone())
        };
        drop(old);
        // What came while nobody listened.
        self.port.kick();
        Ok(())
    }

    fn shutdown(&self, _tty: &Tty) {
        let old = {
            let mut state = self.port.state.lock_irqsave();
            state.stopped = false;
            state.tty.take()
        };
        drop(old);
    }

    fn write(&self, _tty: &Tty, bytes: &[u8]) -> usize {
        let mut state = self.port.state.lock_irqsave();
        if state.ops.is_none() {
            // Nobody sees it.
            return bytes.len();
        }
        state.rings.as_mut().map_or(bytes.len(), |rings| rings.tx.write(bytes))
    }

    fn flush_chars(&self, _tty: &Tty) {
        self.port.state.lock_irqsave().send();
    }

    fn write_room(&self) -> usize {
        self.port.state.lock_irqsave().rings.as_ref().map_or(0, |rings| rings.tx.room())
    }

    fn chars_in_buffer(&self) -> usize {
        self.port.state.lock_irqsave().waiting()
    }

    fn flush_output(&self, _tty: &Tty) {
        if let Some(rings) = &mut self.port.state.lock_irqsave().rings {
            rings.tx.clear();
        }
    }

    fn stop(&self, _tty: &Tty) {
        self.port.state.lock_irqsave().stopped = true;
    }

    fn start(&self, _tty: &Tty) {
        let mut state = self.port.state.lock_irqsave();
        state.stopped = false;
        state.send();
    }

    fn unthrottle(&self, _tty: &Tty, _termios: &ktermios) {
        self.port.kick();
    }

    fn resets_termios(&self) -> bool {
        true
    }
}
