// SPDX-License-Identifier: GPL-2.0
//! The workers of each CPU and the list of items they serve.

use crate::Work;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use errno::Result;
use kalloc::Arc;
use klog::pr_warn;
use ktime::NSEC_PER_SEC;
use locking::SpinLock;
use sync::WaitQueue;
use x86_cpu::percpu::{CpuId, cpu_id};

/// Most workers of one CPU.
const MAX_WORKERS: u32 = 64;
/// An idle worker beyond the first two ends after this long.
const IDLE_NS: u64 = 300 * NSEC_PER_SEC;

struct List {
    head: Option<Arc<Work>>,
    tail: Option<Arc<Work>>,
}

struct Pool {
    list: SpinLock<List>,
    wait: WaitQueue,
    workers: AtomicU32,
    idle: AtomicU32,
    /// Number of the next worker's name.
    next: AtomicU32,
}

x86_cpu::percpu! {
    static POOL: Pool = Pool {
        list: SpinLock::new(List { head: None, tail: None }),
        wait: WaitQueue::new(),
        workers: AtomicU32::new(0),
        idle: AtomicU32::new(0),
        next: AtomicU32::new(0),
    };
}

fn pool_of(cpu: CpuId) -> &'static Pool {
    POOL.on(cpu).unwrap_or_else(|| POOL.this_racy())
}

impl List {
    fn pop(&mut self) -> Option<Arc<Work>> {
        let first = self.head.take()?;
        self.head = first.next.lock().take();
        if self.head.is_none() {
            self.tail = None;
        }
        Some(first)
    }

    fn push(&mut self, work: Arc<Work>) {
        match self.tail.replace(work.clone()) {
            Some(last) => *last.next.lock() = Some(work),
            None => self.head = Some(work),
        }
    }

    fn remove(&mut self, work: &Arc<Work>) -> bool {
        let mut rest = List { head: self.head.take(), tail: self.tail.take() };
        let mut found = false;
        while let Some(item) = rest.pop() {
            if Arc::ptr_eq(&item, work) {
                found = true;
            } else {
                self.push(item);
            }
        }
        found
    }
}

/// Puts an item (marked pending) on `cpu`'s list.
pub(crate) fn push(cpu: CpuId, work: Arc<Work>) {
    let pool = pool_of(cpu);
    pool.list.lock_irqsave().push(work);
    pool.wait.wake_up();
}

/// Takes an item off whatever list it is on. False if a worker was faster.
pub(crate) fn remove(work: &Arc<Work>) -> bool {
    for cpu in 0..x86_cpu::MAX_CPUS as CpuId {
        if let Some(pool) = POOL.on(cpu)
            && pool.list.lock_irqsave().remove(work)
        {
            work.pending.store(false, SeqCst);
            return true;
        }
    }
    false
}

/// Starts the first workers of every CPU. Once, when kernel threads can be made and the CPUs are up. May sleep.
pub fn start() -> Result {
    for cpu in 0..x86_cpu::MAX_CPUS as CpuId {
        if sched::online_cpus() >> cpu & 1 != 0 {
            add_worker(cpu)?;
        }
    }
    Ok(())
}

fn add_worker(cpu: CpuId) -> Result {
    let pool = pool_of(cpu);
    let number = pool.next.fetch_add(1, SeqCst);
    let mut comm = [0u8; task::COMM_LEN];
    let mut w = printk::record::SliceWriter::new(&mut comm);
    // Cut to what a task's name holds.
    let _ = core::fmt::Write::write_fmt(&mut w, format_args!("kworker/{cpu}:{number}"));
    let len = w.len();
    pool.workers.fetch_add(1, SeqCst);
    // An item may wait for one that is behind it: there must be a worker for that one, however many tasks there are.
    let made = task::kthread::kthread_create_vital(comm.get(..len).unwrap_or_default(), move || worker(cpu));
    match made {
        Ok(thread) => {
            sched::bind(&thread, cpu);
            task::kthread::wake_up_new(thread);
            Ok(())
        }
        Err(error) => {
            pool.workers.fetch_sub(1, SeqCst);
            Err(error)
        }
    }
}

fn worker(cpu: CpuId) {
    debug_assert!(cpu == cpu_id());
    let pool = pool_of(cpu);
    loop {
        let Some(work) = next_item(pool) else {
            pool.workers.fetch_sub(1, SeqCst);
            return;
        };
        // Somebody must be there for what comes while this item runs, in case it sleeps.
        if pool.idle.load(SeqCst) == 0
            && pool.workers.load(SeqCst) < MAX_WORKERS
            && let Err(error) = add_worker(cpu)
        {
            pr_warn!("workqueue: no further worker on CPU {cpu}: {error}");
        }
        work.run();
    }
}

/// Waits for an item; `None` when this worker is one too many and nothing came for long.
fn next_item(pool: &Pool) -> Option<Arc<Work>> {
    let mut item = pool.list.lock_irqsave().pop();
    while item.is_none() {
        pool.idle.fetch_add(1, SeqCst);
        let deadline = (pool.workers.load(SeqCst) > 2).then(|| ktime::now_ns().saturating_add(IDLE_NS));
        let waited = pool.wait.wait_idle_exclusive(deadline, || {
            item = pool.list.lock_irqsave().pop();
            item.is_some()
        });
        pool.idle.fetch_sub(1, SeqCst);
        if !waited && item.is_none() && pool.workers.load(SeqCst) > 2 {
            return None;
        }
    }
    item
}
