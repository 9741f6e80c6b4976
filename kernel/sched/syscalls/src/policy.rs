// SPDX-License-Identifier: GPL-2.0
//! Policies and real-time priorities: `sched_setscheduler(2)`, `sched_setattr(2)` and the calls that ask.
//! `SCHED_DEADLINE` is not there: `EINVAL`, as for a policy that Linux does not know.

use crate::target;
use errno::Result;
use errno::code::{E2BIG, EINVAL, EPERM};
use sched::{Params, policy};
use task::Task;
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{copy_from_user, copy_to_user, get_user, put_user};

const SCHED_RESET_ON_FORK: i32 = 0x4000_0000;
const FLAG_RESET_ON_FORK: u64 = 1;
const FLAG_KEEP_POLICY: u64 = 8;
const FLAG_KEEP_PARAMS: u64 = 16;
/// Size of `struct sched_attr` as first published, and as it is now.
const ATTR_SIZE_VER0: usize = 48;
const ATTR_SIZE: usize = 56;

/// Whether the caller may give `task` the parameters `new` (sched(7), "Privileges and resource limits").
fn permitted(task: &Task, new: &Params) -> Result {
    if cred::capable(cred::CAP_SYS_NICE) {
        return Ok(());
    }
    let old = sched::params_of(task);
    let rt = |p: u8| p == policy::FIFO || p == policy::RR;
    if !target::owns(task) {
        return Err(EPERM);
    }
    if rt(new.policy) {
        let limit = rlimit::current(uapi::RLIMIT_RTPRIO);
        if new.policy != old.policy && limit == 0 {
            return Err(EPERM);
        }
        if new.rt_priority > old.rt_priority && u64::from(new.rt_priority) > limit {
            return Err(EPERM);
        }
    } else if new.policy != policy::IDLE && new.nice < old.nice && !crate::priority::may_nice(new.nice) {
        return Err(EPERM);
    }
    if old.policy == policy::IDLE && new.policy != policy::IDLE && !crate::priority::may_nice(old.nice) {
        return Err(EPERM);
    }
    // Taking the mark off would let a child keep what the parent was trusted with.
    if old.reset_on_fork && !new.reset_on_fork {
        return Err(EPERM);
    }
    Ok(())
}

fn set(task: &Task, new: Params) -> Result {
    // What is wrong is told before what is forbidden.
    sched::check_params(&new)?;
    permitted(task, &new)?;
    target::is_no_stronger(task)?;
    sched::set_params(task, new)
}

fn set_scheduler(task: &Task, kind: i32, priority: i32) -> Result {
    let policy = u8::try_from(kind & !SCHED_RESET_ON_FORK).map_err(|_| EINVAL)?;
    let new = Params {
        policy,
        rt_priority: u8::try_from(priority).map_err(|_| EINVAL)?,
        nice: sched::params_of(task).nice,
        reset_on_fork: kind & SCHED_RESET_ON_FORK != 0,
    };
    set(task, new)
}

/// `sched_setscheduler(2)`.
pub fn sys_sched_setscheduler(regs: &PtRegs) -> Result<usize> {
    let kind = regs.arg1() as i32;
    if kind < 0 || regs.arg2() == 0 || (regs.arg0() as i32) < 0 {
        return Err(EINVAL);
    }
    let priority = get_user::<i32>(regs.arg2())?;
    set_scheduler(&*target::find(regs.arg0())?, kind, priority)?;
    Ok(0)
}

/// `sched_setparam(2)`.
pub fn sys_sched_setparam(regs: &PtRegs) -> Result<usize> {
    if regs.arg1() == 0 || (regs.arg0() as i32) < 0 {
        return Err(EINVAL);
    }
    let priority = get_user::<i32>(regs.arg1())?;
    let task = target::find(regs.arg0())?;
    let old = sched::params_of(&task);
    set(&task, Params { rt_priority: u8::try_from(priority).map_err(|_| EINVAL)?, ..old })?;
    Ok(0)
}

/// `sched_getscheduler(2)`.
pub fn sys_sched_getscheduler(regs: &PtRegs) -> Result<usize> {
    let p = sched::params_of(&*target::find(regs.arg0())?);
    let mark = if p.reset_on_fork { SCHED_RESET_ON_FORK as usize } else { 0 };
    Ok(usize::from(p.policy) | mark)
}

/// `sched_getparam(2)`.
pub fn sys_sched_getparam(regs: &PtRegs) -> Result<usize> {
    if regs.arg1() == 0 {
        return Err(EINVAL);
    }
    let p = sched::params_of(&*target::find(regs.arg0())?);
    put_user(regs.arg1(), i32::from(p.rt_priority))?;
    Ok(0)
}

fn priority_range(kind: usize) -> Result<(usize, usize)> {
    match kind as i32 {
        1 | 2 => Ok((1, 99)),
        // Deadline is a policy of the ABI even where no task can have it.
        0 | 3 | 5 | 6 => Ok((0, 0)),
        _ => Err(EINVAL),
    }
}

/// `sched_get_priority_max(2)`.
pub fn sys_sched_get_priority_max(regs: &PtRegs) -> Result<usize> {
    priority_range(regs.arg0()).map(|(_, max)| max)
}

/// `sched_get_priority_min(2)`.
pub fn sys_sched_get_priority_min(regs: &PtRegs) -> Result<usize> {
    priority_range(regs.arg0()).map(|(min, _)| min)
}

