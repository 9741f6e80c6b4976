// SPDX-License-Identifier: GPL-2.0
//! I/O priorities of tasks: `ioprio_get(2)`, `ioprio_set(2)`. Kept with the thread, for whoever queues its I/O.

use crate::priority::{USER_BY_NUMBER, for_each};
use crate::target::{find, is_no_stronger};
use errno::Result;
use errno::code::{EINVAL, EPERM, ESRCH};
use task::Task;
use x86_cpu::regs::PtRegs;

/// The class is above this bit of a priority, the level below.
const CLASS_SHIFT: u32 = 13;
const NONE: u32 = 0;
const RT: u32 = 1;
const BEST_EFFORT: u32 = 2;
const IDLE: u32 = 3;

const WHO_PROCESS: i32 = 1;
const WHO_PGRP: i32 = 2;
const WHO_USER: i32 = 3;

/// What was set for `task`.
fn raw(task: &Task) -> u32 {
    process::thread_of(task).map_or(0, |thread| thread.io_priority())
}

/// What counts for `task`: without a priority of its own, what its scheduling policy and nice value say.
fn effective(task: &Task) -> u32 {
    let set = raw(task);
    if set >> CLASS_SHIFT != NONE {
        return set;
    }
    let params = sched::params_of(task);
    let class = match params.policy {
        sched::policy::IDLE => IDLE,
        sched::policy::FIFO | sched::policy::RR => RT,
        _ => BEST_EFFORT,
    };
    class << CLASS_SHIFT | u32::try_from((params.nice + 20) / 5).unwrap_or(0)
}

fn set_one(task: &Task, priority: u32) -> Result {
    let (mine, its) = (cred::current_cred()?, cred::task_cred(task).ok_or(ESRCH)?);
    if its.uid != mine.euid && its.uid != mine.uid && !mine.capable(cred::CAP_SYS_NICE) {
        return Err(EPERM);
    }
    is_no_stronger(task)?;
    let thread = process::thread_of(task).ok_or(ESRCH)?;
    // 16 bits: class and level were checked.
    task_io::set_priority(task, priority as u16)?;
    thread.set_io_priority(priority);
    Ok(())
}

/// `ioprio_set(2)`.
pub fn sys_ioprio_set(regs: &PtRegs) -> Result<usize> {
    let (which, who, priority) = (regs.arg0() as i32, regs.arg1(), regs.arg2() as u32);
    let may = || cred::capable(cred::CAP_SYS_ADMIN) || cred::capable(cred::CAP_SYS_NICE);
    task_io::check_priority(priority, may)?;
    if !(WHO_PROCESS..=WHO_USER).contains(&which) {
        return Err(EINVAL);
    }
    let mut result = Ok(());
    // `setpriority`'s numbers are one less, but that 0 is not the caller's user. The first refusal ends it.
    let which = if which == WHO_USER { USER_BY_NUMBER } else { which - 1 };
    for_each(which, who, &mut |task| {
        if result.is_ok() {
            result = set_one(task, priority);
        }
    })?;
    result.map(|()| 0)
}

/// `ioprio_get(2)`: of a group or a user the best.
pub fn sys_ioprio_get(regs: &PtRegs) -> Result<usize> {
    let (which, who) = (regs.arg0() as i32, regs.arg1());
    match which {
        WHO_PROCESS => Ok(raw(&*find(who).map_err(|_| ESRCH)?) as usize),
        WHO_PGRP | WHO_USER => {
            let mut best = u32::MAX;
            for_each(which - 1, who, &mut |task| best = best.min(effective(task)))?;
            Ok(best as usize)
        }
        _ => Err(EINVAL),
    }
}
