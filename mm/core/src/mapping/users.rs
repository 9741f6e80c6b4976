// SPDX-License-Identifier: GPL-2.0
//! Who has a file's pages mapped: its mappings' addresses by address space.
//!
//! Locks: `Mapping::users` (spin); never held while an address space is changed. `Mapping::moves` (sleeping, under `mm`'s lock and pages'
//! locks): a walk over all users must not pass by pages that go from one to another meanwhile.

use super::Mapping;
use errno::Result;
use kalloc::flags::GFP_ATOMIC;
use kalloc::{Arc, KVec};
use mm_alloc::layout::PAGE_SHIFT;
use sync::RwReadGuard;
use x86_mm::PageTable;

/// One mapping of a range of the file in some address space.
struct User {
    table: Arc<PageTable>,
    start: usize,
    end: usize,
    pgoff: u64,
    /// `mlock`: its pages stay in memory.
    locked: bool,
}

/// Users by slot number; free slots form a list.
pub(super) struct Users {
    slots: KVec<Option<User>>,
    free: KVec<usize>,
}

impl Users {
    pub(super) const fn new() -> Self {
        Self { slots: KVec::new(), free: KVec::new() }
    }
}

impl Mapping {
    /// Unmaps the file's pages `[first, last]` in every address space; with `keep_private` copies stay. May sleep.
    pub fn unmap(&self, first: u64, last: u64, keep_private: bool) {
        if self.is_mapped() {
            let _all = self.moves.write();
            self.for_each_user(first, last, |table, start, end| table.zap_shared(start, end, keep_private));
        }
    }

    /// [`Mapping::unmap`] of one page whose copies stay, for reclaim, which waits for nobody: nothing is done while pages move.
    pub(crate) fn try_unmap(&self, index: u64) {
        if let Some(_all) = self.moves.try_write() {
            self.for_each_user(index, index, |table, start, end| table.zap_shared(start, end, true));
        }
    }

    /// Takes write access from shared mappings of `[first, last]`, so that the next write is noticed (write-back). May sleep.
    pub fn write_protect(&self, first: u64, last: u64) {
        let _all = self.moves.write();
        self.for_each_user(first, last, |table, start, end| table.clean(start, end));
    }

    /// To be held while entries for the file's pages are moved or copied from one user's addresses to another's, both being in the list,
    /// or while addresses go from one user to another. May sleep.
    pub(crate) fn moving(&self) -> RwReadGuard<'_, ()> {
        self.moves.read()
    }

    /// Whether page `index` is in memory that a program locked.
    pub(crate) fn is_locked_at(&self, index: u64) -> bool {
        let users = self.users.lock();
        users.slots.iter().flatten().any(|user| user.locked && user.range_of(index, index).is_some())
    }

    /// Forgets that page `index` was used through address spaces; whether it was.
    pub(crate) fn clear_accessed(&self, index: u64) -> bool {
        let mut used = false;
        self.for_each_user(index, index, |table, start, _| used |= table.clear_accessed_shared(start));
        used
    }

    /// Calls `f` for each range of addresses that shows pages of `[first, last]`, without the lock.
    fn for_each_user(&self, first: u64, last: u64, mut f: impl FnMut(&PageTable, usize, usize)) {
        let mut slot = 0;
        loop {
            let next = {
                let users = self.users.lock();
                users.slots.iter().enumerate().skip(slot).find_map(|(i, user)| {
                    let user = user.as_ref()?;
                    let (start, end) = user.range_of(first, last)?;
                    Some((i, user.table.clone(), start, end))
                })
            };
            let Some((i, table, start, end)) = next else { return };
            f(&table, start, end);
            slot = i + 1;
        }
    }

    /// Whether any address space maps the file.
    pub fn is_mapped(&self) -> bool {
        let users = self.users.lock();
        users.slots.len() > users.free.len()
    }
}

impl User {
    /// The addresses at which pages `[first, last]` are mapped here.
    fn range_of(&self, first: u64, last: u64) -> Option<(usize, usize)> {
        let pages = ((self.end - self.start) >> PAGE_SHIFT) as u64;
        let low = first.saturating_sub(self.pgoff);
        let high = last.saturating_add(1).saturating_sub(self.pgoff).min(pages);
        let start = self.start + ((low.min(pages) as usize) << PAGE_SHIFT);
        let end = self.start + ((high as usize) << PAGE_SHIFT);
        (start < end).then_some((start, end))
    }
}

/// A VMA's entry in its mapping's list of users; leaves it when dropped.
pub(crate) struct MapLink {
    pub(crate) mapping: Arc<Mapping>,
    slot: usize,
}

impl MapLink {
    /// Enters `[start, end)` of an address space, which shows the file from page `pgoff` on.
    pub(crate) fn new(
        mapping: &Arc<Mapping>,
        table: &Arc<PageTable>,
        start: usize,
        end: usize,
        pgoff: u64,
    ) -> Result<Self> {
        let user = Some(User { table: table.clone(), start, end, pgoff, locked: false });
        let mut users = mapping.users.lock();
        let slot = match users.free.pop() {
            Some(slot) => {
                if let Some(entry) = users.slots.get_mut(slot) {
                    *entry = user;
                }
                slot
            }
            None => {
                let slot = users.slots.len();
                // Room for its return to the free list is made now, so that leaving cannot fail.
                users.free.reserve(slot + 1, GFP_ATOMIC)?;
                users.slots.push(user, GFP_ATOMIC)?;
                slot
            }
        };
        drop(users);
        Ok(Self { mapping: mapping.clone(), slot })
    }

    /// Says whether the VMA's memory is locked.
    pub(crate) fn set_locked(&self, locked: bool) {
        let mut users = self.mapping.users.lock();
        if let Some(Some(user)) = users.slots.get_mut(self.slot) {
            user.locked = locked;
        }
    }

    /// Says that the VMA's bounds changed.
    pub(crate) fn update(&self, start: usize, end: usize, pgoff: u64) {
        let mut users = self.mapping.users.lock();
        if let Some(Some(user)) = users.slots.get_mut(self.slot) {
            (user.start, user.end, user.pgoff) = (start, end, pgoff);
        }
    }
}

impl Drop for MapLink {
    fn drop(&mut self) {
        let mut users = self.mapping.users.lock();
        let user = users.slots.get_mut(self.slot).and_then(Option::take);
        // There is room: `new` reserved as many as there are slots.
        let _ = users.free.push_within_capacity(self.slot);
        drop(users);
        // The address space's last reference must not go under the lock.
        drop(user);
    }
}
