// SPDX-License-Identifier: GPL-2.0
//! Power cuts: random transactions on a disk that records its writes; after a cut anywhere, with any of the writes since the
//! last flush lost, recovery yields the state after a whole number of transactions, and none that was waited for is missing.
//! Revoked blocks that got data meanwhile keep it.

mod common;
use common::*;
use jbd2::format::*;
use jbd2::host::*;
use jbd2::*;
use std::collections::BTreeMap;

/// Blocks below this one are metadata for ever; the others come and go.
const FIXED: u64 = 48;

/// The content of each block, as of a transaction. `None`: not metadata then.
type Model = Vec<Option<u64>>;

struct Load {
    journal: J,
    disk: std::sync::Arc<Disk>,
    rng: Rng,
    model: Model,
    tid: Tid,
    /// The model at the end of each transaction.
    after: BTreeMap<Tid, Model>,
    /// Data on freed blocks: block, content, the transaction that freed it, place in the record where it was flushed.
    data: Vec<(u64, u64, usize)>,
    /// Freed blocks without a use, with the transaction.
    free: Vec<(u64, Tid)>,
    next: u64,
}

impl Load {
    fn start(&mut self, credits: u32, revokes: u32) -> Handle<HostSystem> {
        let handle = Journal::start(&self.journal, credits, revokes).unwrap();
        if handle.tid() != self.tid {
            self.after.insert(self.tid, self.model.clone());
            self.tid = handle.tid();
        }
        handle
    }

    fn write(&mut self, handle: &mut Handle<HostSystem>, block: u64, create: bool) {
        let buf = self.journal.system().bread(block);
        if create { handle.get_create_access(&buf) } else { handle.get_write_access(&buf) }.unwrap();
        self.next += 1;
        let value = self.next;
        buf.set(|data| fill(data, value));
        handle.dirty_metadata(&buf).unwrap();
        self.model[block as usize] = Some(value);
    }

    fn step(&mut self) {
        match self.rng.below(12) {
            0..=5 => {
                let count = 1 + self.rng.below(12);
                let mut handle = self.start(count as u32, 0);
                for _ in 0..count {
                    let block = self.rng.below(BLOCKS);
                    if self.model[block as usize].is_some() {
                        self.write(&mut handle, block, false);
                    }
                }
                handle.stop().unwrap();
            }
            6 => {
                // Frees some blocks.
                let mut handle = self.start(8, 4);
                for _ in 0..4 {
                    let block = FIXED + self.rng.below(BLOCKS - FIXED);
                    if self.model[block as usize].take().is_some() {
                        let buf = self.journal.system().bread(block);
                        handle.revoke(block, Some(&buf)).unwrap();
                        self.free.push((block, self.tid));
                    }
                }
                handle.stop().unwrap();
            }
            7 => {
                // Takes a block again, as metadata.
                let Some(index) = self.free_index() else { return };
                let (block, _) = self.free.remove(index);
                let mut handle = self.start(2, 0);
                self.write(&mut handle, block, true);
                self.write(&mut handle, block % FIXED, false);
                handle.stop().unwrap();
            }
            8 => {
                // Takes a block again, as data, which goes to the disk beside the journal.
                let committed = self.journal.committed_tid();
                let Some(index) = self.free.iter().position(|(_, tid)| tid_geq(committed, *tid)) else { return };
                let (block, _) = self.free.remove(index);
                self.next += 1;
                let mut bytes = [0; BLOCK];
                fill(&mut bytes, self.next);
                self.disk.write(block, &bytes, WriteFlags::default()).unwrap();
                self.disk.flush().unwrap();
                self.data.push((block, self.next, self.disk.events().len()));
            }
            9 => {
                for buf in self.journal.system().buffers() {
                    if self.rng.one_in(3) {
                        buf.write_back().unwrap();
                    }
                }
            }
            10 => self.journal.commit_all().unwrap(),
            _ => {
                let buf = self.journal.system().bread(self.rng.below(FIXED));
                buf.write_back().unwrap();
            }
        }
    }

