// SPDX-License-Identifier: GPL-2.0
//! The policy of the I/O scheduler Kyber: the device has so many requests of each kind ([`Domain`]) at a time, first come, first served
//! within a kind. How many, is decided by how long requests take: while a kind misses what is wanted for it, kinds that do better have to
//! do with fewer. Nothing here knows what a request is ([`Item`]), or what time it is: the caller has a lock around it.
//!
//! | file | what |
//! |---|---|
//! | `lib` | queues, turns, how many |
//! | `latency` | how long requests take |
//! | `fifo` | a queue of fixed room |
//!
//! Source: Linux's `Documentation/block/kyber-iosched.rst`, and the constants of its `block/kyber-iosched.c`.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod fifo;
mod latency;

#[cfg(test)]
mod tests;

use errno::Result;
use fifo::Fifo;
use kalloc::KBox;
use latency::{GOOD, Kind, Latencies, SHIFT};

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Domain {
    /// Reads.
    Read = 0,
    /// Writes.
    Write = 1,
    /// Discards.
    Discard = 2,
    /// What is left: nothing is wanted of their latency.
    Other = 3,
}

/// All of them, in the order of their turns.
const DOMAINS: [Domain; 4] = [Domain::Read, Domain::Write, Domain::Discard, Domain::Other];
/// Most requests of each that the device has at a time.
const DEPTHS: [u32; 4] = [256, 128, 64, 16];
/// How many go one after the other before others have their turn.
const BATCHES: [u32; 4] = [16, 8, 1, 1];
/// What is wanted of discards: 5 seconds.
const DISCARD_NS: u64 = 5_000_000_000;
/// Time between two looks at latencies.
const WINDOW_NS: u64 = 100_000_000;
/// Requests of a kind that a bio may be joined with: the last ones.
const RECENT: usize = 8;

/// What is put in order.
pub trait Item {
    /// Its kind.
    fn domain(&self) -> Domain;
}

impl<T: Item + ?Sized> Item for KBox<T> {
    fn domain(&self) -> Domain {
        (**self).domain()
    }
}

/// What an administrator can change: latencies that are wanted, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunables {
    /// Of reads.
    pub read_lat: u64,
    /// Of writes.
    pub write_lat: u64,
}

impl Default for Tunables {
    fn default() -> Self {
        Self { read_lat: 2_000_000, write_lat: 10_000_000 }
    }
}

/// How many of a kind the device may have, and has.
#[derive(Clone, Copy, Debug)]
struct Tokens {
    depth: u32,
    used: u32,
}

/// A scheduler's requests.
pub struct Kyber<T> {
    queues: [Fifo<T>; 4],
    tokens: [Tokens; 4],
    /// Whose turn it is, and how many of it went in a row.
    turn: usize,
    batch: u32,
    latencies: Latencies,
    /// When they are looked at.
    look_at: Option<u64>,
    /// A percentile of each kind's whole latency that was not yet acted on.
    p99: [Option<u32>; 4],
    /// See [`Tunables`].
    pub tunables: Tunables,
}

