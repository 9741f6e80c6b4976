// SPDX-License-Identifier: GPL-2.0
//! What a task with a plug ([`task_io::Plug`]) keeps back: it is about to send several bios. Neighbours are joined meanwhile, and the
//! driver tells the hardware once.
//!
//! Lock: each task's own, never contended, so that the list can be changed at all; requests are passed on without it.

use crate::bio::Bio;
use crate::limits::QueueLimits;
use crate::mq::{Queue, Request, try_merge};
use kalloc::flags::GFP_NOIO;
use kalloc::{Arc, KBox, KVec};
use locking::SpinLock;
use task::{Task, TaskFlags, TaskLocal, current};
use x86_cpu::preempt::in_interrupt;

/// Requests that are kept back at most (`BLK_MAX_REQUEST_COUNT`).
const MOST: usize = 32;
/// A request that has grown to so many bytes goes, and those before it (`BLK_PLUG_FLUSH_SIZE`).
const LARGE: u64 = 128 << 10;

/// What a task keeps back.
#[derive(Default)]
struct Cell(SpinLock<KVec<KBox<Request>>>);

static KEPT: TaskLocal<Cell> = TaskLocal::new();

/// The task's list, with room; made when it is first used. `None` without memory.
fn cell_of(task: &Task) -> Option<&Cell> {
    if KEPT.get(task).is_none() {
        // Only this task sets its slot.
        let _ = KEPT.set(task, KBox::new(Cell::default(), GFP_NOIO).ok()?);
    }
    let cell = KEPT.get(task)?;
    if cell.0.lock().capacity() == 0 {
        let room = KVec::with_capacity(MOST, GFP_NOIO).ok()?;
        *cell.0.lock() = room;
    }
    Some(cell)
}

/// Sends what the task keeps back. Does not sleep.
fn flush(task: &Task) {
    if !task.test_flags(TaskFlags::PLUGGED) {
        return;
    }
    let Some(cell) = KEPT.get(task) else { return };
    task.clear_flags(TaskFlags::PLUGGED);
    let mut requests = core::mem::take(&mut *cell.0.lock());
    if let Some(first) = requests.first() {
        first.trace_plug(Some(requests.len() as u64));
    }
    let mut rest = requests.drain_all().peekable();
    while let Some(request) = rest.next() {
        let Some(queue) = request.queue().cloned() else { continue };
        let hw = request.hw_queue();
        let same = |next: &KBox<Request>| next.hw_queue() == hw && next.is_on(&queue);
        let last = !rest.peek().is_some_and(same);
        queue.insert(request, last);
    }
    drop(rest);
    // One that was made meanwhile goes when the lock is given up.
    let mut kept = cell.0.lock();
    if kept.capacity() == 0 {
        core::mem::swap(&mut *kept, &mut requests);
    }
}

/// Sends what the current task keeps back.
pub(crate) fn flush_own() {
    if !in_interrupt() {
        flush(&current());
    }
}

/// Joins `bio` with a request of `queue` that the task keeps back; else gives it back.
pub(crate) fn merge(queue: &Arc<Queue>, bio: KBox<Bio>, limits: &QueueLimits) -> Result<(), KBox<Bio>> {
    let task = current();
    if !task.test_flags(TaskFlags::PLUGGED) || in_interrupt() {
        return Err(bio);
    }
    let Some(cell) = KEPT.get(&task) else { return Err(bio) };
    let mut kept = cell.0.lock();
    let its = |request: &&mut KBox<Request>| request.is_on(queue);
    // The last one to this disk: a stream goes on where it was.
    match kept.iter_mut().rev().find(its) {
        Some(request) => try_merge(request, bio, limits).map(drop),
        None => Err(bio),
    }
}

/// Keeps a request back if the task has a plug; else gives it back.
pub(crate) fn add(request: KBox<Request>) -> Result<(), KBox<Request>> {
    let task = current();
    if in_interrupt() || !task_io::is_plugged(&task) {
        return Err(request);
    }
    let Some(cell) = cell_of(&task) else { return Err(request) };
    let full = {
        let kept = cell.0.lock();
        kept.len() >= MOST || kept.last().is_some_and(|last| last.len() >= LARGE)
    };
    if full {
        flush(&task);
    }
    let mut kept = cell.0.lock();
    if kept.is_empty() {
        request.trace_plug(None);
    }
    kept.push_within_capacity(request).map_err(|refused| refused.0)?;
    drop(kept);
    task.set_flags(TaskFlags::PLUGGED);
    Ok(())
}

struct BeforeSleep;

impl task::hooks::BeforeSleep for BeforeSleep {
    fn before_sleep(&self) {
        flush(&current());
    }
}

/// Lets tasks that go to sleep send what they keep back. Once, at boot.
pub fn init() {
    static HOOK: &dyn task::hooks::BeforeSleep = &BeforeSleep;
    task::hooks::BEFORE_SLEEP.set(&HOOK);
}
