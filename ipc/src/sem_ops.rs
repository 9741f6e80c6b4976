// SPDX-License-Identifier: GPL-2.0
//! What `semop(2)` does to a set, without locks, waiting or user memory: operations that all succeed, or none; the order in which
//! sleepers go on; adjustments for undoing. Source: `semop(2)`.

use core::cell::Cell;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use errno::code::{EAGAIN, ERANGE};
use errno::{Error, Result};
use kalloc::{Arc, KVec};
use pid_namespace::PidName;
use sync::WaitQueue;

/// Largest value of a semaphore, and of an adjustment.
pub(crate) const SEMVMX: i32 = 32767;
pub(crate) const SEM_UNDO: u16 = 0x1000;
const IPC_NOWAIT: u16 = 0o4000;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) num: u16,
    pub(crate) change: i16,
    pub(crate) flags: u16,
}

/// One semaphore.
#[derive(Clone, Debug, Default)]
pub(crate) struct Semaphore {
    pub(crate) value: i32,
    pub(crate) pid: PidName,
}

/// The adjustments of one group of processes that share them.
pub(crate) struct Adjustments {
    pub(crate) owner: u64,
    pub(crate) values: KVec<i16>,
}

/// Somebody who waits until his operations can be done.
pub(crate) struct Sleeper {
    pub(crate) ops: KVec<Op>,
    pub(crate) pid: PidName,
    /// Whose adjustments change; 0 for nobody's.
    pub(crate) undo: u64,
    /// Which operation could not be done.
    pub(crate) blocking: AtomicUsize,
    /// [`PENDING`], 0, or a negative errno.
    pub(crate) result: AtomicI32,
    pub(crate) queue: WaitQueue,
}

pub(crate) const PENDING: i32 = 1;

impl Sleeper {
    pub(crate) fn finish(&self, result: Result) {
        let value = match result {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        };
        self.result.store(value, Ordering::Release);
        self.queue.wake_up_all();
    }

    pub(crate) fn is_done(&self) -> bool {
        self.result.load(Ordering::Acquire) != PENDING
    }

    fn alters(&self) -> bool {
        self.ops.iter().any(|op| op.change != 0)
    }
}

/// What the lock of a set guards.
pub(crate) struct State {
    pub(crate) semaphores: KVec<Semaphore>,
    pub(crate) adjustments: KVec<Adjustments>,
    pub(crate) sleepers: KVec<Arc<Sleeper>>,
    pub(crate) op_time: u64,
    pub(crate) change_time: u64,
}

/// How a try ended.
pub(crate) enum Outcome {
    Done,
    /// Operation number so-and-so must wait.
    Wait(usize),
    Failed(Error),
}

impl State {
    /// Does all of `ops`, or nothing.
    pub(crate) fn perform(&mut self, ops: &[Op], pid: &PidName, undo: u64) -> Outcome {
        let mut done = 0;
        let mut outcome = Outcome::Done;
        for (index, op) in ops.iter().enumerate() {
            match self.step(op, undo) {
                Ok(true) => done += 1,
                Ok(false) => {
                    let waits = op.flags & IPC_NOWAIT == 0;
                    outcome = if waits { Outcome::Wait(index) } else { Outcome::Failed(EAGAIN) };
                    break;
                }
                Err(error) => {
                    outcome = Outcome::Failed(error);
                    break;
                }
            }
        }
        if matches!(outcome, Outcome::Done) {
            for op in ops {
                if let Some(semaphore) = self.semaphores.get_mut(usize::from(op.num)) {
                    semaphore.pid = pid.clone();
                }
            }
        } else {
            for op in ops.iter().take(done) {
                self.unstep(op, undo);
            }
        }
        outcome
    }

    /// One operation; false if it must wait. `ERANGE`.
    fn step(&mut self, op: &Op, undo: u64) -> Result<bool> {
        let Some(semaphore) = self.semaphores.get_mut(usize::from(op.num)) else { return Err(ERANGE) };
        let change = i32::from(op.change);
        let value = semaphore.value + change;
        if change == 0 {
            return Ok(semaphore.value == 0);
        }
        if value < 0 {
            return Ok(false);
        }
        if value > SEMVMX {
            return Err(ERANGE);
        }
        if op.flags & SEM_UNDO != 0
            && let Some(adjustment) = adjustment(&mut self.adjustments, undo, op.num)
        {
            let new = i32::from(*adjustment) - change;
            *adjustment = i16::try_from(new).map_err(|_| ERANGE)?;
        }
        semaphore.value = value;
        Ok(true)
    }

    fn unstep(&mut self, op: &Op, undo: u64) {
        if let Some(semaphore) = self.semaphores.get_mut(usize::from(op.num)) {
            semaphore.value -= i32::from(op.change);
        }
        if op.flags & SEM_UNDO != 0
            && let Some(adjustment) = adjustment(&mut self.adjustments, undo, op.num)
        {
            *adjustment = adjustment.wrapping_add(op.change);
        }
    }

