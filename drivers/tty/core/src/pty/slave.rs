// SPDX-License-Identifier: GPL-2.0
//! The slave's device: what a program writes goes to the master. Called by the terminal layer. Locks: see the parent's header.

use super::Pair;
use crate::{Tty, TtyOps};
use core::sync::atomic::Ordering;
use errno::Result;
use kalloc::Arc;
use sync::PollMask;
use uapi::*;

pub(crate) struct PtySlave {
    pub(crate) pair: Arc<Pair>,
}

/// Whether ^S and ^Q stop and start output.
fn has_flow_keys(t: &ktermios) -> bool {
    let cc = |n: u32| t.c_cc.get(n as usize).copied();
    t.c_iflag & IXON != 0 && cc(VSTOP) == Some(0x13) && cc(VSTART) == Some(0x11)
}

impl TtyOps for PtySlave {
    fn open(&self, _tty: &Arc<Tty>) -> Result {
        self.pair.slave_closed.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn shutdown(&self, _tty: &Tty) {
        self.pair.slave_closed.store(true, Ordering::SeqCst);
        self.pair.read_wait.wake_up_all();
        self.pair.write_wait.wake_up_all();
    }

    fn write(&self, _tty: &Tty, bytes: &[u8]) -> usize {
        if self.pair.stopped.load(Ordering::Relaxed) {
            return 0;
        }
        self.pair.out.lock().ring.write(bytes)
    }

    fn flush_chars(&self, _tty: &Tty) {
        self.pair.wake_reader();
    }

    fn write_room(&self) -> usize {
        if self.pair.stopped.load(Ordering::Relaxed) { 0 } else { self.pair.out.lock().ring.room() }
    }

    fn flush_output(&self, _tty: &Tty) {
        self.pair.out.lock().ring.clear();
        self.pair.tell(TIOCPKT_FLUSHWRITE, 0);
    }

    fn flushed_input(&self, _tty: &Tty) {
        self.pair.tell(TIOCPKT_FLUSHREAD, 0);
        self.pair.write_wait.wake_up_all();
    }

    fn stop(&self, _tty: &Tty) {
        self.pair.stopped.store(true, Ordering::SeqCst);
        self.pair.tell(TIOCPKT_STOP, TIOCPKT_START);
    }

    fn start(&self, _tty: &Tty) {
        self.pair.stopped.store(false, Ordering::SeqCst);
        self.pair.tell(TIOCPKT_START, TIOCPKT_STOP);
    }

    fn unthrottle(&self, _tty: &Tty, _termios: &ktermios) {
        self.pair.write_wait.wake_up_poll(PollMask::OUT | PollMask::WRNORM);
    }

    fn set_termios(&self, tty: &Tty, old: &ktermios, new: &ktermios) {
        if (old.c_lflag ^ new.c_lflag) & EXTPROC != 0 {
            self.pair.tell(TIOCPKT_IOCTL, 0);
        }
        match (has_flow_keys(old), has_flow_keys(new)) {
            (false, true) => self.pair.tell(TIOCPKT_DOSTOP, TIOCPKT_NOSTOP),
            (true, false) => self.pair.tell(TIOCPKT_NOSTOP, TIOCPKT_DOSTOP),
            _ => {}
        }
        // There is no wire: bytes have eight bits, and no parity.
        let c_cflag = new.c_cflag & !(CSIZE | PARENB) | CS8 | CREAD;
        if c_cflag != new.c_cflag {
            tty.adjust_termios(ktermios { c_cflag, ..*new });
        }
    }

    fn other_closed(&self) -> bool {
        self.pair.is(&self.pair.master_closed)
    }

    fn refuses_open(&self) -> bool {
        self.pair.is(&self.pair.locked) || self.pair.is(&self.pair.master_closed)
    }

    fn is_pty(&self) -> bool {
        true
    }
}
