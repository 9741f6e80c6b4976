// SPDX-License-Identifier: GPL-2.0
//! The queue of events of an inotify file: in at one end, out at the other, equal neighbours once, and one mark of overflow.

use kalloc::KVec;
use kalloc::flags::GFP_ATOMIC;
use uapi::{IN_IGNORED, IN_Q_OVERFLOW};

/// One event, as a reader gets it.
pub(crate) struct Record {
    pub(crate) wd: i32,
    pub(crate) mask: u32,
    pub(crate) cookie: u32,
    pub(crate) name: KVec<u8>,
}

/// Size of `struct inotify_event` without its name.
pub(crate) const HEADER: usize = 16;

impl Record {
    /// Bytes of the name as it is read: with its NUL, filled up to a multiple of the header's size.
    pub(crate) fn name_room(&self) -> usize {
        if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(HEADER) }
    }

    /// Bytes of the event as it is read.
    pub(crate) fn size(&self) -> usize {
        HEADER + self.name_room()
    }

    fn repeats(&self, last: &Self) -> bool {
        last.mask & IN_IGNORED == 0 && self.mask == last.mask && self.wd == last.wd && *self.name == *last.name
    }

    fn overflow() -> Self {
        Self { wd: -1, mask: IN_Q_OVERFLOW, cookie: 0, name: KVec::new() }
    }
}

/// The queue. What comes in is pushed to `new`; what goes out is popped from `old`, which is turned round when it is filled.
pub(crate) struct Queue {
    new: KVec<Record>,
    old: KVec<Record>,
    overflowed: bool,
    bytes: usize,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { new: KVec::new(), old: KVec::new(), overflowed: false, bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.old.is_empty()
    }

    /// Bytes that reading it empty would give.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an event; whether the queue changed. With `limit` events there, or without memory, only the overflow is noted.
    pub(crate) fn push(&mut self, record: Record, limit: usize) -> bool {
        let count = self.new.len() + self.old.len();
        if self.new.last().or(self.old.first()).is_some_and(|last| record.repeats(last)) {
            return false;
        }
        let room = count < limit && self.new.reserve(2, GFP_ATOMIC).is_ok();
        let record = if room { record } else { Record::overflow() };
        if !room && core::mem::replace(&mut self.overflowed, true) {
            return false;
        }
        let size = record.size();
        // Without any memory even the note of it is lost.
        let pushed = self.new.push(record, GFP_ATOMIC).is_ok();
        if pushed {
            self.bytes += size;
        }
        pushed
    }

    fn fill(&mut self) {
        if self.old.is_empty() {
            core::mem::swap(&mut self.old, &mut self.new);
            self.old.reverse();
        }
    }

    /// Takes the oldest event if it has at most `room` bytes. `Err`: it is longer.
    pub(crate) fn pop(&mut self, room: usize) -> Result<Option<Record>, ()> {
        self.fill();
        if self.old.last().is_some_and(|record| record.size() > room) {
            return Err(());
        }
        let record = self.old.pop();
        if let Some(record) = &record {
            self.bytes -= record.size();
            self.overflowed &= record.mask & IN_Q_OVERFLOW == 0;
        }
        Ok(record)
    }
}