    fn free_index(&mut self) -> Option<usize> {
        let count = self.free.len() as u64;
        if count == 0 { None } else { Some(self.rng.below(count) as usize) }
    }
}

fn run(seed: u64, compat: u32, incompat: u32, steps: u32, cuts: u32) {
    let start = image(compat, incompat);
    let disk = Disk::new(start.clone(), BLOCK);
    let (journal, _) = open(&disk).unwrap();
    disk.record();
    let model: Model = (0..BLOCKS).map(|_| Some(0)).collect();
    let tid = journal.committed_tid();
    let rng = Rng(seed * 77 + 1);
    let mut load =
        Load { journal, disk, rng, model, tid, after: BTreeMap::new(), data: Vec::new(), free: Vec::new(), next: 1 };
    for _ in 0..steps {
        load.step();
    }
    load.journal.commit_all().unwrap();
    load.after.insert(load.tid, load.model.clone());
    let events = load.disk.events();
    for _ in 0..cuts {
        let at = load.rng.below(events.len() as u64 + 1) as usize;
        check(&load, &start, &events[..at], seed, &mut Rng(load.rng.0 ^ at as u64 | 1));
        load.rng.next();
    }
}

fn check(load: &Load, start: &[u8], events: &[Event], seed: u64, rng: &mut Rng) {
    let context = format!("seed {seed}, cut at {}", events.len());
    let known = events.iter().rev().find_map(|event| match event {
        Event::Note(tid) => Some(*tid as Tid),
        _ => None,
    });
    let disk = Disk::new(cut(start, events, rng), BLOCK);
    let (journal, _) = open(&disk).unwrap_or_else(|error| panic!("{context}: {error:?}"));
    drop(journal);
    let bytes = disk.bytes();
    let found = |block: u64| {
        let at = block as usize * BLOCK;
        let bytes = &bytes[at..at + BLOCK];
        let value = u64::from_le_bytes(*bytes.first_chunk().unwrap());
        assert!(bytes.chunks_exact(8).all(|word| word == value.to_le_bytes()), "{context}: block {block} is torn");
        value
    };
    // Data that was flushed, and not replaced since.
    for (block, value, place) in &load.data {
        let reused = load.data.iter().any(|(other, later, _)| other == block && later > value)
            || load.after.values().any(|model| model[*block as usize].is_some_and(|now| now > *value));
        if *place <= events.len() && !reused {
            assert_eq!(found(*block), *value, "{context}: data of block {block} was overwritten");
        }
    }
    let good =
        load.after.iter().rev().find(|(_, model)| {
            (0..BLOCKS).all(|block| model[block as usize].is_none_or(|value| found(block) == value))
        });
    // A block that is data now may have been metadata in the state that was recovered: then its content says nothing.
    let good = good.or_else(|| {
        load.after.iter().rev().find(|(_, model)| {
            (0..BLOCKS).all(|block| {
                let may_differ = block >= FIXED;
                may_differ || model[block as usize].is_none_or(|value| found(block) == value)
            })
        })
    });
    let Some((tid, _)) = good else { panic!("{context}: what is on the disk is no state after a transaction") };
    if let Some(known) = known {
        assert!(tid_geq(*tid, known), "{context}: transaction {known} was lost, {tid} is there");
    }
}

#[test]
fn power_cuts() {
    let variants = [
        (0, INCOMPAT_CSUM_V3 | INCOMPAT_64BIT),
        (0, 0),
        (COMPAT_CHECKSUM, INCOMPAT_ASYNC_COMMIT),
        (0, INCOMPAT_CSUM_V2),
        (0, INCOMPAT_CSUM_V3 | INCOMPAT_ASYNC_COMMIT),
    ];
    let rounds = std::env::var("CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20);
    for seed in 0..rounds {
        let (compat, incompat) = variants[seed as usize % variants.len()];
        run(seed, compat, incompat, 400, 25);
    }
}
