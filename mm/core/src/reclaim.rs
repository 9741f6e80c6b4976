// SPDX-License-Identifier: GPL-2.0
//! Taking cached pages of files back when memory is short: oldest first, those that were used once before those that were used
//! more. `kswapd` keeps some memory free in the background; an allocation that finds none does the same work itself.
//!
//! Nothing here waits for a lock: who wants memory may hold any. Locks: `REGISTRY` (spin) alone.

use crate::bdi::WakeReason;
use crate::mapping::Mapping;
use crate::{lazy, swap};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use errno::Result;
use hook::Hook;
use kalloc::flags::{__GFP_NOWARN, GFP_ATOMIC};
use kalloc::{Arc, KVec, WeakArc};
use locking::SpinLock;
use mm_alloc::lru::{self, Which};
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags, buddy};
use sync::WaitQueue;
use task::TaskFlags;

const SHARDS: usize = 16;
type Shard = SpinLock<containers::XArray<WeakArc<Mapping>>>;
/// Mappings of files on devices, by number.
static REGISTRY: [Shard; SHARDS] = [const { SpinLock::new(containers::XArray::new()) }; SHARDS];

fn shard(id: usize) -> &'static Shard {
    // In bounds: the rest of a division by the length.
    &REGISTRY[id % SHARDS]
}

/// A mapping's pages can be reclaimed from now on. ENOMEM.
pub(crate) fn register(mapping: &Arc<Mapping>) -> Result {
    let (id, weak) = (mapping.id(), Arc::downgrade(mapping));
    shard(id).lock().store((id / SHARDS) as u64, weak, GFP_ATOMIC)?;
    Ok(())
}

pub(crate) fn unregister(id: usize) {
    let gone = shard(id).lock().erase((id / SHARDS) as u64);
    drop(gone);
}

pub(crate) fn find(id: usize) -> Option<Arc<Mapping>> {
    shard(id).lock().load((id / SHARDS) as u64).and_then(WeakArc::upgrade)
}

/// What else can be made smaller (dentries, inodes, buffers); in the background and for `drop_caches` only.
pub trait Shrinker: Sync {
    /// Drops about `count` objects of what is not used; how many. May sleep.
    fn shrink(&self, count: usize) -> usize;
    /// Drops all that is not used. May sleep.
    fn shrink_all(&self);
}

/// The file systems' caches.
pub static SHRINKER: Hook<dyn Shrinker> = Hook::new();

/// Pages looked at in one go.
const BATCH: usize = 32;

/// Who reclaims, for the figures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Kswapd,
    Direct,
}

impl Who {
    /// What counts the pages that were looked at, and those that were taken.
    fn items(self) -> (Item, Item) {
        match self {
            Self::Kswapd => (Item::ScanKswapd, Item::StealKswapd),
            Self::Direct => (Item::ScanDirect, Item::StealDirect),
        }
    }
}

/// What became of a batch.
#[derive(Default)]
struct Outcome {
    taken: usize,
    /// Pages that could go once they are written.
    unwritten: usize,
    /// Pages that are on their way to swap space.
    leaving: usize,
}

/// Takes about `wanted` pages; how many. Waits for no lock. With `may_write` private pages are written to swap space. For allocations
/// that may sleep.
pub fn shrink(wanted: usize, may_write: bool) -> usize {
    shrink_by(wanted, Who::Direct, may_write)
}

/// Pages of private memory to write, when files gave `taken` of the `files` that were wanted.
fn private_share(wanted: usize, files: usize, taken: usize) -> usize {
    match swap::SWAPPINESS.load(Relaxed) {
        // Only when there is nothing else.
        0 if taken != 0 => 0,
        _ if taken < files => wanted - taken,
        _ => wanted - files,
    }
}

