// SPDX-License-Identifier: GPL-2.0
//! How much may be dirty (`vm.dirty_*`), of all and of one device, and making those wait who dirty faster than devices write. No locks.

use crate::bdi::{BackingDev, WakeReason};
use crate::mapping::Mapping;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use mm_alloc::layout::PAGE_SIZE;
use mm_alloc::stat::{self, Item};
use sync::WaitQueue;

/// Percent of the memory that can be dirty at which writers must wait (`vm.dirty_ratio`).
pub static DIRTY_RATIO: AtomicU32 = AtomicU32::new(20);
/// The same in bytes; 0: the percentage counts (`vm.dirty_bytes`).
pub static DIRTY_BYTES: AtomicU64 = AtomicU64::new(0);
/// Percent at which writing in the background begins (`vm.dirty_background_ratio`).
pub static BACKGROUND_RATIO: AtomicU32 = AtomicU32::new(10);
/// The same in bytes; 0: the percentage counts (`vm.dirty_background_bytes`).
pub static BACKGROUND_BYTES: AtomicU64 = AtomicU64::new(0);
/// Hundredths of a second between looks at what is old; 0: none (`vm.dirty_writeback_centisecs`).
pub static WRITEBACK_CENTISECS: AtomicU32 = AtomicU32::new(500);
/// Hundredths of a second after which something dirty is old (`vm.dirty_expire_centisecs`).
pub static EXPIRE_CENTISECS: AtomicU32 = AtomicU32::new(3000);
/// Seconds after which access times are written with `lazytime` (`vm.dirtytime_expire_seconds`).
pub static DIRTYTIME_EXPIRE: AtomicU32 = AtomicU32::new(43200);

/// Those who wait until less is dirty.
static WAITERS: WaitQueue = WaitQueue::new();
/// Pages dirtied on a CPU from one look to the next.
const LOOK_EVERY: u32 = 32;
/// Longest wait before the figures are looked at again.
const PAUSE_NS: u64 = 100_000_000;

/// Pages at which background writing begins, and pages at which writers wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// Background writing begins.
    pub background: u64,
    /// Writers wait.
    pub limit: u64,
}

fn pages_of(bytes: u64, ratio: u32, dirtyable: u64) -> u64 {
    if bytes != 0 { bytes.div_ceil(PAGE_SIZE as u64) } else { dirtyable.saturating_mul(ratio.into()) / 100 }
}

/// The thresholds as memory is now.
pub fn thresholds() -> Thresholds {
    let info = stat::meminfo();
    let dirtyable = info.free + info.cached.saturating_sub(info.shmem);
    let limit = pages_of(DIRTY_BYTES.load(Relaxed), DIRTY_RATIO.load(Relaxed), dirtyable).max(1);
    let background = pages_of(BACKGROUND_BYTES.load(Relaxed), BACKGROUND_RATIO.load(Relaxed), dirtyable);
    let background = if background >= limit { limit / 2 } else { background };
    Thresholds { background, limit }
}

/// Pages that are dirty or under write-back.
fn outstanding() -> u64 {
    stat::get(Item::Dirty) + stat::get(Item::Writeback)
}

x86_cpu::percpu! {
    /// Pages dirtied on this CPU since somebody there looked.
    static SINCE: AtomicU32 = AtomicU32::new(0);
}

/// Whether the background has to write to `bdi`: too much is dirty, or more than its part.
pub fn over_background(bdi: &BackingDev) -> bool {
    let background = thresholds().background;
    stat::get(Item::Dirty) > background || bdi.dirty() > bdi.part_of(background)
}

/// The caller has dirtied `pages` pages of `mapping`: waits if too much is dirty. Without locks that write-back needs. May sleep.
#[inline]
pub fn balance_dirty(mapping: &Mapping, pages: u32) {
    if mapping.is_memory() {
        return;
    }
    // A count that is lost to a move only puts the look off.
    let since = SINCE.this_racy();
    let count = since.load(Relaxed).saturating_add(pages);
    if count < LOOK_EVERY {
        return since.store(count, Relaxed);
    }
    since.store(0, Relaxed);
    balance(mapping);
}

#[cold]
fn balance(mapping: &Mapping) {
    let Some(bdi) = mapping.bdi() else { return };
    loop {
        let now = outstanding();
        let Thresholds { background, limit } = thresholds();
        if stat::get(Item::Dirty) > background {
            bdi.wake(WakeReason::Background);
        }
        if now <= u64::midpoint(background, limit) {
            return;
        }
        // A device has its part of the limit, so that a slow one does not take it all; something as long as there is room for all.
        let part = bdi.part_of(limit).max(limit.saturating_sub(now) / 8);
        if bdi.dirty() > part / 2 {
            bdi.wake(WakeReason::Background);
        }
        let room = || limit.saturating_sub(outstanding()).min(part.saturating_sub(bdi.dirty() + bdi.writeback()));
        // The nearer to the limit, the longer; at the limit until something was written.
        let left = room();
        let full = left == 0;
        let span = ((limit - background).max(1) / 2).min(part / 2) + 1;
        let pause = if full { PAUSE_NS } else { PAUSE_NS / 10 * span.saturating_sub(left) / span };
        let deadline = ktime::now_ns().saturating_add(pause);
        WAITERS.wait_until_deadline(deadline, || dies() || full && room() != 0);
        if !full || dies() {
            return;
        }
    }
}

/// Whether a fatal signal waits for the current task: it is not to wait for anything, nor to go on with what takes long.
#[inline]
pub fn dies() -> bool {
    let task = task::current();
    task.signal_pending() && task::hooks::SIGNALS.get().is_some_and(|signals| signals.fatal_pending(&task))
}

/// Waits until `done`, looked at whenever pages were written, or until the deadline; whether it was done.
pub(crate) fn wait_written(deadline_ns: u64, done: impl FnMut() -> bool) -> bool {
    WAITERS.wait_until_deadline(deadline_ns, done)
}

/// Pages were written. Any context.
pub(crate) fn written(_pages: i64) {
    if WAITERS.is_active() {
        WAITERS.wake_up_all();
    }
}
