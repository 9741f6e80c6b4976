// SPDX-License-Identifier: GPL-2.0
//! Operations on two futexes: moving waiters, and waking depending on a changed word.

use crate::bucket::{index_of, lock_two};
use crate::{MATCH_ANY, key_of};
use errno::Result;
use errno::code::{EAGAIN, EFAULT, EINVAL, ENOSYS};
use x86_mm::uaccess::{cmpxchg_user_u32, get_user, update_user_u32};

/// `FUTEX_REQUEUE` and `FUTEX_CMP_REQUEUE`: wakes up to `wake` waiters of `from`, moves up to `move_` more to `to`; if `expected`
/// is given and `from` does not hold it: `EAGAIN`. Returns how many were woken or moved.
pub(crate) fn requeue(
    from: usize,
    to: usize,
    shared: bool,
    wake: usize,
    move_: usize,
    expected: Option<u32>,
) -> Result<usize> {
    let (from_key, to_key) = (key_of(from, shared)?, key_of(to, shared)?);
    loop {
        let (mut first, mut second) = lock_two(index_of(&from_key), index_of(&to_key));
        if let Some(expected) = expected {
            match get_user::<u32>(from) {
                Ok(value) if value == expected => {}
                Ok(_) => return Err(EAGAIN),
                Err(_) => {
                    drop((first, second));
                    // May sleep; EFAULT if there is no page to be had.
                    get_user::<u32>(from)?;
                    continue;
                }
            }
        }
        let woken = first.wake(&from_key, wake, MATCH_ANY)?;
        let moved = if from_key == to_key {
            // Moving onto itself changes nothing but the count.
            0
        } else {
            first.requeue(&from_key, to_key, second.as_deref_mut(), move_)?
        };
        return Ok(woken + moved);
    }
}

/// What `FUTEX_WAKE_OP` does to the second word, and what it compares the old value with.
struct Operation {
    op: u32,
    operand: i32,
    comparison: u32,
    reference: i32,
}

fn sign_extend_12(value: u32) -> i32 {
    (value << 20) as i32 >> 20
}

impl Operation {
    /// Unpacks `FUTEX_OP`; `ENOSYS` for what it cannot mean.
    fn decode(word: u32) -> Result<Self> {
        const SHIFT: u32 = 8;
        let (op, comparison) = (word >> 28 & 0xf, word >> 24 & 0xf);
        let (mut operand, reference) = (sign_extend_12(word >> 12 & 0xfff), sign_extend_12(word & 0xfff));
        if op & SHIFT != 0 {
            operand = 1i32.wrapping_shl(operand as u32 & 31);
        }
        if op & 7 > 4 || comparison > 5 {
            return Err(ENOSYS);
        }
        Ok(Self { op: op & 7, operand, comparison, reference })
    }

    fn apply(&self, old: u32) -> u32 {
        let operand = self.operand as u32;
        match self.op {
            0 => operand,
            1 => old.wrapping_add(operand),
            2 => old | operand,
            3 => old & !operand,
            _ => old ^ operand,
        }
    }

    fn holds(&self, old: u32) -> bool {
        let old = old as i32;
        match self.comparison {
            0 => old == self.reference,
            1 => old != self.reference,
            2 => old < self.reference,
            3 => old <= self.reference,
            4 => old > self.reference,
            _ => old >= self.reference,
        }
    }
}

/// `FUTEX_WAKE_OP`.
pub(crate) fn wake_op(first: usize, second: usize, shared: bool, wake1: usize, wake2: usize, op: u32) -> Result<usize> {
    let op = Operation::decode(op)?;
    let (key1, key2) = (key_of(first, shared)?, key_of(second, shared)?);
    loop {
        let (mut queue1, mut queue2) = lock_two(index_of(&key1), index_of(&key2));
        match update_user_u32(second, |old| op.apply(old)) {
            Ok(old) => {
                let mut woken = queue1.wake(&key1, wake1, MATCH_ANY)?;
                if op.holds(old) {
                    woken += match &mut queue2 {
                        Some(queue) => queue.wake(&key2, wake2, MATCH_ANY)?,
                        None => queue1.wake(&key2, wake2, MATCH_ANY)?,
                    };
                }
                return Ok(woken);
            }
            Err(EFAULT) => {
                drop((queue1, queue2));
                // Brings the page in for writing without changing it; may sleep.
                let value = get_user::<u32>(second)?;
                cmpxchg_user_u32(second, value, value)?;
            }
            Err(_) => return Err(EINVAL),
        }
    }
}
