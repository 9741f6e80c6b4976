// SPDX-License-Identifier: GPL-2.0
//! What processors remember of page tables, all in one place: an access happens under its lock, so a flush that has returned is seen by
//! all. It tells the frames, which must not be freed while they are in here.

use crate::table::PageTable;
use mm_alloc::Frame;
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// As the kernel's.
const CEILING: usize = 33;

/// A range of addresses: whose, its number among those of its size, whether it is 2 MB.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub context: u64,
    pub number: usize,
    pub huge: bool,
}

impl Key {
    pub fn of(table: &PageTable, addr: usize, huge: bool) -> Self {
        Self { context: table.context, number: addr / size(huge), huge }
    }

    /// Whether it has to do with `[start, end)`.
    fn meets(&self, start: usize, end: usize) -> bool {
        let from = self.number * size(self.huge);
        from < end && from + size(self.huge) > start
    }
}

fn size(huge: bool) -> usize {
    if huge { PMD_SIZE } else { PAGE_SIZE }
}

/// Where a range is in memory.
#[derive(Clone, Copy)]
pub struct Translation {
    pub phys: u64,
    pub write: bool,
    /// A write need not be noted in the entry any more.
    pub dirty: bool,
    /// The protection key.
    pub key: u8,
}

#[derive(Default)]
pub struct Tlb(HashMap<Key, Translation>);

static TLB: LazyLock<Mutex<Tlb>> = LazyLock::new(Mutex::default);
static MIXED: AtomicU64 = AtomicU64::new(0);

pub fn lock() -> MutexGuard<'static, Tlb> {
    TLB.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often an address had translations of both sizes.
pub fn mixed() -> u64 {
    MIXED.load(Ordering::Relaxed)
}

fn tell(key: &Key, translation: &Translation, delta: u32) {
    for phys in (translation.phys..translation.phys + size(key.huge) as u64).step_by(PAGE_SIZE) {
        // SAFETY: There is a check.
        unsafe { Frame::of_phys(phys) }.cached().fetch_add(delta, Ordering::SeqCst);
    }
}

impl Tlb {
    pub fn get(&self, key: Key) -> Option<Translation> {
        self.0.get(&key).copied()
    }

    pub fn insert(&mut self, key: Key, translation: Translation) {
        let start = key.number * size(key.huge);
        let other = |other: &Key| {
            other.context == key.context && other.huge != key.huge && other.meets(start, start + size(key.huge))
        };
        if self.0.keys().any(other) {
            MIXED.fetch_add(1, Ordering::Relaxed);
        }
        tell(&key, &translation, 1);
        if let Some(old) = self.0.insert(key, translation) {
            tell(&key, &old, u32::MAX);
        }
    }

    fn forget(&mut self, gone: impl Fn(&Key) -> bool) {
        self.0.retain(|key, translation| {
            let goes = gone(key);
            if goes {
                tell(key, translation, u32::MAX);
            }
            !goes
        });
    }
}

pub(crate) fn flush_range(table: &PageTable, start: usize, end: usize, freed_tables: bool) {
    let all = freed_tables || (end - start) / PAGE_SIZE > CEILING;
    lock().forget(|key| key.context == table.context && (all || key.meets(start, end)));
}

pub(crate) fn flush_local_page(table: &PageTable, addr: usize) {
    flush_range(table, addr, addr + 1, false);
}

pub(crate) fn leave_everywhere(table: &PageTable) {
    lock().forget(|key| key.context == table.context);
}
