// SPDX-License-Identifier: GPL-2.0
//! The books of swap space: how many entries each place has, and the first word of the page that went there. The next places can be
//! made to have too many users.

use crate::swap::{Swap, SwapEntry};
use mm_alloc::{Page, PageFlags};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Place {
    users: u32,
    value: u64,
}

/// Which entry that is copied from now on is one too many, 0 for none.
static FAILS: AtomicU32 = AtomicU32::new(0);
static PLACES: Mutex<BTreeMap<u64, Place>> = Mutex::new(BTreeMap::new());
const AREA: u8 = 3;

fn places() -> MutexGuard<'static, BTreeMap<u64, Place>> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The `nth` entry that is copied from now on is one too many; 0: none.
pub fn fail(nth: u32) {
    FAILS.store(nth, Ordering::Relaxed);
}

/// A place for a page that holds `value`, with one user.
pub fn keep(value: u64) -> SwapEntry {
    let mut places = places();
    let offset = places.last_key_value().map_or(1, |(last, _)| last + 1);
    places.insert(offset, Place { users: 1, value });
    SwapEntry { area: AREA, offset }
}

/// What the page at a place holds.
pub fn value(entry: SwapEntry) -> u64 {
    assert_eq!(entry.area, AREA);
    places().get(&entry.offset).expect("a place in use").value
}

/// Entries of all places.
pub fn users() -> u32 {
    places().values().map(|place| place.users).sum()
}

pub struct Keeper;

impl Swap for Keeper {
    fn duplicate(&self, entry: SwapEntry) -> bool {
        if FAILS.load(Ordering::Relaxed) != 0 && FAILS.fetch_sub(1, Ordering::Relaxed) == 1 {
            return false;
        }
        assert_eq!(entry.area, AREA);
        places().get_mut(&entry.offset).expect("a place in use").users += 1;
        true
    }

    fn free(&self, entry: SwapEntry) {
        assert_eq!(entry.area, AREA);
        let mut places = places();
        let place = places.get_mut(&entry.offset).expect("a place in use");
        place.users -= 1;
        if place.users == 0 {
            places.remove(&entry.offset);
        }
    }

    fn unmapped(&self, page: Page) {
        assert!(page.has(PageFlags::SWAP_CACHE));
    }
}
