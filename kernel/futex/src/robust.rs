// SPDX-License-Identifier: GPL-2.0
//! Robust lists: each thread may name a list in its memory of the futexes that it holds. When it dies the kernel marks each as
//! owned by a dead thread and wakes a waiter. Sources: set_robust_list(2), Documentation/locking/robust-futex-ABI.rst.

use crate::wake;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use errno::Result;
use errno::code::{EINVAL, ENOMEM, EPERM, ESRCH};
use kalloc::KBox;
use kalloc::flags::GFP_KERNEL;
use process::hooks::{TaskEvents, follow};
use task::{Task, TaskLocal, current};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{cmpxchg_user_u32, get_user, put_user};

/// Size of `struct robust_list_head`.
const HEAD_SIZE: usize = 24;
/// A list longer than this is taken for a loop.
const LIMIT: usize = 2048;
const FUTEX_WAITERS: u32 = 0x8000_0000;
const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
const FUTEX_TID_MASK: u32 = 0x3fff_ffff;

/// Address of the head in the thread's memory.
static HEAD: TaskLocal<AtomicUsize> = TaskLocal::new();

/// `set_robust_list(2)`.
pub fn sys_set_robust_list(regs: &PtRegs) -> Result<usize> {
    if regs.arg1() != HEAD_SIZE {
        return Err(EINVAL);
    }
    let task = current();
    match HEAD.get(&task) {
        Some(head) => head.store(regs.arg0(), Relaxed),
        None => {
            HEAD.set(&task, KBox::new(AtomicUsize::new(regs.arg0()), GFP_KERNEL)?).map_err(|_| ENOMEM)?;
        }
    }
    Ok(0)
}

/// `get_robust_list(2)`: of another task only for who may look into it.
pub fn sys_get_robust_list(regs: &PtRegs) -> Result<usize> {
    let task = match regs.arg0() as i32 {
        0 => current().to_arc(),
        pid => process::pid::find_thread_here(u32::try_from(pid).map_err(|_| ESRCH)?).ok_or(ESRCH)?,
    };
    let same = match (process::process_of(&task), process::current_process()) {
        (Some(its), Some(mine)) => kalloc::Arc::ptr_eq(&its, &mine),
        _ => false,
    };
    if !same && !may_look(&task) {
        return Err(EPERM);
    }
    let head = HEAD.get(&task).map_or(0, |head| head.load(Relaxed));
    put_user(regs.arg2(), HEAD_SIZE)?;
    put_user(regs.arg1(), head)?;
    Ok(0)
}

/// Whether the caller may look into `task` (`PTRACE_MODE_READ_REALCREDS`).
fn may_look(task: &Task) -> bool {
    let (Ok(mine), Some(its)) = (cred::current_cred(), cred::task_cred(task)) else { return false };
    let user = [its.uid, its.euid, its.suid].iter().all(|&id| id == mine.uid);
    let group = [its.gid, its.egid, its.sgid].iter().all(|&id| id == mine.gid);
    (user && group) || cred::capable(cred::CAP_SYS_PTRACE)
}

/// Reads a link: the address without the mark, and whether it is marked as one with priority inheritance.
fn link(at: usize) -> Result<(usize, bool)> {
    let value = get_user::<usize>(at)?;
    Ok((value & !1, value & 1 != 0))
}

/// Lets go of everything on the list of `task`, which is the current one. A list that is not one ends the walk.
fn release_all(task: &Task) -> Result {
    let Some(head) = HEAD.get(task).map(|head| head.swap(0, Relaxed)).filter(|&head| head != 0) else {
        return Ok(());
    };
    let (mut entry, mut pi) = link(head)?;
    let offset = get_user::<isize>(head.wrapping_add(8))?;
    let (pending, pending_pi) = link(head.wrapping_add(16))?;
    for _ in 0..LIMIT {
        if entry == head {
            break;
        }
        // The next one first: the lock's new owner may reuse the entry.
        let next = link(entry);
        if entry != pending {
            release(task, entry.wrapping_add_signed(offset), pi, false)?;
        }
        (entry, pi) = next?;
    }
    if pending != 0 {
        release(task, pending.wrapping_add_signed(offset), pending_pi, true)?;
    }
    Ok(())
}

/// Marks one futex as left by the dead, if it was the task's. `pending`: the thread died between taking or giving back the futex
/// and noting it in its list.
fn release(task: &Task, addr: usize, pi: bool, pending: bool) -> Result {
    if !addr.is_multiple_of(4) {
        return Err(EINVAL);
    }
    let mut value = get_user::<u32>(addr)?;
    if pending && !pi && value == 0 {
        // Given back, but the waiter that it should have woken may still sleep.
        wake(addr, true, 1, crate::MATCH_ANY)?;
        return Ok(());
    }
    while value & FUTEX_TID_MASK == task.own_tid() {
        let found = cmpxchg_user_u32(addr, value, value & FUTEX_WAITERS | FUTEX_OWNER_DIED)?;
        if found == value {
            if !pi && value & FUTEX_WAITERS != 0 {
                wake(addr, true, 1, crate::MATCH_ANY)?;
            }
            break;
        }
        value = found;
    }
    Ok(())
}

struct Follower;

impl TaskEvents for Follower {
    fn leave_memory(&self, task: &Task, cleared: usize) {
        // A broken list is the program's own loss, as is a word that cannot be found.
        let _ = release_all(task);
        crate::pi::exit(task);
        if cleared != 0 {
            let _ = wake(cleared, true, 1, crate::MATCH_ANY);
        }
    }
}

pub(crate) fn init() {
    static FOLLOWER: Follower = Follower;
    if !follow(&FOLLOWER) {
        klog::pr_err!("futex: no room to follow threads, dead owners keep their locks");
    }
}