    /// Values changed: lets go on who can, first those who only wait for zero, then the others in the order they came, each time
    /// from the start after one that changed values. Whether any did.
    pub(crate) fn wake(&mut self) -> bool {
        let mut any = false;
        loop {
            let again = self.wake_those(false, &mut any) | self.wake_those(true, &mut any);
            if !again {
                return any;
            }
        }
    }

    /// One pass over the sleepers that alter values, or over those that do not; whether values changed.
    fn wake_those(&mut self, altering: bool, any: &mut bool) -> bool {
        let mut index = 0;
        while let Some(sleeper) = self.sleepers.get(index).cloned() {
            if sleeper.alters() != altering {
                index += 1;
                continue;
            }
            let result = match self.perform(&sleeper.ops, &sleeper.pid, sleeper.undo) {
                Outcome::Wait(blocking) => {
                    sleeper.blocking.store(blocking, Ordering::Relaxed);
                    index += 1;
                    continue;
                }
                Outcome::Done => Ok(()),
                Outcome::Failed(error) => Err(error),
            };
            *any |= result.is_ok();
            let _ = self.sleepers.remove(index);
            sleeper.finish(result);
            if altering && result.is_ok() {
                return true;
            }
        }
        false
    }

    /// How many wait for the semaphore to rise, or for it to become zero.
    pub(crate) fn waiting(&self, num: u16, for_zero: bool) -> usize {
        let waits = |sleeper: &&Arc<Sleeper>| {
            let op = sleeper.ops.get(sleeper.blocking.load(Ordering::Relaxed));
            op.is_some_and(|op| op.num == num && if for_zero { op.change == 0 } else { op.change < 0 })
        };
        self.sleepers.iter().filter(waits).count()
    }

    /// Nobody adjusts this semaphore any more (`SETVAL`), or any of them.
    pub(crate) fn clear_adjustments(&mut self, num: Option<usize>) {
        for adjustments in self.adjustments.iter_mut() {
            match num {
                None => adjustments.values.fill(0),
                Some(num) => {
                    if let Some(value) = adjustments.values.get_mut(num) {
                        *value = 0;
                    }
                }
            }
        }
    }

    /// Undoes what `owner` did, as far as values allow.
    pub(crate) fn undo(&mut self, owner: u64, pid: &PidName) -> bool {
        let Some(index) = self.adjustments.iter().position(|a| a.owner == owner) else { return false };
        let Some(gone) = self.adjustments.swap_remove(index) else { return false };
        let changed = Cell::new(false);
        for (semaphore, adjustment) in self.semaphores.iter_mut().zip(&gone.values).filter(|(_, a)| **a != 0) {
            semaphore.value = (semaphore.value + i32::from(*adjustment)).clamp(0, SEMVMX);
            semaphore.pid = pid.clone();
            changed.set(true);
        }
        changed.get()
    }
}

fn adjustment(all: &mut KVec<Adjustments>, owner: u64, num: u16) -> Option<&mut i16> {
    all.iter_mut().find(|a| a.owner == owner)?.values.get_mut(usize::from(num))
}

#[macros::kunit_tests(sysvipc_sem)]
mod tests {
    use super::*;
    use kalloc::flags::GFP_KERNEL;

    fn state(values: &[i32]) -> Result<State> {
        let mut semaphores = KVec::new();
        for value in values {
            semaphores.push(Semaphore { value: *value, pid: PidName::NONE }, GFP_KERNEL)?;
        }
        let mut adjustments = KVec::new();
        adjustments
            .push(Adjustments { owner: 7, values: KVec::from_elem(0, values.len(), GFP_KERNEL)? }, GFP_KERNEL)?;
        Ok(State { semaphores, adjustments, sleepers: KVec::new(), op_time: 0, change_time: 0 })
    }

    fn op(num: u16, change: i16, flags: u16) -> Op {
        Op { num, change, flags }
    }

    #[test]
    fn all_or_nothing() {
        let Ok(mut s) = state(&[3, 0]) else { return };
        let ops = [op(0, -2, SEM_UNDO), op(1, -1, 0)];
        assert!(matches!(s.perform(&ops, &PidName::in_first(1), 7), Outcome::Wait(1)));
        assert_eq!((s.semaphores[0].value, s.adjustments[0].values[0]), (3, 0));
        let ops = [op(0, -2, SEM_UNDO), op(1, 1, SEM_UNDO), op(1, -1, SEM_UNDO)];
        assert!(matches!(s.perform(&ops, &PidName::in_first(9), 7), Outcome::Done));
        assert_eq!((s.semaphores[0].value, s.semaphores[1].value, s.adjustments[0].values[0]), (1, 0, 2));
        assert_eq!(s.semaphores[1].pid.first(), 9);
        assert!(matches!(s.perform(&[op(0, -2, IPC_NOWAIT)], &PidName::in_first(1), 0), Outcome::Failed(EAGAIN)));
        assert!(matches!(
            s.perform(&[op(1, 32767, 0), op(1, 1, 0)], &PidName::in_first(1), 0),
            Outcome::Failed(ERANGE)
        ));
        assert!(s.undo(7, &PidName::in_first(5)));
        assert_eq!((s.semaphores[0].value, s.semaphores[0].pid.first()), (3, 5));
    }
}
