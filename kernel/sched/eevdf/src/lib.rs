// SPDX-License-Identifier: GPL-2.0
//! The arithmetic of EEVDF, "earliest eligible virtual deadline first", for the fair tasks of one CPU. Source: Stoica and Abdel-Wahab,
//! "Earliest Eligible Virtual Deadline First: A Flexible and Accurate Mechanism for Proportional Share Resource Allocation" (1995).
//!
//! Each task has a virtual run time: what it ran, divided by its weight. The weighted mean of all, [`Mean::now`], is the time line of
//! a task that always has just its share. Who is not ahead of it is owed time and *eligible*. A task asks for one slice after the
//! other; the virtual time at which a slice that begins now would be over is its deadline. Of those that are eligible the one with
//! the earliest deadline runs: so all get their shares, and who asks for short slices waits less.
//!
//! A task that sleeps takes along what it is owed or owes (its *lag*) and has it back when it wakes.
//!
//! Pure: tested on the host. Sums are exact, so at least one of the tasks that are counted is always eligible.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

/// Weight of a task for which real time and virtual time are the same.
pub const UNIT: u32 = 1024;

/// The weighted mean of the virtual run times of all runnable tasks.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    /// Sum of weights.
    load: u64,
    /// Sum of weights times virtual run times.
    sum: i128,
    /// The mean while there is nobody; else some time near it.
    base: u64,
    /// Lag, virtual run time and weight of who ended last.
    ended: (i64, u64, u32),
}

impl Mean {
    /// Of nobody, at `base`.
    pub const fn new(base: u64) -> Self {
        Self { load: 0, sum: 0, base, ended: (0, base, UNIT) }
    }

    /// Sum of the weights.
    #[inline]
    pub const fn load(&self) -> u64 {
        self.load
    }

    /// A task of `weight` at `vruntime` becomes runnable.
    #[inline]
    pub fn join(&mut self, vruntime: u64, weight: u32) {
        self.load += u64::from(weight);
        self.sum += product(vruntime, weight.into());
    }

    /// It stops being runnable.
    #[inline]
    pub fn leave(&mut self, vruntime: u64, weight: u32) {
        self.load = self.load.saturating_sub(weight.into());
        self.sum -= product(vruntime, weight.into());
        if self.load == 0 {
            // Who comes next goes on from here.
            (self.sum, self.base) = (0, self.base.max(vruntime));
        }
    }

    /// A task left for good, with this lag: the next new task takes it over.
    #[inline]
    pub fn ended(&mut self, lag: i64, vruntime: u64, weight: u32) {
        self.ended = (lag, vruntime, weight);
    }

    /// Where a new task of `weight` joins: as if it were the one that ended last and woke again. If it owed nothing, a row of short
    /// tasks would run one after the other, none of them as long as it might, before those that are there all the time.
    pub fn place_new(&mut self, weight: u32) -> u64 {
        let (lag, vruntime, ended) = self.ended;
        self.ended.0 = 0;
        let lag = self.lag_after_sleep(lag, vruntime, ended);
        self.place(to_virtual(lag, weight), weight)
    }

    /// A task of `weight` ran for `delta` of its virtual time.
    #[inline]
    pub fn ran(&mut self, delta: u64, weight: u32) {
        self.sum += product(delta, weight.into());
    }

    /// The mean, rounded down.
    #[inline]
    pub fn now(&mut self) -> u64 {
        if self.load == 0 {
            return self.base;
        }
        // Near the base the difference fits a word, and so does the division.
        let over = self.sum - product(self.base, self.load);
        let load = i128::from(self.load);
        let delta = match (i64::try_from(over), i64::try_from(self.load)) {
            (Ok(over), Ok(load)) => over.div_euclid(load),
            _ => i64::try_from(over.div_euclid(load)).unwrap_or(0),
        };
        self.base = self.base.saturating_add_signed(delta);
        self.base
    }

    /// Whether a task at `vruntime` has had no more than its share.
    #[inline]
    pub fn is_eligible(&self, vruntime: u64) -> bool {
        product(vruntime, self.load) <= self.sum
    }

    /// What a task of `weight` at `vruntime`, which is counted, is owed, in real time; at most `limit` either way.
    #[inline]
    pub fn lag(&mut self, vruntime: u64, weight: u32, limit: u64) -> i64 {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let ahead = self.now().wrapping_sub(vruntime) as i64;
        to_real(ahead, weight).clamp(-limit, limit)
    }

    /// What is left of the `lag` of a task that slept at `vruntime` since. What it is owed stays; what it owes is forgiven as the others
    /// get theirs, as if it had waited its turn.
    #[inline]
    pub fn lag_after_sleep(&mut self, lag: i64, vruntime: u64, weight: u32) -> i64 {
        if lag >= 0 {
            return lag;
        }
        let ahead = self.now().wrapping_sub(vruntime) as i64;
        to_real(ahead.min(0), weight).max(lag)
    }

    /// Where a task of `weight` joins that is owed `virtual_lag` of its virtual time, so that it is owed just as much once it is counted:
    /// the mean moves towards it.
    #[inline]
    pub fn place(&mut self, virtual_lag: i64, weight: u32) -> u64 {
        let now = self.now();
        if self.load == 0 || virtual_lag == 0 {
            return now;
        }
        let load = i64::try_from(self.load).unwrap_or(i64::MAX);
        let lag = match virtual_lag.checked_mul(load.saturating_add(weight.into())) {
            Some(product) => product / load,
            None => virtual_lag,
        };
        now.saturating_add_signed(lag.saturating_neg())
    }
}

#[inline(always)]
fn product(time: u64, weight: u64) -> i128 {
    // Both are far below 2^63.
    i128::from(time as i64) * i128::from(weight as i64)
}

/// A stretch of a task's virtual time in real time.
#[inline]
pub fn to_real(virtual_time: i64, weight: u32) -> i64 {
    if weight == UNIT {
        return virtual_time;
    }
    virtual_time.saturating_mul(weight.into()) / i64::from(UNIT)
}

/// A stretch of real time in a task's virtual time.
#[inline]
pub fn to_virtual(real_time: i64, weight: u32) -> i64 {
    if weight == UNIT {
        return real_time;
    }
    real_time.saturating_mul(UNIT.into()) / i64::from(weight.max(1))
}
