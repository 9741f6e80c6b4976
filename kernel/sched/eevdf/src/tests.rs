// SPDX-License-Identifier: GPL-2.0
//! A processor in the small: tasks run, sleep and wake; shares and delays are as EEVDF promises.

use crate::{Mean, UNIT, to_real, to_virtual};
use proptest::prelude::*;
use std::vec::Vec;

const MS: u64 = 1_000_000;

#[derive(Clone)]
struct Task {
    weight: u32,
    slice: u64,
    vruntime: u64,
    deadline: u64,
    lag: i64,
    runs: bool,
    had: u64,
}

struct Cpu {
    mean: Mean,
    tasks: Vec<Task>,
}

impl Cpu {
    fn new(kinds: &[(u32, u64)]) -> Self {
        let task = |&(weight, slice): &(u32, u64)| Task {
            weight,
            slice,
            vruntime: 0,
            deadline: 0,
            lag: 0,
            runs: false,
            had: 0,
        };
        let mut cpu = Self { mean: Mean::new(1 << 32), tasks: kinds.iter().map(task).collect() };
        for index in 0..cpu.tasks.len() {
            cpu.wake(index);
        }
        cpu
    }

    fn wake(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        let lag = self.mean.lag_after_sleep(task.lag, task.vruntime, task.weight);
        task.vruntime = self.mean.place(to_virtual(lag, task.weight), task.weight);
        task.deadline = task.vruntime + to_virtual(task.slice as i64, task.weight) as u64;
        task.runs = true;
        self.mean.join(task.vruntime, task.weight);
    }

    fn sleep(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        task.lag = self.mean.lag(task.vruntime, task.weight, 2 * task.slice);
        task.runs = false;
        self.mean.leave(task.vruntime, task.weight);
    }

    /// A new task, the last of the list.
    fn begin(&mut self, slice: u64) -> usize {
        let vruntime = self.mean.place_new(UNIT);
        let deadline = vruntime + slice / 2;
        self.tasks.push(Task { weight: UNIT, slice, vruntime, deadline, lag: 0, runs: true, had: 0 });
        self.mean.join(vruntime, UNIT);
        self.tasks.len() - 1
    }

    /// The last of the list ends.
    fn end(&mut self) {
        let task = self.tasks.pop().expect("there is one");
        let lag = self.mean.lag(task.vruntime, task.weight, 2 * task.slice);
        self.mean.leave(task.vruntime, task.weight);
        self.mean.ended(lag, task.vruntime, task.weight);
    }

    fn pick(&self) -> Option<usize> {
        let eligible = |&index: &usize| self.tasks[index].runs && self.mean.is_eligible(self.tasks[index].vruntime);
        (0..self.tasks.len()).filter(eligible).min_by_key(|&index| self.tasks[index].deadline)
    }

    fn run(&mut self, index: usize, time: u64) {
        let task = &mut self.tasks[index];
        let delta = to_virtual(time as i64, task.weight) as u64;
        task.vruntime += delta;
        task.had += time;
        self.mean.ran(delta, task.weight);
        if task.vruntime >= task.deadline {
            task.deadline = task.vruntime + to_virtual(task.slice as i64, task.weight) as u64;
        }
    }
}

#[test]
fn shares_follow_weights() {
    let mut cpu = Cpu::new(&[(1024, 3 * MS), (335, 3 * MS), (3121, 3 * MS), (1024, MS)]);
    let total: u64 = 4000;
    for _ in 0..total {
        let next = cpu.pick().expect("somebody is always eligible");
        cpu.run(next, MS);
    }
    let weights: u64 = cpu.tasks.iter().map(|task| u64::from(task.weight)).sum();
    for task in &cpu.tasks {
        let due = total * MS * u64::from(task.weight) / weights;
        assert!(task.had.abs_diff(due) <= 6 * MS, "{} of {due}", task.had);
    }
}

