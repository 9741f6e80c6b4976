// SPDX-License-Identifier: GPL-2.0
//! Signals read from a file. Source: `signalfd(2)`. Who reads takes its own signals, whoever made the file.
//!
//! Locks: none of its own; those of a process's signals.

use super::deliver::{dequeue_from, recalc};
use super::syscalls::this;
use super::{SigInfo, SigSet};
use crate::thread::{Process, current_process, with_thread};
use crate::user::read_user;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use errno::Result;
use errno::code::{EAGAIN, EFAULT, EINVAL, ENOMEM, ESRCH};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use sync::{PollMask, PollTable, WaitQueue};
use uapi::AsBytes;
use vfs::{AnonKind, File, FileOps, IovIter, OpenFlags, get_unused_fd};
use x86_cpu::regs::PtRegs;

static KIND: AnonKind = AnonKind::new("[signalfd]");

struct SignalFd {
    /// What may be read.
    mask: AtomicU64,
}

impl Process {
    /// Where those wait who read its signals from a file. May sleep.
    fn signalfd_queue(&self) -> Result<Arc<WaitQueue>> {
        if self.signalfd_wait.get().is_none() {
            // Another thread may have been first: then its queue is used.
            drop(self.signalfd_wait.set(Arc::new(WaitQueue::new(), GFP_KERNEL)?));
        }
        self.signalfd_wait.get().cloned().ok_or(ENOMEM)
    }
}

impl SignalFd {
    fn mask(&self) -> SigSet {
        SigSet(self.mask.load(Ordering::Relaxed))
    }

    /// Takes one signal of the current thread that the file's mask has, and whether it was the process's.
    fn take(&self) -> Option<(SigInfo, bool)> {
        with_thread(|thread| {
            let info = dequeue_from(thread, thread.process(), SigSet(!self.mask().0));
            if info.is_some() {
                recalc(&task::current(), thread);
            }
            info
        })
        .flatten()
    }
}

impl FileOps for SignalFd {
    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        let room = to.count() / size_of::<uapi::signalfd_siginfo>();
        if room == 0 {
            return Err(EINVAL);
        }
        let mut first = self.take();
        if first.is_none() {
            if file.nonblock() {
                return Err(EAGAIN);
            }
            current_process().ok_or(ESRCH)?.signalfd_queue()?.wait_interruptible(|| {
                first = self.take();
                first.is_some()
            })?;
        }
        let mut done = 0;
        let rest = core::iter::from_fn(|| self.take());
        for (mut info, shared) in first.into_iter().chain(rest).take(room) {
            crate::hooks::signal_taken(&mut info, shared);
            let record = record(&info);
            if to.copy_to_iter(record.as_bytes()) < size_of_val(&record) {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            done += size_of_val(&record);
        }
        Ok(done)
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        with_thread(|thread| {
            let process = thread.process();
            if let Some(queue) = process.signalfd_wait.get() {
                table.add(queue);
            }
            let pending = thread.pending_set.load(Ordering::SeqCst) | process.shared_set.load(Ordering::SeqCst);
            if pending & self.mask().0 != 0 { PollMask::IN } else { PollMask::NONE }
        })
        .unwrap_or(PollMask::NONE)
    }

    fn show_fdinfo(&self, _: &File, out: &mut dyn Write) -> core::fmt::Result {
        writeln!(out, "sigmask:\t{:016x}", self.mask().0)
    }
}

const fn low(word: u64) -> u32 {
    word as u32
}

const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

/// A signal as `signalfd(2)` shows it: which fields there are depends on the kind.
fn record(info: &SigInfo) -> uapi::signalfd_siginfo {
    let &[a, b, c, d] = info.words();
    let mut out = uapi::signalfd_siginfo {
        ssi_signo: info.signo,
        ssi_errno: info.errno,
        ssi_code: info.code,
        ..Default::default()
    };
    let by_kernel = info.code > uapi::SI_USER as i32 && info.code < uapi::SI_KERNEL as i32;
    match (info.signo, info.code) {
        (uapi::SIGILL | uapi::SIGFPE | uapi::SIGSEGV | uapi::SIGBUS | uapi::SIGTRAP, _) if by_kernel => {
            out.ssi_addr = a;
            out.ssi_addr_lsb = b as u16;
        }
        (uapi::SIGCHLD, _) if by_kernel => {
            (out.ssi_pid, out.ssi_uid) = (low(a), high(a));
            out.ssi_status = low(b) as i32;
            (out.ssi_utime, out.ssi_stime) = (c, d);
        }
        (uapi::SIGSYS, _) if by_kernel => {
            out.ssi_call_addr = a;
            (out.ssi_syscall, out.ssi_arch) = (low(b) as i32, high(b));
        }
        (_, uapi::SI_SIGIO) => (out.ssi_band, out.ssi_fd) = (low(a), low(b) as i32),
        _ if by_kernel => (out.ssi_band, out.ssi_fd) = (low(a), low(b) as i32),
        (_, uapi::SI_TIMER) => {
            (out.ssi_tid, out.ssi_overrun) = (low(a), high(a));
            (out.ssi_ptr, out.ssi_int) = (b, low(b) as i32);
        }
        (_, ..0) => {
            (out.ssi_pid, out.ssi_uid) = (low(a), high(a));
            (out.ssi_ptr, out.ssi_int) = (b, low(b) as i32);
        }
        _ => (out.ssi_pid, out.ssi_uid) = (low(a), high(a)),
    }
    out
}

fn do_signalfd(fd: i32, address: usize, size: usize, flags: u32) -> Result<usize> {
    if size != size_of::<u64>() {
        return Err(EINVAL);
    }
    let mask = SigSet(read_user::<u64>(address)?).without(SigSet::UNMASKABLE);
    if flags & !(uapi::O_CLOEXEC | uapi::O_NONBLOCK) != 0 {
        return Err(EINVAL);
    }
    // Made now: polling must not sleep.
    let queue = this(|_, thread| thread.process().signalfd_queue())?;
    if fd == -1 {
        let fd = get_unused_fd(flags & uapi::O_CLOEXEC != 0)?;
        let ops = KBox::new(SignalFd { mask: AtomicU64::new(mask.0) }, GFP_KERNEL)?;
        let file = KIND.open(OpenFlags(uapi::O_RDWR | flags & uapi::O_NONBLOCK), ops)?;
        return Ok(fd.install(file) as usize);
    }
    let file = vfs::fdget(fd as u32 as usize)?;
    file.private::<SignalFd>().ok_or(EINVAL)?.mask.store(mask.0, Ordering::Relaxed);
    queue.wake_up_all();
    Ok(fd as u32 as usize)
}

/// `signalfd(fd, mask, size)`.
pub fn sys_signalfd(regs: &PtRegs) -> Result<usize> {
    do_signalfd(regs.arg0() as i32, regs.arg1(), regs.arg2(), 0)
}

/// `signalfd4(fd, mask, size, flags)`.
pub fn sys_signalfd4(regs: &PtRegs) -> Result<usize> {
    do_signalfd(regs.arg0() as i32, regs.arg1(), regs.arg2(), regs.arg3() as u32)
}
