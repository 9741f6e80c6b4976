// SPDX-License-Identifier: GPL-2.0
//! Requests to a terminal, but for those about settings (`mode`) and of its driver. Source: `ioctl_tty(2)`. May sleep.

use crate::file::TtyFile;
use crate::{Tty, job, mode, special};
use core::sync::atomic::Ordering;
use errno::{
    Result,
    code::{EINTR, EINVAL, EIO, ENOTTY, EPERM},
};
use kalloc::Arc;
use uapi::*;
use vfs::{File, fmode, user};

/// A request through a terminal's own file.
pub(crate) fn ioctl(tty_file: &TtyFile, file: &File, cmd: u32, arg: usize) -> Result<usize> {
    let tty = tty_file.tty();
    match cmd {
        TIOCCONS => return special::redirect(tty_file, file),
        TIOCSCTTY => {
            let readable = file.mode() & fmode::READ != 0;
            return job::set_controlling(tty, readable, arg == 1).map(|()| 0);
        }
        TIOCNOTTY => return job::give_up(tty).map(|()| 0),
        TIOCVHANGUP => {
            privileged()?;
            tty.hangup(false);
            return Ok(0);
        }
        _ if tty.has_failed() && !works_without_device(cmd) => return Err(EIO),
        _ => {}
    }
    common(tty, cmd, arg, false)
        .or_else(|| tty.ops.ioctl(tty, file, cmd, arg))
        .or_else(|| mode::ioctl(tty, cmd, arg))
        .unwrap_or(Err(ENOTTY))
}

/// Requests that a terminal without a device answers: those about the job and the window, and how its port is set up.
fn works_without_device(cmd: u32) -> bool {
    let job = matches!(cmd, TIOCGPGRP | TIOCSPGRP | TIOCGSID | TIOCGWINSZ | TIOCSWINSZ | TIOCSTI);
    let own = matches!(cmd, TIOCGETD | TIOCSETD | TIOCEXCL | TIOCNXCL | TIOCGEXCL | TIOCGDEV);
    let line = matches!(cmd, TIOCSBRK | TIOCCBRK | TCSBRK | TCSBRKP | TIOCGICOUNT);
    job || own || line || matches!(cmd, TIOCGSERIAL | TIOCSSERIAL | TIOCSERCONFIG)
}

fn privileged() -> Result {
    if cred::capable(cred::CAP_SYS_ADMIN) { Ok(()) } else { Err(EPERM) }
}

/// Writes an `int`.
fn put_int(arg: usize, value: i32) -> Result<usize> {
    user::put(arg, &value)?;
    Ok(0)
}

fn put_len(arg: usize, len: usize) -> Result<usize> {
    put_int(arg, i32::try_from(len).unwrap_or(i32::MAX))
}

/// What a terminal and a pty's master answer alike; `tty` is the slave then, and `master` true. `None`: none of these.
pub(crate) fn common(tty: &Arc<Tty>, cmd: u32, arg: usize, master: bool) -> Option<Result<usize>> {
    Some(match cmd {
        TIOCGWINSZ => {
            let size = tty.winsize();
            user::put(arg, &size).map(|()| 0)
        }
        TIOCSWINSZ => user::get(arg).and_then(|size| set_winsize(tty, size)),
        TIOCGPGRP => job::get_group(tty, master, arg),
        TIOCSPGRP => job::set_foreground(tty, arg),
        TIOCGSID => job::get_session(tty, master, arg),
        TIOCGETD => put_int(arg, N_TTY as i32),
        TIOCSETD => set_discipline(tty, arg),
        TIOCEXCL => set_exclusive(tty, true),
        TIOCNXCL => set_exclusive(tty, false),
        TIOCGEXCL => put_int(arg, tty.exclusive.load(Ordering::Relaxed).into()),
        TIOCGDEV => user::put(arg, &(tty.dev().encode() as u32)).map(|()| 0),
        TIOCSTI => simulate_input(tty, arg),
        TIOCOUTQ => put_len(arg, tty.ops.chars_in_buffer()),
        FIONREAD => {
            let len = tty.ld.lock().input_len();
            put_len(arg, len)
        }
        TIOCMGET => tty.ops.tiocmget().and_then(|lines| put_int(arg, lines.cast_signed())),
        TIOCMSET | TIOCMBIS | TIOCMBIC => modem_lines(tty, cmd, arg),
        TIOCSBRK | TIOCCBRK | TCSBRK | TCSBRKP => breaks(tty, cmd, arg),
        _ => return None,
    })
}

