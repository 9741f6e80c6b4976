// SPDX-License-Identifier: GPL-2.0
//! Nice values: `getpriority(2)` and `setpriority(2)` of a task, a process group or a user.

use crate::target::{find, is_no_stronger, owns};
use errno::Result;
use errno::code::{EACCES, EINVAL, EPERM, ESRCH};
use task::Task;
use x86_cpu::regs::PtRegs;

const PRIO_PROCESS: i32 = 0;
const PRIO_PGRP: i32 = 1;
const PRIO_USER: i32 = 2;
/// As `PRIO_USER`, but 0 is user 0.
pub(crate) const USER_BY_NUMBER: i32 = 3;

/// Whether the caller may go down to `nice`: by privilege, or within `RLIMIT_NICE` (which counts from 20 down).
pub(crate) fn may_nice(nice: i32) -> bool {
    let wanted = u64::try_from(20 - nice).unwrap_or(0);
    wanted <= rlimit::current(uapi::RLIMIT_NICE) || cred::capable(cred::CAP_SYS_NICE)
}

/// Calls `f` for every task that the call names; `ESRCH` if there is none.
pub(crate) fn for_each(which: i32, who: usize, f: &mut dyn FnMut(&Task)) -> Result {
    let mut found = false;
    let mut visit = |task: &Task| {
        found = true;
        f(task);
    };
    match which {
        PRIO_PROCESS => visit(&*find(who).map_err(|_| ESRCH)?),
        PRIO_PGRP => {
            let group = match who as u32 {
                0 => process::current_process().ok_or(ESRCH)?.group(),
                id => process::pid::find_group_here(id).ok_or(ESRCH)?,
            };
            for process in group.members()?.iter() {
                for task in process.threads()?.iter() {
                    visit(task);
                }
            }
        }
        PRIO_USER | USER_BY_NUMBER => {
            let uid = match who as u32 {
                0 if which == PRIO_USER => cred::current_cred()?.uid,
                uid => uid,
            };
            // Of those that the caller could name.
            let ns = pid_namespace::here();
            let mut from = 1;
            while let Some((tid, task)) = process::pid::next_thread_in(&ns, from) {
                from = tid.saturating_add(1);
                if cred::task_cred(&task).is_some_and(|cred| cred.uid == uid) {
                    visit(&task);
                }
            }
        }
        _ => return Err(EINVAL),
    }
    if found { Ok(()) } else { Err(ESRCH) }
}

/// `PRIO_*`.
fn known(which: usize) -> Result<i32> {
    let which = which as i32;
    if (PRIO_PROCESS..=PRIO_USER).contains(&which) { Ok(which) } else { Err(EINVAL) }
}

/// `getpriority(2)`: 20 minus the lowest nice value, so that it is positive.
pub fn sys_getpriority(regs: &PtRegs) -> Result<usize> {
    let mut best = 0;
    for_each(known(regs.arg0())?, regs.arg1(), &mut |task| {
        best = best.max(20 - sched::params_of(task).nice);
    })?;
    Ok(best as usize)
}

fn set_one(task: &Task, nice: i32) -> Result {
    if !owns(task) && !cred::capable(cred::CAP_SYS_NICE) {
        return Err(EPERM);
    }
    if nice < sched::params_of(task).nice && !may_nice(nice) {
        return Err(EACCES);
    }
    is_no_stronger(task)?;
    sched::set_nice(task, nice);
    Ok(())
}

/// `setpriority(2)`.
pub fn sys_setpriority(regs: &PtRegs) -> Result<usize> {
    let nice = (regs.arg2() as i32).clamp(-20, 19);
    let mut result: Option<Result> = None;
    for_each(known(regs.arg0())?, regs.arg1(), &mut |task| {
        let one = set_one(task, nice);
        // An error stays, but the others are still changed.
        if result.is_none_or(|r| r.is_ok()) {
            result = Some(one);
        }
    })?;
    result.unwrap_or(Err(ESRCH))?;
    Ok(0)
}
