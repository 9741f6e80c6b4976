// SPDX-License-Identifier: GPL-2.0
//! A queue whose room is made once.

use errno::Result;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;

pub(crate) struct Fifo<T> {
    places: KVec<Option<T>>,
    first: usize,
    len: usize,
}

impl<T> Fifo<T> {
    /// Room for so many. ENOMEM.
    pub(crate) fn new(room: usize) -> Result<Self> {
        let mut places = KVec::with_capacity(room, GFP_KERNEL)?;
        for _ in 0..room {
            places.push(None, GFP_KERNEL)?;
        }
        Ok(Self { places, first: 0, len: 0 })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Gives it back if there is no room.
    pub(crate) fn push(&mut self, item: T) -> Result<(), T> {
        if self.len == self.places.len() {
            return Err(item);
        }
        let at = (self.first + self.len) % self.places.len();
        match self.places.get_mut(at) {
            Some(place) => {
                *place = Some(item);
                self.len += 1;
                Ok(())
            }
            None => Err(item),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let item = self.places.get_mut(self.first)?.take();
        self.first = (self.first + 1) % self.places.len();
        self.len -= 1;
        item
    }

    /// At most `most` of them, the newest first.
    pub(crate) fn newest(&mut self, most: usize) -> impl Iterator<Item = &mut T> {
        let (first, len, room) = (self.first, self.len, self.places.len());
        // What lies before the turn came later than what lies behind it.
        let wrapped = (first + len).saturating_sub(room);
        let (front, back) = self.places.split_at_mut(first);
        let later = front.get_mut(..wrapped).unwrap_or_default().iter_mut().rev();
        let earlier = back.get_mut(..len - wrapped).unwrap_or_default().iter_mut().rev();
        later.chain(earlier).flatten().take(most)
    }
}