/// `sched_rr_get_interval(2)`.
pub fn sys_sched_rr_get_interval(regs: &PtRegs) -> Result<usize> {
    let ns = sched::rr_interval_ns(&*target::find(regs.arg0())?);
    put_user(regs.arg1(), [ns / ktime::NSEC_PER_SEC, ns % ktime::NSEC_PER_SEC])?;
    Ok(0)
}

/// Fields of `struct sched_attr`.
struct Attr {
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// Of fair policies: the slice asked for, 0 for the usual one.
    runtime: u64,
}

/// Reads a `struct sched_attr` of whatever size the program was built with. `E2BIG` (and the size we know written back) if it
/// uses fields that we do not know.
fn read_attr(at: usize) -> Result<Attr> {
    let given = get_user::<u32>(at)? as usize;
    let size = if given == 0 { ATTR_SIZE_VER0 } else { given };
    let refuse = || {
        // As Linux: best effort, the error is what counts.
        let _ = put_user(at, ATTR_SIZE as u32);
        Err(E2BIG)
    };
    if !(ATTR_SIZE_VER0..=4096).contains(&size) {
        return refuse();
    }
    for offset in ATTR_SIZE..size {
        if get_user::<u8>(at.wrapping_add(offset))? != 0 {
            return refuse();
        }
    }
    let mut bytes = [0u8; ATTR_SIZE];
    copy_from_user(bytes.get_mut(..size.min(ATTR_SIZE)).unwrap_or_default(), at)?;
    let word = |i: usize| {
        let mut w = [0; 4];
        for (to, from) in w.iter_mut().zip(bytes.iter().skip(i * 4)) {
            *to = *from;
        }
        u32::from_le_bytes(w)
    };
    let long = |i: usize| u64::from(word(i)) | u64::from(word(i + 1)) << 32;
    let (flags, runtime) = (long(2), long(6));
    Ok(Attr { policy: word(1), flags, nice: word(4) as i32, priority: word(5), runtime })
}

/// `sched_setattr(2)`. `sched_runtime` of a fair task is the slice it asks for, as in Linux 6.12. Utilisation clamps are not there (`EOPNOTSUPP`, as when configured out).
pub fn sys_sched_setattr(regs: &PtRegs) -> Result<usize> {
    const UTIL_CLAMP: u64 = 0x60;
    const KNOWN: u64 = 0x7f;
    if regs.arg1() == 0 || (regs.arg0() as i32) < 0 || regs.arg2() as u32 != 0 {
        return Err(EINVAL);
    }
    let attr = read_attr(regs.arg1())?;
    if attr.flags & !KNOWN != 0 || attr.policy > i32::MAX as u32 {
        return Err(EINVAL);
    }
    if attr.flags & UTIL_CLAMP != 0 {
        return Err(errno::code::EOPNOTSUPP);
    }
    let task = target::find(regs.arg0())?;
    let old = sched::params_of(&task);
    let policy = match attr.flags & FLAG_KEEP_POLICY {
        0 => u8::try_from(attr.policy).map_err(|_| EINVAL)?,
        _ => old.policy,
    };
    let keep = attr.flags & FLAG_KEEP_PARAMS != 0;
    // What is kept is what the old policy has a use for.
    let rt = matches!(old.policy, policy::FIFO | policy::RR);
    let new = Params {
        policy,
        rt_priority: if keep && rt { old.rt_priority } else { u8::try_from(attr.priority).map_err(|_| EINVAL)? },
        // The other policies leave it as it is.
        nice: match policy {
            policy::NORMAL | policy::BATCH if !keep || rt => attr.nice.clamp(-20, 19),
            _ => old.nice,
        },
        reset_on_fork: match attr.flags & FLAG_KEEP_POLICY {
            0 => attr.flags & FLAG_RESET_ON_FORK != 0,
            _ => old.reset_on_fork,
        },
    };
    if keep {
        // As in Linux the policy is kept with them, after all checks.
        sched::check_params(&new)?;
        permitted(&task, &new)?;
        sched::set_params(&task, Params { reset_on_fork: new.reset_on_fork, ..old })?;
        return Ok(0);
    }
    set(&task, new)?;
    if matches!(policy, policy::NORMAL | policy::BATCH) {
        sched::set_slice_ns(&task, attr.runtime);
    }
    Ok(0)
}

/// `sched_getattr(2)`. The run time of a fair task is shown if it asked for a slice of its own.
pub fn sys_sched_getattr(regs: &PtRegs) -> Result<usize> {
    let size = regs.arg2() as u32 as usize;
    if regs.arg1() == 0
        || (regs.arg0() as i32) < 0
        || !(ATTR_SIZE_VER0..=4096).contains(&size)
        || regs.arg3() as u32 != 0
    {
        return Err(EINVAL);
    }
    let task = target::find(regs.arg0())?;
    let p = sched::params_of(&task);
    let size = size.min(ATTR_SIZE);
    let flags = if p.reset_on_fork { FLAG_RESET_ON_FORK as u32 } else { 0 };
    let runtime = match p.policy {
        policy::NORMAL | policy::BATCH => sched::slice_ns(&task),
        _ => 0,
    };
    let words = [
        size as u32,
        u32::from(p.policy),
        flags,
        0,
        p.nice as u32,
        u32::from(p.rt_priority),
        runtime as u32,
        (runtime >> 32) as u32,
    ];
    let mut bytes = [0u8; ATTR_SIZE];
    for (to, from) in bytes.iter_mut().zip(words.map(u32::to_le_bytes).iter().flatten()) {
        *to = *from;
    }
    copy_to_user(regs.arg1(), bytes.get(..size).unwrap_or_default())?;
    Ok(0)
}
