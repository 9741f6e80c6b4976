// SPDX-License-Identifier: GPL-2.0
//! `Fid`: a file as the server knows it, by a number of ours. One that is dropped is given back to the server by a worker: it may be
//! dropped in any context, and what gives it up need not wait.

use crate::client::{Client, Failed, Fate};
use crate::request::Data;
use kalloc::{Arc, KVec};
use kernel::prelude::*;
use p9_proto::{NOFID, Qid, kind, request};

/// Numbers of fids. Room to give every number back is made when it is first used.
pub(crate) struct Numbers {
    /// Numbers from here on were never used.
    next: u32,
    free: KVec<u32>,
    /// To be given back to the server.
    waiting: KVec<u32>,
    /// How many the server may know for ever: no file gets them again.
    lost: usize,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        Self { next: 0, free: KVec::new(), waiting: KVec::new(), lost: 0 }
    }

    /// A number, if there is room for one more; else how many there should be room for.
    fn take(&mut self) -> Result<u32, usize> {
        if let Some(number) = self.free.pop() {
            return Ok(number);
        }
        let wanted = self.next as usize + 1;
        if self.free.capacity() < wanted || self.waiting.capacity() < wanted {
            return Err(wanted);
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Numbers of files that somebody has.
    pub(crate) fn in_use(&self) -> usize {
        (self.next as usize).saturating_sub(self.free.len() + self.waiting.len() + self.lost)
    }

    fn release(&mut self, number: u32) {
        // There is room for all.
        let _ = self.free.push_within_capacity(number);
    }
}

/// Moves the numbers into a list with more room.
fn grow(list: &mut KVec<u32>, mut room: KVec<u32>) -> KVec<u32> {
    for number in list.iter() {
        // It has more room.
        let _ = room.push_within_capacity(*number);
    }
    core::mem::replace(list, room)
}

/// A file of a server.
pub struct Fid {
    client: Arc<Client>,
    number: u32,
    /// For whom the server acts; [`p9_proto::NONUNAME`]: nobody by number.
    uid: u32,
    /// The server knows it.
    live: bool,
    /// What it is, where that was told.
    pub(crate) qid: Qid,
    /// Bytes that an open file is read by at most; 0: the server does not say.
    pub(crate) iounit: u32,
}

impl Fid {
    /// A number for `uid` that the server does not know yet. ENOMEM, ENFILE. May sleep.
    pub(crate) fn new(client: &Arc<Client>, uid: u32) -> Result<Self> {
        loop {
            let wanted = match client.fids.lock_irqsave().take() {
                Ok(NOFID) => return Err(ENFILE),
                Ok(number) => {
                    let client = client.clone();
                    return Ok(Self { client, number, uid, live: false, qid: Qid::default(), iounit: 0 });
                }
                Err(wanted) => wanted,
            };
            let room = wanted.next_power_of_two().max(64);
            let free = KVec::with_capacity(room, GFP_KERNEL)?;
            let waiting = KVec::with_capacity(room, GFP_KERNEL)?;
            let old = {
                let mut numbers = client.fids.lock_irqsave();
                if numbers.free.capacity() >= room && numbers.waiting.capacity() >= room {
                    continue;
                }
                (grow(&mut numbers.free, free), grow(&mut numbers.waiting, waiting))
            };
            drop(old);
        }
    }

    /// The server knows it now, or may.
    pub(crate) fn born(&mut self) {
        self.live = true;
    }

    /// The server knows it no more.
    pub(crate) fn gone(&mut self) {
        self.live = false;
    }

    /// Its session.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Its number.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// For whom the server acts.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// What it is, where a walk or an opening told.
    pub fn qid(&self) -> Qid {
        self.qid
    }
}

impl Drop for Fid {
    fn drop(&mut self) {
        let mut numbers = self.client.fids.lock_irqsave();
        if !self.live || self.client.is_closed() {
            numbers.release(self.number);
            return;
        }
        // There is room for all.
        let _ = numbers.waiting.push_within_capacity(self.number);
        drop(numbers);
        if let Some(work) = self.client.clunks.get() {
            work.queue();
        }
    }
}

impl Client {
    /// Gives back what is waiting for that. In a worker.
    pub(crate) fn clunk_waiting(&self) {
        loop {
            let next = self.fids.lock_irqsave().waiting.pop();
            let Some(number) = next else { return };
            let result = self.call(request::simple(kind::TCLUNK, number), 0, Data::None);
            let mut numbers = self.fids.lock_irqsave();
            match result {
                // Whatever the server says: it is gone, as the protocol has it.
                Ok(_) | Err(Failed { fate: Fate::Refused, .. }) => numbers.release(number),
                Err(Failed { fate: Fate::Unsent, error: ENOMEM }) => {
                    // There is room for all. The next one that is dropped tries again.
                    let _ = numbers.waiting.push_within_capacity(number);
                    return;
                }
                Err(_) => numbers.lost += 1,
            }
        }
    }
}
