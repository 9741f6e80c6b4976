// SPDX-License-Identifier: GPL-2.0
//! Identity system calls: process, parent, group and session ids; job-control moves. Source: `getpid(2)`, `setpgid(2)`,
//! `setsid(2)`.

use crate::group::{ProcessGroup, Session};
use crate::pid::{self, PidNr};
use crate::thread::{Process, TREE, current_process, process_of, thread_of, with_thread};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EACCES, EINVAL, EPERM, ESRCH};
use kalloc::Arc;
use sync::Mutex;
use task::current;
use x86_cpu::regs::PtRegs;

/// `getpid(2)`.
pub fn sys_getpid(_: &PtRegs) -> Result<usize> {
    with_thread(|t| t.process().own_pid() as usize).ok_or(ESRCH)
}

/// `gettid(2)`.
pub fn sys_gettid(_: &PtRegs) -> Result<usize> {
    Ok(current().own_tid() as usize)
}

/// `getppid(2)`.
pub fn sys_getppid(_: &PtRegs) -> Result<usize> {
    with_thread(|t| t.process().parent_own_pid() as usize).ok_or(ESRCH)
}

/// `set_tid_address(2)`.
pub fn sys_set_tid_address(regs: &PtRegs) -> Result<usize> {
    with_thread(|t| t.clear_child_tid.store(regs.arg0(), Ordering::Relaxed));
    Ok(current().own_tid() as usize)
}

fn by_pid(raw: usize) -> Result<Arc<Process>> {
    match u32::try_from(raw as i32).map_err(|_| ESRCH)? {
        0 => current_process().ok_or(ESRCH),
        pid => {
            let task = pid::find_thread_here(pid).ok_or(ESRCH)?;
            process_of(&task).ok_or(ESRCH)
        }
    }
}

/// `getpgid(2)`.
pub fn sys_getpgid(regs: &PtRegs) -> Result<usize> {
    Ok(by_pid(regs.arg0())?.group().name().here() as usize)
}

/// `getpgrp(2)`.
pub fn sys_getpgrp(_: &PtRegs) -> Result<usize> {
    Ok(current_process().ok_or(ESRCH)?.group().name().here() as usize)
}

/// `getsid(2)`.
pub fn sys_getsid(regs: &PtRegs) -> Result<usize> {
    Ok(by_pid(regs.arg0())?.session().name().here() as usize)
}

/// Held while a group is looked up or made: parent and child often ask for the same new group at the same time. Outermost.
static CHANGE: Mutex<()> = Mutex::new(());

/// `setpgid(2)`.
pub fn sys_setpgid(regs: &PtRegs) -> Result<usize> {
    let me = current_process().ok_or(ESRCH)?;
    // A group of 0 is that of the pid, which may be negative, too.
    let wanted = regs.arg1() as i32;
    if wanted < 0 || wanted == 0 && (regs.arg0() as i32) < 0 {
        return Err(EINVAL);
    }
    let target = by_pid(regs.arg0())?;
    if regs.arg0() as i32 != 0 && target.name().here() != regs.arg0() as u32 {
        // A thread that leads no process.
        return Err(EINVAL);
    }
    let id = if wanted == 0 { target.pid() } else { pid::first_of(wanted.unsigned_abs()) };
    let is_child = target.parent().is_some_and(|p| Arc::ptr_eq(&p, &me));
    if is_child {
        if target.session().id() != me.session().id() {
            return Err(EPERM);
        }
        if target.did_exec.load(Ordering::Relaxed) {
            return Err(EACCES);
        }
    } else if !Arc::ptr_eq(&target, &me) {
        return Err(ESRCH);
    }
    if target.is_session_leader() {
        return Err(EPERM);
    }
    let _change = CHANGE.lock();
    let group = if id == target.pid() {
        match pid::find_group(id) {
            Some(group) => group,
            None => ProcessGroup::new(number_of(&target)?, target.session())?,
        }
    } else {
        pid::find_group(id).filter(|g| g.session().id() == target.session().id()).ok_or(EPERM)?
    };
    move_to_group(&target, group)?;
    Ok(0)
}

/// The number that a group or a session is named by which `process` starts. `ESRCH` if it is gone.
fn number_of(process: &Process) -> Result<Arc<PidNr>> {
    // `execve` by another thread changes the leader, and then its number.
    let tree = TREE.lock();
    let leader = process.leader();
    let nr = leader.as_ref().and_then(|leader| thread_of(leader)?.nr());
    drop(tree);
    nr.ok_or(ESRCH)
}

/// Puts a process into `group` and takes it out of its old one. `ESRCH` if it has been waited for meanwhile.
pub(crate) fn move_to_group(process: &Arc<Process>, group: Arc<ProcessGroup>) -> Result {
    let _tree = TREE.lock();
    let old = process.group();
    if Arc::ptr_eq(&old, &group) {
        return Ok(());
    }
    let gone = process.links.lock().leader.is_none();
    let joined = if gone { Err(ESRCH) } else { group.add(process) };
    if joined.is_err() {
        // If it was made for this, nobody is in it: it goes.
        group.remove(process);
        return joined;
    }
    process.links.lock().group = group;
    old.remove(process);
    Ok(())
}

/// `setsid(2)`.
pub fn sys_setsid(_: &PtRegs) -> Result<usize> {
    let me = current_process().ok_or(ESRCH)?;
    let _change = CHANGE.lock();
    if pid::find_group(me.pid()).is_some() {
        return Err(EPERM);
    }
    let nr = number_of(&me)?;
    let session = Session::new(nr.clone())?;
    let group = ProcessGroup::new(nr, session)?;
    move_to_group(&me, group)?;
    Ok(me.own_pid() as usize)
}
