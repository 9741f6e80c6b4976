// SPDX-License-Identifier: GPL-2.0
//! The task that a call names, and whether the caller may change it.

use errno::Result;
use errno::code::{EINVAL, EPERM, ESRCH};
use kalloc::Arc;
use task::{Task, current};

/// The task with thread id `pid`, 0 for the caller. `EINVAL` if negative, `ESRCH` if there is none.
pub(crate) fn find(pid: usize) -> Result<Arc<Task>> {
    match pid as i32 {
        0 => Ok(current().to_arc()),
        pid => process::pid::find_thread_here(u32::try_from(pid).map_err(|_| EINVAL)?).ok_or(ESRCH),
    }
}

/// Whether the caller owns `task` (its effective user id is the task's real or effective one).
pub(crate) fn owns(task: &Task) -> bool {
    match (cred::current_cred(), cred::task_cred(task)) {
        (Ok(mine), Some(its)) => mine.euid == its.uid || mine.euid == its.euid,
        _ => false,
    }
}

/// `EPERM` if `task` may more than the caller, who may not change anybody's.
pub(crate) fn is_no_stronger(task: &Task) -> Result {
    let (mine, its) = (cred::current_cred()?, cred::task_cred(task).ok_or(ESRCH)?);
    if its.cap_permitted.is_subset(mine.cap_permitted) || mine.capable(cred::CAP_SYS_NICE) {
        Ok(())
    } else {
        Err(EPERM)
    }
}

/// `EPERM` unless the caller owns `task`, which may no more than he, or may change anybody's.
pub(crate) fn may_change(task: &Task) -> Result {
    if owns(task) || cred::capable(cred::CAP_SYS_NICE) { is_no_stronger(task) } else { Err(EPERM) }
}
