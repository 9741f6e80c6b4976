// SPDX-License-Identifier: GPL-2.0
//! What each task reads and writes (`/proc/PID/io`, `getrusage(2)`), and with which priority (`ioprio_set(2)`). The VFS counts
//! calls and their bytes, the block layer what is read from devices, the page cache what is made dirty.
//!
//! A task's record is made when it first counts; only the task itself counts in it, so its counters are plain; others read them.
//! No locks. Source: Linux's `Documentation/filesystems/proc.rst`, 3.3.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use errno::{Result, code::*};
use kalloc::KBox;
use kalloc::flags::GFP_NOWAIT;
use task::{Task, TaskFlags, TaskLocal, current};
use x86_cpu::preempt::in_interrupt;

/// A counter that one task alone moves.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. By the task that the counter belongs to.
    #[inline(always)]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// The sum.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A task's record.
#[derive(Default)]
pub struct TaskIo {
    /// Bytes that calls like `read` returned.
    pub rchar: Counter,
    /// Bytes that calls like `write` took.
    pub wchar: Counter,
    /// Such calls.
    pub syscr: Counter,
    /// Such calls.
    pub syscw: Counter,
    /// Bytes fetched from devices.
    pub read_bytes: Counter,
    /// Bytes that are to be written to devices.
    pub write_bytes: Counter,
    /// Of those, bytes that were forgotten before they were written.
    pub cancelled_write_bytes: Counter,
    priority: AtomicU16,
    /// That of the request that the task sends just now, 0 if it has none.
    request: AtomicU16,
    /// Plugs, one within the other.
    plugs: AtomicU32,
}

impl TaskIo {
    /// The priority with which I/O goes: the request's, else the one that was set for the task, 0 if none was.
    #[inline]
    pub fn priority(&self) -> u16 {
        match self.request.load(Relaxed) {
            0 => self.priority.load(Relaxed),
            request => request,
        }
    }
}

/// While one of these is there, the block layer keeps the current task's requests back, to join neighbours and to tell the hardware
/// once; they go when the outermost one is dropped, when there are many, or when the task sleeps.
#[must_use]
pub struct Plug {
    on: bool,
    /// It belongs to the task that made it.
    _here: core::marker::PhantomData<*const ()>,
}

impl Plug {
    /// Begins to keep back. Does nothing without memory, or in an interrupt, which is no business of the task's.
    pub fn start() -> Self {
        let task = current();
        let io = if in_interrupt() { None } else { of(&task) };
        if let Some(io) = io {
            io.plugs.store(io.plugs.load(Relaxed).saturating_add(1), Relaxed);
        }
        Self { on: io.is_some(), _here: core::marker::PhantomData }
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        let task = current();
        let Some(io) = IO.get(&task).filter(|_| self.on) else { return };
        let left = io.plugs.load(Relaxed).saturating_sub(1);
        io.plugs.store(left, Relaxed);
        if left == 0
            && task.test_flags(TaskFlags::PLUGGED)
            && let Some(hook) = task::hooks::BEFORE_SLEEP.get()
        {
            hook.before_sleep();
        }
    }
}

/// Whether `task`, the current one, has a plug.
#[inline]
pub fn is_plugged(task: &Task) -> bool {
    IO.get(task).is_some_and(|io| io.plugs.load(Relaxed) != 0)
}

/// The counters as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoUse {
    /// See [`TaskIo`].
    pub rchar: u64,
    /// See [`TaskIo`].
    pub wchar: u64,
    /// See [`TaskIo`].
    pub syscr: u64,
    /// See [`TaskIo`].
    pub syscw: u64,
    /// See [`TaskIo`].
    pub read_bytes: u64,
    /// See [`TaskIo`].
    pub write_bytes: u64,
    /// See [`TaskIo`].
    pub cancelled_write_bytes: u64,
}

impl IoUse {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.rchar = self.rchar.wrapping_add(other.rchar);
        self.wchar = self.wchar.wrapping_add(other.wchar);
        self.syscr = self.syscr.wrapping_add(other.syscr);
        self.syscw = self.syscw.wrapping_add(other.syscw);
        self.read_bytes = self.read_bytes.wrapping_add(other.read_bytes);
        self.write_bytes = self.write_bytes.wrapping_add(other.write_bytes);
        self.cancelled_write_bytes = self.cancelled_write_bytes.wrapping_add(other.cancelled_write_bytes);
    }
}

static IO: TaskLocal<TaskIo> = TaskLocal::new();

#[cold]
fn make(task: &Task) -> Option<&TaskIo> {
    // Whoever else made one meanwhile was as good.
    let _ = IO.set(task, KBox::new(TaskIo::default(), GFP_NOWAIT).ok()?);
    IO.get(task)
}

/// The record of `task`, made now if it has none. `None` without memory.
#[inline(always)]
fn of(task: &Task) -> Option<&TaskIo> {
    match IO.get(task) {
        Some(io) => Some(io),
        None => make(task),
    }
}

/// Calls `f` with the current task's record. Not from interrupts.
#[inline(always)]
pub fn count(f: impl FnOnce(&TaskIo)) {
    if let Some(io) = of(&current()) {
        f(io);
    }
}

/// The same from any context: nothing is counted in interrupts, which belong to no task.
#[inline]
pub fn count_in_task(f: impl FnOnce(&TaskIo)) {
    if !in_interrupt() {
        count(f);
    }
}

/// What `task` did so far.
pub fn use_of(task: &Task) -> IoUse {
    IO.get(task).map_or_else(IoUse::default, |io| IoUse {
        rchar: io.rchar.get(),
        wchar: io.wchar.get(),
        syscr: io.syscr.get(),
        syscw: io.syscw.get(),
        read_bytes: io.read_bytes.get(),
        write_bytes: io.write_bytes.get(),
        cancelled_write_bytes: io.cancelled_write_bytes.get(),
    })
}

/// While one of these is there, the current task's I/O goes with another priority: that of the request it is sent for.
#[must_use]
pub struct RequestPriority {
    before: Option<u16>,
    /// It belongs to the task that made it.
    _here: core::marker::PhantomData<*const ()>,
}

impl RequestPriority {
    /// From here on; 0 changes nothing. Nor is anything changed without memory.
    pub fn set(priority: u16) -> Self {
        let task = current();
        let io = if priority == 0 { None } else { of(&task) };
        let before = io.map(|io| io.request.swap(priority, Relaxed));
        Self { before, _here: core::marker::PhantomData }
    }
}

impl Drop for RequestPriority {
    fn drop(&mut self) {
        if let (Some(before), Some(io)) = (self.before, IO.get(&current())) {
            io.request.store(before, Relaxed);
        }
    }
}

/// Classes of priorities, above this bit; the level is below.
const CLASS_SHIFT: u32 = 13;
const LEVELS: u32 = 8;

/// Whether a priority means something: EINVAL. EPERM for the class of real time if the caller `may` not ask for it.
pub fn check_priority(priority: u32, may: impl FnOnce() -> bool) -> Result {
    // Above the three bits of the level are hints for the device, which nobody here takes.
    match (priority >> CLASS_SHIFT, priority & (LEVELS - 1)) {
        (0, 1..) => Err(EINVAL),
        (1, _) if !may() => Err(EPERM),
        (0..=3, _) => Ok(()),
        _ => Err(EINVAL),
    }
}

/// Sets with which priority the I/O of `task` goes from now on. ENOMEM.
pub fn set_priority(task: &Task, priority: u16) -> Result {
    of(task).ok_or(ENOMEM)?.priority.store(priority, Relaxed);
    Ok(())
}
