// SPDX-License-Identifier: GPL-2.0
//! Process numbers and their name spaces. Source: `pid_namespaces(7)`, `clone3(2)`.
//!
//! The name spaces form a tree. A task has a number in that in which it was made and in each above, up to the first one. Inside the
//! kernel a task, a group or a session is named by its number in the first name space, which all of them have; what programs say and
//! hear is translated at the border. In the first name space nothing is to be translated: it has no object, and what is only there has
//! no list of numbers.
//!
//! | type | what |
//! |---|---|
//! | [`PidNs`] | a name space |
//! | [`PidNr`] | a number in use, at all its levels: dropping it frees them |
//! | [`PidName`] | what something is or was called at all levels; keeps no number from being used again |
//!
//! Locks: each name space's numbers, innermost, one at a time.

#![no_std]
#![forbid(unsafe_code)]

mod number;
#[cfg(any(test, CONFIG_KUNIT = "y"))]
mod tests;

pub use number::{PID_MAX, PidName, PidNr, forks, pid_max, set_pid_max};

use containers::XArray;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use errno::Result;
use errno::code::{EINVAL, ENOSPC};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::{SetOnce, SpinLock};
use number::Numbers;
use sync::WaitQueue;
use task::{Task, TaskLocal, current};

/// Deepest name space below the first one (`MAX_PID_NS_LEVEL`).
pub const MAX_LEVEL: u32 = 32;

/// The number of the first name space's file (`PROC_PID_INIT_INO`).
const FIRST_ID: u64 = 0xefff_fffc;

/// A name space of process numbers.
#[derive(Clone, Default)]
pub struct PidNs(Option<Arc<Level>>);

/// A name space as an object: one below the first, or [`first_object`], which only stands for that.
pub struct Level {
    /// How far below, from 1.
    pub(crate) level: u32,
    parent: PidNs,
    id: u64,
    pub(crate) inside: SpinLock<Inside>,
    /// Who ends as its first process waits here for the others to be gone.
    pub(crate) emptied: WaitQueue,
    /// Its first process; 0 before there is one.
    pub(crate) reaper: AtomicU32,
    /// The status its first process is to end with (`reboot(2)`); 0 for its own.
    reboot: AtomicI32,
}

/// What the lock of a name space guards.
pub(crate) struct Inside {
    pub(crate) numbers: Numbers,
    /// From its numbers to those of the first name space.
    pub(crate) first: XArray<u32>,
    /// Its first process has ended: there will be no other.
    pub(crate) closed: bool,
}

/// The name space of a task that is not in the first one.
static OF_TASK: TaskLocal<PidNs> = TaskLocal::new();

static FIRST_OBJECT: SetOnce<Arc<Level>> = SetOnce::new();

/// What stands for the first name space where an object is wanted. `None` if there is no memory for it. May sleep.
pub fn first_object() -> Option<&'static Arc<Level>> {
    if FIRST_OBJECT.get().is_none() {
        // Another task may be first: then its object is used.
        drop(FIRST_OBJECT.set(Arc::new(Level::new(0, PidNs::FIRST, FIRST_ID), GFP_KERNEL).ok()?));
    }
    FIRST_OBJECT.get()
}

/// The object of the name space of `task`, if that is not in the first one.
pub fn object_of_task(task: &Task) -> Option<&Arc<Level>> {
    OF_TASK.get(task)?.object()
}

/// Puts `task`, which does not run yet, into `ns`. `ENOMEM`.
pub fn attach(task: &Task, ns: PidNs) -> Result {
    if !ns.is_first() {
        // There is none yet.
        let _ = OF_TASK.set(task, KBox::new(ns, GFP_KERNEL)?);
    }
    Ok(())
}

/// The name space of `task`.
#[inline]
pub fn of_task(task: &Task) -> PidNs {
    OF_TASK.get(task).cloned().unwrap_or(PidNs::FIRST)
}

/// That of the current task: the one in which it names others.
#[inline]
pub fn here() -> PidNs {
    of_task(&current())
}

/// Whether the current task is in the first name space.
#[inline(always)]
pub fn here_is_first() -> bool {
    OF_TASK.get(&current()).is_none()
}

impl Level {
    fn new(level: u32, parent: PidNs, id: u64) -> Self {
        Self {
            level,
            parent,
            id,
            inside: SpinLock::new(Inside { numbers: Numbers::new(), first: XArray::new(), closed: false }),
            emptied: WaitQueue::new(),
            reaper: AtomicU32::new(0),
            reboot: AtomicI32::new(0),
        }
    }

    /// Whether `other` is this one or below it.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        let mut at = other;
        while at.level > self.level {
            let Some(parent) = &at.parent.0 else { return false };
            at = parent;
        }
        core::ptr::eq(at, self)
    }
}