#[test]
fn short_slices_wait_less() {
    // Five that never sleep and one that wakes now and then for a tenth of a millisecond.
    let longest_wait = |slice: u64| {
        let mut cpu = Cpu::new(&[(1024, 3 * MS); 5]);
        cpu.tasks.push(Task { weight: 1024, slice, vruntime: 1 << 32, deadline: 0, lag: 0, runs: false, had: 0 });
        let mut longest = 0;
        for _ in 0..200 {
            for _ in 0..30 {
                let next = cpu.pick().expect("somebody is eligible");
                cpu.run(next, MS);
            }
            cpu.wake(5);
            let mut waited = 0;
            while let Some(next) = cpu.pick().filter(|&next| next != 5) {
                cpu.run(next, MS);
                waited += MS;
            }
            longest = longest.max(waited);
            cpu.run(5, MS / 10);
            cpu.sleep(5);
        }
        longest
    };
    assert!(longest_wait(MS / 10) <= MS);
    assert!(longest_wait(MS / 10) < longest_wait(20 * MS));
}

#[test]
fn debts_are_kept_until_the_others_had_theirs() {
    let mut cpu = Cpu::new(&[(1024, 3 * MS), (1024, 3 * MS)]);
    cpu.run(0, 4 * MS);
    cpu.sleep(0);
    assert_eq!(cpu.tasks[0].lag, -2 * MS as i64);
    // At once it owes the same; sleeping a moment is no way out.
    cpu.wake(0);
    assert!(!cpu.mean.is_eligible(cpu.tasks[0].vruntime));
    assert_eq!(cpu.pick(), Some(1));
    cpu.sleep(0);
    cpu.run(1, 20 * MS);
    cpu.wake(0);
    assert!(cpu.mean.is_eligible(cpu.tasks[0].vruntime));
    assert_eq!(cpu.mean.now(), cpu.tasks[0].vruntime);
}

/// New tasks that run for a moment and end, one after the other: who is there all the time gets its share nevertheless.
#[test]
fn new_tasks_starve_nobody() {
    for (weight, each) in [(1024, MS / 2), (1024, MS), (15, MS), (3, MS), (3, 4 * MS)] {
        let mut cpu = Cpu::new(&[(weight, 3 * MS)]);
        let mut total = 0;
        for _ in 0..20_000 {
            let new = cpu.begin(3 * MS);
            let mut left = each;
            while left != 0 {
                let next = cpu.pick().expect("somebody is eligible");
                let time = if next == new { left.min(MS) } else { MS / 4 };
                cpu.run(next, time);
                total += time;
                left -= if next == new { time } else { 0 };
            }
            cpu.end();
        }
        // Of two that are there.
        let (had, due) = (cpu.tasks[0].had, total * u64::from(weight) / (1024 + u64::from(weight)));
        assert!(had + 6 * MS >= due / 2 && had <= 2 * due + 6 * MS, "weight {weight}, {each}: {had} of {due}");
    }
}

#[test]
fn an_empty_mean_stays_where_it_was() {
    let mut mean = Mean::new(5);
    assert_eq!(mean.now(), 5);
    mean.join(100, 3);
    assert_eq!(mean.now(), 100);
    mean.leave(100, 3);
    assert_eq!((mean.now(), mean.load()), (100, 0));
    assert_eq!(mean.place(77, UNIT), 100);
}

#[test]
fn real_and_virtual() {
    assert_eq!(to_virtual(1000, UNIT), 1000);
    assert_eq!(to_virtual(1000, 2 * UNIT), 500);
    assert_eq!(to_real(-500, 2 * UNIT), -1000);
    assert_eq!(to_virtual(3, 0), 3 * i64::from(UNIT));
}

#[derive(Clone, Debug)]
enum Op {
    Run(u64),
    Sleep(usize),
    Wake(usize),
    Weigh(usize, u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1u64..10 * MS).prop_map(Op::Run),
        1 => (0usize..6).prop_map(Op::Sleep),
        1 => (0usize..6).prop_map(Op::Wake),
        1 => (0usize..6, prop_oneof![Just(3u32), Just(15), Just(1024), Just(88761)]).prop_map(|(i, w)| Op::Weigh(i, w)),
    ]
}

