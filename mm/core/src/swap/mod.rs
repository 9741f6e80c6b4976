// SPDX-License-Identifier: GPL-2.0
//! Swap space: private pages leave memory and come back. `Documentation/swap.md` has the whole picture.
//!
//! | file | what |
//! |---|---|
//! | `mod` | areas, by number and by priority; places for pages |
//! | `cache` | pages that have a place: the swap cache |
//! | `out` | finding pages that were not used, unmapping and writing them |
//! | `write` | writing pages, and what happens when they are written |
//! | `fault` | faults that find an entry of swap space; reading in |
//! | `shmem` | pages of files in memory: tmpfs, shared memory |
//! | `off` | emptying an area; address spaces that have pages there |
//!
//! `mm/swap` opens devices and files and answers `swapon(2)`; it comes in as [`SwapIo`].
//!
//! Locks: `ORDER`, `SWAPPED` (spin), innermost. A page's lock keeps it in the cache; it is only tried where an allocation may be the
//! caller. Under a page-table lock only counts change, and the cache's tree lock and the LRU's are taken.

mod cache;
mod fault;
#[cfg(CONFIG_KUNIT)]
mod kunit;
mod off;
mod out;
pub(crate) mod shmem;
mod write;

use crate::io::ReadRun;
use crate::page_tree::PageTree;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use errno::{Result, code::*};
use hook::Hook;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use mm_alloc::{Page, PageFlags};
use rcu::RcuArc;
use swap_map::{Put, SlotMap};
use x86_mm::swap::{SWAP, Swap, SwapEntry};

pub(crate) use cache::make_private;
pub(crate) use cache::{is_cached, users_of};
pub use fault::PAGE_CLUSTER;
pub use off::{empty, is_emptying};
pub(crate) use off::{forget, note};
pub use out::{ADDRESS_SPACES, AddressSpaces, SWAPPINESS, madvise, makes_progress, page_out};
pub(crate) use out::{Fate, MOST_IN_FLIGHT, in_flight, keep_on_list, pages_for, reclaim_cached, write_reclaimed};
pub use shmem::is_watching;
pub use write::SwapWrite;

/// Areas there can be at once (`MAX_SWAPFILES` without what Linux keeps back for itself).
pub const MAX_AREAS: usize = 28;

/// Pages of an area that entries can name.
pub const MAX_PAGES: u64 = SwapEntry::MAX_PAGES;

/// The device or file of an area. Its drop must not sleep: it may go anywhere.
pub trait SwapIo: Send + Sync {
    /// Starts reading; errors are told through the run. Does not wait.
    fn read(&self, run: ReadRun);
    /// Starts writing; errors are told to `run`. Does not wait for the transfer. Called where an allocation may be the caller.
    fn write(&self, run: SwapWrite);
    /// An identity of the device or file, by which `swapoff` finds it.
    fn id(&self) -> usize;
}

/// Who knows the areas' names: `mm/swap`.
pub trait SwapList: Sync {
    /// The lines of `/proc/swaps` below the first. May sleep.
    fn show(&self, out: &mut dyn fmt::Write) -> fmt::Result;
}

/// The registered list.
pub static LIST: Hook<dyn SwapList> = Hook::new();

/// Whether there can be swap space at all (`CONFIG_SWAP`).
pub(crate) fn is_built_in() -> bool {
    LIST.get().is_some()
}

/// What pages have that are or were in the swap cache: those of files on devices have none of these.
pub(crate) const MAY_BE_CACHED: PageFlags =
    PageFlags(PageFlags::ANON.0 | PageFlags::SWAP_BACKED.0 | PageFlags::SWAP_CACHE.0);

/// A swap area in use.
pub struct Area {
    number: u8,
    map: SlotMap,
    cache: PageTree,
    io: KBox<dyn SwapIo>,
    priority: AtomicI32,
    /// No new pages: it is being emptied.
    closing: AtomicBool,
}

static AREAS: [RcuArc<Area>; MAX_AREAS] = [const { RcuArc::null() }; MAX_AREAS];
/// Pages that all areas have.
static TOTAL: AtomicU64 = AtomicU64::new(0);

/// Who is asked for places, best first.
struct Order {
    list: [(i32, u8); MAX_AREAS],
    len: usize,
    /// The priority that an area got last that wanted none.
    least: i32,
}

static ORDER: SpinLock<Order> = SpinLock::new(Order { list: [(0, 0); MAX_AREAS], len: 0, least: -1 });

impl Order {
    fn areas(&self) -> &[(i32, u8)] {
        self.list.get(..self.len).unwrap_or(&[])
    }

    fn add(&mut self, priority: i32, number: u8) {
        let at = self.areas().iter().position(|&(other, _)| other < priority).unwrap_or(self.len);
        self.len = (self.len + 1).min(MAX_AREAS);
        if let Some(rest) = self.list.get_mut(at..self.len) {
            rest.rotate_right(1);
            if let Some(first) = rest.first_mut() {
                *first = (priority, number);
            }
        }
    }

    fn remove(&mut self, number: u8) {
        let Some(at) = self.areas().iter().position(|&(_, other)| other == number) else { return };
        if let Some(rest) = self.list.get_mut(at..self.len) {
            rest.rotate_left(1);
            self.len -= 1;
        }
    }

    /// The area was used: those of the same priority come before it next time.
    fn used(&mut self, number: u8) {
        let Some(&(priority, _)) = self.areas().iter().find(|(_, other)| *other == number) else { return };
        self.remove(number);
        self.add(priority, number);
    }
}

