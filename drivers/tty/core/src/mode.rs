// SPDX-License-Identifier: GPL-2.0
//! Requests about settings: `TCGETS` and its kin, flow, flush. Source: `ioctl_tty(2)`, `termios(3)`.

use crate::{Tty, job, speed};
use errno::{
    Result,
    code::{EINVAL, EPERM},
};
use kalloc::Arc;
use uapi::*;
use vfs::user;

/// Settings that most terminals start with.
pub fn std_termios() -> ktermios {
    let mut c_cc = [0; 19];
    let cc = [
        (VINTR, 0x03),
        (VQUIT, 0x1c),
        (VERASE, 0x7f),
        (VKILL, 0x15),
        (VEOF, 0x04),
        (VMIN, 1),
        (VSTART, 0x11),
        (VSTOP, 0x13),
        (VSUSP, 0x1a),
        (VREPRINT, 0x12),
        (VDISCARD, 0x0f),
        (VWERASE, 0x17),
        (VLNEXT, 0x16),
    ];
    for (n, c) in cc {
        if let Some(slot) = c_cc.get_mut(n as usize) {
            *slot = c;
        }
    }
    ktermios {
        c_iflag: ICRNL | IXON,
        c_oflag: OPOST | ONLCR,
        c_cflag: B38400 | CS8 | CREAD | HUPCL,
        c_lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
        c_line: 0,
        c_cc,
        c_ispeed: 38400,
        c_ospeed: 38400,
    }
}

/// Settings of a pty's master: nothing is changed on the way.
pub fn raw_termios() -> ktermios {
    ktermios { c_iflag: 0, c_oflag: 0, c_lflag: 0, c_cflag: B38400 | CS8 | CREAD, ..std_termios() }
}

/// When new settings take effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Now,
    /// After output is sent.
    Drained,
    /// Besides, input is dropped.
    Flushed,
}

impl Tty {
    /// Changes the settings, but for what `TIOCSLCKTRMIOS` locked; then tells the driver and everybody who waits. May sleep.
    pub fn set_termios(&self, mut new: ktermios) {
        let _config = self.config.lock();
        let old = self.termios();
        keep_locked(&mut new, &old, &self.ctrl.lock().locked);
        let effects = {
            let mut ld = self.ld.lock();
            ld.set_termios(new);
            let effects = ld.take_effects();
            self.apply_output(&effects);
            effects
        };
        self.ops.set_termios(self, &old, &new);
        self.apply_rest(&effects, 0);
        self.read_wait.wake_up_all();
        self.write_wait.wake_up_all();
    }

    /// Stores what the driver made of the settings (speeds it has). Called by `TtyOps::set_termios`, in which `config` is held.
    pub fn adjust_termios(&self, new: ktermios) {
        self.ld.lock().set_termios(new);
    }
}

fn keep_locked(new: &mut ktermios, old: &ktermios, locked: &ktermios) {
    let keep = |new: &mut u32, old: u32, mask: u32| *new = *new & !mask | old & mask;
    keep(&mut new.c_iflag, old.c_iflag, locked.c_iflag);
    keep(&mut new.c_oflag, old.c_oflag, locked.c_oflag);
    keep(&mut new.c_cflag, old.c_cflag, locked.c_cflag);
    keep(&mut new.c_lflag, old.c_lflag, locked.c_lflag);
    if locked.c_line != 0 {
        new.c_line = old.c_line;
    }
    for ((new, old), locked) in new.c_cc.iter_mut().zip(old.c_cc).zip(locked.c_cc) {
        if locked != 0 {
            *new = old;
        }
    }
}

fn change(tty: &Tty, when: When, read: impl FnOnce(ktermios) -> Result<ktermios>) -> Result<usize> {
    job::check_settings(tty)?;
    let mut new = read(tty.termios())?;
    new.c_ispeed = speed::input_baud_rate(&new);
    new.c_ospeed = speed::baud_rate(&new);
    if when == When::Flushed {
        tty.flush_input();
    }
    if when != When::Now {
        tty.wait_until_sent()?;
    }
    tty.set_termios(new);
    Ok(0)
}

fn get_termios(arg: usize, old: ktermios) -> Result<ktermios> {
    let t: termios = user::get(arg)?;
    Ok(ktermios {
        c_iflag: t.c_iflag,
        c_oflag: t.c_oflag,
        c_cflag: t.c_cflag,
        c_lflag: t.c_lflag,
        c_line: t.c_line,
        c_cc: t.c_cc,
        ..old
    })
}

fn put_termios(arg: usize, t: &ktermios) -> Result<usize> {
    let out = termios {
        c_iflag: t.c_iflag,
        c_oflag: t.c_oflag,
        c_cflag: t.c_cflag,
        c_lflag: t.c_lflag,
        c_line: t.c_line,
        c_cc: t.c_cc,
    };
    user::put(arg, &out)?;
    Ok(0)
}

fn get_termios2(arg: usize) -> Result<ktermios> {
    let t: termios2 = user::get(arg)?;
    Ok(ktermios {
        c_iflag: t.c_iflag,
        c_oflag: t.c_oflag,
        c_cflag: t.c_cflag,
        c_lflag: t.c_lflag,
        c_line: t.c_line,
        c_cc: t.c_cc,
        c_ispeed: t.c_ispeed,
        c_ospeed: t.c_ospeed,
    })
}

