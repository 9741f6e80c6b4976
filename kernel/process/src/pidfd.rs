// SPDX-License-Identifier: GPL-2.0
//! File descriptors that stand for processes. Source: `pidfd_open(2)`, `pidfd_send_signal(2)`, `pidfd_getfd(2)`, `clone(2)`
//! (`CLONE_PIDFD`). A pidfd keeps the process's structure, not its number: the number may be used again meanwhile.
//!
//! Locks: none of its own; those of sending signals and of the descriptor table.

use crate::access::{look_inside, may_access_realcreds};
use crate::pid::{self, PidNs};
use crate::signal::info::{SIGINFO_SIZE, SigInfo};
use crate::signal::send::kill_process;
use crate::signal::syscalls::{sender, signal_arg};
use crate::thread::{Process, thread_of};
use crate::user::{copy_from_user, write_user};
use core::fmt::Write;
use errno::Result;
use errno::code::{E2BIG, EBADF, EINVAL, ENOMEM, EPERM, ESRCH};
use hook::Hook;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SetOnce;
use sync::{PollMask, PollTable, WaitQueue};
use vfs::{AnonKind, FdGuard, File, FileOps, OpenFlags};
use x86_cpu::regs::PtRegs;

static KIND: AnonKind = AnonKind::new("[pidfd]");

/// Whoever shows processes as directories (`/proc`): those may be used as pidfds by `pidfd_send_signal`.
pub trait ProcDir: Sync {
    /// The process that `file` is the directory of; `ESRCH` if it is gone, `EBADF` if it is no such directory.
    fn process_of(&self, file: &File) -> Result<Arc<Process>>;
}

/// `/proc`.
pub static PROC_DIR: Hook<dyn ProcDir> = Hook::new();

struct PidFd {
    /// Set before the descriptor can be used.
    process: SetOnce<Arc<Process>>,
}

impl Process {
    /// Where those wait who poll a pidfd of it. May sleep.
    pub(crate) fn pidfd_queue(&self) -> Result<Arc<WaitQueue>> {
        if self.pidfd_wait.get().is_none() {
            // Another task may have been first: then its queue is used.
            drop(self.pidfd_wait.set(Arc::new(WaitQueue::new(), GFP_KERNEL)?));
        }
        self.pidfd_wait.get().cloned().ok_or(ENOMEM)
    }

    /// Whether its number still leads to it.
    fn has_number(&self) -> bool {
        self.leader().is_some()
    }
}

impl PidFd {
    /// What `/proc` of name space `ns` shows of it.
    fn show(&self, ns: &PidNs, out: &mut dyn Write) -> core::fmt::Result {
        let Some(process) = self.process.get().filter(|process| process.has_number()) else {
            return writeln!(out, "Pid:\t-1\nNSpid:\t-1");
        };
        let number = process.name().number_in(ns);
        write!(out, "Pid:\t{number}\nNSpid:\t{number}")?;
        for below in process.name().from_ns(ns).skip(1) {
            write!(out, "\t{below}")?;
        }
        writeln!(out)
    }
}

/// What `/proc` of name space `ns` shows of `file`, if it is a pidfd.
pub fn show_fdinfo(file: &File, ns: &PidNs, out: &mut dyn Write) -> Option<core::fmt::Result> {
    Some(file.private::<PidFd>()?.show(ns, out))
}

impl FileOps for PidFd {
    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        let Some(process) = self.process.get() else { return PollMask::NONE };
        if let Some(queue) = process.pidfd_wait.get() {
            table.add(queue);
        }
        if process.is_zombie() { PollMask::IN | PollMask::RDNORM } else { PollMask::NONE }
    }

    fn show_fdinfo(&self, _: &File, out: &mut dyn Write) -> core::fmt::Result {
        self.show(&PidNs::FIRST, out)
    }
}

/// A descriptor that is ready but for its process (`CLONE_PIDFD`: the number is told before there is a child).
pub(crate) struct NewPidFd {
    fd: FdGuard,
    file: Arc<File>,
    queue: Arc<WaitQueue>,
}

