// SPDX-License-Identifier: GPL-2.0
//! `IOCB_CMD_POLL`: an event when a file is ready, once. A wake-up of the file does not always say what happened, and must not ask; so a
//! worker looks.

use crate::context::Context;
use crate::request::Request;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec, WeakArc};
use locking::SpinLock;
use sync::poll::WakeCallback;
use sync::{PollMask, PollTable};
use vfs::File;
use workqueue::Work;

/// A request that waits for its file.
struct Waiting {
    /// No other of the context has this number; the program may use one `struct iocb` for several.
    id: u64,
    request: KBox<Request>,
    wake: Arc<Wake>,
    /// Registered with the file's queues until it is dropped, by a task.
    _table: PollTable,
}

/// The requests of a context that wait.
#[derive(Default)]
pub(crate) struct Polls {
    list: SpinLock<KVec<Waiting>>,
    ids: AtomicU64,
}

struct Wake {
    /// The bits that are waited for.
    key: u32,
    queued: AtomicBool,
    work: Arc<Work>,
}

impl WakeCallback for Wake {
    fn wake(&self, events: PollMask) -> bool {
        if events.0 & self.key == 0 {
            return false;
        }
        if !self.queued.swap(true, AcqRel) {
            self.work.queue();
        }
        true
    }
}

impl Polls {
    /// Takes the first one that `which` means.
    fn take(&self, which: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        let mut list = self.list.lock_irqsave();
        let index = list.iter().position(which)?;
        list.swap_remove(index)
    }

    fn push(&self, waiting: Waiting) -> Result<(), Waiting> {
        loop {
            let needed = self.list.lock_irqsave().len() + 1;
            let Ok(mut room) = KVec::with_capacity(needed.next_power_of_two(), GFP_KERNEL) else { return Err(waiting) };
            let mut list = self.list.lock_irqsave();
            if list.len() == list.capacity() {
                if room.capacity() <= list.len() {
                    continue;
                }
                for other in list.drain_all() {
                    // The room was measured.
                    let _ = room.push_within_capacity(other);
                }
                core::mem::swap(&mut *list, &mut room);
            }
            return list.push_within_capacity(waiting).map_err(|refused| refused.0);
        }
    }

    /// Ends all with nothing ready. May sleep.
    pub(crate) fn cancel_all(&self) {
        loop {
            let waiting = self.list.lock_irqsave().pop();
            let Some(waiting) = waiting else { return };
            finish(waiting, 0);
        }
    }

    /// `io_cancel`: ends the request for the program's `struct iocb` at `at` with nothing ready; whether there was one. May sleep.
    pub(crate) fn cancel(&self, at: usize) -> bool {
        self.take(|waiting| waiting.request.is_for(at)).map(|waiting| finish(waiting, 0)).is_some()
    }
}

/// Ends a request. The worker that looks for it finds nothing any more.
fn finish(waiting: Waiting, events: u32) {
    let Waiting { id: _, request, wake, _table } = waiting;
    drop(_table);
    drop(wake);
    request.end(Ok(events as usize));
}

fn ready(file: &File, key: u32) -> u32 {
    file.poll(&mut PollTable::query()).0 & key
}

/// Begins to wait. EINVAL for a file that never waits, ENOMEM.
pub(crate) fn begin(context: &Arc<Context>, request: KBox<Request>, events: u32) -> Result {
    let file = request.file().clone();
    if !file.ops().can_poll() {
        return Err(EINVAL);
    }
    let key = events | PollMask::ERR.0 | PollMask::HUP.0;
    let id = context.polls.ids.fetch_add(1, Relaxed);
    let weak: WeakArc<Context> = Arc::downgrade(context);
    let work = Work::new(move || {
        if let Some(context) = weak.upgrade() {
            look(&context, id);
        }
    })?;
    let wake = Arc::new(Wake { key, queued: AtomicBool::new(false), work }, GFP_KERNEL)?;
    let mut table = PollTable::for_callback(wake.clone(), false);
    let found = file.poll(&mut table).0 & key;
    if let Some(error) = table.error() {
        return Err(error);
    }
    let waiting = Waiting { id, request, wake: wake.clone(), _table: table };
    if found != 0 {
        finish(waiting, found);
        return Ok(());
    }
    context.polls.push(waiting).map_err(|_| EAGAIN)?;
    if context.is_dead() {
        // Perhaps just now: who waits for the end of all does not wait for a file.
        context.polls.cancel_all();
    } else if wake.queued.load(Acquire) {
        // What came before it was in the list found nothing there.
        look(context, id);
    }
    Ok(())
}

/// Looks whether the request with number `id` has what it waits for. May sleep.
fn look(context: &Arc<Context>, id: u64) {
    let found = {
        let list = context.polls.list.lock_irqsave();
        let waiting = list.iter().find(|waiting| waiting.id == id);
        waiting.map(|waiting| (waiting.request.file().clone(), waiting.wake.clone()))
    };
    let Some((file, wake)) = found else { return };
    // Before the look: what comes from here on has another one.
    wake.queued.store(false, Release);
    let events = ready(&file, wake.key);
    if events != 0
        && let Some(waiting) = context.polls.take(|waiting| waiting.id == id)
    {
        finish(waiting, events);
    }
}
