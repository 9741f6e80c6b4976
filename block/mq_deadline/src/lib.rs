// SPDX-License-Identifier: GPL-2.0
//! The policy of the I/O scheduler mq-deadline: requests go in the order of their sectors, in batches of one direction, but none
//! waits longer than its deadline while others overtake it; writes are put off a number of times for reads; classes of priority go
//! before each other. Nothing here knows what a request is ([`Item`]), what time it is or who else is running: the caller has a
//! lock around it.
//!
//! Source: Linux's `Documentation/block/deadline-iosched.rst`.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod level;

#[cfg(test)]
mod tests;

use errno::Result;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use level::Level;

/// What is put in order.
pub trait Item {
    /// First sector.
    fn sector(&self) -> u64;
    /// The sector after the last.
    fn end(&self) -> u64;
    /// Whether it writes (or discards).
    fn is_write(&self) -> bool;
}

/// Classes of priority, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// Real time.
    Rt = 0,
    /// Best effort, and whoever has no class.
    Be = 1,
    /// Only when nothing else waits.
    Idle = 2,
}

const CLASSES: [Class; 3] = [Class::Rt, Class::Be, Class::Idle];

/// What an administrator can change. Times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunables {
    /// A read's deadline.
    pub read_expire: u64,
    /// A write's.
    pub write_expire: u64,
    /// A class that others keep out has its turn after this.
    pub prio_aging_expire: u64,
    /// How often writes are put off for reads.
    pub writes_starved: u32,
    /// Most requests of a batch.
    pub fifo_batch: u32,
    /// Whether a request may grow at its front.
    pub front_merges: bool,
}

impl Default for Tunables {
    fn default() -> Self {
        Self {
            read_expire: 500_000_000,
            write_expire: 5_000_000_000,
            prio_aging_expire: 10_000_000_000,
            writes_starved: 2,
            fifo_batch: 16,
            front_merges: true,
        }
    }
}

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;

/// A place for an item.
pub(crate) struct Slot<T> {
    pub(crate) item: Option<T>,
    /// When it came.
    pub(crate) since: u64,
    pub(crate) deadline: u64,
    /// Neighbours in the order of coming; of a free place, `next` is the next free one.
    pub(crate) prev: u32,
    pub(crate) next: u32,
    /// Under which sector it is sorted.
    pub(crate) key: u64,
}

/// The scheduler's state.
pub struct Deadline<T> {
    slots: KVec<Slot<T>>,
    free: u32,
    levels: [Level; 3],
    len: usize,
    batching: u32,
    starved: u32,
    last_write: bool,
    /// See [`Tunables`].
    pub tunables: Tunables,
}

impl<T: Item> Deadline<T> {
    /// With room for `depth` items. ENOMEM.
    pub fn new(depth: u32, tunables: Tunables) -> Result<Self> {
        let mut slots = KVec::with_capacity(depth as usize, GFP_KERNEL)?;
        for index in 0..depth {
            let next = if index + 1 < depth { index + 1 } else { NONE };
            slots.push(Slot { item: None, since: 0, deadline: 0, prev: NONE, next, key: 0 }, GFP_KERNEL)?;
        }
        let levels = [Level::new(depth)?, Level::new(depth)?, Level::new(depth)?];
        let free = if depth == 0 { NONE } else { 0 };
        Ok(Self { slots, free, levels, len: 0, batching: 0, starved: 0, last_write: false, tunables })
    }

    /// Items in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts an item in. Gives it back if there is no room.
    pub fn insert(&mut self, item: T, class: Class, now: u64) -> Result<(), T> {
        let index = self.free;
        let Some(slot) = self.slots.get_mut(index as usize) else { return Err(item) };
        let (write, key) = (item.is_write(), item.sector());
        let expire = if write { self.tunables.write_expire } else { self.tunables.read_expire };
        self.free = slot.next;
        *slot =
            Slot { item: Some(item), since: now, deadline: now.saturating_add(expire), prev: NONE, next: NONE, key };
        self.len += 1;
        if let Some(level) = self.levels.get_mut(class as usize) {
            level.side(write).add(&mut self.slots, index, key);
        }
        Ok(())
    }