fn shrink_by(wanted: usize, who: Who, may_write: bool) -> usize {
    // First what nobody needs.
    let lazy = lazy::shrink(wanted, who == Who::Direct);
    let (scan, steal) = who.items();
    stat::add(scan, lazy.seen as i64);
    stat::add(steal, lazy.freed as i64);
    match wanted.checked_sub(lazy.freed) {
        None | Some(0) => lazy.freed,
        Some(wanted) => lazy.freed + shrink_needed(wanted, who, may_write),
    }
}

/// [`shrink_by`] of what is needed again, maybe.
fn shrink_needed(wanted: usize, who: Who, may_write: bool) -> usize {
    let swapping = may_write && swap::total_pages() != 0;
    let files = if swapping { wanted - swap::pages_for(wanted).min(wanted) } else { wanted };
    let mut taken = 0;
    let (mut unwritten, mut leaving) = (0, 0);
    // Once over the lists is enough: who finds nothing then asks for other measures.
    let mut left = lru::len(Which::Inactive) + lru::len(Which::Active);
    while taken < files && left != 0 {
        age(BATCH);
        let Some(outcome) = shrink_batch(who, swapping) else { break };
        taken += outcome.taken;
        unwritten += outcome.unwritten;
        leaving += outcome.leaving;
        left = left.saturating_sub(BATCH);
    }
    let private = leaving + if swapping { swap::page_out(private_share(wanted, files, taken)) } else { 0 };
    let coming = swap::in_flight();
    let waits = who == Who::Direct || private == 0;
    if taken == 0 && waits && (unwritten != 0 || coming != 0) {
        // All that could go is dirty: its device is asked to hurry, and given a moment.
        let before = stat::get(Item::Written);
        let deadline = ktime::now_ns().saturating_add(50_000_000);
        let done = || stat::get(Item::Written) != before || swap::in_flight() < coming;
        crate::throttle::wait_written(deadline, done);
        return private.max(1);
    }
    taken + private
}

/// Keeps the inactive list at least as long as the active one.
fn age(count: usize) {
    if lru::len(Which::Inactive) >= lru::len(Which::Active) {
        return;
    }
    let Ok(mut batch) = KVec::with_capacity(count, GFP_ATOMIC | __GFP_NOWARN) else { return };
    lru::isolate(Which::Active, count, &mut batch);
    stat::add(Item::PgDeactivate, batch.len() as i64);
    for page in batch {
        page.clear(PageFlags(PageFlags::REFERENCED.0 | PageFlags::ACTIVE.0));
        lru::put_back(page, Which::Inactive);
    }
}

/// Looks at the oldest inactive pages. `None`: there are none, or no memory to look.
fn shrink_batch(who: Who, may_write: bool) -> Option<Outcome> {
    let room = if may_write { BATCH } else { 0 };
    let mut writes = KVec::with_capacity(room, GFP_ATOMIC | __GFP_NOWARN).unwrap_or_default();
    let mut batch: KVec<Page> = KVec::with_capacity(BATCH, GFP_ATOMIC | __GFP_NOWARN).ok()?;
    lru::isolate(Which::Inactive, BATCH, &mut batch);
    if batch.is_empty() {
        return None;
    }
    let (scan, steal) = who.items();
    stat::add(scan, batch.len() as i64);
    let mut outcome = Outcome::default();
    for page in batch {
        if page.frame().flag_bits() & swap::MAY_BE_CACHED.0 != 0 {
            match swap::reclaim_cached(page, &mut writes) {
                swap::Fate::Gone => {}
                swap::Fate::Freed => outcome.taken += 1,
                swap::Fate::Keep(page) => swap::keep_on_list(page),
            }
            continue;
        }
        match look_at(&page) {
            Fate::Taken => outcome.taken += 1,
            Fate::Keep(which) => {
                if which == Which::Active {
                    stat::add(Item::PgActivate, 1);
                }
                lru::put_back(page, which);
            }
            Fate::Unwritten => {
                outcome.unwritten += 1;
                lru::put_back(page, Which::Inactive);
            }
        }
    }
    stat::add(steal, outcome.taken as i64);
    outcome.leaving += swap::write_reclaimed(writes);
    Some(outcome)
}

