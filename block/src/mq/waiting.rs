// SPDX-License-Identifier: GPL-2.0
//! Requests that the driver could not take yet, oldest first: a ring with room for all requests of a hardware queue.

use super::request::Request;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{KBox, KVec};

pub(super) struct Waiting {
    ring: KVec<Option<KBox<Request>>>,
    first: usize,
    len: usize,
}

impl Waiting {
    pub(super) fn new(room: u32) -> Result<Self> {
        let mut ring = KVec::with_capacity(room as usize, GFP_KERNEL)?;
        for _ in 0..room {
            ring.push(None, GFP_KERNEL)?;
        }
        Ok(Self { ring, first: 0, len: 0 })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn place(&mut self, at: usize) -> Option<&mut Option<KBox<Request>>> {
        let room = self.ring.len().max(1);
        self.ring.get_mut(at % room)
    }

    pub(super) fn push_back(&mut self, request: KBox<Request>) {
        let at = self.first + self.len;
        if let Some(place) = self.place(at) {
            *place = Some(request);
            self.len += 1;
        }
    }

    pub(super) fn push_front(&mut self, request: KBox<Request>) {
        let room = self.ring.len();
        self.first = (self.first + room.saturating_sub(1)) % room.max(1);
        let at = self.first;
        if let Some(place) = self.place(at) {
            *place = Some(request);
            self.len += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<KBox<Request>> {
        if self.len == 0 {
            return None;
        }
        let at = self.first;
        let request = self.place(at)?.take();
        self.first = (at + 1) % self.ring.len().max(1);
        self.len -= 1;
        request
    }
}