    /// The place of the item that ends where `sector` is: something may be joined to its back.
    pub fn ending_at(&self, class: Class, write: bool, sector: u64) -> Option<u32> {
        let index = self.levels.get(class as usize)?.side_ref(write).before(sector)?;
        (self.item(index)?.end() == sector).then_some(index)
    }

    /// The place of the item that begins at `sector`: something may be joined to its front, if that is wanted.
    pub fn starting_at(&self, class: Class, write: bool, sector: u64) -> Option<u32> {
        let level = self.levels.get(class as usize).filter(|_| self.tunables.front_merges)?;
        level.side_ref(write).at(sector)
    }

    fn item(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.item.as_ref()
    }

    /// The item in a place. Who changes its first sector calls [`Self::moved`].
    pub fn item_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.item.as_mut()
    }

    /// The first sector of the item in place `index` changed.
    pub fn moved(&mut self, class: Class, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let Some(item) = &slot.item else { return };
        let (write, old, new) = (item.is_write(), slot.key, item.sector());
        slot.key = new;
        if let Some(level) = self.levels.get_mut(class as usize) {
            level.side(write).resort(index, old, new);
        }
    }

    /// The next one to be sent.
    pub fn dispatch(&mut self, now: u64) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let several = self.levels.iter().filter(|level| !level.is_empty()).count() > 1;
        if several
            && let Some(late) = now.checked_sub(self.tunables.prio_aging_expire)
            && let Some(item) = CLASSES.iter().skip(1).find_map(|&class| self.take(class, late, now))
        {
            return Some(item);
        }
        CLASSES.iter().find_map(|&class| self.take(class, u64::MAX, now))
    }

    /// Takes the next one of a class, if it came at `latest` or before.
    fn take(&mut self, class: Class, latest: u64, now: u64) -> Option<T> {
        let level = self.levels.get_mut(class as usize)?;
        if level.is_empty() {
            return None;
        }
        let goes_on = self.batching < self.tunables.fifo_batch;
        let (write, index) = match level.side(self.last_write).next().filter(|_| goes_on) {
            Some(index) => (self.last_write, index),
            None => {
                let (reads, writes) = (!level.side(false).is_empty(), !level.side(true).is_empty());
                let mut write = !reads;
                if reads && writes {
                    write = self.starved >= self.tunables.writes_starved;
                    self.starved = self.starved.saturating_add(1);
                }
                if write {
                    self.starved = 0;
                }
                let side = level.side(write);
                let first = side.first();
                // Nothing further on, or somebody has waited too long: back to who waits longest.
                let expired = self.slots.get(first as usize).is_some_and(|slot| slot.deadline <= now);
                let index = side.next().filter(|_| !expired).unwrap_or(first);
                self.last_write = write;
                self.batching = 0;
                (write, index)
            }
        };
        if self.slots.get(index as usize)?.since > latest {
            return None;
        }
        self.batching = self.batching.saturating_add(1);
        self.remove(class, write, index)
    }

    fn remove(&mut self, class: Class, write: bool, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        let (item, key) = (slot.item.take()?, slot.key);
        let side = self.levels.get_mut(class as usize)?.side(write);
        side.del(&mut self.slots, index, key);
        side.reached(item.end());
        if let Some(slot) = self.slots.get_mut(index as usize) {
            (slot.next, slot.prev) = (self.free, NONE);
            self.free = index;
        }
        self.len -= 1;
        Some(item)
    }
}

impl<T: Item> Item for kalloc::KBox<T> {
    fn sector(&self) -> u64 {
        (**self).sector()
    }

    fn end(&self) -> u64 {
        (**self).end()
    }

    fn is_write(&self) -> bool {
        (**self).is_write()
    }
}