enum Fate {
    Taken,
    Keep(Which),
    Unwritten,
}

fn look_at(page: &Page) -> Fate {
    if page.has(PageFlags::ACTIVE) {
        return Fate::Keep(Which::Active);
    }
    let Some(mapping) = find(page.owner()) else { return Fate::Keep(Which::Inactive) };
    // Should this be the last reference to the mapping, its pages go with it here: that waits for nobody.
    look_in(&mapping, page)
}

fn look_in(mapping: &Arc<Mapping>, page: &Page) -> Fate {
    let index = page.index();
    if page.has(PageFlags::WRITEBACK) {
        return Fate::Unwritten;
    }
    if page.has(PageFlags::DIRTY) {
        if let Some(bdi) = mapping.bdi() {
            bdi.wake(WakeReason::Now);
        }
        return Fate::Unwritten;
    }
    // The cache's and the looker's; more are programs that have it mapped, or somebody who reads it just now.
    if page.ref_count() > 2 {
        if mapping.is_locked_at(index) {
            // It is to stay where it is (`mlock`): it does not come by again soon.
            return Fate::Keep(Which::Active);
        }
        mapping.try_unmap(index);
        if page.ref_count() > 2 {
            return Fate::Keep(Which::Inactive);
        }
        // A program that still uses it comes back for it, which marks it as used.
        if page.has(PageFlags::REFERENCED) {
            page.clear(PageFlags::REFERENCED);
            return Fate::Keep(Which::Inactive);
        }
    }
    if mapping.drop_page(index, page) { Fate::Taken } else { Fate::Keep(Which::Inactive) }
}

/// What reclaim does with a page of `mapping` that it took off its list; whether it went. For tests.
#[cfg(CONFIG_KUNIT)]
pub(crate) fn take_cached(mapping: &Arc<Mapping>, page: &Page) -> bool {
    matches!(look_in(mapping, page), Fate::Taken)
}

/// A program says that it does not need `page`, which it has mapped, for now (`MADV_COLD`) or any more (`out`: `MADV_PAGEOUT`). What
/// others have mapped too, or use at the moment, is left alone; what is dirty stays until it is written.
pub(crate) fn advised(mapping: &Mapping, index: u64, page: &Page, out: bool) {
    // The cache's, the program's and the caller's.
    if page.ref_count() > 3 + u32::from(page.has(PageFlags::LRU)) {
        return;
    }
    page.clear(PageFlags(PageFlags::REFERENCED.0 | PageFlags::ACTIVE.0));
    if !out {
        if page.has(PageFlags::ON_ACTIVE) {
            lru::remove(page);
            lru::put_back(page.clone(), Which::Inactive);
            stat::add(Item::PgDeactivate, 1);
        }
        return;
    }
    if mapping.is_memory() {
        // It has no other place (but swap, which is the caller's), and is only taken from the program.
        mapping.try_unmap(index);
        return;
    }
    if page.has(PageFlags::DIRTY) || page.has(PageFlags::WRITEBACK) {
        return;
    }
    mapping.try_unmap(index);
    if mapping.drop_page(index, page) {
        stat::add(Item::StealDirect, 1);
    }
}

/// Calls `f` for each mapping of a file on a device. `f` may sleep.
fn for_each_mapping(mut f: impl FnMut(&Arc<Mapping>)) {
    for shard in &REGISTRY {
        let mut from = 0;
        loop {
            let found = {
                let list = shard.lock();
                list.find(from).map(|(at, weak)| (at, weak.upgrade()))
            };
            let Some((at, mapping)) = found else { break };
            if let Some(mapping) = mapping {
                f(&mapping);
            }
            from = at + 1;
        }
    }
}

