// SPDX-License-Identifier: GPL-2.0
//! What the tests share: a small disk with a log behind its blocks, cuts of its record, random numbers.
#![allow(dead_code)]

use jbd2::format::*;
use jbd2::host::*;
use jbd2::recovery::Recovered;
use jbd2::*;
use kalloc::Arc;
use std::sync::Arc as StdArc;

pub const BLOCK: usize = 1024;
/// Blocks of the file system; the log follows.
pub const BLOCKS: u64 = 96;
pub const LOG: u32 = 1024;

pub type J = Arc<Journal<HostSystem>>;

/// A generator of random numbers that repeats.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

pub fn geometry() -> Geometry {
    // Two runs, so that mapping counts.
    let half = LOG / 2;
    Geometry::new([
        Run { logical: 0, physical: BLOCKS + u64::from(half), len: half },
        Run { logical: half, physical: BLOCKS, len: half },
    ])
    .unwrap()
}

/// An image with an empty log of these features.
pub fn image(compat: u32, incompat: u32) -> Vec<u8> {
    let mut data = vec![0; (BLOCKS as usize + LOG as usize) * BLOCK];
    let mut sb = Superblock::new(BLOCK as u32, LOG, [7; 16]).unwrap();
    sb.set_compat(compat);
    sb.set_incompat(incompat);
    if sb.features().checksums() {
        sb.set_checksum_type();
    }
    sb.seal();
    let at = (BLOCKS as usize + LOG as usize / 2) * BLOCK;
    data[at..at + SUPERBLOCK_SIZE].copy_from_slice(&*sb.0);
    data
}

pub fn open(disk: &StdArc<Disk>) -> errno::Result<(J, Recovered)> {
    let sys = HostSystem::new(disk.clone(), disk.clone());
    Journal::open(sys, geometry(), BLOCK, Config { max_batch_ns: 0, ..Config::default() })
}

/// Fills a block with a number.
pub fn fill(data: &mut [u8], value: u64) {
    for word in data.chunks_exact_mut(8) {
        word.copy_from_slice(&value.to_le_bytes());
    }
}

/// What the disk holds after a cut behind the first `events` events: all before the last flush, any of the rest.
pub fn cut(start: &[u8], events: &[Event], rng: &mut Rng) -> Vec<u8> {
    cut_sized(start, events, rng, BLOCK)
}

/// As `cut`, for blocks of another size.
pub fn cut_sized(start: &[u8], events: &[Event], rng: &mut Rng, size: usize) -> Vec<u8> {
    let mut data = start.to_vec();
    let last_flush = events.iter().rposition(|event| matches!(event, Event::Flush)).unwrap_or(0);
    let keep = rng.below(4);
    for (index, event) in events.iter().enumerate() {
        let (block, bytes) = match event {
            Event::Write(block, bytes) if index < last_flush || (keep != 0 && rng.below(4) <= keep) => (block, bytes),
            Event::Fua(block, bytes) => (block, bytes),
            _ => continue,
        };
        let at = *block as usize * size;
        data[at..at + size].copy_from_slice(bytes);
    }
    data
}