fn put_termios2(arg: usize, t: &ktermios) -> Result<usize> {
    let out = termios2 {
        c_iflag: t.c_iflag,
        c_oflag: t.c_oflag,
        c_cflag: t.c_cflag,
        c_lflag: t.c_lflag,
        c_line: t.c_line,
        c_cc: t.c_cc,
        c_ispeed: t.c_ispeed,
        c_ospeed: t.c_ospeed,
    };
    user::put(arg, &out)?;
    Ok(0)
}

/// The old structure changes the low halves of the flags and the first eight characters.
fn get_termio(arg: usize, mut old: ktermios) -> Result<ktermios> {
    let t: termio = user::get(arg)?;
    let low = |old: u32, new: u16| old & 0xffff_0000 | u32::from(new);
    old.c_iflag = low(old.c_iflag, t.c_iflag);
    old.c_oflag = low(old.c_oflag, t.c_oflag);
    old.c_cflag = low(old.c_cflag, t.c_cflag);
    old.c_lflag = low(old.c_lflag, t.c_lflag);
    old.c_line = t.c_line;
    old.c_cc.iter_mut().zip(t.c_cc).for_each(|(to, from)| *to = from);
    Ok(old)
}

fn put_termio(arg: usize, t: &ktermios) -> Result<usize> {
    let mut out = termio {
        c_iflag: t.c_iflag as u16,
        c_oflag: t.c_oflag as u16,
        c_cflag: t.c_cflag as u16,
        c_lflag: t.c_lflag as u16,
        c_line: t.c_line,
        ..Default::default()
    };
    out.c_cc.iter_mut().zip(t.c_cc).for_each(|(to, from)| *to = from);
    user::put(arg, &out)?;
    Ok(0)
}

/// `TCXONC`.
fn flow(tty: &Tty, arg: usize) -> Result<usize> {
    job::check_settings(tty)?;
    let cc = |n: u32| tty.termios().c_cc.get(n as usize).copied().filter(|&c| c != n_tty::DISABLED_CHAR);
    match arg as u32 {
        TCOOFF => tty.set_flow(true),
        TCOON => tty.set_flow(false),
        TCIOFF => cc(VSTOP).into_iter().for_each(|c| tty.ops.send_xchar(tty, c)),
        TCION => cc(VSTART).into_iter().for_each(|c| tty.ops.send_xchar(tty, c)),
        _ => return Err(EINVAL),
    }
    Ok(0)
}

/// `TCFLSH`.
pub(crate) fn flush(tty: &Tty, arg: usize) -> Result<usize> {
    job::check_settings(tty)?;
    match arg as u32 {
        TCIFLUSH => tty.flush_input(),
        TCOFLUSH => tty.flush_output(),
        TCIOFLUSH => {
            tty.flush_input();
            tty.flush_output();
        }
        _ => return Err(EINVAL),
    }
    Ok(0)
}

fn set_locked(tty: &Tty, arg: usize) -> Result<usize> {
    if !cred::capable(cred::CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    let locked = get_termios(arg, ktermios::default())?;
    tty.ctrl.lock().locked = locked;
    Ok(0)
}

fn set_soft_carrier(tty: &Tty, arg: usize) -> Result<usize> {
    let on: i32 = user::get(arg)?;
    let mut new = tty.termios();
    new.c_cflag = new.c_cflag & !CLOCAL | if on != 0 { CLOCAL } else { 0 };
    tty.set_termios(new);
    Ok(0)
}

/// A request about settings; `None` if it is none.
pub(crate) fn ioctl(tty: &Arc<Tty>, cmd: u32, arg: usize) -> Option<Result<usize>> {
    Some(match cmd {
        TCGETS => put_termios(arg, &tty.termios()),
        TCGETS2 => put_termios2(arg, &tty.termios()),
        TCGETA => put_termio(arg, &tty.termios()),
        TCSETS => change(tty, When::Now, |old| get_termios(arg, old)),
        TCSETSW => change(tty, When::Drained, |old| get_termios(arg, old)),
        TCSETSF => change(tty, When::Flushed, |old| get_termios(arg, old)),
        TCSETS2 => change(tty, When::Now, |_| get_termios2(arg)),
        TCSETSW2 => change(tty, When::Drained, |_| get_termios2(arg)),
        TCSETSF2 => change(tty, When::Flushed, |_| get_termios2(arg)),
        TCSETA => change(tty, When::Now, |old| get_termio(arg, old)),
        TCSETAW => change(tty, When::Drained, |old| get_termio(arg, old)),
        TCSETAF => change(tty, When::Flushed, |old| get_termio(arg, old)),
        TIOCGLCKTRMIOS => {
            let locked = tty.ctrl.lock().locked;
            put_termios(arg, &locked)
        }
        TIOCSLCKTRMIOS => set_locked(tty, arg),
        TIOCGSOFTCAR => user::put(arg, &i32::from(tty.termios().c_cflag & CLOCAL != 0)).map(|()| 0),
        TIOCSSOFTCAR => set_soft_carrier(tty, arg),
        TCXONC => flow(tty, arg),
        TCFLSH => flush(tty, arg),
        _ => return None,
    })
}