/// `vm.drop_caches`: 1 drops clean pages; 2 dentries, inodes and what was unmapped from the kernel's addresses and waits for its flush
/// (stacks, buffers: up to 4 MB); 3 both. May sleep.
pub fn drop_caches(what: u32) {
    if what & 2 != 0
        && let Some(shrinker) = SHRINKER.get()
    {
        shrinker.shrink_all();
    }
    if what & 1 != 0 {
        for_each_mapping(|mapping| {
            mapping.drop_clean(0, u64::MAX);
        });
    }
    if what & 2 != 0 {
        mm_alloc::vmalloc::purge(1);
    }
}

static WAIT: WaitQueue = WaitQueue::new();
static WANTED: AtomicBool = AtomicBool::new(false);
/// Pages below which `kswapd` works, and up to which; taken from the allocator's marks.
static LOW: AtomicU64 = AtomicU64::new(0);
static HIGH: AtomicU64 = AtomicU64::new(0);

x86_cpu::percpu! {
    /// Pages that came into the cache on this CPU since it looked.
    static SINCE: AtomicU32 = AtomicU32::new(0);
}

/// A page came into the cache: from time to time, looks whether memory gets short.
#[inline]
pub(crate) fn check_free() {
    // A count that is lost to an interrupt or to a move only puts the look off.
    let since = SINCE.this_racy();
    let count = since.load(Relaxed).wrapping_add(1);
    since.store(count, Relaxed);
    if count & 31 == 0 && (buddy::free_pages_total() as u64) < LOW.load(Relaxed) {
        wake_kswapd();
    }
}

/// Memory is short: wakes the thread. Task context.
pub fn wake_kswapd() {
    if !WANTED.swap(true, AcqRel) {
        WAIT.wake_up();
    }
}

/// An allocation took a batch from its zone: if there is swap space, or memory that is not needed, pages leave before the last ones are
/// gone. Task context.
#[inline]
pub fn check_low() {
    if (swap::total_pages() != 0 || lazy::any()) && (buddy::free_pages_total() as u64) < LOW.load(Relaxed) {
        wake_kswapd();
    }
}

/// Starts `kswapd0`. Once, in process 1. May sleep.
pub fn start() -> Result {
    let (low, high) = buddy::zone_stats().fold((0, 0), |(low, high), zone| (low + zone.low, high + zone.high));
    LOW.store(low as u64 + 64, Relaxed);
    HIGH.store(high as u64 + 256, Relaxed);
    task::kthread_run(b"kswapd0", || {
        // What it needs to write pages must not wait for pages to be written.
        task::current().set_flags(TaskFlags::MEMALLOC);
        // It writes to disks, which sleep with the machine.
        freezer::set_freezable();
        loop {
            freezer::freezable(|| WAIT.wait_idle(|| WANTED.load(Acquire)));
            WANTED.store(false, Release);
            balance();
        }
    })?;
    Ok(())
}

/// Reclaims until enough is free, or nothing can be had.
fn balance() {
    let mut futile = 0;
    while (buddy::free_pages_total() as u64) < HIGH.load(Relaxed) && futile < 4 {
        let coming = swap::in_flight();
        let enough = buddy::free_pages_total().saturating_add(coming) as u64 >= HIGH.load(Relaxed);
        if coming != 0 && enough || coming > swap::MOST_IN_FLIGHT {
            // Enough is on its way, or as much as may be.
            let deadline = ktime::now_ns().saturating_add(50_000_000);
            if !crate::throttle::wait_written(deadline, || swap::in_flight() < coming) {
                futile += 1;
            }
            continue;
        }
        let pages = shrink_by(BATCH * 4, Who::Kswapd, true);
        let objects = SHRINKER.get().map_or(0, |shrinker| shrinker.shrink(BATCH * 2));
        stat::add(Item::SlabsScanned, objects as i64);
        futile = if pages + objects <= 1 { futile + 1 } else { 0 };
    }
}
