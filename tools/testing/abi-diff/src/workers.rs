// SPDX-License-Identifier: GPL-2.0
//! Processes that make calls for a sequence, one at a time, so that several can be related (locks, waiting) and one can wait in
//! a call. Whether a worker waits is read from /proc: it is asleep, and has not answered. What one does may make others run (a
//! signal, a lock, an end): nothing is read before all of them have come to rest.

use crate::engine::raw;
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};

/// Workers that a sequence may have.
pub const MOST: usize = 8;
const IDLE: u32 = 0;
const ASKED: u32 = 1;
const DONE: u32 = 2;
/// Instead of a system call: a new worker, in the slot that the first argument names.
pub const FORK: i64 = -1;

/// A worker's desk, in shared memory.
#[repr(C)]
struct Slot {
    state: AtomicU32,
    pid: AtomicU32,
    nr: AtomicI64,
    args: [AtomicU64; 6],
    result: AtomicI64,
    area: [AtomicU64; 128],
}

/// What became of a question.
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum Answer {
    /// The call's result.
    Result(i64),
    /// It waits in the call.
    Waits,
    /// It is not running: stopped, ended or gone.
    State(char),
}

/// All workers of a sequence.
#[derive(Clone, Copy)]
pub struct Workers {
    slots: &'static [Slot; MOST],
}

impl Workers {
    /// No workers yet.
    pub fn new() -> Self {
        let len = size_of::<[Slot; MOST]>();
        // SAFETY: new memory, zeroed, which is a valid value.
        let slots = unsafe {
            let at = libc::mmap(core::ptr::null_mut(), len, 3, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0);
            assert!(at != libc::MAP_FAILED);
            &*at.cast::<[Slot; MOST]>()
        };
        Self { slots }
    }

    /// Memory that worker `i` and the sequence share.
    pub fn area(&self, i: usize) -> u64 {
        self.slots[i].area.as_ptr() as u64
    }

    /// A word of it.
    pub fn word(&self, i: usize, at: usize) -> u64 {
        self.slots[i].area[at].load(SeqCst)
    }

    /// Writes words to it.
    pub fn put(&self, i: usize, words: &[u64]) -> u64 {
        for (slot, word) in self.slots[i].area.iter().zip(words) {
            slot.store(*word, SeqCst);
        }
        self.area(i)
    }

    /// The pid of worker `i`, 0 without one.
    pub fn pid(&self, i: usize) -> u64 {
        u64::from(self.slots[i].pid.load(SeqCst))
    }

    /// Starts worker `i` as a child of this process. Its pid.
    pub fn start(&self, i: usize) -> i64 {
        self.slots[i].state.store(IDLE, SeqCst);
        self.slots[i].pid.store(0, SeqCst);
        let pid = raw(libc::SYS_fork, &[]);
        if pid == 0 {
            self.serve(i);
        }
        self.slots[i].pid.store(pid as u32, SeqCst);
        pid
    }

    fn serve(&self, i: usize) -> ! {
        let slot = &self.slots[i];
        loop {
            let state = slot.state.load(SeqCst);
            if state != ASKED {
                raw(libc::SYS_futex, &[slot.state.as_ptr() as u64, 0, u64::from(state), 0]);
                continue;
            }
            let args: [u64; 6] = core::array::from_fn(|n| slot.args[n].load(SeqCst));
            let nr = slot.nr.load(SeqCst);
            let result = if nr == FORK { self.start(args[0] as usize) } else { raw(nr, &args) };
            slot.result.store(result, SeqCst);
            slot.state.store(DONE, SeqCst);
        }
    }

    /// How /proc shows worker `i`: `S`, `T`, `Z`, or `-` if it is gone.
    pub fn state(&self, i: usize) -> char {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid(i))).unwrap_or_default();
        text.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('-')
    }

    /// Whether worker `i`, which is going to sleep, sleeps: one that made ready for it may have been interrupted before it could look
    /// whether it has to.
    fn sleeps(&self, i: usize) -> bool {
        std::fs::read_to_string(format!("/proc/{}/wchan", self.pid(i))).is_ok_and(|place| place != "0")
    }

    /// Waits until worker `i` has nothing to do.
    pub fn settle(&self, i: usize) -> char {
        /// Looks at one that is said to sleep.
        const PATIENCE: u32 = 1000;
        let mut looks = 0;
        loop {
            match self.state(i) {
                // `X`: it has been waited for, and is about to be gone.
                'R' | 'D' | 'X' | 'x' => raw(libc::SYS_sched_yield, &[]),
                'S' if looks < PATIENCE && !self.sleeps(i) => {
                    looks += 1;
                    raw(libc::SYS_sched_yield, &[])
                }
                state => return state,
            };
        }
    }

    /// Waits until no worker has anything to do. One that was looked at may have been woken by one that was not yet, and one that was just
    /// woken may look asleep until it runs (it sets its state before it looks what it waits for): they are at rest when all are found as
    /// they were before they had a chance to run.
    pub fn settle_all(&self) {
        let mut before = None;
        loop {
            let now: [char; MOST] = core::array::from_fn(|n| if self.pid(n) == 0 { '-' } else { self.settle(n) });
            if before == Some(now) {
                return;
            }
            before = Some(now);
            raw(libc::SYS_sched_yield, &[]);
        }
    }

    /// Asks worker `i`, which is idle, to make a call.
    pub fn ask(&self, i: usize, nr: i64, args: &[u64]) -> Answer {
        let slot = &self.slots[i];
        for (n, to) in slot.args.iter().enumerate() {
            to.store(args.get(n).copied().unwrap_or(0), SeqCst);
        }
        slot.nr.store(nr, SeqCst);
        slot.state.store(ASKED, SeqCst);
        raw(libc::SYS_futex, &[slot.state.as_ptr() as u64, 1, 1]);
        self.answer(i)
    }

    /// Whether worker `i` was asked something and that is not known to be answered.
    pub fn pending(&self, i: usize) -> bool {
        self.slots[i].state.load(SeqCst) != IDLE
    }

    /// What became of the last question to worker `i`.
    pub fn answer(&self, i: usize) -> Answer {
        let slot = &self.slots[i];
        self.settle_all();
        let state = self.settle(i);
        if slot.state.load(SeqCst) == DONE && (state == 'S' || state == '-' || state == 'Z') {
            slot.state.store(IDLE, SeqCst);
            return Answer::Result(slot.result.load(SeqCst));
        }
        if state == 'S' { Answer::Waits } else { Answer::State(state) }
    }
}