impl<T: Item> Kyber<T> {
    /// Room for `depth` requests. ENOMEM.
    pub fn new(depth: u32, tunables: Tunables) -> Result<Self> {
        let queue = || Fifo::new(depth as usize);
        Ok(Self {
            queues: [queue()?, queue()?, queue()?, queue()?],
            tokens: DEPTHS.map(|depth| Tokens { depth, used: 0 }),
            turn: 0,
            batch: 0,
            latencies: Latencies::default(),
            look_at: None,
            p99: [None; 4],
            tunables,
        })
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queues.iter().map(Fifo::len).sum()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts one in; given back if there is no room.
    pub fn insert(&mut self, item: T) -> Result<(), T> {
        match self.queues.get_mut(item.domain() as usize) {
            Some(queue) => queue.push(item),
            None => Err(item),
        }
    }

    /// Those of a kind that came last, the newest first: what comes now may be joined with them.
    pub fn recent(&mut self, domain: Domain) -> impl Iterator<Item = &mut T> {
        self.queues.get_mut(domain as usize).into_iter().flat_map(|queue| queue.newest(RECENT))
    }

    /// Takes the next that may be sent, and its kind, for which [`Self::release`] is to be called. None also if those that wait are of
    /// kinds that the device has enough of.
    pub fn dispatch(&mut self) -> Option<(T, Domain)> {
        if self.batch < BATCHES.get(self.turn).copied().unwrap_or(1)
            && let Some(found) = self.take_turn()
        {
            return Some(found);
        }
        // All others, and at last the same once more.
        self.batch = 0;
        for _ in DOMAINS {
            self.turn = (self.turn + 1) % DOMAINS.len();
            if let Some(found) = self.take_turn() {
                return Some(found);
            }
        }
        None
    }

    fn take_turn(&mut self) -> Option<(T, Domain)> {
        let (queue, tokens) = (self.queues.get_mut(self.turn)?, self.tokens.get_mut(self.turn)?);
        if tokens.used >= tokens.depth {
            return None;
        }
        let item = queue.pop()?;
        tokens.used += 1;
        self.batch += 1;
        Some((item, *DOMAINS.get(self.turn)?))
    }

    /// Takes any that waits, whatever the device has: nothing is sent any more.
    pub fn take_any(&mut self) -> Option<T> {
        self.queues.iter_mut().find_map(Fifo::pop)
    }

    /// One of a kind is not the device's any more.
    pub fn release(&mut self, domain: Domain) {
        if let Some(tokens) = self.tokens.get_mut(domain as usize) {
            tokens.used = tokens.used.saturating_sub(1);
        }
    }

    /// How many of a kind the device may have.
    pub fn depth(&self, domain: Domain) -> u32 {
        self.tokens.get(domain as usize).map_or(0, |tokens| tokens.depth)
    }

    fn target(&self, domain: Domain) -> Option<u64> {
        match domain {
            Domain::Read => Some(self.tunables.read_lat),
            Domain::Write => Some(self.tunables.write_lat),
            Domain::Discard => Some(DISCARD_NS),
            Domain::Other => None,
        }
    }

    /// One of a kind is over: it took `total` from its beginning, `device` of that in the device.
    pub fn note(&mut self, domain: Domain, total: u64, device: u64, now: u64) {
        let Some(target) = self.target(domain) else { return };
        self.latencies.add(domain, Kind::Total, total, target);
        self.latencies.add(domain, Kind::Device, device, target);
        match self.look_at {
            None => self.look_at = Some(now.saturating_add(WINDOW_NS)),
            Some(at) if now >= at => {
                self.look_at = None;
                self.adjust(now);
            }
            Some(_) => {}
        }
    }

    /// Looks at latencies: who may have more, who has to do with fewer.
    fn adjust(&mut self, now: u64) {
        // The device is the trouble if its own time is what takes long.
        let mut congested = false;
        for domain in DOMAINS {
            let p90 = self.latencies.percentile(domain, Kind::Device, 90, now);
            congested |= p90.is_some_and(|bucket| bucket >= GOOD);
        }
        for domain in DOMAINS {
            let fresh = self.latencies.percentile(domain, Kind::Total, 99, now);
            let Some(known) = self.p99.get_mut(domain as usize) else { continue };
            // Kinds do not have enough samples at the same time: the last word counts, once.
            let p99 = if congested {
                let old = known.take();
                fresh.or(old)
            } else {
                if fresh.is_some() {
                    *known = fresh;
                }
                fresh
            };
            let Some(p99) = p99.filter(|&bucket| congested || bucket >= GOOD) else { continue };
            let most = DEPTHS.get(domain as usize).copied().unwrap_or(1);
            if let Some(tokens) = self.tokens.get_mut(domain as usize) {
                tokens.depth = ((tokens.depth * (p99 + 1)) >> SHIFT).clamp(1, most);
            }
        }
    }
}
