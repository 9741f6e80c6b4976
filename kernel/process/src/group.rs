// SPDX-License-Identifier: GPL-2.0
//! Process groups and sessions: what job control works on. Source: `setpgid(2)`, `setsid(2)`, `credentials(7)`.
//!
//! Locks: a group's member list and a session's terminal have a spin lock each. A process's own `group` and `session` fields are
//! in its `links` (see `thread`). Order: `links`, then a group's members.

use crate::pid::{self, PidName, PidNr};
use crate::thread::Process;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use errno::Result;
use errno::code::ESRCH;
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec, WeakArc};
use locking::SpinLock;

/// A terminal that can control a session (implemented by `drivers/tty`).
pub trait ControllingTerminal: Send + Sync {
    /// The session leader exits: hang the terminal up for its session.
    fn session_leader_exit(&self);
    /// Device number, as `/proc/PID/stat` shows it.
    fn device_number(&self) -> u32;
    /// The foreground process group, 0 if none.
    fn foreground_group(&self) -> u32;
    /// For `/dev/tty`: the terminal itself, to be recovered by `drivers/tty`.
    fn as_any(&self) -> &dyn core::any::Any;
}

/// A session.
pub struct Session {
    nr: Arc<PidNr>,
    groups: AtomicUsize,
    terminal: SpinLock<Option<Arc<dyn ControllingTerminal>>>,
}

impl Session {
    /// A new session named after the process that starts it.
    pub(crate) fn new(nr: Arc<PidNr>) -> Result<Arc<Self>> {
        let session = Arc::new(Self { nr, groups: AtomicUsize::new(0), terminal: SpinLock::new(None) }, GFP_KERNEL)?;
        pid::publish_session(session.clone())?;
        Ok(session)
    }

    /// The session id in the first name space.
    pub fn id(&self) -> u32 {
        self.nr.get()
    }

    pub(crate) fn nr(&self) -> &Arc<PidNr> {
        &self.nr
    }

    /// What it is called at all levels.
    pub fn name(&self) -> &PidName {
        self.nr.name()
    }

    /// The controlling terminal.
    pub fn terminal(&self) -> Option<Arc<dyn ControllingTerminal>> {
        self.terminal.lock().clone()
    }

    /// Sets or clears the controlling terminal; returns the one before.
    pub fn set_terminal(&self, terminal: Option<Arc<dyn ControllingTerminal>>) -> Option<Arc<dyn ControllingTerminal>> {
        core::mem::replace(&mut *self.terminal.lock(), terminal)
    }
}

/// A process group.
pub struct ProcessGroup {
    nr: Arc<PidNr>,
    session: Arc<Session>,
    members: SpinLock<KVec<WeakArc<Process>>>,
    dead: AtomicBool,
}

impl ProcessGroup {
    /// A new, empty group in `session`.
    pub(crate) fn new(nr: Arc<PidNr>, session: Arc<Session>) -> Result<Arc<Self>> {
        session.groups.fetch_add(1, Ordering::Relaxed);
        let group = Self { nr, session, members: SpinLock::new(KVec::new()), dead: AtomicBool::new(false) };
        let group = Arc::new(group, GFP_KERNEL)?;
        pid::publish_group(group.clone())?;
        Ok(group)
    }

    /// The process group id in the first name space.
    pub fn id(&self) -> u32 {
        self.nr.get()
    }

    pub(crate) fn nr(&self) -> &Arc<PidNr> {
        &self.nr
    }

    /// What it is called at all levels.
    pub fn name(&self) -> &PidName {
        self.nr.name()
    }

    /// The session it belongs to.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Adds a member. `ENOMEM`; `ESRCH` if the last member has just left and the group is gone.
    pub(crate) fn add(&self, process: &Arc<Process>) -> Result {
        let mut members = self.members.lock();
        if self.dead.load(Ordering::Relaxed) {
            return Err(ESRCH);
        }
        members.push(Arc::downgrade(process), GFP_ATOMIC)?;
        Ok(())
    }

    /// Takes a member out; the last one takes the group out of the table.
    pub(crate) fn remove(&self, process: &Arc<Process>) {
        let mut members = self.members.lock();
        members.retain(|m| !m.is(process));
        let gone = members.is_empty() && !self.dead.swap(true, Ordering::Relaxed);
        drop(members);
        if gone {
            pid::forget_group(self.id());
        }
    }

    /// The members at this moment.
    pub fn members(&self) -> Result<KVec<Arc<Process>>> {
        let members = self.members.lock();
        let mut all = KVec::with_capacity(members.len(), GFP_ATOMIC)?;
        for member in members.iter().filter_map(WeakArc::upgrade) {
            all.push(member, GFP_ATOMIC)?;
        }
        Ok(all)
    }

    /// Whether no member has a parent in the same session but another group: nobody there could continue its stopped members
    /// (POSIX "orphaned process group"). `ignored` does not count as a member.
    pub fn is_orphaned(&self, ignored: Option<&Arc<Process>>) -> bool {
        let Ok(members) = self.members() else { return false };
        !members.iter().any(|member| {
            if ignored.is_some_and(|i| Arc::ptr_eq(i, member)) || member.is_zombie() {
                return false;
            }
            let Some(parent) = member.parent() else { return false };
            parent.pid() != 1 && parent.group().id() != self.id() && parent.group().session().id() == self.session.id()
        })
    }

    /// Whether some member is stopped.
    pub fn has_stopped_member(&self) -> bool {
        self.members().is_ok_and(|members| members.iter().any(|m| m.is_stopped()))
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if self.session.groups.fetch_sub(1, Ordering::AcqRel) == 1 {
            pid::forget_session(self.session.id());
        }
    }
}
