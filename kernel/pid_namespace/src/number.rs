// SPDX-License-Identifier: GPL-2.0
//! Numbers: handing them out at every level, and giving them back.

use crate::{Level, PidNs};
use containers::IdPool;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use errno::Result;
use errno::code::{EAGAIN, EEXIST, EINVAL, ENOMEM, ENOSPC};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec};
use locking::{LazyLock, SpinLock};

/// First number after a wrap (`RESERVED_PIDS`).
const RESERVED: u32 = 300;
/// Numbers are below this at first (`/proc/sys/kernel/pid_max`).
pub const PID_MAX: u32 = 32768;
/// The largest and the least that it can be set to.
const PID_MAX_MOST: u32 = 1 << 22;
const PID_MAX_LEAST: u32 = RESERVED + 1;

static PID_LIMIT: AtomicU32 = AtomicU32::new(PID_MAX);

/// New numbers are below this.
pub fn pid_max() -> u32 {
    PID_LIMIT.load(Ordering::Relaxed)
}

/// Sets [`pid_max`]. `EINVAL`.
pub fn set_pid_max(limit: u32) -> Result {
    if !(PID_MAX_LEAST..=PID_MAX_MOST).contains(&limit) {
        return Err(EINVAL);
    }
    PID_LIMIT.store(limit, Ordering::Relaxed);
    Ok(())
}

/// Numbers ever handed out.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Threads made since boot (`/proc/stat`, `processes`).
pub fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Those of the first name space.
pub(crate) static FIRST: LazyLock<SpinLock<Numbers>> = LazyLock::new(|| SpinLock::new(Numbers::new()));

/// The numbers of one name space.
pub(crate) struct Numbers {
    pool: IdPool,
    cursor: u32,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        Self { pool: IdPool::new(), cursor: 1 }
    }

    /// Takes the next number, cyclically, or, if `wanted` is not 0, that one. `EAGAIN` when all are in use, `EEXIST`, `ENOMEM`.
    fn take(&mut self, wanted: u32) -> Result<u32> {
        if wanted != 0 {
            if self.pool.is_used(wanted) {
                return Err(EEXIST);
            }
            self.pool.take(wanted, GFP_ATOMIC)?;
            return Ok(wanted);
        }
        // The lowest are only for the first round.
        let min = if self.cursor > RESERVED { RESERVED } else { 1 };
        let taken = self.pool.alloc_cyclic(&mut self.cursor, min, pid_max(), GFP_ATOMIC);
        taken.map_err(|error| if error == ENOSPC { EAGAIN } else { error })
    }

    pub(crate) fn count(&self) -> u32 {
        self.pool.count()
    }

    pub(crate) fn last(&self) -> u32 {
        self.cursor.saturating_sub(1)
    }

    pub(crate) fn set_last(&mut self, last: u32) {
        self.cursor = last.saturating_add(1);
    }
}

/// What a thread, a process, a group or a session is called, or was: that keeps nobody from using the number again.
#[derive(Clone)]
pub struct PidName {
    first: u32,
    below: Option<Arc<Below>>,
}

/// The numbers below the first name space.
struct Below {
    ns: Arc<Level>,
    /// From the level below the first one to that of `ns`.
    numbers: KVec<u32>,
}

impl PidName {
    /// Nobody's.
    pub const NONE: Self = Self { first: 0, below: None };

    /// Number `first` of the first name space, of what is there alone.
    pub const fn in_first(first: u32) -> Self {
        Self { first, below: None }
    }

    /// The number in the first name space.
    #[inline(always)]
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The number in its own name space.
    pub fn own(&self) -> u32 {
        self.below.as_ref().and_then(|below| below.numbers.last().copied()).unwrap_or(self.first)
    }

    /// Its own name space.
    pub fn ns(&self) -> PidNs {
        self.below.as_ref().map_or(PidNs::FIRST, |below| PidNs::below(below.ns.clone()))
    }

    /// Whether it is in the first name space alone.
    #[inline(always)]
    pub fn is_first(&self) -> bool {
        self.below.is_none()
    }

    /// The number in `ns`; 0 where it has none.
    #[inline]
    pub fn number_in(&self, ns: &PidNs) -> u32 {
        match ns.inner() {
            None => self.first,
            Some(level) => self.at_level(level),
        }
    }

    /// The number by which `viewer` knows it.
    #[inline]
    pub fn seen_by(&self, viewer: &Self) -> u32 {
        match &viewer.below {
            None => self.first,
            Some(below) => self.at_level(&below.ns),
        }
    }

    /// The number by which the current task knows it.
    #[inline]
    pub fn here(&self) -> u32 {
        if crate::here_is_first() { self.first } else { self.number_in(&crate::here()) }
    }

    fn at_level(&self, level: &Level) -> u32 {
        let Some(below) = &self.below else { return 0 };
        if !level.contains(&below.ns) {
            return 0;
        }
        below.numbers.get(level.level as usize - 1).copied().unwrap_or(0)
    }

    /// The numbers from that in `ns` down to that in its own name space; none if it has none in `ns`.
    pub fn from_ns(&self, ns: &PidNs) -> impl Iterator<Item = u32> {
        let level = ns.level() as usize;
        let seen = self.number_in(ns) != 0 || ns.is_first();
        let below = self.below.as_ref().map_or([].as_slice(), |below| below.numbers.as_slice());
        let first = (level == 0).then_some(self.first);
        let rest = below.iter().skip(level.saturating_sub(1)).copied();
        first.into_iter().chain(rest).filter(move |_| seen)
    }
}

impl Default for PidName {
    fn default() -> Self {
        Self::NONE
    }
}