impl NewPidFd {
    /// Reserves a number and writes it to the program at `address`.
    pub(crate) fn prepare(address: usize) -> Result<Self> {
        let fd = vfs::get_unused_fd(true)?;
        let ops = KBox::new(PidFd { process: SetOnce::new() }, GFP_KERNEL)?;
        let file = KIND.open(OpenFlags(uapi::O_RDWR), ops)?;
        let queue = Arc::new(WaitQueue::new(), GFP_KERNEL)?;
        write_user(address, &fd.fd())?;
        Ok(Self { fd, file, queue })
    }

    /// Makes it a descriptor of `process`, which does not run yet.
    pub(crate) fn install(self, process: &Arc<Process>) {
        drop(process.pidfd_wait.set(self.queue));
        if let Some(ops) = self.file.private::<PidFd>() {
            drop(ops.process.set(process.clone()));
        }
        self.fd.install(self.file);
    }
}

/// The process that `file` stands for; `EBADF` if it is no pidfd.
pub(crate) fn process_of_file(file: &File) -> Result<Arc<Process>> {
    file.private::<PidFd>().and_then(|ops| ops.process.get()).cloned().ok_or(EBADF)
}

/// `pidfd_open(pid, flags)`.
pub fn sys_pidfd_open(regs: &PtRegs) -> Result<usize> {
    let (nr, flags) = (regs.arg0() as i32, regs.arg1() as u32);
    if flags & !uapi::O_NONBLOCK != 0 || nr <= 0 {
        return Err(EINVAL);
    }
    let task = pid::find_thread_here(nr.unsigned_abs()).ok_or(ESRCH)?;
    let process = thread_of(&task).ok_or(ESRCH)?.process().clone();
    if process.pid() != task.tid() {
        // A thread that leads no group.
        return Err(EINVAL);
    }
    drop(task);
    process.pidfd_queue()?;
    let cell = SetOnce::new();
    drop(cell.set(process));
    let fd = vfs::get_unused_fd(true)?;
    let file = KIND.open(OpenFlags(uapi::O_RDWR | flags), KBox::new(PidFd { process: cell }, GFP_KERNEL)?)?;
    Ok(fd.install(file) as usize)
}

/// The signal's cause as the program gave it. Only to itself may it claim to be the kernel or `kill`.
fn given_info(signal: u32, address: usize, target: &Process) -> Result<SigInfo> {
    let mut bytes = [0; SIGINFO_SIZE];
    copy_from_user(&mut bytes, address)?;
    let info = SigInfo::from_bytes(&bytes).ok_or(E2BIG)?;
    if info.signo != signal {
        return Err(EINVAL);
    }
    let to_self = task::current().tid() == target.pid();
    if (info.code >= 0 || info.code == uapi::SI_TKILL) && !to_self {
        return Err(EPERM);
    }
    Ok(info)
}

/// `pidfd_send_signal(pidfd, signal, info, flags)`.
pub fn sys_pidfd_send_signal(regs: &PtRegs) -> Result<usize> {
    if regs.arg3() as u32 != 0 {
        return Err(EINVAL);
    }
    let file = vfs::fdget(regs.arg0())?;
    let process = match process_of_file(&file) {
        Ok(process) => process,
        Err(_) => PROC_DIR.get().ok_or(EBADF)?.process_of(&file)?,
    };
    if !pid_namespace::here_is_first() && !pid_namespace::here().contains(&process.pid_ns()) {
        // Who is outside cannot be named here.
        return Err(EINVAL);
    }
    let signal = signal_arg(regs.arg1())?;
    let info = match regs.arg2() {
        0 => sender(signal, uapi::SI_USER as i32),
        address => given_info(signal, address, &process)?,
    };
    kill_process(&process, signal, info)?;
    Ok(0)
}

/// `pidfd_getfd(pidfd, targetfd, flags)`: another process's open file as a descriptor of one's own.
pub fn sys_pidfd_getfd(regs: &PtRegs) -> Result<usize> {
    if regs.arg2() as u32 != 0 {
        return Err(EINVAL);
    }
    let process = process_of_file(&*vfs::fdget(regs.arg0())?)?;
    let task = process.leader().ok_or(ESRCH)?;
    let get = || vfs::fdtable::task_files(&task).ok_or(EBADF)?.get_raw(regs.arg1() as u32);
    let wanted = look_inside(&task, may_access_realcreds, get)?.ok_or(EPERM)??;
    Ok(vfs::get_unused_fd(true)?.install(wanted) as usize)
}
