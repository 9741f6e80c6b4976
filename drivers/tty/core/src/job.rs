// SPDX-License-Identifier: GPL-2.0
//! Job control: which session a terminal controls, which process group is in front, and what background processes may do.
//! Source: POSIX 11.1.3 and 11.1.4, `setsid(2)`, `ioctl_tty(2)`, `credentials(7)`.
//!
//! Locks: `JOB` serialises everything that gives a terminal to a session or takes it away. Reads and writes look at
//! `Tty::session_id` and `Tty::group_id` without a lock.

use crate::Tty;
use core::any::Any;
use core::sync::atomic::Ordering;
use errno::{
    Result,
    code::{EINVAL, EIO, ENOTTY, EPERM, ERESTARTSYS, ESRCH},
};
use kalloc::Arc;
use process::signal::SigInfo;
use process::{ControllingTerminal, Process, ProcessGroup, Session, current_process, pid};
use sync::Mutex;
use uapi::*;
use vfs::user;

/// See the module's text.
pub(crate) static JOB: Mutex<()> = Mutex::new(());

/// A signal of the terminal's to process group `id`; 0 is none.
pub(crate) fn signal_group(id: u32, signal: u32) {
    if id != 0 {
        process::signal::send::signal_group(id, signal);
    }
}

impl ControllingTerminal for Tty {
    fn session_leader_exit(&self) {
        if !self.ops.is_pty() {
            self.hangup(true);
            return;
        }
        // A pty's other side decides when the connection ends; the job in front learns of it now.
        signal_group(self.group_id.load(Ordering::Relaxed), SIGHUP);
        let _job = JOB.lock();
        drop(self.set_job(None, None));
    }

    fn device_number(&self) -> u32 {
        self.dev().encode() as u32
    }

