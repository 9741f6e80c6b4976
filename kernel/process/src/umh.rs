// SPDX-License-Identifier: GPL-2.0
//! Programs that the kernel starts by itself (`call_usermodehelper`): `modprobe` for a module that is wanted. Such a program is a
//! child of process 2 with the first process's root, no open files and no signal blocked; all rights are its own.

use crate::pid;
use crate::thread::{process_of, thread_of};
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, KVec};
use locking::SpinLock;
use sync::{Completion, Mutex, WaitQueue};
use task::current;

/// How the start went, and who waits for that.
struct Start {
    result: Mutex<Option<Result>>,
    done: Completion,
}

/// Copies of words, for the thread that becomes the program.
fn copies(words: &[&[u8]]) -> Result<KVec<KString>> {
    let mut copies = KVec::with_capacity(words.len(), GFP_KERNEL)?;
    for word in words {
        copies.push(KString::from_bytes(word, GFP_KERNEL)?, GFP_KERNEL)?;
    }
    Ok(copies)
}

/// As the words that the program gets.
fn words(copies: &[KString]) -> Result<KVec<&[u8]>> {
    let mut words = KVec::with_capacity(copies.len(), GFP_KERNEL)?;
    words.extend(copies.iter().map(|copy| copy.as_bytes()), GFP_KERNEL)?;
    Ok(words)
}

/// What the new thread does: it becomes the program, and goes to user mode when this returns `Ok`.
fn become_program(argv: &[KString], envp: &[KString]) -> Result {
    let path = argv.first().ok_or(EINVAL)?;
    let first = pid::find_thread(1).ok_or(ESRCH)?;
    let root = vfs::fs_struct::task_fs(&first).ok_or(ESRCH)?.paths()?.root.clone();
    vfs::tasks::init_task(root)?;
    thread_of(&current()).ok_or(ESRCH)?.blocked.store(0, Ordering::Relaxed);
    crate::exec::kernel_execve(path.as_bytes(), &words(argv)?, &words(envp)?)
}

/// How long a machine that is to sleep waits for such programs.
const PATIENCE_NS: u64 = 5_000_000_000;

struct Helpers {
    running: usize,
    disabled: bool,
}

static HELPERS: SpinLock<Helpers> = SpinLock::new(Helpers { running: 0, disabled: false });
static NONE_RUNS: WaitQueue = WaitQueue::new();

/// One that runs.
struct Running(());

impl Running {
    /// `EBUSY` while none may run.
    fn new() -> Result<Self> {
        let mut helpers = HELPERS.lock();
        if helpers.disabled {
            return Err(EBUSY);
        }
        helpers.running += 1;
        Ok(Self(()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        HELPERS.lock().running -= 1;
        NONE_RUNS.wake_up_all();
    }
}

/// No program is started by the kernel from here on (`EBUSY`), and none that was is running: who waits for one cannot come to rest.
/// `EAGAIN` if they do not end. Undone by [`enable`]. May sleep.
pub fn disable() -> Result {
    HELPERS.lock().disabled = true;
    let deadline = ktime::now_ns().saturating_add(PATIENCE_NS);
    if NONE_RUNS.wait_until_deadline(deadline, || HELPERS.lock().running == 0) {
        return Ok(());
    }
    enable();
    Err(EAGAIN)
}

/// Programs may be started again.
pub fn enable() {
    HELPERS.lock().disabled = false;
}

/// Runs the program `argv[0]` with these words and waits for its end; the value is what `wait(2)` would say. An error: it could not
/// be started (`EBUSY`: the machine is just going to sleep). May sleep, and not in a thread that the program itself needs.
pub fn call_usermodehelper(argv: &[&[u8]], envp: &[&[u8]]) -> Result<i32> {
    let _running = Running::new()?;
    let (argv, envp) = (copies(argv)?, copies(envp)?);
    let start = Arc::new(Start { result: Mutex::new(None), done: Completion::new() }, GFP_KERNEL)?;
    let told = start.clone();
    let task = task::kthread_create(b"kmodule", move || {
        let result = become_program(&argv, &envp);
        *told.result.lock() = Some(result);
        told.done.complete_all();
    })?;
    let process = process_of(&task).ok_or(ESRCH)?;
    let ended = process.pidfd_queue()?;
    task::kthread::wake_up_new(task);
    start.done.wait();
    start.result.lock().take().ok_or(EIO)??;
    ended.wait_until(|| process.is_zombie());
    Ok(process.exit_status.load(Ordering::Relaxed))
}