impl PartialEq for PidName {
    fn eq(&self, other: &Self) -> bool {
        self.first == other.first && self.own() == other.own() && self.ns() == other.ns()
    }
}

impl core::fmt::Debug for PidName {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(out, "{}", self.first)
    }
}

/// A number in use, with those it is called by at other levels.
///
/// # Invariants
/// The numbers are taken, by this value alone; dropping the value frees them.
pub struct PidNr(PidName);

/// Numbers that are taken and belong to nothing yet, from the deepest level up.
struct Taken<'a> {
    ns: &'a PidNs,
    numbers: KVec<u32>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut at = Some(self.ns.clone());
        for &number in self.numbers.iter() {
            let Some(ns) = at.take() else { return };
            at = ns.parent();
            let Some(level) = ns.inner() else {
                FIRST.lock().pool.free(number);
                continue;
            };
            let mut inside = level.inside.lock();
            inside.first.erase(u64::from(number));
            inside.numbers.pool.free(number);
            if inside.numbers.count() == 0 && level.reaper.load(Ordering::Relaxed) == 0 {
                // The first process is still to come, and is to be called 1.
                inside.numbers.set_last(0);
            }
        }
    }
}

impl PidNr {
    /// Takes the next number in `ns` and in those above. Of these `wanted`, from `ns` up, are to be the given ones. `EAGAIN` when all
    /// are in use; `ENOMEM`, also when the first process of `ns` has ended; `EINVAL`, `EEXIST`; `refused` if numbers are given and
    /// this is an error. May sleep.
    pub fn new(ns: &PidNs, wanted: &[u32], refused: Result) -> Result<Arc<Self>> {
        if ns.is_first() && wanted.is_empty() {
            return Self::in_first();
        }
        if wanted.len() > ns.level() as usize + 1 {
            return Err(EINVAL);
        }
        let numbers = KVec::with_capacity(ns.level() as usize + 1, GFP_KERNEL)?;
        let mut taken = Taken { ns, numbers };
        let mut at = Some(ns.clone());
        while let Some(ns) = at {
            let given = wanted.get(taken.numbers.len()).copied();
            if let Some(number) = given {
                // Nobody is before the first process.
                if !(1..pid_max()).contains(&number) || number != 1 && ns.reaper() == 0 {
                    return Err(EINVAL);
                }
                refused?;
            }
            let number = ns.with_numbers(|numbers| numbers.take(given.unwrap_or(0)))?;
            // There is room.
            taken.numbers.push(number, GFP_ATOMIC)?;
            at = ns.parent();
        }
        let first = taken.numbers.last().copied().ok_or(EINVAL)?;
        let mut at = ns.clone();
        for &number in taken.numbers.iter() {
            let Some(level) = at.inner() else { break };
            let mut inside = level.inside.lock();
            if inside.closed {
                return Err(ENOMEM);
            }
            inside.first.store(u64::from(number), first, GFP_ATOMIC)?;
            drop(inside);
            let Some(parent) = at.parent() else { break };
            at = parent;
        }
        let below = match ns.inner() {
            None => None,
            Some(level) => {
                let mut numbers = KVec::with_capacity(taken.numbers.len(), GFP_KERNEL)?;
                for &number in taken.numbers.iter().rev().skip(1) {
                    numbers.push(number, GFP_KERNEL)?;
                }
                Some(Arc::new(Below { ns: level.clone(), numbers }, GFP_KERNEL)?)
            }
        };
        // From here on they are this value's, whatever happens.
        taken.numbers.clear();
        let nr = Arc::new(Self(PidName { first, below }), GFP_KERNEL)?;
        FORKS.fetch_add(1, Ordering::Relaxed);
        Ok(nr)
    }

    /// Takes the next number of the first name space.
    fn in_first() -> Result<Arc<Self>> {
        let mut numbers = FIRST.lock();
        let first = numbers.take(0).map_err(|_| EAGAIN)?;
        drop(numbers);
        let nr = Arc::new(Self(PidName { first, below: None }), GFP_ATOMIC)?;
        FORKS.fetch_add(1, Ordering::Relaxed);
        Ok(nr)
    }

    /// Number 0: the kernel's own group and session, which no process is named after.
    pub fn zero() -> Result<Arc<Self>> {
        Ok(Arc::new(Self(PidName::NONE), GFP_KERNEL)?)
    }

    /// The number in the first name space.
    #[inline(always)]
    pub fn get(&self) -> u32 {
        self.0.first
    }

    /// The numbers at all levels.
    #[inline(always)]
    pub fn name(&self) -> &PidName {
        &self.0
    }
}

impl Drop for PidNr {
    fn drop(&mut self) {
        if self.0.first == 0 {
            return;
        }
        if let Some(below) = &self.0.below {
            free_below(below);
        }
        FIRST.lock().pool.free(self.0.first);
    }
}

/// Gives the numbers below the first name space back.
fn free_below(below: &Below) {
    let mut at = PidNs::below(below.ns.clone());
    for &number in below.numbers.iter().rev() {
        let Some(level) = at.inner() else { return };
        let mut inside = level.inside.lock();
        let gone = inside.first.erase(u64::from(number));
        inside.numbers.pool.free(number);
        let left = inside.numbers.count();
        if left == 0 && level.reaper.load(Ordering::Relaxed) == 0 {
            // What was to be the first process did not come to be.
            inside.closed = true;
        }
        drop(inside);
        debug_assert!(gone.is_some());
        if left <= 2 {
            level.emptied.wake_up_all();
        }
        let Some(parent) = at.parent() else { return };
        at = parent;
    }
}
