// SPDX-License-Identifier: GPL-2.0
//! Core files: what a program was when a signal ended it, for a debugger. Source: `core(5)`, `elf(5)`.
//!
//! The thread that takes the signal ends the group, waits until the other threads have come to rest in their exit (`Core::rest`), writes
//! the file and lets them go. `SIGKILL` cuts the writing short.
//!
//! | file | what |
//! |---|---|
//! | `pattern` | the file's name |
//! | `file` | the ELF file |
//! | `notes` | its notes: registers and identity |
//!
//! Locks: the process's `signals`.

mod file;
mod notes;
pub mod pattern;

use crate::signal::send::begin_group_exit;
use crate::signal::{SIGKILL, SigInfo, SigSet};
use crate::thread::{Process, Thread, thread_of};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use errno::Result;
use errno::code::{EFBIG, EINTR, EPERM};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use sync::WaitQueue;
use task::{Task, current};
use vfs::File;

/// `/proc/sys/fs/suid_dumpable`.
pub static SUID_DUMPABLE: AtomicU8 = AtomicU8::new(0);
/// `/proc/PID/coredump_filter` of the first process: private and shared anonymous memory, ELF headers, private huge pages.
pub const DEFAULT_FILTER: u32 = 0x33;
/// All bits of the filter.
pub const FILTER_MASK: u32 = 0x1ff;
/// Smallest limit that a file is begun for.
const SMALLEST: u64 = 4096;

/// A core file under way.
pub(crate) struct Core {
    dumper: u32,
    /// Threads that have not come to rest.
    left: AtomicU32,
    arrived: WaitQueue,
    finished: AtomicBool,
    done: WaitQueue,
}

/// Ends the group by `info` and writes its core file, if it is to have one. Whether there is one now.
pub(crate) fn dump(process: &Arc<Process>, info: &SigInfo) -> bool {
    let task = current();
    let Some(thread) = thread_of(&task) else { return false };
    let dumpable = process.dumpable.load(Ordering::Relaxed);
    if dumpable == 0 {
        return false;
    }
    let Ok(Some(core)) = begin(&task, thread, process, info) else { return false };
    let written = open(&task, process, info, dumpable).and_then(|file| file::write(&file, &task, process, info));
    if let Err(error) = &written {
        klog::pr_debug!("core of pid {}: {:?}", process.pid(), error);
    }
    process.signals.lock_irqsave().core = None;
    core.finished.store(true, Ordering::SeqCst);
    core.done.wake_up_all();
    written.is_ok()
}

/// Ends the group and waits for the other threads. `None` if it ends otherwise already.
fn begin(task: &Task, thread: &Thread, process: &Process, info: &SigInfo) -> Result<Option<Arc<Core>>> {
    let core = Core {
        dumper: task.tid(),
        left: AtomicU32::new(0),
        arrived: WaitQueue::new(),
        finished: AtomicBool::new(false),
        done: WaitQueue::new(),
    };
    let core = Arc::new(core, GFP_KERNEL)?;
    {
        let mut signals = process.signals.lock_irqsave();
        if signals.group_exit.is_some() || signals.exec_waiter.is_some() {
            return Ok(None);
        }
        let others = signals.threads.iter().filter(|t| thread_of(t).is_some_and(|t| !t.is_exiting()));
        core.left.store(u32::try_from(others.count()).unwrap_or(1).saturating_sub(1), Ordering::SeqCst);
        signals.core = Some(core.clone());
        begin_group_exit(&mut signals, info.signo as i32);
        // Not this one: it has work to do.
        thread.pending_set.fetch_and(!SigSet::of(SIGKILL).0, Ordering::SeqCst);
    }
    // One of them may be frozen.
    freezer::freezable(|| core.arrived.wait_until(|| core.left.load(Ordering::SeqCst) == 0));
    Ok(Some(core))
}

impl Core {
    /// Whether the file waits for `task` to come to rest.
    pub(crate) fn counts_on(&self, task: &Task) -> bool {
        self.dumper != task.tid()
    }

    /// One of those that were counted rests, or never began.
    pub(crate) fn one_less(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.arrived.wake_up_all();
        }
    }

    /// The current thread, on its way out, rests until the file is written.
    pub(crate) fn rest(&self) {
        self.one_less();
        freezer::freezable(|| self.done.wait_until(|| self.finished.load(Ordering::SeqCst)));
    }
}

/// Whether somebody wants the writing to end.
pub(crate) fn interrupted(process: &Process) -> bool {
    let pending = process.shared_set.load(Ordering::SeqCst);
    pending & SigSet::of(SIGKILL).0 != 0 || crate::fatal_pending(&current())
}

/// The file, empty.
fn open(task: &Task, process: &Process, info: &SigInfo, dumpable: u8) -> Result<Arc<File>> {
    if rlimit::current(uapi::RLIMIT_CORE) < SMALLEST {
        return Err(EFBIG);
    }
    if interrupted(process) {
        return Err(EINTR);
    }
    let name = pattern::name(task, process, info, dumpable)?;
    if dumpable == 2 && !name.starts_with(b"/") {
        klog::pr_warn!("Pid {}: can only dump core to a fully qualified path if fs.suid_dumpable=2", process.pid());
        return Err(EPERM);
    }
    let flags = uapi::O_CREAT | uapi::O_WRONLY | uapi::O_NOFOLLOW | if dumpable == 2 { uapi::O_EXCL } else { 0 };
    let own = cred::current_cred()?;
    let _root = match dumpable {
        2 => {
            let mut root = (*own).clone();
            root.fsuid = 0;
            Some(cred::override_with(Arc::new(root, GFP_KERNEL)?)?)
        }
        _ => None,
    };
    let file = vfs::tasks::kernel_open(&name, flags, 0o600)?;
    let inode = file.inode();
    let fsuid = cred::current_cred()?.fsuid;
    // Nothing that somebody put there.
    let plain = inode.is_reg() && inode.nlink() == 1 && inode.uid() == fsuid && inode.mode() & 0o677 == 0o600;
    if !plain {
        return Err(EPERM);
    }
    vfs::attr::truncate(inode, 0, true)?;
    Ok(file)
}
