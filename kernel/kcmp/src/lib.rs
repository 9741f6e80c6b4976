// SPDX-License-Identifier: GPL-2.0
//! `kcmp(2)`: whether two tasks share a kernel object, and in which order two objects are, so that a checkpoint program can sort
//! them. The order is one of addresses scrambled with numbers of this boot, and tells nothing about them. Called by the system
//! call table. No locks of its own.

#![no_std]
#![forbid(unsafe_code)]

use core::cmp::Ordering;
use errno::Result;
use errno::code::{EBADF, EINVAL, EOPNOTSUPP, EPERM, ESRCH};
use kalloc::Arc;
use locking::LazyLock;
use task::Task;
use vfs::fdtable::task_files;
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::get_user;

/// A mask and an odd factor for each kind of object.
static COOKIES: LazyLock<[[u64; 2]; 8]> = LazyLock::new(|| [[(); 2]; 8].map(|pair| pair.map(|()| random::u64())));

/// An address as it is compared.
fn scramble(address: usize, kind: u32) -> u64 {
    let [mask, factor] = COOKIES.get(kind as usize).copied().unwrap_or([0, 1]);
    (address as u64 ^ mask).wrapping_mul(factor | 1 << 63 | 1)
}

/// 0: the same, 1: the first is before the second, 2: after.
fn compare(a: usize, b: usize, kind: u32) -> usize {
    match scramble(a, kind).cmp(&scramble(b, kind)) {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    }
}

/// The task numbered `pid`, if the caller may look into it (`PTRACE_MODE_READ_REALCREDS`).
fn find(pid: usize) -> Result<Arc<Task>> {
    process::pid::find_thread_here(u32::try_from(pid as i32).map_err(|_| ESRCH)?).ok_or(ESRCH)
}

fn check(task: &Task) -> Result {
    let same = process::process_of(task).zip(process::current_process()).is_some_and(|(a, b)| Arc::ptr_eq(&a, &b));
    let (mine, its) = (cred::current_cred()?, cred::task_cred(task).ok_or(ESRCH)?);
    let user = [its.uid, its.euid, its.suid].iter().all(|&id| id == mine.uid);
    let group = [its.gid, its.egid, its.sgid].iter().all(|&id| id == mine.gid);
    let allowed = same || (user && group) || cred::capable(cred::CAP_SYS_PTRACE);
    if allowed { Ok(()) } else { Err(EPERM) }
}

/// Address of an object that a task may lack.
fn address<T>(object: Option<Arc<T>>) -> usize {
    object.map_or(0, |object| Arc::as_ptr(&object).addr())
}

fn file(task: &Task, fd: usize) -> Result<usize> {
    let files = task_files(task).ok_or(EBADF)?;
    let file = files.get_raw(u32::try_from(fd).map_err(|_| EBADF)?)?;
    Ok(Arc::as_ptr(&file).addr())
}

/// `KCMP_EPOLL_TFD`: file `fd` of the one task, and a file in an epoll of the other. The order is that of `KCMP_FILE`.
fn epoll_pair(a: &Task, b: &Task, fd: usize, slot: usize) -> Result<(usize, usize)> {
    // struct kcmp_epoll_slot: epoll's descriptor, the one the file was added by, which of several.
    let [efd, tfd, toff] = get_user::<[u32; 3]>(slot)?;
    let file = file(a, fd)?;
    let epoll = task_files(b).ok_or(EBADF)?.get(efd)?;
    Ok((file, eventpoll::target(&epoll, tfd, toff)?))
}

/// `kcmp(2)`.
pub fn sys_kcmp(regs: &PtRegs) -> Result<usize> {
    let (a, b) = (find(regs.arg0())?, find(regs.arg1())?);
    let kind = regs.arg2() as u32;
    check(&a)?;
    check(&b)?;
    let pair = match kind {
        uapi::KCMP_FILE => (file(&a, regs.arg3())?, file(&b, regs.arg4())?),
        uapi::KCMP_VM => (address(mm::mm_of(&a)), address(mm::mm_of(&b))),
        uapi::KCMP_FILES => (address(task_files(&a)), address(task_files(&b))),
        uapi::KCMP_FS => (address(vfs::fs_struct::task_fs(&a)), address(vfs::fs_struct::task_fs(&b))),
        uapi::KCMP_SIGHAND => {
            (process::signal::actions_address(&a).unwrap_or(0), process::signal::actions_address(&b).unwrap_or(0))
        }
        // No task has an I/O context or a list of semaphore adjustments.
        uapi::KCMP_IO => (0, 0),
        uapi::KCMP_EPOLL_TFD => {
            let (file, target) = epoll_pair(&a, &b, regs.arg3(), regs.arg4())?;
            return Ok(compare(file, target, uapi::KCMP_FILE));
        }
        uapi::KCMP_SYSVSEM => return Err(EOPNOTSUPP),
        _ => return Err(EINVAL),
    };
    Ok(compare(pair.0, pair.1, kind))
}