/// Waits until nobody but the caller, who has `others` more, has an area that was retired: what it is made of must not be dropped in an
/// interrupt, where a transfer ends, or under a lock. May sleep.
pub fn wait_unused(area: &Arc<Area>, others: usize) {
    while Arc::strong_count(area) > others + 1 {
        ktime::sleep::sleep_ns(1_000_000);
    }
}

/// The area with this number.
fn area(number: u8) -> Option<Arc<Area>> {
    AREAS.get(usize::from(number))?.get()
}

impl Area {
    /// Puts an area into use. `priority`: what `swapon` was told, or `None` for one less than the others'. EPERM if there are as many as
    /// there can be, EBUSY if this device or file is one, ENOMEM. The caller serialises with itself.
    pub fn enable(map: SlotMap, io: KBox<dyn SwapIo>, priority: Option<i32>) -> Result<Arc<Self>> {
        if for_each_area(|area| area.io.id() == io.id()) {
            return Err(EBUSY);
        }
        let number = AREAS.iter().position(RcuArc::is_null).ok_or(EPERM)?;
        let area = Self {
            number: number as u8,
            map,
            cache: PageTree::new(),
            io,
            priority: AtomicI32::new(0),
            closing: AtomicBool::new(false),
        };
        let area = Arc::new(area, GFP_KERNEL)?;
        static KEEPER: &dyn Swap = &Keeper;
        SWAP.set(&KEEPER);
        AREAS.get(number).ok_or(EPERM)?.replace(Some(area.clone()));
        TOTAL.fetch_add(area.map.good(), Ordering::Relaxed);
        let mut order = ORDER.lock();
        let priority = priority.unwrap_or_else(|| {
            order.least -= 1;
            order.least
        });
        area.priority.store(priority, Ordering::Relaxed);
        order.add(priority, number as u8);
        Ok(area)
    }

    /// No more places are given; what is there stays. The first step of `swapoff`.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        // Whoever was just given places has counted them as used when the lock is had.
        ORDER.lock().remove(self.number);
        TOTAL.fetch_sub(self.map.good(), Ordering::Relaxed);
    }

    /// Undoes [`Area::close`].
    pub fn reopen(&self) {
        self.closing.store(false, Ordering::Relaxed);
        ORDER.lock().add(self.priority(), self.number);
        TOTAL.fetch_add(self.map.good(), Ordering::Relaxed);
    }

    /// The last step of `swapoff`, when nothing of it is in use. Areas that wanted no priority move up. May sleep.
    pub fn retire(&self) {
        if let Some(slot) = AREAS.get(usize::from(self.number)) {
            slot.replace(None);
        }
        let own = self.priority();
        if own >= 0 {
            return;
        }
        for_each_area(|area| {
            if area.priority() < own {
                area.priority.fetch_add(1, Ordering::Relaxed);
            }
            false
        });
        let mut order = ORDER.lock();
        order.least += 1;
        let len = order.len;
        for (priority, _) in order.list.get_mut(..len).unwrap_or(&mut []) {
            if *priority < own {
                *priority += 1;
            }
        }
    }

    /// Its number.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The books.
    pub fn map(&self) -> &SlotMap {
        &self.map
    }

    /// The device or file.
    pub fn io(&self) -> &dyn SwapIo {
        &*self.io
    }

    /// Its priority.
    pub fn priority(&self) -> i32 {
        self.priority.load(Ordering::Relaxed)
    }

    /// Whether it is being emptied.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

/// Calls `f` for each area by number until it says true; whether it did.
pub fn for_each_area(mut f: impl FnMut(&Arc<Area>) -> bool) -> bool {
    AREAS.iter().filter_map(RcuArc::get).any(|area| f(&area))
}

/// Pages of swap space: all, and free ones.
pub fn totals() -> (u64, u64) {
    let total = TOTAL.load(Ordering::Relaxed);
    if total == 0 {
        return (0, 0);
    }
    let mut used = 0;
    for_each_area(|area| {
        used += if area.is_closing() { 0 } else { area.map.used() };
        false
    });
    (total, total.saturating_sub(used))
}

/// Pages of swap space, those of areas that are being emptied left out.
pub fn total_pages() -> u64 {
    TOTAL.load(Ordering::Relaxed)
}

/// Whether there is a free place.
pub(crate) fn has_room() -> bool {
    total_pages() != 0 && totals().1 != 0
}

/// Whether more than half is used: pages that came back should not keep their places (`vm_swap_full`).
fn is_scarce() -> bool {
    let (total, free) = totals();
    free < total / 2
}

/// Takes up to `max` places of the best area that has any, for pages that go to the cache; each is given to `f`.
fn take_places(max: usize, mut f: impl FnMut(u64)) -> Option<Arc<Area>> {
    // Held throughout: an area that was closed gives no more places, and those that it gave before are counted as used.
    let mut order = ORDER.lock();
    let mut i = 0;
    while let Some(&(_, number)) = order.areas().get(i) {
        i += 1;
        let Some(area) = area(number) else { continue };
        if area.map.alloc(max, &mut f) != 0 {
            order.used(number);
            return Some(area);
        }
    }
    None
}

/// An entry less names a place. Any context.
fn free(entry: SwapEntry) {
    if let Some(area) = area(entry.area)
        && area.map.put(entry.offset) == Put::Cached
    {
        area.drop_dead(entry.offset);
    }
}

struct Keeper;

impl Swap for Keeper {
    fn duplicate(&self, entry: SwapEntry) -> bool {
        // The parent's entry names it, so it is in use: only the count can be too high.
        area(entry.area).is_some_and(|area| area.map.get(entry.offset))
    }

    fn free(&self, entry: SwapEntry) {
        free(entry);
    }

    fn unmapped(&self, page: Page) {
        cache::unmapped(page);
    }
}
