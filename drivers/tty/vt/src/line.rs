// SPDX-License-Identifier: GPL-2.0
//! A terminal as the terminal layer's device. Called by it, see `tty::TtyOps` for what is held.

use crate::terminals::{OPEN, Switching, VT, after_write, allocate, schedule_draw};
use crate::{COUNT, ioctl};
use core::sync::atomic::Ordering;
use errno::{
    Result,
    code::{EINVAL, ENODEV},
};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use tty::{DriverOps, Tty, TtyOps};
use uapi::{IUTF8, ktermios, winsize};
use vfs::File;

/// How much a terminal that is not stopped says it takes.
const ROOM: usize = 32768;

/// Line `index + 1`.
struct Line {
    index: usize,
}

/// All lines.
pub(crate) struct Lines;

impl DriverOps for Lines {
    fn line(&self, index: u32) -> Result<KBox<dyn TtyOps>> {
        let index = (index as usize).checked_sub(1).filter(|&n| n < COUNT).ok_or(ENODEV)?;
        Ok(KBox::new(Line { index }, GFP_KERNEL)?)
    }

    fn init_termios(&self, _index: u32) -> ktermios {
        let mut termios = tty::std_termios();
        // The terminals speak UTF-8.
        termios.c_iflag |= IUTF8;
        termios
    }

    fn resolve(&self, index: u32) -> (u32, bool) {
        match index {
            0 => (crate::terminals::front() as u32 + 1, false),
            n => (n, true),
        }
    }
}

impl Line {
    /// Number of the terminal, counted from 0.
    fn bit(&self) -> u64 {
        1 << (self.index & 63)
    }
}

/// A terminal's size as programs see it.
pub(crate) fn window((cols, rows): (usize, usize)) -> winsize {
    winsize { ws_row: rows as u16, ws_col: cols as u16, ws_xpixel: 0, ws_ypixel: 0 }
}

impl TtyOps for Line {
    fn open(&self, tty: &Arc<Tty>) -> Result {
        OPEN.fetch_or(self.bit(), Ordering::SeqCst);
        if let Err(error) = allocate(self.index) {
            OPEN.fetch_and(!self.bit(), Ordering::SeqCst);
            return Err(error);
        }
        let (old, size) = {
            let mut vt = VT.lock_irqsave();
            let terminal = vt.get(self.index).ok_or(ENODEV)?;
            (terminal.tty.replace(tty.clone()), terminal.emulator.size())
        };
        drop(old);
        let now = tty.winsize();
        if now.ws_row == 0 || now.ws_col == 0 {
            tty.set_winsize(window(size));
        }
        Ok(())
    }

    fn shutdown(&self, _tty: &Tty) {
        OPEN.fetch_and(!self.bit(), Ordering::SeqCst);
        let old = {
            let mut vt = VT.lock_irqsave();
            let Some(terminal) = vt.get(self.index) else { return };
            terminal.stopped = false;
            terminal.tty.take()
        };
        drop(old);
    }

    fn write(&self, _tty: &Tty, bytes: &[u8]) -> usize {
        let (events, front) = {
            let mut vt = VT.lock_irqsave();
            match vt.get(self.index) {
                // ^S: nothing is taken until ^Q.
                Some(terminal) if terminal.stopped => return 0,
                Some(_) => (vt.write(self.index, bytes), vt.front == self.index),
                None => return bytes.len(),
            }
        };
        after_write(self.index, &events);
        if front {
            schedule_draw();
        }
        bytes.len()
    }

    fn write_room(&self) -> usize {
        match VT.lock_irqsave().get(self.index) {
            Some(terminal) if terminal.stopped => 0,
            _ => ROOM,
        }
    }

    fn stop(&self, _tty: &Tty) {
        if let Some(terminal) = VT.lock_irqsave().get(self.index) {
            terminal.stopped = true;
        }
    }

    fn start(&self, _tty: &Tty) {
        if let Some(terminal) = VT.lock_irqsave().get(self.index) {
            terminal.stopped = false;
        }
    }

    fn resets_termios(&self) -> bool {
        true
    }

    fn ioctl(&self, tty: &Arc<Tty>, file: &File, cmd: u32, arg: usize) -> Option<Result<usize>> {
        ioctl::ioctl(self.index, tty, file, cmd, arg)
    }

    fn resize(&self, _tty: &Tty, size: &winsize) -> Result {
        resize(self.index, size.ws_col.into(), size.ws_row.into())
    }
}

/// Changes a terminal's size: any that fits on the screen; 0 leaves a side as it is. `EINVAL`, `ENOMEM`. May sleep.
pub(crate) fn resize(index: usize, cols: usize, rows: usize) -> Result {
    let screen = VT.lock_irqsave().screen_size();
    if cols > screen.0 || rows > screen.1 {
        return Err(EINVAL);
    }
    // The cells are made without the lock: a new emulator takes the old one's place.
    let now = VT.lock_irqsave().get(index).ok_or(ENODEV)?.emulator.size();
    let size = (if cols == 0 { now.0 } else { cols }, if rows == 0 { now.1 } else { rows });
    if size == now {
        return Ok(());
    }
    let room = vt_emul::Resized::new(size.0, size.1)?;
    let old = {
        let mut vt = VT.lock_irqsave();
        let terminal = vt.get(index).ok_or(ENODEV)?;
        let old = terminal.emulator.resize_into(room);
        if vt.front == index {
            vt.refresh();
        }
        old
    };
    drop(old);
    schedule_draw();
    Ok(())
}

/// A terminal that its users leave goes back to what it is at first (`VT_SETMODE` by a process that ends, a hang-up).
pub(crate) fn reset(terminal: &mut crate::terminals::Terminal) {
    terminal.key_mode = uapi::K_UNICODE;
    terminal.screen_mode = uapi::KD_TEXT;
    terminal.switching = Switching::AUTO;
}