impl Tty {
    /// Sets the window's size and tells the job in front when it really changes. The driver's errors. May sleep.
    pub fn resize(self: &Arc<Self>, size: winsize) -> Result {
        set_winsize(self, size).map(|_| ())
    }
}

fn set_winsize(tty: &Arc<Tty>, size: winsize) -> Result<usize> {
    tty.ops.resize(tty, &size)?;
    let changed = core::mem::replace(&mut tty.ctrl.lock().winsize, size) != size;
    if changed {
        job::signal_group(tty.group_id.load(Ordering::Relaxed), SIGWINCH);
    }
    Ok(0)
}

fn set_discipline(tty: &Tty, arg: usize) -> Result<usize> {
    let wanted: i32 = user::get(arg)?;
    job::check_settings(tty)?;
    // There is one.
    if wanted == N_TTY as i32 { Ok(0) } else { Err(EINVAL) }
}

fn set_exclusive(tty: &Tty, on: bool) -> Result<usize> {
    tty.exclusive.store(on, Ordering::Relaxed);
    Ok(0)
}

/// `TIOCSTI`: a byte as if it was typed. Only on one's own terminal, or by the administrator.
fn simulate_input(tty: &Tty, arg: usize) -> Result<usize> {
    if !job::is_mine(tty) {
        privileged().map_err(|_| EPERM)?;
    }
    let byte: u8 = user::get(arg)?;
    tty.receive(&[byte], None);
    Ok(0)
}

fn modem_lines(tty: &Tty, cmd: u32, arg: usize) -> Result<usize> {
    let all = TIOCM_DTR | TIOCM_RTS | TIOCM_OUT1 | TIOCM_OUT2 | TIOCM_LOOP;
    let lines = user::get::<i32>(arg)?.cast_unsigned();
    let (set, clear) = match cmd {
        TIOCMBIS => (lines, 0),
        TIOCMBIC => (0, lines),
        _ => (lines, !lines),
    };
    tty.ops.tiocmset(set & all, clear & all)?;
    Ok(0)
}

fn breaks(tty: &Tty, cmd: u32, arg: usize) -> Result<usize> {
    job::check_settings(tty)?;
    if cmd != TIOCCBRK {
        tty.wait_until_sent().map_err(|_| EINTR)?;
    }
    let control = |on| tty.ops.break_ctl(on).unwrap_or(Ok(()));
    match cmd {
        TIOCSBRK => control(true)?,
        TIOCCBRK => control(false)?,
        // "TCSBRK with an argument other than 0" is tcdrain(3).
        TCSBRK if arg != 0 => {}
        _ => {
            let tenths = if cmd == TCSBRKP && arg != 0 { arg as u64 } else { 0 };
            let ns = if tenths == 0 { 250_000_000 } else { tenths.saturating_mul(100_000_000) };
            send_break(tty, ns)?;
        }
    }
    Ok(0)
}

/// Sends a break for so long; a device without breaks does nothing. `EINTR`.
fn send_break(tty: &Tty, ns: u64) -> Result {
    let Some(result) = tty.ops.break_ctl(true) else { return Ok(()) };
    result?;
    let deadline = ktime::now_ns().saturating_add(ns);
    let waited = tty.write_wait.wait_interruptible_deadline(Some(deadline), || false);
    tty.ops.break_ctl(false).unwrap_or(Ok(()))?;
    waited.map(|_| ()).map_err(|_| EINTR)
}
