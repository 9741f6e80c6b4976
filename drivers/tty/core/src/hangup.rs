// SPDX-License-Identifier: GPL-2.0
//! Hanging up: every file of a terminal dies (but those of `/dev/console`), its session loses it and is told. Source:
//! `vhangup(2)`, POSIX 11.1.10.

use crate::{Tty, job};
use core::sync::atomic::Ordering;
use errno::{Result, code::EPERM};
use kalloc::Arc;
use klog::pr_err;
use process::current_process;
use uapi::SIGHUP;
use x86_cpu::regs::PtRegs;

impl Tty {
    /// Hangs up; with `exit_session` because the session's leader exits, so that the job in front is told too. May sleep.
    pub fn hangup(&self, exit_session: bool) {
        self.hang_up(exit_session, None);
    }

    /// The device goes: hangs up, switches it off, though `/dev/console` may be open on it, and calls `gone`, after which
    /// [`TtyOps::has_device`](crate::TtyOps::has_device) is false. Files of `/dev/console` get `EIO` until [`Self::plug`]. May sleep.
    pub fn unplug(&self, gone: &dyn Fn()) {
        self.hang_up(false, Some(gone));
    }

    /// The device is there again: files from before are dead, but for those of `/dev/console`, which go on. May sleep.
    pub fn plug(self: &Arc<Self>) {
        if self.has_failed() {
            self.hangup(false);
        }
        {
            let open = self.open.lock();
            if open.files != 0 && self.has_failed() && self.ops.has_device() {
                match self.ops.open(self) {
                    Ok(()) => self.io_error.store(false, Ordering::SeqCst),
                    Err(error) => pr_err!("{}{}: not opened again: {error}", self.driver().name, self.index()),
                }
            }
        }
        self.write_wait.wake_up_all();
    }

    fn hang_up(&self, exit_session: bool, gone: Option<&dyn Fn()>) {
        let (old, front) = {
            let _job = job::JOB.lock();
            let front = self.group_id.load(Ordering::Relaxed);
            let old = self.set_job(None, None);
            if let Some(session) = &old.0 {
                drop(session.set_terminal(None));
            }
            (old, front)
        };
        {
            let mut open = self.open.lock();
            self.generation.fetch_add(1, Ordering::SeqCst);
            let was_open = open.files != 0;
            open.files = open.consoles;
            self.fasync.clear();
            if was_open {
                let _ld = self.ld.lock();
                self.ops.flush_output(self);
            }
            if was_open && (open.files == 0 || gone.is_some()) {
                self.switch_off();
            } else {
                self.flush_input();
            }
            if let Some(gone) = gone {
                gone();
                self.io_error.store(open.files != 0, Ordering::SeqCst);
            }
        }
        // Who hears of it finds the terminal dead.
        if let Some(session) = &old.0 {
            job::signal_leader(session);
            if exit_session {
                job::signal_group(front, SIGHUP);
            }
        }
        drop(old);
        self.read_wait.wake_up_all();
        self.write_wait.wake_up_all();
    }
}

/// `vhangup(2)`: hangs up the caller's terminal.
pub fn sys_vhangup(_: &PtRegs) -> Result<usize> {
    if !cred::capable(cred::CAP_SYS_TTY_CONFIG) {
        return Err(EPERM);
    }
    let _process = current_process().ok_or(EPERM)?;
    if let Some(tty) = job::current_terminal() {
        tty.hangup(false);
    }
    Ok(0)
}
