// SPDX-License-Identifier: GPL-2.0
//! Who commits, and waiting for it: the journal's thread, or, as long as there is none, the task that waits.

use crate::journal::Journal;
use crate::state::State;
use crate::system::{Monitor, System};
use crate::{Tid, tid_geq, tid_gt};
use errno::Result;
use errno::code::EIO;

/// What the thread does next.
enum Work {
    Commit,
    /// Bring older transactions home.
    Home,
    Look,
    End,
}

/// What one who waits for a commit does next.
enum Wait {
    Done,
    Commit,
}

impl<S: System> Journal<S> {
    /// The thread's work: commits what is asked for and what has become old, and brings home what lies in the log long or takes
    /// much of it, until the journal is closed. `begin_thread` was called before the thread was started.
    pub fn run_thread(&self) {
        self.run_thread_in(|wait| wait());
    }

    /// As [`Self::run_thread`]; every wait for something to do is called by `idle`, which may take its time afterwards.
    pub fn run_thread_in(&self, idle: impl Fn(&mut dyn FnMut())) {
        // Where transactions follow each other it looks again after an interval, so that none has to wake it when it begins.
        let mut busy = false;
        loop {
            let soon =
                if busy { self.sys.clock_ns().saturating_add(self.config().commit_interval_ns) } else { u64::MAX };
            let deadline = self.state.with(|state| {
                state.looks_ns = self.next_time(state).min(soon);
                state.looks_ns
            });
            let mut work = None;
            idle(&mut || work = self.state.wait_until(deadline, |state| self.next_work(state, deadline)));
            busy = false;
            match work {
                // The time has come: the next look says for what.
                Some(Work::Look) | None => {}
                Some(Work::End) => break,
                Some(Work::Home) => self.bring_home(),
                Some(Work::Commit) => {
                    self.commit_running();
                    busy = true;
                }
            }
        }
        self.state.with(|state| state.threaded = false);
        self.state.wake();
    }

    /// When the thread has something to do though nobody wakes it. Under the lock.
    fn next_time(&self, state: &State<S>) -> u64 {
        let commit = state.running.as_ref().map_or(u64::MAX, |running| running.expires_ns);
        commit.min(self.home_time(state))
    }

    fn next_work(&self, state: &State<S>, deadline: u64) -> Option<Work> {
        let now = self.sys.clock_ns();
        if let Some(running) = &state.running
            && (tid_gt(state.requested, state.committed) || running.expires_ns <= now)
        {
            return Some(Work::Commit);
        }
        if state.stopping {
            return Some(Work::End);
        }
        if self.home_time(state) <= now {
            return Some(Work::Home);
        }
        (self.next_time(state) < deadline).then_some(Work::Look)
    }

    /// There is (about to be) a thread: from now on those who wait for a commit leave the work to it.
    pub fn begin_thread(&self) {
        self.state.with(|state| (state.threaded, state.stopping) = (true, false));
    }

    /// The thread could not be started.
    pub fn no_thread(&self) {
        self.state.with(|state| state.threaded = false);
        self.state.wake();
    }

    /// Has the transaction committed, and waits. Returns at once for one that is committed, or that has not begun.
    pub(crate) fn commit_upto(&self, tid: Tid) -> Result {
        loop {
            let wait = self.state.wait(|state| {
                if tid_geq(state.committed, tid) || tid_geq(tid, state.next_tid) {
                    return Some(Wait::Done);
                }
                self.request(state, tid);
                if state.threaded || state.busy { None } else { Some(Wait::Commit) }
            });
            match wait {
                Wait::Done => return Ok(()),
                Wait::Commit => self.commit_running(),
            }
        }
    }

    /// Waits until the transaction is on the disk (fsync). `EIO` if the journal is aborted.
    pub fn wait_commit(&self, tid: Tid) -> Result {
        self.commit_upto(tid)?;
        if self.is_aborted() { Err(EIO) } else { Ok(()) }
    }

    /// Asks for a commit of the transaction without waiting. Whether there is something to wait for.
    pub fn start_commit(&self, tid: Tid) -> bool {
        self.state.with(|state| {
            self.request(state, tid);
            !tid_geq(state.committed, tid) && !tid_geq(tid, state.next_tid)
        })
    }

    /// Asks for a commit of what is running (sync without waiting). The transaction to wait for, if there is one.
    pub fn start_commit_running(&self) -> Option<Tid> {
        self.state.with(|state| match state.running.as_ref().map(|running| running.tid) {
            Some(tid) => {
                self.request(state, tid);
                Some(tid)
            }
            None => state.committing.map(|committing| committing.tid),
        })
    }

    /// Commits all there is, and waits.
    pub fn commit_all(&self) -> Result {
        if let Some(tid) = self.start_commit_running() {
            self.commit_upto(tid)?;
        }
        if self.is_aborted() { Err(EIO) } else { Ok(()) }
    }

    /// Whether the transaction is not committed yet, or only just begun to be: if not, its commit flushes no data written now.
    pub fn will_flush(&self, tid: Tid) -> bool {
        self.barrier() && self.state.with(|state| state.running.as_ref().is_some_and(|running| running.tid == tid))
    }

    /// The last transaction that was committed.
    pub fn committed_tid(&self) -> Tid {
        self.state.with(|state| state.committed)
    }

    /// Lets a task that wants to wait for its commit give others time to join the transaction: as long as commits usually
    /// take, if the last to wait was another task.
    pub(crate) fn let_others_join(&self) {
        let config = self.config();
        if config.max_batch_ns == 0 {
            return;
        }
        let (task, now) = (self.sys.task(), self.sys.clock_ns());
        let pause = self.state.with(|state| {
            if core::mem::replace(&mut state.last_sync_task, task) == task {
                return 0;
            }
            let pause = state.stats.average_commit.max(config.min_batch_ns).min(config.max_batch_ns);
            let age = state.running.as_ref().map_or(u64::MAX, |running| now.saturating_sub(running.started_ns));
            if age < pause { pause } else { 0 }
        });
        if pause != 0 {
            self.sys.sleep(pause);
        }
    }
}