proptest! {
    #[test]
    fn somebody_is_eligible(ops in proptest::collection::vec(op(), 1..200)) {
        let mut cpu = Cpu::new(&[(1024, 3 * MS), (3, 3 * MS), (15, MS / 10), (88761, 100 * MS), (1024, MS), (335, 3 * MS)]);
        for op in ops {
            match op {
                Op::Run(time) => {
                    let runnable = cpu.tasks.iter().any(|task| task.runs);
                    prop_assert_eq!(cpu.pick().is_some(), runnable);
                    if let Some(next) = cpu.pick() {
                        cpu.run(next, time);
                    }
                }
                Op::Sleep(index) if cpu.tasks[index].runs => cpu.sleep(index),
                Op::Wake(index) if !cpu.tasks[index].runs => cpu.wake(index),
                Op::Weigh(index, weight) => {
                    let runs = cpu.tasks[index].runs;
                    if runs {
                        cpu.sleep(index);
                    }
                    cpu.tasks[index].weight = weight;
                    if runs {
                        cpu.wake(index);
                    }
                }
                _ => {}
            }
            let load: u64 = cpu.tasks.iter().filter(|task| task.runs).map(|task| u64::from(task.weight)).sum();
            prop_assert_eq!(cpu.mean.load(), load);
            let (mut least, mut most) = (u64::MAX, 0);
            for task in cpu.tasks.iter().filter(|task| task.runs) {
                (least, most) = (least.min(task.vruntime), most.max(task.vruntime));
            }
            if load != 0 {
                let now = cpu.mean.now();
                prop_assert!((least..=most).contains(&now), "{} in {}..{}", now, least, most);
            }
        }
    }
}

/// The trees of `kernel/sched`'s run queue in the small: who is eligible by deadline, the others by virtual run time; who is in the
/// wrong tree is moved when it comes to be first.
#[derive(Default)]
struct Trees {
    queue: std::collections::BTreeSet<(u64, usize)>,
    later: std::collections::BTreeSet<(u64, usize)>,
}

impl Trees {
    fn insert(&mut self, cpu: &Cpu, index: usize) {
        let task = &cpu.tasks[index];
        match cpu.mean.is_eligible(task.vruntime) {
            true => self.queue.insert((task.deadline, index)),
            false => self.later.insert((task.vruntime, index)),
        };
    }

    fn remove(&mut self, cpu: &Cpu, index: usize) {
        let task = &cpu.tasks[index];
        let there = self.queue.remove(&(task.deadline, index)) | self.later.remove(&(task.vruntime, index));
        assert!(there);
    }

    fn settle(&mut self, cpu: &Cpu) {
        while let Some(&(vruntime, index)) = self.later.first().filter(|key| cpu.mean.is_eligible(key.0)) {
            self.later.remove(&(vruntime, index));
            self.queue.insert((cpu.tasks[index].deadline, index));
        }
        while let Some(&key) = self.queue.first().filter(|key| !cpu.mean.is_eligible(cpu.tasks[key.1].vruntime)) {
            self.queue.remove(&key);
            self.later.insert((cpu.tasks[key.1].vruntime, key.1));
        }
    }
}

proptest! {
    #[test]
    fn two_trees_find_the_first(ops in proptest::collection::vec(op(), 1..300)) {
        let mut cpu = Cpu::new(&[(1024, 3 * MS), (3, 3 * MS), (15, MS / 10), (88761, 100 * MS), (1024, MS), (335, 3 * MS)]);
        let mut trees = Trees::default();
        (0..cpu.tasks.len()).for_each(|index| trees.insert(&cpu, index));
        for op in ops {
            match op {
                Op::Run(time) => {
                    trees.settle(&cpu);
                    let first = trees.queue.first().map(|key| cpu.tasks[key.1].deadline);
                    prop_assert_eq!(first, cpu.pick().map(|index| cpu.tasks[index].deadline));
                    if let Some((_, next)) = trees.queue.pop_first() {
                        cpu.run(next, time);
                        trees.insert(&cpu, next);
                    }
                }
                Op::Sleep(index) if cpu.tasks[index].runs => {
                    trees.remove(&cpu, index);
                    cpu.sleep(index);
                }
                Op::Wake(index) if !cpu.tasks[index].runs => {
                    cpu.wake(index);
                    trees.insert(&cpu, index);
                }
                _ => {}
            }
        }
    }
}