impl PidNs {
    /// The first one.
    pub const FIRST: Self = Self(None);

    /// A new one below `parent`; its file has number `id`. `ENOSPC` if that is too deep. May sleep.
    pub fn create(parent: &Self, id: u64) -> Result<Self> {
        let level = parent.level() + 1;
        if level > MAX_LEVEL {
            return Err(ENOSPC);
        }
        Ok(Self(Some(Arc::new(Level::new(level, parent.clone(), id), GFP_KERNEL)?)))
    }

    pub(crate) fn below(level: Arc<Level>) -> Self {
        Self(Some(level))
    }

    /// The name space that is `object`.
    pub fn of_object(object: Arc<Level>) -> Self {
        if object.level == 0 { Self::FIRST } else { Self(Some(object)) }
    }

    /// The object of a name space; `None` for the first one.
    pub fn object(&self) -> Option<&Arc<Level>> {
        self.0.as_ref()
    }

    pub(crate) fn inner(&self) -> Option<&Arc<Level>> {
        self.0.as_ref()
    }

    /// Whether it is the first one.
    #[inline(always)]
    pub fn is_first(&self) -> bool {
        self.0.is_none()
    }

    /// How far it is below the first one.
    pub fn level(&self) -> u32 {
        self.0.as_ref().map_or(0, |ns| ns.level)
    }

    /// The number of its file.
    pub fn id(&self) -> u64 {
        self.0.as_ref().map_or(FIRST_ID, |ns| ns.id)
    }

    /// The one above.
    pub fn parent(&self) -> Option<Self> {
        self.0.as_ref().map(|ns| ns.parent.clone())
    }

    /// Whether `other` is this one or below it: what is there has numbers here.
    pub fn contains(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, _) => true,
            (Some(own), Some(other)) => own.contains(other),
            (Some(_), None) => false,
        }
    }

    /// The number in the first name space of what is called `number` here.
    pub fn to_first(&self, number: u32) -> Option<u32> {
        match &self.0 {
            None => Some(number),
            Some(ns) => ns.inside.lock().first.load(u64::from(number)).copied(),
        }
    }

    /// The first number at or after `from` that is in use here, and what it is in the first name space. Not of the first one itself.
    pub fn next(&self, from: u32) -> Option<(u32, u32)> {
        let inside = self.0.as_ref()?.inside.lock();
        let (number, first) = inside.first.find(u64::from(from))?;
        Some((u32::try_from(number).ok()?, *first))
    }

    /// The number handed out last (`/proc/loadavg`).
    pub fn last_pid(&self) -> u32 {
        self.with_numbers(|numbers| numbers.last())
    }

    /// The next number will be the first free one above `last`. `EINVAL`.
    pub fn set_last_pid(&self, last: u32) -> Result {
        if last > pid_max() {
            return Err(EINVAL);
        }
        self.with_numbers(|numbers| numbers.set_last(last));
        Ok(())
    }

    pub(crate) fn with_numbers<R>(&self, f: impl FnOnce(&mut Numbers) -> R) -> R {
        match &self.0 {
            None => f(&mut number::FIRST.lock()),
            Some(ns) => f(&mut ns.inside.lock().numbers),
        }
    }

    /// Process `first` (its number in the first name space) is the one that takes orphans in.
    pub fn set_reaper(&self, first: u32) {
        if let Some(ns) = &self.0 {
            ns.reaper.store(first, Ordering::Release);
        }
    }

    /// The process that takes orphans in, by its number in the first name space; 0 if there has been none yet.
    pub fn reaper(&self) -> u32 {
        self.0.as_ref().map_or(1, |ns| ns.reaper.load(Ordering::Acquire))
    }

    /// Whether its first process has ended, or failed to come.
    pub fn is_closed(&self) -> bool {
        self.0.as_ref().is_some_and(|ns| ns.inside.lock().closed)
    }

    /// There will be no new process.
    pub fn close(&self) {
        if let Some(ns) = &self.0 {
            ns.inside.lock().closed = true;
        }
    }

    /// Waits until no more than `own` numbers are in use. May sleep.
    pub fn wait_emptied(&self, own: u32) {
        if let Some(ns) = &self.0 {
            ns.emptied.wait_until(|| ns.inside.lock().numbers.count() <= own);
        }
    }

    /// Its first process is to end with `status`, as if by a signal that tells who waits for it why.
    pub fn set_reboot(&self, status: i32) {
        if let Some(ns) = &self.0 {
            ns.reboot.store(status, Ordering::Relaxed);
        }
    }

    /// What [`set_reboot`](Self::set_reboot) said, if it did.
    pub fn reboot(&self) -> Option<i32> {
        self.0.as_ref().map(|ns| ns.reboot.load(Ordering::Relaxed)).filter(|&status| status != 0)
    }
}

impl PartialEq for PidNs {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for PidNs {}
