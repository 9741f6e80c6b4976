// SPDX-License-Identifier: GPL-2.0
//! Work queues: an object is queued at once, queued again by its own work until it has run three times, and at last queued for 50
//! milliseconds later. Loading the module waits for all of that and says what happened. Work runs in a worker, and may sleep.

#![no_std]
#![forbid(unsafe_code)]

use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Completion, Mutex};
use kernel::time::{Delta, Instant, Monotonic, msecs_to_jiffies};
use kernel::workqueue::{
    self, DelayedWork, Work, WorkItem, impl_has_delayed_work, impl_has_work, new_delayed_work, new_work,
};

module! {
    type: Worker,
    name: "rust_worker",
    authors: ["The Rideau developers"],
    description: "Work that is done by others, and later",
    license: "GPL",
}

const ROUNDS: u32 = 3;
const DELAY_MS: u32 = 50;

/// An object with two kinds of work: the numbers say which is which.
#[pin_data]
struct Job {
    #[pin]
    now: Work<Job, 0>,
    #[pin]
    later: DelayedWork<Job, 1>,
    #[pin]
    state: Mutex<State>,
    #[pin]
    done: Completion,
}

/// What happened until now.
struct State {
    rounds: u32,
    /// When the work for later was queued, and how long that took.
    queued: Option<Instant<Monotonic>>,
    waited: Option<Delta>,
}

impl_has_work! {
    impl HasWork<Self, 0> for Job { self.now }
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 1> for Job { self.later }
}

impl WorkItem<0> for Job {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let rounds = {
            let mut state = this.state.lock();
            state.rounds += 1;
            state.queued = Some(Instant::now());
            state.rounds
        };
        let job = this.clone();
        let queued = match rounds {
            // Work may queue itself: it is not queued any more while it runs.
            ..ROUNDS => workqueue::system().enqueue::<_, 0>(this).is_ok(),
            _ => workqueue::system().enqueue_delayed::<_, 1>(this, msecs_to_jiffies(DELAY_MS)).is_ok(),
        };
        if !queued {
            // Nobody else would wake who waits.
            job.done.complete_all();
        }
    }
}

impl WorkItem<1> for Job {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let mut state = this.state.lock();
        state.waited = state.queued.map(|queued| queued.elapsed());
        drop(state);
        this.done.complete_all();
    }
}

struct Worker;

impl kernel::Module for Worker {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let job = Arc::pin_init(
            pin_init!(Job {
                now <- new_work!("Job::now"),
                later <- new_delayed_work!("Job::later"),
                state <- new_mutex!(State { rounds: 0, queued: None, waited: None }),
                done <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        if workqueue::system().enqueue::<_, 0>(job.clone()).is_err() {
            return Err(ENOMEM);
        }
        job.done.wait_for_completion();
        let state = job.state.lock();
        match state.waited {
            Some(waited) => pr_info!("{} rounds, then {} ms\n", state.rounds, waited.as_millis()),
            None => pr_info!("{} rounds, then nothing\n", state.rounds),
        }
        Ok(Self)
    }
}