    fn foreground_group(&self) -> u32 {
        self.group_id.load(Ordering::Relaxed)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Tty {
    /// Replaces session and foreground group; returns the old ones, to be dropped without a spin lock held.
    pub(crate) fn set_job(
        &self,
        session: Option<Arc<Session>>,
        group: Option<Arc<ProcessGroup>>,
    ) -> (Option<Arc<Session>>, Option<Arc<ProcessGroup>>) {
        let mut ctrl = self.ctrl.lock();
        self.session_id.store(session.as_ref().map_or(0, |s| s.id()), Ordering::Relaxed);
        self.group_id.store(group.as_ref().map_or(0, |g| g.id()), Ordering::Relaxed);
        (core::mem::replace(&mut ctrl.session, session), core::mem::replace(&mut ctrl.group, group))
    }

    /// Whether this is the terminal of the caller's session.
    pub fn is_callers(&self) -> bool {
        is_mine(self)
    }

    fn set_group(&self, group: Arc<ProcessGroup>) {
        let old = {
            let mut ctrl = self.ctrl.lock();
            self.group_id.store(group.id(), Ordering::Relaxed);
            ctrl.group.replace(group)
        };
        drop(old);
    }

    /// Whether this terminal controls the session of `process`.
    fn controls(&self, process: &Process) -> bool {
        // 0 is nobody's terminal, though the first process's session has that number.
        let session = self.session_id.load(Ordering::Relaxed);
        session != 0 && session == process.session().id()
    }
}

/// The terminal that controls the current process's session.
pub(crate) fn current_terminal() -> Option<Arc<Tty>> {
    let terminal = current_process()?.session().terminal()?;
    terminal.as_any().downcast_ref::<Tty>()?.to_arc()
}

/// Whether a background process must not touch the terminal: stops it with `signal` (`SIGTTIN`, `SIGTTOU`) and returns
/// `ERESTARTSYS`, or `EIO` if nobody could continue it.
#[inline]
fn check_change(tty: &Tty, signal: u32) -> Result {
    let session = tty.session_id.load(Ordering::Relaxed);
    if session == 0 {
        return Ok(());
    }
    check_background(tty, signal)
}

fn check_background(tty: &Tty, signal: u32) -> Result {
    let Some(process) = current_process() else { return Ok(()) };
    let front = tty.group_id.load(Ordering::Relaxed);
    let group = process.group();
    if group.id() == front || front == 0 || !tty.controls(&process) {
        return Ok(());
    }
    if process::signal::is_ignored_by_current(signal) {
        return if signal == SIGTTIN { Err(EIO) } else { Ok(()) };
    }
    if group.is_orphaned(None) {
        return Err(EIO);
    }
    signal_group(group.id(), signal);
    Err(ERESTARTSYS)
}

/// Before reading.
#[inline]
pub(crate) fn check_read(tty: &Tty, console: bool) -> Result {
    if console { Ok(()) } else { check_change(tty, SIGTTIN) }
}

/// Before writing: only terminals with `TOSTOP` mind.
#[inline]
pub(crate) fn check_write(tty: &Tty) -> Result {
    if tty.session_id.load(Ordering::Relaxed) == 0 || tty.ld.lock().termios().c_lflag & TOSTOP == 0 {
        return Ok(());
    }
    check_change(tty, SIGTTOU)
}

/// Before changing settings.
pub(crate) fn check_settings(tty: &Tty) -> Result {
    check_change(tty, SIGTTOU)
}

/// Gives the terminal to the current session, the current group in front. `JOB` is held.
fn take(tty: &Arc<Tty>, process: &Process) {
    let session = process.session();
    let before = session.set_terminal(Some(tty.clone() as Arc<dyn ControllingTerminal>));
    let old = tty.set_job(Some(session), Some(process.group()));
    drop((before, old));
}

/// A terminal is opened: a session leader without one gets it, if it is free.
pub(crate) fn adopt_on_open(tty: &Arc<Tty>) {
    let Some(process) = current_process().filter(|p| p.is_session_leader()) else { return };
    let _job = JOB.lock();
    if tty.session_id.load(Ordering::Relaxed) == 0 && process.session().terminal().is_none() {
        take(tty, &process);
    }
}

/// `TIOCSCTTY`: makes `tty` the session's terminal; `steal` takes it from another session (privileged).
pub(crate) fn set_controlling(tty: &Arc<Tty>, readable: bool, steal: bool) -> Result {
    let process = current_process().ok_or(EPERM)?;
    let _job = JOB.lock();
    let leader = process.is_session_leader();
    if leader && tty.controls(&process) {
        return Ok(());
    }
    if !leader || process.session().terminal().is_some() {
        return Err(EPERM);
    }
    let privileged = || cred::capable(cred::CAP_SYS_ADMIN);
    let owner = tty.ctrl.lock().session.clone();
    if let Some(owner) = owner {
        if !steal || !privileged() {
            return Err(EPERM);
        }
        drop(owner.set_terminal(None));
    }
    if !readable && !privileged() {
        return Err(EPERM);
    }
    take(tty, &process);
    Ok(())
}

/// `TIOCNOTTY`: the session gives its terminal up; the job in front is told. Only its leader can (a session has one terminal
/// for all its members here).
pub(crate) fn give_up(tty: &Arc<Tty>) -> Result {
    let process = current_process().ok_or(ENOTTY)?;
    let group = {
        let _job = JOB.lock();
        if !tty.controls(&process) {
            return Err(ENOTTY);
        }
        if !process.is_session_leader() {
            return Err(EPERM);
        }
        let group = tty.group_id.load(Ordering::Relaxed);
        let terminal = process.session().set_terminal(None);
        drop((terminal, tty.set_job(None, None)));
        group
    };
    signal_group(group, SIGHUP);
    signal_group(group, SIGCONT);
    Ok(())
}

/// Whether `tty` controls the current process's session.
pub(crate) fn is_mine(tty: &Tty) -> bool {
    current_process().is_some_and(|p| tty.controls(&p))
}

/// `TIOCGPGRP`. `any`: asked through a pty's master, which controls nobody.
pub(crate) fn get_group(tty: &Tty, any: bool, arg: usize) -> Result<usize> {
    if !any && !is_mine(tty) {
        return Err(ENOTTY);
    }
    user::put(arg, &pid::number_here(tty.group_id.load(Ordering::Relaxed)).cast_signed())?;
    Ok(0)
}

/// `TIOCGSID`.
pub(crate) fn get_session(tty: &Tty, any: bool, arg: usize) -> Result<usize> {
    let session = tty.session_id.load(Ordering::Relaxed);
    if session == 0 || !any && !is_mine(tty) {
        return Err(ENOTTY);
    }
    user::put(arg, &pid::number_here(session).cast_signed())?;
    Ok(0)
}

/// `TIOCSPGRP`.
pub(crate) fn set_foreground(tty: &Tty, arg: usize) -> Result<usize> {
    match check_settings(tty) {
        Err(EIO) => return Err(ENOTTY),
        result => result?,
    }
    let process = current_process().ok_or(ENOTTY)?;
    let id = u32::try_from(user::get::<i32>(arg)?).map_err(|_| EINVAL)?;
    let _job = JOB.lock();
    if !tty.controls(&process) {
        return Err(ENOTTY);
    }
    // A process that leads no group is of another session, as far as this call goes.
    let group =
        pid::find_group_here(id).ok_or_else(|| if pid::find_thread_here(id).is_some() { EPERM } else { ESRCH })?;
    if group.session().id() != process.session().id() {
        return Err(EPERM);
    }
    tty.set_group(group);
    Ok(0)
}

/// The leader of a session learns that its terminal hangs up.
pub(crate) fn signal_leader(session: &Session) {
    let leader = pid::find_thread(session.id()).and_then(|task| process::process_of(&task));
    if let Some(leader) = leader {
        for signal in [SIGHUP, SIGCONT] {
            // A standard signal from the kernel cannot fail for want of room.
            let _ = process::signal::send_to_process(&leader, SigInfo::kernel(signal));
        }
    }
}
